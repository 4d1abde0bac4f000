// SPDX-License-Identifier: Apache-2.0
// webops rollback: the running generation is bad, the other one is started. Nothing is read or written that would take time.
#include "common/file.h"
#include "firstboot/bootrecord.h"
#include "firstboot/restart.h"
#include "firstboot/stack/hooks.h"
#include "firstboot/update/engine.h"
#include "firstboot/update/esp.h"
#include "firstboot/update/trial.h"
#include "firstboot/verbs.h"
#include <fcntl.h>
#include <string.h>

// Before a stack hands over its work for nothing.
static int check(const struct machine *machine, struct err *err) {
    cleanup_fd int esp_fd = esp_open(machine->root_fd, &machine->record, false, err);
    return esp_fd < 0 ? esp_fd : trial_rollback_check(machine, esp_fd, err);
}

static int plan(const struct machine *machine, struct err *err) {
    int r = check(machine, err);
    if (r < 0)
        return r;
    printf("%s %s in slot %s becomes bad and is not started again; the machine restarts into slot %s\n",
           bootrecord_text(&machine->record, "PROFILE"), bootrecord_text(&machine->record, "VERSION"), boot_slot_name(machine->running),
           boot_slot_name(machine->other));
    return EXIT_OK;
}

static int rollback(const char *root, bool is_plan, bool is_forced, struct err *err) {
    cleanup_machine struct machine machine = {.root_fd = -1};
    cleanup_fd int root_fd = file_open(AT_FDCWD, root, O_RDONLY | O_DIRECTORY, 0, err);
    int r = root_fd < 0 ? root_fd : machine_load(root_fd, strcmp(root, "/") == 0, &machine, err);
    if (r < 0 || is_plan)
        return r < 0 ? r : plan(&machine, err);
    cleanup_fd int lock_fd = update_lock(root_fd, err);
    const struct stack_hooks hooks = {root_fd, machine.is_live, is_forced};
    r = lock_fd < 0 ? lock_fd : check(&machine, err);
    if (r >= 0 && (r = stack_hooks_before_reboot(&hooks, err)) < 0)
        return err_prefix(err, r, "not rolled back (--force goes on)");
    if (r >= 0)
        r = trial_rollback(&machine, err);
    if (r >= 0)
        r = restart_machine(machine.is_live, "webops rollback", err);
    if (r < 0)
        stack_hooks_forget(&hooks);
    return r;
}

int verb_rollback(const struct verb *self, int argc, char **argv) {
    const char *root = "/";
    bool is_plan = false, is_forced = false;
    const struct opt options[] = {
        {"plan", 0, OPT_FLAG, &is_plan, NULL, "Shows what would be done; changes nothing."},
        {"force", 0, OPT_FLAG, &is_forced, NULL, "Goes on when a hook of a stack fails."},
        {"root", 0, OPT_ROOT, &root, "DIR", "Works on the tree below DIR and leaves the running system alone."},
        {0},
    };
    char **args;
    int count, r = opt_parse(self, options, argc, argv, &args, &count);
    if (r >= 0)
        return r;
    struct err err;
    r = rollback(root, is_plan, is_forced, &err);
    return r < 0 ? verb_failed(r, &err) : r;
}
