// SPDX-License-Identifier: Apache-2.0
// The steps of design §9 in a table. What each needs to know is in other modules; here is only their order, which is what makes a power cut
// harmless: no boot entry, then journal, then bytes, then boot files, then journal, then boot entry.
#include "firstboot/update/engine.h"
#include "common/digest.h"
#include "common/file.h"
#include "common/log.h"
#include "common/window.h"
#include "firstboot/stack/hooks.h"
#include "firstboot/update/bootfiles.h"
#include "firstboot/update/engine_state.h"
#include "firstboot/update/esp.h"
#include "firstboot/update/postmortem.h"
#include "firstboot/update/record.h"
#include "firstboot/update/trial.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

static void after_step(const struct update *u, const char *step) {
    if (u->options->after_step)
        u->options->after_step(step);
}

int update_lock(int root_fd, struct err *err) {
    char pid[24] = "";
    int r = file_mkdirs(root_fd, UPDATE_DIR, 0700, err);
    if (r < 0)
        return r;
    cleanup_fd int fd = file_open(root_fd, UPDATE_LOCK_PATH, O_RDWR | O_CREAT | O_NOFOLLOW, 0600, err);
    if (fd < 0)
        return fd;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK)
            return err_sys(err, -errno, "cannot lock /" UPDATE_LOCK_PATH);
        if (pread(fd, pid, sizeof(pid) - 1, 0) < 0)
            pid[0] = 0;
        pid[strspn(pid, "0123456789")] = 0;
        return err_set(err, -EBUSY, "another update is under way (process %s)", *pid ? pid : "unknown");
    }
    int size = snprintf(pid, sizeof(pid), "%d\n", getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)size, 0) != size)
        return err_sys(err, -errno, "cannot write /" UPDATE_LOCK_PATH);
    return take_fd(&fd);
}

static int lock_step(struct update *u, struct err *err) {
    u->lock_fd = update_lock(u->machine->root_fd, err);
    return u->lock_fd < 0 ? u->lock_fd : 0;
}

// A trial that failed is judged before anything else: else what failed a minute ago would be installed again.
static int load_journal(struct update *u, struct err *err) {
    const struct machine *machine = u->machine;
    int r = journal_load(machine->root_fd, &u->journal, err);
    if (r < 0 || u->options->is_plan || u->journal.state != JOURNAL_TRIAL || trial_is_running(machine, &u->journal))
        return r;
    r = trial_review(machine, err);
    return r < 0 ? r : journal_load(machine->root_fd, &u->journal, err);
}

// Only what was committed may be overwritten by nothing: with two undecided generations there would be no good one.
static int committed_step(struct update *u, struct err *err) {
    struct boot_entries entries[2];
    const struct machine *machine = u->machine;
    int r = load_journal(u, err);
    if (r >= 0)
        u->esp_fd = esp_open(machine->root_fd, &machine->record, !u->options->is_plan, err);
    if (r < 0 || u->esp_fd < 0)
        return r < 0 ? r : u->esp_fd;
    if (!u->options->is_plan && (r = boot_reconcile(u->esp_fd, err)) < 0)
        return r;
    r = boots_load(u->esp_fd, entries, err);
    if (r < 0)
        return r;
    enum boot_state state = entries[machine_backend(machine)].slots[machine->running].state;
    if (trial_is_running(machine, &u->journal) || state == BOOT_TRIAL)
        return err_set(err, -EBUSY, "the running generation is on trial and not committed yet; try again when it is (webops status)");
    u->is_published = u->journal.state == JOURNAL_TRIAL && entries[0].slots[machine->other].state == BOOT_TRIAL &&
                      entries[1].slots[machine->other].state == BOOT_TRIAL;
    return 0;
}

