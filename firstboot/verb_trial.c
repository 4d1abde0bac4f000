// SPDX-License-Identifier: Apache-2.0
// webops trial …: what the units around a trial boot call. Not for people: docs/UPDATES.md says who calls what when.
#include "common/clock.h"
#include "common/file.h"
#include "common/log.h"
#include "firstboot/console.h"
#include "firstboot/restart.h"
#include "firstboot/update/trial.h"
#include "firstboot/verbs.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

#define DEFAULT_HEALTH_TIMEOUT 300
#define POLL_MS 2000

static int fail_health(const struct machine *machine, struct err *err) {
    return trial_fail(machine, "health", NULL, NULL, err);
}

static int64_t health_started(int root_fd) {
    cleanup_free char *text = NULL;
    struct err err;
    return file_read(root_fd, TRIAL_HEALTH_STARTED_PATH, 32, &text, NULL, &err) < 0 ? -1 : strtoll(text, NULL, 10);
}

// `webops apply` runs after this began to wait: its report, with the timeout in force, is read anew each time.
static int64_t health_timeout(int root_fd) {
    struct machine machine;
    struct err err;
    if (machine_load(root_fd, false, &machine, &err) < 0)
        return DEFAULT_HEALTH_TIMEOUT;
    int64_t timeout = machine_number(&machine, "health_timeout", DEFAULT_HEALTH_TIMEOUT);
    machine_done(&machine);
    return timeout;
}

// Waits as long as this trial is undecided: the mark goes away with a commit. CLOCK_BOOTTIME knows no jumps.
static int wait_for_deadline(const struct machine *machine, struct err *err) {
    struct journal journal;
    int r = journal_load(machine->root_fd, &journal, err);
    if (r < 0 || !trial_is_running(machine, &journal))
        return r < 0 ? r : TRIAL_NOTHING;
    while (file_exists(machine->root_fd, TRIAL_MARK_PATH)) {
        struct timespec now;
        clock_gettime(CLOCK_BOOTTIME, &now);
        if (now.tv_sec >= trial_deadline(health_timeout(machine->root_fd), health_started(machine->root_fd)))
            return trial_fail(machine, "start", "deadline", "it did not become healthy, nor unhealthy, in the time it had", err);
        clock_sleep_ms(POLL_MS);
    }
    return TRIAL_DONE;
}

static const struct {
    const char *name;
    int (*run)(const struct machine *machine, struct err *err);
} actions[] = {
    {"start", trial_start}, {"commit", trial_commit}, {"fail", fail_health}, {"review", trial_review}, {"deadline", wait_for_deadline},
};

static int act(const char *name, const char *root, struct err *err) {
    cleanup_machine struct machine machine = {.root_fd = -1};
    size_t i = 0;
    while (i < ARRAY_SIZE(actions) && strcmp(actions[i].name, name) != 0)
        i++;
    if (i == ARRAY_SIZE(actions)) {
        log_error("trial: the action is start, commit, fail, review or deadline");
        return EXIT_USAGE;
    }
    cleanup_fd int root_fd = file_open(AT_FDCWD, root, O_RDONLY | O_DIRECTORY, 0, err);
    int r = root_fd < 0 ? root_fd : machine_load(root_fd, strcmp(root, "/") == 0, &machine, err);
    if (r == -ENOTSUP) // a container, a foreign machine
        return EXIT_OK;
    if (r >= 0)
        r = actions[i].run(&machine, err);
    if (r == TRIAL_RESTART)
        r = restart_machine(machine.is_live, "this generation is rejected; the other one is started", err);
    return r < 0 ? r : EXIT_OK;
}

int verb_trial(const struct verb *self, int argc, char **argv) {
    const char *root = "/";
    const struct opt options[] = {
        {"root", 0, OPT_ROOT, &root, "DIR", "Works on the tree below DIR and leaves the running system alone."},
        {0},
    };
    char **args;
    int count, r = opt_parse(self, options, argc, argv, &args, &count);
    if (r >= 0)
        return r;
    struct err err;
    r = act(args[0], root, &err);
    return r < 0 ? verb_failed(r, &err) : r;
}
