// SPDX-License-Identifier: Apache-2.0
// Commands on a machine under test, over ssh(1) with one shared connection, because machines limit the rate of new ones.
#pragma once
#include "builder/vm.h"
#include "common/err.h"

#define REMOTE_MAX_OUTPUT (1 << 20)

struct remote {
    const char *user, *key; // login name; private key file
    long port; // of 127.0.0.1
    const char *control; // path of the shared connection's socket, shorter than 90 bytes
};

struct remote_result {
    int status; // exit status of the command; 255 also when the connection failed or broke
    char *output, *error; // at most REMOTE_MAX_OUTPUT each
};

// Runs a command line in the user's login shell on the machine. Meanwhile the machine's console is read, so that its boots are counted.
// -EINTR when a signal asked us to end, -ETIMEDOUT. The caller frees the result with remote_result_done().
int remote_run(const struct remote *remote, struct vm *vm, const char *command, unsigned timeout_ms, struct remote_result *ret_result,
               struct err *err) must_check nonnull(1, 2, 3, 5, 6);
void remote_result_done(struct remote_result *result);
// Ends the shared connection, before or after the machine did; success when there is none.
void remote_close(const struct remote *remote) nonnull(1);
// ssh's argv for a command (NULL: only its options and the destination), NULL-terminated, to be freed with qemu_argv_done(). Pure.
char **remote_argv(const struct remote *remote, const char *const *options, const char *command) nonnull(1, 2);

#define cleanup_remote_result cleanup(remote_result_done)
