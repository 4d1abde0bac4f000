// SPDX-License-Identifier: Apache-2.0
// webops hooks EVENT: what units call when the machine goes down; by hand, a way to try a hook.
#include "common/file.h"
#include "common/log.h"
#include "common/run.h"
#include "firstboot/stack/hooks.h"
#include "firstboot/verbs.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

// Whether a job of shutdown.target is queued or done: restart, power off, halt and kexec all pull it in.
static bool is_stopping(void) {
    const struct run ask = {.argv = RUN_ARGV("systemctl", "is-active", "--quiet", "shutdown.target"), .timeout_ms = 30000};
    const struct run jobs = {.argv = RUN_ARGV("systemctl", "list-jobs", "--plain", "--no-legend", "--no-pager"), .timeout_ms = 30000};
    cleanup_free char *text = NULL;
    struct err err;
    if (run_quiet(&ask, &err) == 0)
        return true;
    return run_capture(&jobs, 1 << 20, &text, NULL, &err) == 0 && strstr(text, " shutdown.target ");
}

static int run_hooks(const char *name, bool if_stopping, bool is_forced, struct err *err) {
    int event = stack_event_find(name);
    if (event < 0) {
        log_error("hooks: the event is before-update, before-reboot or after-start");
        return EXIT_USAGE;
    }
    cleanup_fd int root_fd = file_open(AT_FDCWD, "/", O_RDONLY | O_DIRECTORY, 0, err);
    if (root_fd < 0)
        return root_fd;
    if (if_stopping && (!is_stopping() || file_exists(root_fd, STACK_HOOKS_DONE_PATH)))
        return EXIT_OK;
    const struct stack_hooks hooks = {.root_fd = root_fd, .is_live = true, .is_forced = is_forced};
    int r = stack_hooks_all(&hooks, (enum stack_event)event, err);
    return r < 0 ? r : EXIT_OK;
}

int verb_hooks(const struct verb *self, int argc, char **argv) {
    bool if_stopping = false, is_forced = false;
    const struct opt options[] = {
        {"if-stopping", 0, OPT_FLAG, &if_stopping, NULL, "For units: nothing unless the machine goes down and they have not run."},
        {"force", 0, OPT_FLAG, &is_forced, NULL, "A required hook that fails does not keep the others from running."},
        {0},
    };
    char **args;
    int count, r = opt_parse(self, options, argc, argv, &args, &count);
    if (r >= 0)
        return r;
    struct err err;
    r = run_hooks(args[0], if_stopping, is_forced, &err);
    return r < 0 ? verb_failed(r, &err) : r;
}
