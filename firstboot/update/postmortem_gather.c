// SPDX-License-Identifier: Apache-2.0
// Reads what a failed generation left behind. Whatever cannot be read is said and left out: a judgement on less is better than none.
#include "common/file.h"
#include "common/log.h"
#include "common/run.h"
#include "firstboot/update/bootfiles.h"
#include "firstboot/update/esp.h"
#include "firstboot/update/postmortem.h"
#include "firstboot/update/slotdevice.h"
#include "firstboot/update/slotwriter.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define NOTE_BYTES (16 << 10)

static void check_slot(const struct machine *machine, const struct journal *journal, struct postmortem_facts *facts) {
    struct err err;
    struct slotdevice slot;
    int r = slotdevice_open_read(machine->root_fd, &machine->record, journal->slot, &slot, &err);
    if (r >= 0) {
        r = slot_check(slot.fd, slot.name, &journal->manifest.boot, &err);
        close(slot.fd);
    }
    if (r < 0)
        snprintf(facts->slot_problem, sizeof(facts->slot_problem), "%.*s", (int)sizeof(facts->slot_problem) - 1, err.text);
}

#define ALTERED "boot partition: %s is missing, damaged, or of another generation"

static void check_esp(const struct boot_backend *backend, int esp_fd, const struct journal *journal, struct postmortem_facts *facts) {
    struct bootfile files[BOOTFILES];
    bootfiles_list(&journal->manifest, journal->slot, files);
    for (size_t i = 0; i < BOOTFILES && !*facts->esp_problem; i++) {
        struct err err;
        int r = esp_has(esp_fd, files[i].path, files[i].bytes, files[i].sha256, &err);
        if (r < 0)
            snprintf(facts->esp_problem, sizeof(facts->esp_problem), "boot partition: %.200s", err.text);
        else if (r == 0)
            snprintf(facts->esp_problem, sizeof(facts->esp_problem), ALTERED, files[i].path);
    }
    const char *altered =
        backend->altered && !*facts->esp_problem ? backend->altered(esp_fd, journal->slot, journal->manifest.cmdline) : NULL;
    if (altered)
        snprintf(facts->esp_problem, sizeof(facts->esp_problem), ALTERED, altered);
}

// The init's note on one line, if it is this generation's: "<root hash> <step>: <reason>".
static void read_init_note(int root_fd, const struct journal *journal, struct postmortem_facts *facts) {
    cleanup_free char *text = NULL;
    char hex[65];
    struct err err;
    hex_format(journal->manifest.boot.root_hash, 32, hex);
    if (file_read(root_fd, INIT_FAILURE_PATH, NOTE_BYTES, &text, NULL, &err) < 0 || strncmp(text, hex, 64) != 0 || text[64] != ' ')
        return;
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < ' ' || (unsigned char)*c > '~')
            *c = ' ';
    size_t size = strlen(text);
    while (size > 65 && text[size - 1] == ' ')
        text[--size] = 0;
    snprintf(facts->init_note, sizeof(facts->init_note), "%s", text + 65);
}

static void read_esp_note(int esp_fd, const struct journal *journal, struct postmortem_facts *facts) {
    char path[32];
    cleanup_free char *text = NULL;
    size_t size;
    struct err err;
    snprintf(path, sizeof(path), ESP_NOTE_PATTERN, boot_slot_name(journal->slot));
    if (file_read(esp_fd, path, NOTE_BYTES, &text, &size, &err) < 0)
        return;
    facts->has_note =
        rejection_parse(text, size, &facts->note, &err) == 0 && memcmp(facts->note.root_hash, journal->manifest.boot.root_hash, 32) == 0;
}

char *postmortem_log(int boot) {
    cleanup_free char *which = str_printf("--boot=%d", boot), *text = NULL;
    const struct run show = {
        .argv = RUN_ARGV("journalctl", "--quiet", "--no-pager", "--output=short-monotonic", "--lines=40", "--priority=notice", which),
        .timeout_ms = 20000};
    struct err err;
    if (run_capture(&show, 256 << 10, &text, NULL, &err) < 0 || !*text)
        return NULL;
    return take_ptr(text);
}

// The journal's last boot is the failed one's only if that one came as far as journald and state.
static bool was_boot_of_trial(const struct postmortem_facts *facts) {
    return facts->attempts.early > 0;
}

void postmortem_gather(const struct machine *machine, int esp_fd, const struct journal *journal, struct postmortem_facts *ret_facts) {
    struct postmortem_facts facts = {.tries = journal->tries};
    struct boot_entries entries[2];
    struct err err;
    if (boots_load(esp_fd, entries, &err) < 0)
        log_warn("%s", err.text);
    else
        facts.entry = entries[machine_backend(machine)].slots[journal->slot];
    if (attempts_load(machine->root_fd, journal->manifest.boot.root_hash, &facts.attempts, &err) < 0)
        log_warn("%s", err.text);
    check_esp(boot_backends[machine_backend(machine)], esp_fd, journal, &facts);
    check_slot(machine, journal, &facts);
    read_init_note(machine->root_fd, journal, &facts);
    read_esp_note(esp_fd, journal, &facts);
    if (machine->is_live && was_boot_of_trial(&facts))
        facts.log = postmortem_log(-1);
    *ret_facts = facts;
}
