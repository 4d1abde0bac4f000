// SPDX-License-Identifier: Apache-2.0
// Gathers what updates have to know of this machine. Reads only.
#include "firstboot/update/machine.h"
#include "common/digest.h"
#include "common/file.h"
#include "common/log.h"
#include "firstboot/bootrecord.h"
#include "firstboot/report.h"
#include "firstboot/stack/state.h"
#include "firstboot/update/bootfiles.h"
#include "firstboot/update/record.h"
#include "firstboot/update/slotdevice.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>

void machine_done(struct machine *machine) {
    config_done(&machine->record);
    json_decref(machine->report);
    *machine = (struct machine){.root_fd = -1};
}

int machine_open_device(const struct machine *machine, const char *key, struct err *err) {
    const char *path = bootrecord_text(&machine->record, key);
    if (path[0] != '/' || !path[1])
        return err_set(err, -ENOENT, "the boot record names no %s", key);
    return file_open(machine->root_fd, path + 1, O_RDONLY | O_NOCTTY, 0, err);
}

// Through the verity device, so that only what the root hash vouches for is believed. A machine can be judged without it.
static void load_header(struct machine *machine) {
    struct err err;
    uint8_t bytes[SLOT_HEADER_BYTES];
    cleanup_fd int fd = machine_open_device(machine, "VERITY_DEVICE", &err);
    machine->has_header = fd >= 0 && pread_all(fd, "the running slot", bytes, sizeof(bytes), 0, &err) == 0 &&
                          slot_header_parse(bytes, sizeof(bytes), &machine->header, &err) == 0;
}

static int load(struct machine *machine, struct err *err) {
    const char *slot;
    int r = bootrecord_load(machine->root_fd, &machine->record, err);
    if (r < 0)
        return r;
    slot = bootrecord_text(&machine->record, "SLOT");
    if (!*slot)
        return err_set(err, -ENOTSUP,
                       "this machine was not started from a slot of webops: there is nothing to update, and nothing to go back to");
    if (bootrecord_is_medium(&machine->record))
        return err_set(err, -ENOTSUP,
                       "this machine was started from an installation medium: it has no slots, so there is nothing to update, and nothing "
                       "to go back to");
    r = boot_slot_parse(slot, &machine->running, err);
    if (r >= 0)
        r = record_hash(&machine->record, "ROOT_HASH", machine->root_hash, err);
    if (r < 0)
        return err_prefix(err, r, "the boot record");
    machine->other = machine->running == BOOT_SLOT_A ? BOOT_SLOT_B : BOOT_SLOT_A;
    machine->report = report_read(machine->root_fd, REPORT_PATH);
    load_header(machine);
    return generation_info_load(machine->root_fd, &machine->image, err);
}

int machine_load(int root_fd, bool is_live, struct machine *ret_machine, struct err *err) {
    *ret_machine = (struct machine){.root_fd = root_fd, .is_live = is_live};
    int r = load(ret_machine, err);
    if (r < 0)
        machine_done(ret_machine);
    return r;
}

static const json_t *setting(const struct machine *machine, const char *name) {
    const char *last = json_string_value(json_object_get(machine->report, "last"));
    return last ? json_object_get(json_object_get(json_object_get(machine->report, last), "settings"), name) : NULL;
}

const char *machine_setting(const struct machine *machine, const char *name) {
    return json_string_value(setting(machine, name)) ?: "";
}

bool machine_flag(const struct machine *machine, const char *name) {
    return json_is_true(setting(machine, name));
}

int64_t machine_number(const struct machine *machine, const char *name, int64_t fallback) {
    const json_t *value = setting(machine, name);
    return json_is_integer(value) ? json_integer_value(value) : fallback;
}

unsigned machine_tries(const struct machine *machine) {
    int64_t tries = machine_number(machine, "update_tries", MACHINE_TRIES);
    return tries >= 1 && tries <= 9 ? (unsigned)tries : MACHINE_TRIES;
}

void machine_generation(const struct machine *machine, struct manifest *ret_manifest) {
    struct err err;
    int64_t sequence = 0;
    *ret_manifest = (struct manifest){0};
    snprintf(ret_manifest->profile, sizeof(ret_manifest->profile), "%s", bootrecord_text(&machine->record, "PROFILE"));
    snprintf(ret_manifest->version, sizeof(ret_manifest->version), "%s", bootrecord_text(&machine->record, "VERSION"));
    if (record_number(&machine->record, "SEQUENCE", &sequence, &err) == 0)
        ret_manifest->sequence = (uint64_t)sequence;
    memcpy(ret_manifest->boot.root_hash, machine->root_hash, sizeof(machine->root_hash));
}

int64_t machine_time(const struct floors *floors) {
    int64_t now = (int64_t)time(NULL);
    return now > floors->time ? now : floors->time;
}

size_t machine_backend(const struct machine *machine) {
    return file_exists(machine->root_fd, "sys/firmware/efi") ? 0 : 1;
}

static uint64_t free_bytes(int fd) {
    struct statvfs fs;
    return fstatvfs(fd, &fs) == 0 ? (uint64_t)fs.f_bavail * fs.f_frsize : 0;
}

