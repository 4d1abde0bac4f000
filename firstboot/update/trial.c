// SPDX-License-Identifier: Apache-2.0
// Order of writes: what ends a trial goes to state first (ledger), then to the boot loader, then to the journal. A cut in between is made
// good by the next start, which finds the same journal and does the rest again.
#include "firstboot/update/trial.h"
#include "common/file.h"
#include "common/log.h"
#include "firstboot/bootrecord.h"
#include "firstboot/health.h"
#include "firstboot/report.h"
#include "firstboot/update/bootfiles.h"
#include "firstboot/update/efivar.h"
#include "firstboot/update/esp.h"
#include "firstboot/update/postmortem.h"
#include "firstboot/update/record.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

int trial_is_running(const struct machine *machine, const struct journal *journal) {
    return journal->state == JOURNAL_TRIAL && memcmp(journal->manifest.boot.root_hash, machine->root_hash, 32) == 0;
}

int64_t trial_deadline(int64_t health_timeout, int64_t health_started) {
    return (health_started < 0 ? 0 : health_started) + health_timeout + TRIAL_MARGIN_SECONDS;
}

// History and log are for people: that they cannot be written changes nothing.
static void tell(const struct machine *machine, const char *event, const struct manifest *manifest, const char *detail) {
    struct err err;
    log_info("%s: %s %s%s%s", event, manifest->profile, manifest->version, *detail ? ": " : "", detail);
    if (history_add(machine->root_fd, event, manifest, detail, &err) < 0)
        log_warn("%s", err.text);
}

// For writing, and tidied up after what a power cut may have left.
static int open_esp(const struct machine *machine, struct err *err) {
    cleanup_fd int fd = esp_open(machine->root_fd, &machine->record, true, err);
    int r = fd < 0 ? fd : boot_reconcile(fd, err);
    return r < 0 ? r : take_fd(&fd);
}

static int set_journal(const struct machine *machine, struct journal *journal, enum journal_state state, struct err *err) {
    journal->state = state;
    journal->changed = (int64_t)time(NULL);
    return journal_save(machine->root_fd, journal, err);
}

static int forget_trial(const struct machine *machine, struct err *err) {
    int r = attempts_clear(machine->root_fd, err);
    if (r >= 0 && unlinkat(machine->root_fd, INIT_FAILURE_PATH, 0) < 0 && errno != ENOENT)
        r = err_sys(err, -errno, "cannot remove /" INIT_FAILURE_PATH);
    return r < 0 ? r : trial_mark_save(machine->root_fd, NULL, err);
}

static void describe(const struct manifest *manifest, struct rejection *rejection) {
    memcpy(rejection->profile, manifest->profile, sizeof(rejection->profile));
    memcpy(rejection->version, manifest->version, sizeof(rejection->version));
    memcpy(rejection->root_hash, manifest->boot.root_hash, sizeof(rejection->root_hash));
    rejection->sequence = manifest->sequence;
    rejection->time = (int64_t)time(NULL);
}

// A state that cannot be written must not hide why: the ESP carries the message to the old generation.
static void leave_note_on_esp(int esp_fd, enum boot_slot slot, const struct rejection *rejection) {
    char path[32];
    cleanup_buf struct buf text = {0};
    struct err err;
    snprintf(path, sizeof(path), ESP_NOTE_PATTERN, boot_slot_name(slot));
    rejection_format(rejection, &text);
    if (esp_write_text(esp_fd, path, buf_str(&text), &err) < 0)
        log_warn("%s", err.text);
}

static void remove_note(int esp_fd, enum boot_slot slot) {
    char path[32];
    struct err err;
    snprintf(path, sizeof(path), ESP_NOTE_PATTERN, boot_slot_name(slot));
    if (esp_remove(esp_fd, path, &err) < 0)
        log_warn("%s", err.text);
}

// The boot loader's word that `slot` is bad, in whatever way works. With an ESP that takes no writes, UEFI's one-shot variable starts the
// other slot once; after that start the same happens again, until somebody makes the ESP writable.
static int make_bad(const struct machine *machine, int esp_fd, enum boot_slot slot, struct err *err) {
    struct err failure;
    if (esp_fd >= 0) {
        int r = boots_reject(esp_fd, slot, &failure);
        if (r >= 0)
            return 0;
        log_error("%s", failure.text);
    }
    if (machine_backend(machine) != 0)
        return err_set(err, -EROFS, "the boot partition cannot be written, and BIOS machines know no other way to choose a slot");
    cleanup_free char *entry = str_printf("%s.conf", boot_slot_name(slot == BOOT_SLOT_A ? BOOT_SLOT_B : BOOT_SLOT_A));
    return efivar_set_one_shot(machine->root_fd, entry, err);
}

