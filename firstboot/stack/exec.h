// SPDX-License-Identifier: Apache-2.0
// Runs a command of a stack, a hook or a check, in a transient unit of its own: as its user, with systemd's clean environment, outside of
// whatever sandbox the caller is in, killed with all its children when its time is up.
#pragma once
#include "common/stack.h"

struct stack_exec {
    const char *what; // "etcd/quorum", for systemd and for messages
    const struct stack_list *command;
    const char *user; // NULL = root
    unsigned timeout_seconds;
};
// 0 = exit status 0. A failure's text ends with the last lines of what the command said.
int stack_exec(const struct stack_exec *exec, struct err *err) must_check nonnull(1, 2);
// The argument vector, NULL-terminated; the caller frees the array and its texts with stack_exec_free(). Pure.
char **stack_exec_argv(const struct stack_exec *exec) nonnull(1);
void stack_exec_free(char **argv);