// Entry, then journal: an entry on trial that the journal does not know would be started and judged by nobody. From here on the other slot
// is nobody's.
static int begin(void *context, struct err *err) {
    struct update *u = context;
    const struct machine *machine = u->machine;
    struct journal *journal = &u->journal;
    struct manifest running;
    machine_generation(machine, &running);
    *journal = (struct journal){.state = JOURNAL_INSTALLING, .slot = machine->other, .manifest = u->located.manifest};
    memcpy(journal->from_version, running.version, sizeof(journal->from_version));
    memcpy(journal->from_root_hash, machine->root_hash, sizeof(journal->from_root_hash));
    memcpy(journal->location, u->location_text, sizeof(journal->location));
    journal->tries = machine_tries(machine);
    journal->started = journal->changed = (int64_t)time(NULL);
    journal->wants_reboot = u->options->wants_reboot;
    int r = boots_remove(u->esp_fd, machine->other, err);
    if (r < 0)
        return r;
    after_step(u, "unpublish");
    r = journal_save(machine->root_fd, journal, err);
    if (r >= 0)
        r = trial_mark_save(machine->root_fd, NULL, err);
    if (r < 0)
        return r;
    after_step(u, "journal");
    struct err failure;
    if (history_add(machine->root_fd, "installing", &journal->manifest, u->location_text, &failure) < 0)
        log_warn("%s", failure.text);
    return 0;
}

static void show(void *context, const struct delta_progress *delta) {
    struct update *u = context;
    progress_update(u->progress, delta);
}

void update_request(struct update *u, struct delta_request *ret_request) {
    *ret_request = (struct delta_request){
        .manifest = &u->located.manifest,
        .source = u->located.source,
        .payload_offset = u->located.payload_offset,
        .root_fd = u->machine->root_fd,
        .record = &u->machine->record,
        .esp_fd = u->esp_fd,
        .slot = u->machine->other,
        .is_local = u->location.is_local,
        .progress = show,
        .context = u,
    };
}

// Floors rise before anything of the new generation is written: what runs was committed, and time went by. Not its sequence: it is on trial.
static int floors_step(struct update *u, struct err *err) {
    struct floors floors = u->facts.floors;
    if (u->facts.sequence > floors.sequence) {
        floors.sequence = u->facts.sequence;
        memcpy(floors.root_hash, u->facts.root_hash, sizeof(floors.root_hash));
    }
    if (u->located.manifest.valid_from > floors.time)
        floors.time = u->located.manifest.valid_from;
    return floors_raise(u->machine->root_fd, &floors, err);
}

// Backups and snapshots are made while nothing has changed yet.
static int write_step(struct update *u, struct err *err) {
    struct delta_request request;
    const struct stack_hooks hooks = {u->machine->root_fd, u->machine->is_live, u->options->is_forced};
    int r = stack_hooks_all(&hooks, STACK_BEFORE_UPDATE, err);
    if (r < 0)
        return err_prefix(err, r, "not updated");
    update_request(u, &request);
    request.begin = begin;
    return delta_install(&request, &u->result, err);
}

// The kernel that will run must ask for exactly this slot: both are signed, and they must belong together.
static int match_step(struct update *u, struct err *err) {
    const struct manifest *manifest = &u->located.manifest;
    const struct manifest_part *part = &manifest->cmdline_in_uki;
    char text[MANIFEST_CMDLINE_BYTES + 1] = "";
    if (part->bytes == 0 || part->bytes > MANIFEST_CMDLINE_BYTES)
        return err_set(err, -EBADMSG, "the kernel image has no command line of a possible length");
    int r = pread_all(u->result.uki_fd, "the kernel image", text, part->bytes, part->offset, err);
    if (r < 0)
        return r;
    text[strcspn(text, "\n")] = 0;
    return strcmp(text, manifest->cmdline) == 0
               ? 0
               : err_set(err, -EBADMSG, "the command line inside the kernel image is not the manifest's: they do not belong together");
}

static int boot_files_step(struct update *u, struct err *err) {
    struct bootfile files[BOOTFILES];
    bootfiles_list(&u->located.manifest, u->machine->other, files);
    for (size_t i = 0; i < BOOTFILES; i++) {
        int r = esp_write(u->esp_fd, files[i].path, u->result.uki_fd, files[i].offset, files[i].bytes, files[i].sha256, err);
        if (r < 0)
            return r;
        after_step(u, files[i].path);
    }
    return 0;
}