// Ledger, boot loader, journal. When the boot loader cannot be told for good, the mark stays, so that the next start tries again.
static int reject(const struct machine *machine, struct journal *journal, const struct rejection *rejection, struct err *err) {
    struct err failure;
    cleanup_fd int esp_fd = open_esp(machine, &failure);
    if (esp_fd < 0)
        log_error("%s", failure.text);
    int ledger = ledger_add(machine->root_fd, rejection, &failure);
    if (ledger < 0) {
        log_error("%s", failure.text);
        leave_note_on_esp(esp_fd, journal->slot, rejection);
    }
    int r = make_bad(machine, esp_fd, journal->slot, err);
    if (r < 0 || ledger < 0)
        return r;
    tell(machine, "rejected", &journal->manifest, rejection->reason);
    r = set_journal(machine, journal, JOURNAL_REJECTED, err);
    return r < 0 ? r : forget_trial(machine, err);
}

int trial_start(const struct machine *machine, struct err *err) {
    struct journal journal;
    struct attempts attempts;
    int r = journal_load(machine->root_fd, &journal, err);
    if (r < 0)
        return r;
    if (!trial_is_running(machine, &journal))
        return TRIAL_NOTHING;
    // A state that takes no writes is for health to find, under its own name.
    if (attempts_add(machine->root_fd, machine->root_hash, "early", err) < 0)
        log_error("%s", err->text);
    r = attempts_load(machine->root_fd, machine->root_hash, &attempts, err);
    if (r < 0)
        return r;
    if (attempts.early <= journal.tries && attempts.init <= journal.tries)
        return TRIAL_GOES_ON;
    cleanup_rejection struct rejection rejection = {0};
    describe(&journal.manifest, &rejection);
    snprintf(rejection.stage, sizeof(rejection.stage), "boot loader");
    snprintf(rejection.reason, sizeof(rejection.reason),
             "it was started more than %u times without becoming healthy, and the boot loader did not count: is the boot partition "
             "write-protected?",
             journal.tries);
    r = reject(machine, &journal, &rejection, err);
    return r < 0 ? r : TRIAL_RESTART;
}

static int raise_floors(const struct machine *machine, const struct manifest *manifest, struct err *err) {
    struct floors floors = {.sequence = manifest->sequence, .time = machine->image.created};
    memcpy(floors.root_hash, machine->root_hash, sizeof(floors.root_hash));
    if (manifest->valid_from > floors.time)
        floors.time = manifest->valid_from;
    return floors_raise(machine->root_fd, &floors, err);
}

// Whether any backend still counts the slot that runs.
static bool is_counted(const struct boot_entries entries[2], enum boot_slot slot) {
    return entries[0].slots[slot].state != BOOT_GOOD || entries[1].slots[slot].state != BOOT_GOOD;
}

static int commit_boots(const struct machine *machine, struct err *err) {
    struct boot_entries entries[2];
    cleanup_fd int esp_fd = esp_open(machine->root_fd, &machine->record, false, err);
    if (esp_fd < 0)
        return esp_fd;
    int r = boots_load(esp_fd, entries, err);
    if (r < 0 || !is_counted(entries, machine->running))
        return r;
    close(take_fd(&esp_fd));
    esp_fd = open_esp(machine, err);
    r = esp_fd < 0 ? esp_fd : boots_commit(esp_fd, machine->running, err);
    return r < 0 ? r : 1;
}

