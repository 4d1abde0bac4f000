// SPDX-License-Identifier: Apache-2.0
// What has to be done to the units of which stack, in which order, and why. Pure: from what is wanted and what systemd says.
#pragma once
#include "firstboot/stack/state.h"
#include "firstboot/stack/systemd.h"

// What is known of one stack, beside struct stacks.
struct stack_view {
    char *planned, *started; // digests: of its files as rendered, and of those that its units were started with; NULL = none
    struct systemd_unit *units; // in the order of its units
    bool is_running; // as the last run left it
};

enum stack_verb { STACK_LEAVE, STACK_START, STACK_RESTART_UNIT, STACK_RELOAD_UNIT, STACK_STOP };
struct stack_step {
    const struct stack_unit *unit;
    enum stack_verb verb;
    const char *why;
};
enum stack_task_kind {
    STACK_TASK_NONE, // not wanted and not there, or not part of this run
    STACK_TASK_RUN, // it is to run; its steps may all be STACK_LEAVE
    STACK_TASK_STOP,
    STACK_TASK_HOLD, // it is wanted and cannot be: nothing is touched
};
struct stack_task {
    const struct stack *stack;
    enum stack_task_kind kind;
    char *why; // of HOLD
    struct stack_step *steps; // in the order to be done
    size_t step_count;
    bool *needs; // by index: the tasks that must be healthy before
    bool is_changed; // its files differ from those that it was started with
};
struct stack_plan {
    struct stack_task *tasks; // in the set's order
    size_t count;
};
void stack_plan_done(struct stack_plan *plan);
// `only` < 0: all stacks; else the rest is STACK_TASK_NONE. Both borrow the stacks' texts.
void stack_plan_make(const struct stacks *stacks, const struct stack_view *views, int only, struct stack_plan *ret_plan) nonnull(1, 2, 4);
// One line per step that does something, as for --dry-run; stopping comes first.
void stack_plan_format(const struct stack_plan *plan, struct buf *text) nonnull(1, 2);
const char *stack_verb_name(enum stack_verb verb); // as for systemctl

#define cleanup_stack_plan cleanup(stack_plan_done)
