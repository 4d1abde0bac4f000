// SPDX-License-Identifier: Apache-2.0
// webops update: options, the running of update/engine.c, and the restart at its end.
#include "common/file.h"
#include "common/log.h"
#include "firstboot/restart.h"
#include "firstboot/stack/hooks.h"
#include "firstboot/update/engine.h"
#include "firstboot/verbs.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

static int finish(const struct machine *machine, const struct update_options *options, struct progress *progress, int result,
                  struct err *err) {
    if (result == UPDATE_PUBLISHED && !options->is_plan)
        progress_say(progress,
                     "installed; it starts with the next restart of the machine (`systemctl reboot`, or `webops update --reboot`)");
    if (result != UPDATE_REBOOT)
        return EXIT_OK;
    const struct stack_hooks hooks = {machine->root_fd, machine->is_live, options->is_forced};
    int r = stack_hooks_before_reboot(&hooks, err);
    if (r < 0)
        return err_prefix(err, r, "installed, but not restarted");
    progress_say(progress, "the machine restarts now");
    r = restart_machine(machine->is_live, "a new generation is on trial", err);
    if (r < 0)
        stack_hooks_forget(&hooks);
    return r < 0 ? r : EXIT_OK;
}

static int update(const char *root, const struct update_options *options, struct progress *progress, struct err *err) {
    cleanup_machine struct machine machine = {.root_fd = -1};
    cleanup_fd int root_fd = file_open(AT_FDCWD, root, O_RDONLY | O_DIRECTORY, 0, err);
    int r = root_fd < 0 ? root_fd : machine_load(root_fd, strcmp(root, "/") == 0, &machine, err);
    if (r >= 0)
        r = update_run(&machine, options, progress, err);
    return r < 0 ? r : finish(&machine, options, progress, r, err);
}

int verb_update(const struct verb *self, int argc, char **argv) {
    const char *root = "/";
    bool as_json = false;
    struct update_options update_options = {0};
    const struct opt options[] = {
        {"channel", 0, OPT_TEXT, &update_options.channel, "NAME", "Follows this channel instead of UPDATE_CHANNEL."},
        {"plan", 0, OPT_FLAG, &update_options.is_plan, NULL, "Shows what would be done and fetched; changes nothing."},
        {"reboot", 0, OPT_FLAG, &update_options.wants_reboot, NULL, "Restarts the machine into the new generation when it is installed."},
        {"force", 0, OPT_FLAG, &update_options.is_forced, NULL,
         "Takes a generation that was rejected here before, or an older one; goes on when a hook of a stack fails."},
        {"automatic", 0, OPT_FLAG, &update_options.is_automatic, NULL,
         "For the timer: does nothing unless UPDATE_AUTO is true and UPDATE_WINDOW is open; restarts the machine."},
        {"root", 0, OPT_ROOT, &root, "DIR", "Works on the tree below DIR and leaves the running system alone."},
        {"json", 0, OPT_FLAG, &as_json, NULL, "Prints one JSON object per event."},
        {0},
    };
    char **args;
    int count, r = opt_parse(self, options, argc, argv, &args, &count);
    if (r >= 0)
        return r;
    struct err err;
    struct progress progress;
    progress_init(&progress, as_json);
    update_options.location = count > 0 ? args[0] : NULL;
    update_options.wants_reboot = update_options.wants_reboot || update_options.is_automatic;
    r = update(root, &update_options, &progress, &err);
    if (r >= 0)
        return r;
    if (r == -EPERM && update_options.is_automatic) { // what the channel offers is not for this machine; no reason for a failed unit
        log_warn("%s", err.text);
        return EXIT_OK;
    }
    progress_event(&progress, "failed",
                   json_pack("{s:s, s:b}", "text", err.text, "temporary", r == -EAGAIN || r == -EBUSY || r == -ETIMEDOUT));
    return verb_failed(r, &err);
}
