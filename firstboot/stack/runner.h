// SPDX-License-Identifier: Apache-2.0
// Carries a plan out: stops, then starts in order and waits for health, stacks that do not need each other side by side.
#pragma once
#include "firstboot/stack/plan.h"

struct stack_runner {
    int root_fd;
    unsigned limit_seconds; // for everything; 0 = only each stack's own start_timeout
};
struct stack_outcome {
    unsigned failed, waiting, running; // stacks of this run
    bool has_changed; // some unit was started, restarted, reloaded or stopped
};
// Stops what the plan says, those that need others first. The first failure ends it.
int stack_runner_stop(const struct stack_runner *runner, const struct stack_plan *plan, struct stack_outcome *outcome,
                      struct err *err) must_check nonnull(1, 2, 3, 4);
// Every stack of the plan that is to run ends as running, failed or waiting (for another one, which its record then names).
void stack_runner_start(const struct stack_runner *runner, const struct stacks *stacks, const struct stack_plan *plan,
                        const struct stack_view *views, struct stack_outcome *outcome) nonnull(1, 2, 3, 4, 5);
