// SPDX-License-Identifier: Apache-2.0
// Runs commands of stacks, hooks and checks, one after the other in one transient unit: each as its user, in a clean environment, outside of
// whatever sandbox the caller is in. A unit per command would cost the service manager more than most commands take.
#pragma once
#include "common/stack.h"
#include <sys/types.h>

struct stack_exec {
    const char *what; // "etcd/quorum", for messages
    const struct stack_list *command;
    const char *user; // NULL = root
    unsigned timeout_seconds; // then it is killed with its process group; what left that ends with the unit
};
// The unit, from the first command to stack_session_done(); {0} = there is none yet.
struct stack_session {
    pid_t pid; // of systemd-run(1)
    int requests, answers;
};
// 0 = exit status 0. A failure's text ends with the last lines of what the command said. A unit that has ended is made again by the next one.
int stack_session_exec(struct stack_session *session, const struct stack_exec *exec, struct err *err) must_check nonnull(1, 2, 3);
void stack_session_done(struct stack_session *session);
// In a session of its own.
int stack_exec(const struct stack_exec *exec, struct err *err) must_check nonnull(1, 2);
// What runs in the unit: reads commands from descriptor `in`, runs them, writes an answer for each to `out`, until `in` ends. Returns 0, or
// -EPROTO for what is no command.
int stack_exec_serve(int in, int out, struct err *err) must_check nonnull(3);

#define cleanup_stack_session cleanup(stack_session_done)