// What earlier trials left goes before this one begins. The mark comes last: with it the init counts.
static int trial_step(struct update *u, struct err *err) {
    const struct machine *machine = u->machine;
    const uint8_t *hash = u->located.manifest.boot.root_hash;
    char note[32];
    snprintf(note, sizeof(note), ESP_NOTE_PATTERN, boot_slot_name(machine->other));
    int r = attempts_clear(machine->root_fd, err);
    if (r >= 0)
        r = file_remove_tree(machine->root_fd, INIT_FAILURE_PATH, err);
    if (r >= 0)
        r = esp_remove(u->esp_fd, note, err);
    if (r >= 0)
        r = ledger_remove(machine->root_fd, hash, err);
    if (r < 0)
        return r;
    u->journal.state = JOURNAL_TRIAL;
    u->journal.changed = (int64_t)time(NULL);
    r = journal_save(machine->root_fd, &u->journal, err);
    if (r < 0)
        return r;
    after_step(u, "journal-trial");
    return trial_mark_save(machine->root_fd, hash, err);
}

static int publish_step(struct update *u, struct err *err) {
    const struct manifest *manifest = &u->located.manifest;
    cleanup_free char *title = str_printf("webops %s %s", manifest->profile, manifest->version);
    const struct boot_generation generation = {.title = title, .cmdline = manifest->cmdline};
    return boots_publish(u->esp_fd, u->machine->other, &generation, u->journal.tries, err);
}

static int clean_step(struct update *u, struct err *err) {
    const struct manifest *manifest = &u->located.manifest;
    struct err failure;
    int r = delta_clean(u->machine->root_fd, err);
    if (r < 0)
        return r;
    if (history_add(u->machine->root_fd, "on-trial", manifest, "", &failure) < 0)
        log_warn("%s", failure.text);
    progress_end(u->progress);
    progress_event(u->progress, "published",
                   json_pack("{s:s, s:s, s:s, s:I, s:I, s:I}", "profile", manifest->profile, "version", manifest->version, "slot",
                             boot_slot_name(u->machine->other), "fetched_bytes", (json_int_t)u->result.fetched_bytes, "copied_bytes",
                             (json_int_t)u->result.copied_bytes, "written_bytes", (json_int_t)u->result.written_bytes));
    return 0;
}

// Hooks of stacks: "before-update" at the head of "write", "before-reboot" where the verb restarts the machine.
static const struct {
    const char *name;
    int (*run)(struct update *u, struct err *err); // 0 = go on, 1 = nothing more to do
    bool changes; // left out by --plan
} steps[] = {
    {"lock", lock_step, true},        {"committed", committed_step, false},
    {"locate", update_locate, false}, {"head", update_head, false},
    {"policy", update_policy, false}, {"plan", update_plan, false},
    {"floors", floors_step, true},    {"write", write_step, true},
    {"match", match_step, true},      {"boot-files", boot_files_step, true},
    {"trial", trial_step, true},      {"publish", publish_step, true},
    {"clean", clean_step, true},
};

static void update_done(struct update *u) {
    if (u->lock_fd >= 0)
        close(u->lock_fd);
    if (u->esp_fd >= 0)
        close(u->esp_fd);
    located_done(&u->located);
    delta_result_done(&u->result);
}

// Whether the timer has leave to act now.
static bool may_act(const struct machine *machine) {
    struct window window;
    struct tm parts;
    time_t now = time(NULL);
    const char *text = machine_setting(machine, "update_window");
    if (!machine_flag(machine, "update_auto"))
        return false;
    return !*text || (window_parse(text, &window) && localtime_r(&now, &parts) &&
                      window_is_open(&window, parts.tm_wday, parts.tm_hour * 60 + parts.tm_min));
}

int update_run(const struct machine *machine, const struct update_options *options, struct progress *progress, struct err *err) {
    cleanup(update_done) struct update u = {.machine = machine, .options = options, .progress = progress, .lock_fd = -1, .esp_fd = -1};
    u.result.uki_fd = -1;
    if (options->is_automatic && !may_act(machine))
        return UPDATE_NOTHING;
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        if (steps[i].changes && options->is_plan)
            continue;
        int r = steps[i].run(&u, err);
        if (r != 0) {
            progress_end(progress);
            if (r < 0 && *u.location_text && u.verdict.count == 0) // a refusal is noted already, and says more
                update_note(&u, err);
            return r < 0 ? r : u.is_published && options->wants_reboot ? UPDATE_REBOOT : UPDATE_NOTHING;
        }
        after_step(&u, steps[i].name);
    }
    return options->is_plan ? UPDATE_PLANNED : options->wants_reboot ? UPDATE_REBOOT : UPDATE_PUBLISHED;
}
