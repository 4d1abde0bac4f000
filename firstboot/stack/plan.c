// SPDX-License-Identifier: Apache-2.0
// Decides; does nothing.
#include "firstboot/stack/plan.h"
#include <string.h>

static const char *const verb_names[] = {
    [STACK_LEAVE] = "leave", [STACK_START] = "start", [STACK_RESTART_UNIT] = "restart", [STACK_RELOAD_UNIT] = "reload-or-restart",
    [STACK_STOP] = "stop",
};

const char *stack_verb_name(enum stack_verb verb) {
    return verb_names[verb];
}

void stack_plan_done(struct stack_plan *plan) {
    for (size_t i = 0; i < plan->count; i++) {
        free(plan->tasks[i].why);
        free(plan->tasks[i].steps);
        free(plan->tasks[i].needs);
    }
    free(plan->tasks);
    *plan = (struct stack_plan){0};
}

static bool is_up(const struct systemd_unit *unit) {
    return unit->state == SYSTEMD_ACTIVE || unit->state == SYSTEMD_CHANGING;
}

// What a unit of a stack that is to run needs.
static struct stack_step plan_unit(const struct stack_unit *unit, bool is_wanted, const struct systemd_unit *now, bool is_changed) {
    static const enum stack_verb on_change[] = {
        [STACK_RESTART] = STACK_RESTART_UNIT, [STACK_RELOAD] = STACK_RELOAD_UNIT, [STACK_KEEP] = STACK_LEAVE};
    if (!is_wanted)
        return (struct stack_step){unit, is_up(now) ? STACK_STOP : STACK_LEAVE, "the configuration does not want it"};
    if (!is_up(now))
        return (struct stack_step){unit, STACK_START, now->state == SYSTEMD_FAILED ? "it has failed" : "it does not run"};
    return (struct stack_step){unit, is_changed ? on_change[unit->on_change] : STACK_LEAVE, "files of its stack changed"};
}

static bool is_changed(const struct stack_view *view) {
    return !view->planned || !view->started || strcmp(view->planned, view->started) != 0;
}

static void plan_run(const struct stacks *stacks, size_t index, const struct stack_view *view, struct stack_task *task) {
    const struct stack *stack = task->stack;
    task->is_changed = is_changed(view);
    task->kind = STACK_TASK_RUN;
    for (size_t i = 0; i < stack->unit_count; i++) {
        bool is_wanted = stack_holds(&stacks->set, stack->units[i].when, &stacks->config);
        if (is_wanted && view->units[i].state == SYSTEMD_MISSING) {
            task->kind = STACK_TASK_HOLD;
            task->why = str_printf("this image has no unit %s", stack->units[i].unit);
            task->step_count = 0;
            return;
        }
        task->steps[task->step_count++] = plan_unit(&stack->units[i], is_wanted, &view->units[i], task->is_changed);
    }
    for (size_t i = 0; i < stacks->set.count; i++)
        task->needs[i] = i != index && stack_needs(&stacks->set, stack, stacks->set.stacks[i], &stacks->config);
}

// Two stacks may run the same unit; the one that is off must not stop the other's.
static bool is_used(const struct stacks *stacks, const char *unit) {
    for (size_t i = 0; i < stacks->set.count; i++) {
        const struct stack *stack = stacks->set.stacks[i];
        for (size_t k = 0; stacks_is_active(stacks, i) && k < stack->unit_count; k++)
            if (strcmp(stack->units[k].unit, unit) == 0)
                return true;
    }
    return false;
}

static void plan_stop(const struct stacks *stacks, const struct stack_view *view, struct stack_task *task) {
    for (size_t i = task->stack->unit_count; i-- > 0;)
        if (is_up(&view->units[i]) && !is_used(stacks, task->stack->units[i].unit))
            task->steps[task->step_count++] = (struct stack_step){&task->stack->units[i], STACK_STOP, "its stack is off"};
    task->kind = task->step_count > 0 ? STACK_TASK_STOP : STACK_TASK_NONE;
}

void stack_plan_make(const struct stacks *stacks, const struct stack_view *views, int only, struct stack_plan *ret_plan) {
    struct stack_plan plan = {.tasks = mem_array(stacks->set.count + 1, sizeof(*plan.tasks)), .count = stacks->set.count};
    for (size_t i = 0; i < plan.count; i++) {
        struct stack_task *task = &plan.tasks[i];
        task->stack = stacks->set.stacks[i];
        task->steps = mem_array(task->stack->unit_count + 1, sizeof(*task->steps));
        task->needs = mem_array(plan.count, sizeof(*task->needs));
        if (only >= 0 && (size_t)only != i)
            continue;
        if (!stacks_is_active(stacks, i)) {
            plan_stop(stacks, &views[i], task);
        } else if (stacks->items[i].problem) {
            task->kind = STACK_TASK_HOLD;
            task->why = str_dup(stacks->items[i].problem);
        } else {
            plan_run(stacks, i, &views[i], task);
        }
    }
    *ret_plan = plan;
}

static void format_steps(const struct stack_task *task, struct buf *text) {
    for (size_t i = 0; i < task->step_count; i++)
        if (task->steps[i].verb != STACK_LEAVE)
            buf_printf(text, "%s: %s %s: %s\n", task->stack->name, verb_names[task->steps[i].verb], task->steps[i].unit->unit,
                       task->steps[i].why);
}

void stack_plan_format(const struct stack_plan *plan, struct buf *text) {
    for (size_t i = plan->count; i-- > 0;)
        if (plan->tasks[i].kind == STACK_TASK_STOP)
            format_steps(&plan->tasks[i], text);
    for (size_t i = 0; i < plan->count; i++) {
        if (plan->tasks[i].kind == STACK_TASK_HOLD)
            buf_printf(text, "%s: not started: %s\n", plan->tasks[i].stack->name, plan->tasks[i].why);
        if (plan->tasks[i].kind == STACK_TASK_RUN)
            format_steps(&plan->tasks[i], text);
    }
}
