// SPDX-License-Identifier: Apache-2.0
// webops rollback: the running generation is bad, the other one is started. Nothing is read or written that would take time.
#include "common/file.h"
#include "firstboot/bootrecord.h"
#include "firstboot/restart.h"
#include "firstboot/update/engine.h"
#include "firstboot/update/esp.h"
#include "firstboot/update/trial.h"
#include "firstboot/verbs.h"
#include <fcntl.h>
#include <string.h>

static int plan(const struct machine *machine, struct err *err) {
    cleanup_fd int esp_fd = esp_open(machine->root_fd, &machine->record, false, err);
    int r = esp_fd < 0 ? esp_fd : trial_rollback_check(machine, esp_fd, err);
    if (r < 0)
        return r;
    printf("%s %s in slot %s becomes bad and is not started again; the machine restarts into slot %s\n",
           bootrecord_text(&machine->record, "PROFILE"), bootrecord_text(&machine->record, "VERSION"), boot_slot_name(machine->running),
           boot_slot_name(machine->other));
    return EXIT_OK;
}

static int rollback(const char *root, bool is_plan, struct err *err) {
    cleanup_machine struct machine machine = {.root_fd = -1};
    cleanup_fd int root_fd = file_open(AT_FDCWD, root, O_RDONLY | O_DIRECTORY, 0, err);
    int r = root_fd < 0 ? root_fd : machine_load(root_fd, strcmp(root, "/") == 0, &machine, err);
    if (r < 0 || is_plan)
        return r < 0 ? r : plan(&machine, err);
    cleanup_fd int lock_fd = update_lock(root_fd, err);
    r = lock_fd < 0 ? lock_fd : trial_rollback(&machine, err);
    return r < 0 ? r : restart_machine(machine.is_live, "webops rollback", err);
}

int verb_rollback(const struct verb *self, int argc, char **argv) {
    const char *root = "/";
    bool is_plan = false;
    const struct opt options[] = {
        {"plan", 0, OPT_FLAG, &is_plan, NULL, "Shows what would be done; changes nothing."},
        {"root", 0, OPT_TEXT, &root, "DIR", "Works on the tree below DIR and leaves the running system alone."},
        {0},
    };
    char **args;
    int count, r = opt_parse(self, options, argc, argv, &args, &count);
    if (r >= 0)
        return r;
    struct err err;
    r = rollback(root, is_plan, &err);
    return r < 0 ? verb_failed(r, &err) : r;
}
