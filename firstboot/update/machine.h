// SPDX-License-Identifier: Apache-2.0
// This machine as updates see it: what runs, from which slot, with which settings and floors; and its boot backends as one.
#pragma once
#include "firstboot/update/boot.h"
#include "firstboot/update/check.h"
#include "firstboot/update/generationinfo.h"
#include "firstboot/update/journal.h"
#include "common/config.h"
#include <jansson.h>

#define MACHINE_TRIES 3

struct machine {
    int root_fd; // borrowed
    bool is_live; // the root is the running system's: restarts and other programs are real
    struct config record; // the init's
    json_t *report; // of `webops apply`, with the settings in force; NULL before it ran
    struct generation_info image;
    enum boot_slot running, other;
    uint8_t root_hash[32]; // that runs
    bool has_header;
    struct slot_header header; // of the running generation, read through dm-verity
};
// Refused (-ENOTSUP) on a machine that the init did not start from a slot.
int machine_load(int root_fd, bool is_live, struct machine *ret_machine, struct err *err) must_check nonnull(3, 4);
void machine_done(struct machine *machine);
// A text setting of the configuration in force; "" when unset.
const char *machine_setting(const struct machine *machine, const char *name) nonnull(1, 2);
bool machine_flag(const struct machine *machine, const char *name) nonnull(1, 2);
int64_t machine_number(const struct machine *machine, const char *name, int64_t fallback) nonnull(1, 2);
unsigned machine_tries(const struct machine *machine) nonnull(1);
// PROFILE, VERSION and so on of the running generation as a manifest that names no parts: what history and ledger want.
void machine_generation(const struct machine *machine, struct manifest *ret_manifest) nonnull(1, 2);
// max(clock, time floor)
int64_t machine_time(const struct floors *floors) nonnull(1);
// The index in boot_backends of the one that started this machine.
size_t machine_backend(const struct machine *machine) nonnull(1);
// Whether `path` (from the record, "/dev/…") can be opened below the root; the descriptor or -errno.
int machine_open_device(const struct machine *machine, const char *key, struct err *err) must_check nonnull(1, 2, 3);

// Room and such, for update_check(). `esp_fd` may be open read-only.
int machine_facts(const struct machine *machine, int esp_fd, const struct manifest *manifest, struct update_facts *ret_facts,
                  struct err *err) must_check nonnull(1, 3, 4, 5);

// All backends. Loading and publishing end with the first failure; the others try every backend and report the last one.
int boots_load(int esp_fd, struct boot_entries ret_entries[2], struct err *err) must_check nonnull(2, 3);
int boots_remove(int esp_fd, enum boot_slot slot, struct err *err) must_check nonnull(3);
int boots_publish(int esp_fd, enum boot_slot slot, const struct boot_generation *generation, unsigned tries, struct err *err) must_check
    nonnull(3, 5);
int boots_commit(int esp_fd, enum boot_slot slot, struct err *err) must_check nonnull(3);
int boots_reject(int esp_fd, enum boot_slot slot, struct err *err) must_check nonnull(3);

#define cleanup_machine cleanup(machine_done)
