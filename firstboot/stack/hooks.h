// SPDX-License-Identifier: Apache-2.0
// Hooks of active stacks: before an update is written, before the machine restarts, after a stack became healthy.
#pragma once
#include "firstboot/stack/state.h"

#define STACK_HOOKS_DONE_PATH "run/webops/stacks/before-reboot" // hooks before the restart that follows have run

struct stack_hooks {
    int root_fd;
    bool is_live; // else nothing is run
    bool is_forced; // a required hook that fails is a warning
};
// Runs the hooks of every active stack that was started: before an update or restart in the reverse of start order. A required hook that
// fails is -EAGAIN, named, and the rest is not run; one that is not required is a warning.
int stack_hooks_all(const struct stack_hooks *hooks, enum stack_event event, struct err *err) must_check nonnull(1, 3);
// Of one stack.
int stack_hooks_one(const struct stack_hooks *hooks, const struct stacks *stacks, size_t index, enum stack_event event,
                    struct err *err) must_check nonnull(1, 2, 5);
// Before a restart that the caller is about to make: hooks, then a mark so that they do not run again when units stop.
int stack_hooks_before_reboot(const struct stack_hooks *hooks, struct err *err) must_check nonnull(1, 2);
// The restart did not come: takes the mark away.
void stack_hooks_forget(const struct stack_hooks *hooks) nonnull(1);