int trial_commit(const struct machine *machine, struct err *err) {
    struct journal journal;
    struct manifest generation;
    int r = journal_load(machine->root_fd, &journal, err);
    if (r < 0)
        return r;
    bool is_trial = trial_is_running(machine, &journal);
    // Without a journal of it (state was lost), a counted entry of the running slot is a trial all the same. A slot that somebody
    // declared bad stays so.
    cleanup_rejection struct rejection rejection = {0};
    r = ledger_find(machine->root_fd, machine->root_hash, &rejection, err);
    if (r != 0)
        return r < 0 ? r : TRIAL_NOTHING;
    r = commit_boots(machine, err);
    if (r < 0 || (r == 0 && !is_trial))
        return r < 0 ? r : TRIAL_NOTHING;
    machine_generation(machine, &generation);
    const struct manifest *manifest = is_trial ? &journal.manifest : &generation;
    r = raise_floors(machine, manifest, err);
    if (r >= 0)
        r = forget_trial(machine, err);
    if (r >= 0 && is_trial) // last: as long as it says "trial", the next start does all of this again
        r = set_journal(machine, &journal, JOURNAL_COMMITTED, err);
    if (r < 0)
        return r;
    tell(machine, "committed", manifest, "");
    return TRIAL_DONE;
}

// The check that failed, of several the one that says most, and why, from what `webops health` left.
static void read_health(const struct machine *machine, struct rejection *rejection) {
    cleanup_json json_t *health = report_read(machine->root_fd, HEALTH_PATH);
    const json_t *checks = json_object_get(health, "checks");
    const char *failed = json_string_value(json_object_get(health, "failed"));
    if (json_is_true(json_object_get(health, "healthy"))) { // then the commit has failed
        snprintf(rejection->check, sizeof(rejection->check), "commit");
        snprintf(rejection->reason, sizeof(rejection->reason),
                 "the machine was healthy, but that could not be written down: see webops-commit.service in the log");
        return;
    }
    snprintf(rejection->reason, sizeof(rejection->reason), "health was not reached or left no result");
    for (size_t i = 0; failed && i < json_array_size(checks); i++) {
        const json_t *check = json_array_get(checks, i);
        if (strcmp(json_string_value(json_object_get(check, "name")) ?: "", failed) != 0)
            continue;
        snprintf(rejection->check, sizeof(rejection->check), "%s", failed);
        snprintf(rejection->reason, sizeof(rejection->reason), "%s", json_string_value(json_object_get(check, "why")) ?: "");
        return;
    }
}

int trial_fail(const struct machine *machine, const char *stage, const char *check, const char *reason, struct err *err) {
    struct journal journal;
    int r = journal_load(machine->root_fd, &journal, err);
    if (r < 0)
        return r;
    if (!trial_is_running(machine, &journal))
        return TRIAL_NOTHING;
    cleanup_rejection struct rejection rejection = {0};
    describe(&journal.manifest, &rejection);
    if (check)
        snprintf(rejection.check, sizeof(rejection.check), "%s", check);
    if (reason)
        snprintf(rejection.reason, sizeof(rejection.reason), "%s", reason);
    if (!check)
        read_health(machine, &rejection);
    snprintf(rejection.stage, sizeof(rejection.stage), "%s", stage);
    rejection.log = machine->is_live ? postmortem_log(0) : NULL;
    // Even without a word to the boot loader: it counts, too.
    if (reject(machine, &journal, &rejection, err) < 0)
        log_error("%s", err->text);
    return TRIAL_RESTART;
}

static int judge(const struct machine *machine, int *esp_fd, struct journal *journal, struct err *err) {
    cleanup_postmortem_facts struct postmortem_facts facts = {0};
    cleanup_rejection struct rejection rejection = {0};
    int r = ledger_find(machine->root_fd, journal->manifest.boot.root_hash, &rejection, err);
    if (r < 0)
        return r;
    if (r == 0) { // else it said itself why, and was cut off after that: a trial begins with no entry in the ledger
        postmortem_gather(machine, *esp_fd, journal, &facts);
        describe(&journal->manifest, &rejection);
        postmortem_judge(&facts, &rejection);
    }
    close(take_fd(esp_fd)); // it is read-only, and the same file system cannot be opened for writing beside that
    r = reject(machine, journal, &rejection, err);
    if (r < 0)
        return r;
    if (facts.has_note) {
        cleanup_fd int writable_fd = esp_open(machine->root_fd, &machine->record, true, err);
        if (writable_fd >= 0)
            remove_note(writable_fd, journal->slot);
    }
    return TRIAL_DONE;
}

