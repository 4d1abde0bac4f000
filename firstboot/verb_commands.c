// SPDX-License-Identifier: Apache-2.0
// webops commands: what hooks and checks of stacks run in. Called by systemd-run(1) of another webops, which is at the other end of the pipes.
#include "firstboot/stack/exec.h"
#include "firstboot/verbs.h"
#include <unistd.h>

int verb_commands(const struct verb *self, int argc, char **argv) {
    const struct opt options[] = {{0}};
    char **args;
    struct err err;
    int count, r = opt_parse(self, options, argc, argv, &args, &count);
    if (r >= 0)
        return r;
    r = stack_exec_serve(STDIN_FILENO, STDOUT_FILENO, &err);
    return r < 0 ? verb_failed(r, &err) : EXIT_OK;
}