static void esp_facts(int esp_fd, const struct manifest *manifest, enum boot_slot other, struct update_facts *facts) {
    struct bootfile files[BOOTFILES];
    bootfiles_list(manifest, other, files);
    facts->esp_free_bytes = free_bytes(esp_fd);
    for (size_t i = 0; i < BOOTFILES; i++) {
        struct stat st;
        if (fstatat(esp_fd, files[i].path, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
            continue;
        facts->esp_reusable_bytes += (uint64_t)st.st_size;
        if ((uint64_t)st.st_size > facts->esp_largest_old_bytes)
            facts->esp_largest_old_bytes = (uint64_t)st.st_size;
    }
}

static int ledger_facts(const struct machine *machine, const struct manifest *manifest, struct update_facts *facts, struct err *err) {
    cleanup_rejection struct rejection rejection = {0};
    int r = ledger_find(machine->root_fd, manifest->boot.root_hash, &rejection, err);
    facts->is_rejected = r > 0;
    snprintf(facts->rejected_why, sizeof(facts->rejected_why), "%s%s%s", rejection.stage, *rejection.check ? ": " : "", rejection.check);
    return r;
}

static bool has_key_of(const struct stacks *stacks, const struct stack *stack) {
    for (size_t i = 0; i < stacks->config.count; i++) {
        const struct schema_key *key = schema_find(&stacks->set.schema, stacks->config.entries[i].key);
        for (size_t k = 0; key && k < stack->key_count; k++)
            if (strcmp(key->name, stack->keys[k].schema.name) == 0)
                return true;
    }
    return false;
}

// Whatever cannot be read is left out: an update may be what repairs it.
static void stack_facts(int root_fd, struct update_facts *facts) {
    cleanup_stacks struct stacks stacks = {0};
    struct err err;
    if (stacks_load(root_fd, &stacks, &err) < 0)
        return;
    for (size_t i = 0; i < stacks.set.count && facts->stack_count < STACK_MAX_STACKS; i++)
        if (has_key_of(&stacks, stacks.set.stacks[i]))
            snprintf(facts->stacks[facts->stack_count++], sizeof(facts->stacks[0]), "%s", stacks.set.stacks[i]->name);
}

int machine_facts(const struct machine *machine, int esp_fd, const struct manifest *manifest, struct update_facts *ret_facts,
                  struct err *err) {
    struct update_facts facts = {.image = machine->image};
    struct manifest running;
    machine_generation(machine, &running);
    memcpy(facts.profile, running.profile, sizeof(facts.profile));
    memcpy(facts.version, running.version, sizeof(facts.version));
    memcpy(facts.root_hash, machine->root_hash, sizeof(facts.root_hash));
    facts.sequence = running.sequence;
    int r = floors_load(machine->root_fd, &facts.floors, err);
    if (r >= 0)
        r = ledger_facts(machine, manifest, &facts, err);
    if (r < 0)
        return r;
    facts.now = machine_time(&facts.floors);
    struct slotdevice slot;
    r = slotdevice_open_read(machine->root_fd, &machine->record, machine->other, &slot, err);
    if (r < 0)
        return r;
    close(slot.fd);
    facts.slot_bytes = slot.bytes;
    cleanup_fd int state_fd = file_open(machine->root_fd, "var", O_RDONLY | O_DIRECTORY, 0, err);
    if (state_fd < 0)
        return state_fd;
    struct stat st;
    facts.state_free_bytes = free_bytes(state_fd);
    if (fstatat(machine->root_fd, UPDATE_DIR "/uki.part", &st, AT_SYMLINK_NOFOLLOW) == 0)
        facts.state_reusable_bytes = (uint64_t)st.st_blocks * 512;
    esp_facts(esp_fd, manifest, machine->other, &facts);
    stack_facts(machine->root_fd, &facts);
    *ret_facts = facts;
    return 0;
}

int boots_load(int esp_fd, struct boot_entries ret_entries[2], struct err *err) {
    for (size_t i = 0; boot_backends[i]; i++) {
        int r = boot_backends[i]->load(esp_fd, &ret_entries[i], err);
        if (r < 0)
            return err_prefix(err, r, "%s", boot_backends[i]->name);
    }
    return 0;
}

int boots_publish(int esp_fd, enum boot_slot slot, const struct boot_generation *generation, unsigned tries, struct err *err) {
    for (size_t i = 0; boot_backends[i]; i++) {
        int r = boot_backends[i]->publish(esp_fd, slot, generation, tries, err);
        if (r < 0)
            return err_prefix(err, r, "%s", boot_backends[i]->name);
    }
    return 0;
}

// Every backend is tried even when one fails: the one that starts this machine may be the other.
#define EACH_BACKEND(member)                                                                                                               \
    int boots_##member(int esp_fd, enum boot_slot slot, struct err *err) {                                                                 \
        int result = 0;                                                                                                                    \
        for (size_t i = 0; boot_backends[i]; i++) {                                                                                        \
            struct err failure;                                                                                                            \
            int r = boot_backends[i]->member(esp_fd, slot, &failure);                                                                      \
            if (r < 0)                                                                                                                     \
                result = err_set(err, r, "%s: %s", boot_backends[i]->name, failure.text);                                                  \
        }                                                                                                                                  \
        return result;                                                                                                                     \
    }
EACH_BACKEND(remove)
EACH_BACKEND(commit)
EACH_BACKEND(reject)