int trial_review(const struct machine *machine, struct err *err) {
    char note[32];
    struct journal journal;
    struct attempts attempts;
    struct boot_entries entries[2];
    int r = journal_load(machine->root_fd, &journal, err);
    if (r < 0)
        return r;
    if (journal.state != JOURNAL_TRIAL) // a rejection was cut off before its last write
        return forget_trial(machine, err);
    if (trial_is_running(machine, &journal))
        return TRIAL_NOTHING;
    cleanup_fd int esp_fd = esp_open(machine->root_fd, &machine->record, false, err);
    r = esp_fd < 0 ? esp_fd : boots_load(esp_fd, entries, err);
    if (r >= 0)
        r = attempts_load(machine->root_fd, journal.manifest.boot.root_hash, &attempts, err);
    if (r < 0)
        return r;
    snprintf(note, sizeof(note), ESP_NOTE_PATTERN, boot_slot_name(journal.slot));
    switch (postmortem_fate(&entries[machine_backend(machine)].slots[journal.slot], &attempts, file_exists(esp_fd, note))) {
    case TRIAL_UNPUBLISHED:
        log_info("%s %s was written, but its boot entry was not: `webops update` goes on", journal.manifest.profile,
                 journal.manifest.version);
        return TRIAL_NOTHING;
    case TRIAL_WAITING:
        log_info("%s %s in slot %s is on trial and has tries left; the old generation runs, the next restart may start the new one",
                 journal.manifest.profile, journal.manifest.version, boot_slot_name(journal.slot));
        return TRIAL_GOES_ON;
    case TRIAL_FAILED:
        break;
    }
    return judge(machine, &esp_fd, &journal, err);
}

int trial_rollback_check(const struct machine *machine, int esp_fd, struct err *err) {
    struct boot_entries entries[2];
    struct bootfile files[BOOTFILES];
    const struct manifest nothing = {0};
    struct journal journal;
    int r = journal_load(machine->root_fd, &journal, err);
    if (r >= 0)
        r = boots_load(esp_fd, entries, err);
    if (r < 0)
        return r;
    const struct boot_entry *entry = &entries[machine_backend(machine)].slots[machine->other];
    const char *name = boot_slot_name(machine->other);
    bool is_undecided = journal.slot == machine->other && (journal.state == JOURNAL_INSTALLING || journal.state == JOURNAL_TRIAL);
    if (is_undecided)
        return err_set(err, -ENOENT, "there is nothing to go back to: slot %s holds %s %s, which %s", name, journal.manifest.profile,
                       journal.manifest.version,
                       journal.state == JOURNAL_TRIAL ? "has not proved itself yet" : "is not completely installed");
    if (entry->state == BOOT_EMPTY)
        return err_set(err, -ENOENT, "there is nothing to go back to: slot %s is empty", name);
    if (entry->state != BOOT_GOOD)
        return err_set(err, -ENOENT, "there is nothing to go back to: slot %s is %s, not good", name, boot_state_name(entry->state));
    bootfiles_list(&nothing, machine->other, files);
    for (size_t i = 0; i < BOOTFILES; i++)
        if (!file_exists(esp_fd, files[i].path))
            return err_set(err, -ENOENT, "slot %s cannot be started: %s is missing on the boot partition", name, files[i].path);
    return 0;
}

int trial_rollback(const struct machine *machine, struct err *err) {
    struct journal journal;
    struct manifest generation;
    cleanup_rejection struct rejection rejection = {0};
    cleanup_fd int esp_fd = open_esp(machine, err);
    int r = esp_fd < 0 ? esp_fd : trial_rollback_check(machine, esp_fd, err);
    if (r >= 0)
        r = journal_load(machine->root_fd, &journal, err);
    if (r < 0)
        return r;
    machine_generation(machine, &generation);
    describe(&generation, &rejection);
    snprintf(rejection.stage, sizeof(rejection.stage), "operator");
    snprintf(rejection.reason, sizeof(rejection.reason), "the operator asked for the other generation (webops rollback)");
    r = ledger_add(machine->root_fd, &rejection, err);
    if (r >= 0)
        r = boots_reject(esp_fd, machine->running, err);
    if (r >= 0 && journal.state != JOURNAL_NONE && journal.slot == machine->running &&
        memcmp(journal.manifest.boot.root_hash, machine->root_hash, 32) == 0)
        r = set_journal(machine, &journal, JOURNAL_REJECTED, err);
    if (r >= 0)
        r = forget_trial(machine, err);
    if (r < 0)
        return r;
    tell(machine, "rolled-back", &generation, "by the operator");
    return TRIAL_RESTART;
}
