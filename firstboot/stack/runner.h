// SPDX-License-Identifier: Apache-2.0
// Carries a plan out: stops, then starts in order and waits for health, stacks that do not need each other side by side.
#pragma once
#include "firstboot/stack/plan.h"

struct stack_runner {
    int root_fd;
    unsigned limit_seconds; // for everything; 0 = only each stack's own start_timeout
    int queue_fd; // a file that is locked (flock) while somebody waits for this run's end, which then comes early; 0 or less = it does not
};
struct stack_outcome {
    unsigned failed, waiting, running; // stacks of this run
    unsigned unstopped; // stacks that are off and could not be stopped
    bool has_changed; // some unit was started, restarted, reloaded or stopped
};
// One task; nothing is done when it is not STACK_TASK_STOP. After a failure the rest of its units is left as it is.
int stack_runner_stop(const struct stack_runner *runner, const struct stack_task *task, struct stack_outcome *outcome,
                      struct err *err) must_check nonnull(1, 2, 3, 4);
// Stops what the plan says, those that need others first. One that cannot be stopped ends as failed, and the others go on.
void stack_runner_stop_all(const struct stack_runner *runner, const struct stack_plan *plan, struct stack_outcome *outcome)
    nonnull(1, 2, 3);
// The plan is one of after the stops: what it would still stop is in the way of stacks that conflict with it, which wait.
// Every stack of the plan that is to run ends as running, failed or waiting (for another one, which its record then names), unless the run
// ends early: what is not up by then counts as waiting, and its record stays as it is.
void stack_runner_start(const struct stack_runner *runner, const struct stacks *stacks, const struct stack_plan *plan,
                        const struct stack_view *views, struct stack_outcome *outcome) nonnull(1, 2, 3, 4, 5);
