// SPDX-License-Identifier: Apache-2.0
// systemd-run(1). The unit has no default dependencies, so that it can still be started while the machine goes down.
#include "firstboot/stack/exec.h"
#include "common/clock.h"
#include "common/run.h"
#include <errno.h>
#include <string.h>

#define GRACE_SECONDS 15 // for systemd to end a command whose time is up; then ours is up, too

char **stack_exec_argv(const struct stack_exec *exec) {
    static const char *const fixed[] = {"systemd-run",
                                        "--quiet",
                                        "--wait",
                                        "--pipe",
                                        "--collect",
                                        "--property=DefaultDependencies=no",
                                        "--property=LogLevelMax=notice",
                                        "--property=TimeoutStopSec=5",
                                        "--property=UMask=0077",
                                        "--setenv=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"};
    char **argv = mem_array(ARRAY_SIZE(fixed) + exec->command->count + 5, sizeof(*argv));
    size_t count = 0;
    for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
        argv[count++] = str_dup(fixed[i]);
    argv[count++] = str_printf("--description=webops: %s", exec->what);
    argv[count++] = str_printf("--property=RuntimeMaxSec=%u", exec->timeout_seconds);
    if (exec->user)
        argv[count++] = str_printf("--property=User=%s", exec->user);
    argv[count++] = str_dup("--");
    for (size_t i = 0; i < exec->command->count; i++)
        argv[count++] = str_dup(exec->command->items[i]);
    return argv;
}

void stack_exec_free(char **argv) {
    for (size_t i = 0; argv && argv[i]; i++)
        free(argv[i]);
    free(argv);
}

int stack_exec(const struct stack_exec *exec, struct err *err) {
    char **argv = stack_exec_argv(exec);
    const struct run run = {.argv = (const char *const *)argv, .timeout_ms = (exec->timeout_seconds + GRACE_SECONDS) * 1000};
    int64_t began = clock_ms();
    int r = run_quiet(&run, err);
    stack_exec_free(argv);
    const char *tail = r < 0 ? strstr(err->text, ": ") : NULL;
    // systemd ended it in time, then, and systemd-run says nothing about that.
    if (r == -ETIMEDOUT || (r < 0 && clock_ms() - began >= exec->timeout_seconds * INT64_C(1000)))
        return err_set(err, -ETIMEDOUT, "%s did not end within %u s", exec->command->items[0], exec->timeout_seconds);
    return r < 0 ? err_set(err, r, "%s failed%s", exec->command->items[0], tail ? tail : " and said nothing") : r;
}
