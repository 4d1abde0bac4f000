// SPDX-License-Identifier: Apache-2.0
// One small machine of states per stack, advanced in turns. A unit is not waited for by systemctl but looked at: several stacks can start at
// once, and a service that becomes ready only with its peers (etcd) does not hold up the rest.
#include "firstboot/stack/runner.h"
#include "common/clock.h"
#include "common/log.h"
#include "firstboot/actionlog.h"
#include "firstboot/stack/checks.h"
#include "firstboot/stack/hooks.h"
#include "firstboot/stack/prepare.h"
#include <errno.h>
#include <string.h>
#include <sys/file.h>

#define DEFAULT_TIMEOUT_SECONDS 120
#define POLL_MS 500

enum phase { PHASE_NEEDS, PHASE_UNITS, PHASE_CHECKS, PHASE_DONE };
struct job {
    const struct stack_task *task;
    enum phase phase;
    enum stack_state state; // when done
    size_t step; // of the task
    bool is_issued; // the step's command was given
    bool has_acted;
    int64_t deadline;
    struct stack_checks checks;
};
struct run_state {
    const struct stack_runner *runner;
    const struct stacks *stacks;
    const struct stack_plan *plan;
    const struct stack_view *views;
    struct stack_outcome *outcome;
    struct job *jobs;
    int64_t limit; // of the whole run; INT64_MAX = none
};

static void record(int root_fd, const char *name, enum stack_state state, const char *why) {
    struct err err;
    if (stack_record_save(root_fd, name, state, why, &err) < 0)
        log_warn("%s", err.text);
}

static void finish(struct run_state *run, struct job *job, enum stack_state state, const char *why) {
    const char *name = job->task->stack->name;
    job->phase = PHASE_DONE;
    job->state = state;
    record(run->runner->root_fd, name, state, why);
    if (state == STACK_FAILED) {
        log_error("%s: %s", name, why);
        actionlog_write(run->runner->root_fd, "stacks", "start", name, why);
        run->outcome->failed++;
    } else if (state == STACK_RUNNING) {
        run->outcome->running++;
    } else {
        log_warn("%s: %s", name, why);
        run->outcome->waiting++;
    }
}

static void fail(struct run_state *run, struct job *job, const struct err *err) {
    finish(run, job, STACK_FAILED, err->text);
}

static void note_step(int root_fd, const struct stack_step *step, struct stack_outcome *outcome) {
    outcome->has_changed = true;
    log_info("%s %s: %s", stack_verb_name(step->verb), step->unit->unit, step->why);
    actionlog_write(root_fd, "stacks", stack_verb_name(step->verb), step->unit->unit, "ok");
}

// Whether everything that this stack needs is healthy; if not and never will be in this run, it is done.
static bool has_needs(struct run_state *run, struct job *job) {
    for (size_t i = 0; i < run->plan->count; i++) {
        if (!job->task->needs[i])
            continue;
        const struct job *other = &run->jobs[i];
        bool is_part = other->task->kind != STACK_TASK_NONE;
        if (is_part ? other->phase == PHASE_DONE && other->state == STACK_RUNNING : run->views[i].is_running)
            continue;
        if (is_part && other->phase != PHASE_DONE)
            return false;
        cleanup_free char *why =
            str_printf("waits for %s%s", other->task->stack->name, run->stacks->items[i].is_uninstalled ? ", which is uninstalled" : "");
        finish(run, job, STACK_WAITING, why);
        return false;
    }
    return true;
}

static void begin(struct run_state *run, struct job *job) {
    const struct stack *stack = job->task->stack;
    struct err err;
    if (!has_needs(run, job))
        return;
    unsigned seconds = stack->start_timeout_seconds ? stack->start_timeout_seconds : DEFAULT_TIMEOUT_SECONDS;
    job->deadline = clock_ms() + seconds * INT64_C(1000);
    if (job->deadline > run->limit)
        job->deadline = run->limit;
    int r = stack_prepare_data(run->runner->root_fd, stack, &err);
    if (r >= 0)
        r = stack_prepare_persist(run->runner->root_fd, stack, &err);
    if (r < 0) {
        fail(run, job, &err);
        return;
    }
    job->phase = PHASE_UNITS;
    bool acts = false;
    for (size_t i = 0; i < job->task->step_count; i++)
        acts = acts || job->task->steps[i].verb != STACK_LEAVE;
    if (acts)
        record(run->runner->root_fd, stack->name, STACK_STARTING, "");
}

// 1 = the unit is where the step wants it, 0 = not yet.
static int look(const struct stack_step *step, struct err *err) {
    const char *name = step->unit->unit;
    struct systemd_unit unit;
    int r = systemd_show(&name, 1, &unit, err);
    if (r < 0 || unit.state == SYSTEMD_CHANGING)
        return r;
    if (step->verb == STACK_STOP)
        return unit.state != SYSTEMD_ACTIVE;
    // A unit that ran and ended well has done what it is for.
    if (unit.state == SYSTEMD_ACTIVE || (unit.state == SYSTEMD_INACTIVE && !unit.is_condition_unmet && strcmp(unit.result, "success") == 0))
        return 1;
    cleanup_buf struct buf lines = {0};
    systemd_last_lines(name, &lines);
    if (unit.is_condition_unmet && unit.state == SYSTEMD_INACTIVE)
        return err_set(err, -EIO, "%s was not started: a condition of its does not hold", name);
    return err_set(err, -EIO, "%s failed (%s)%s%s", name, unit.result, lines.size ? ": " : "", buf_str(&lines));
}

static int issue(struct run_state *run, const struct stack_step *step, struct err *err) {
    struct err ignored;
    if (step->verb == STACK_START || step->verb == STACK_RESTART_UNIT)
        (void)!systemd_act("reset-failed", step->unit->unit, true, &ignored); // else it may have been started too often
    int r = systemd_act(stack_verb_name(step->verb), step->unit->unit, false, err);
    if (r >= 0)
        note_step(run->runner->root_fd, step, run->outcome);
    return r;
}

static bool is_unit_check(const struct stack *stack, const char *full_name) {
    const char *name = strchr(full_name, '/') + 1; // "etcd/quorum"
    for (size_t i = 0; i < stack->check_count; i++)
        if (strcmp(stack->checks[i].name, name) == 0)
            return stack->checks[i].kind == STACK_CHECK_UNIT;
    return false;
}

// A unit that is still starting waits for something. The stack's own checks may know what, better than what it says while it waits.
static int explain_late(struct run_state *run, struct job *job, const char *unit, struct err *err) {
    const struct health_context context = {.root_fd = run->runner->root_fd};
    cleanup_health struct health health = {0};
    cleanup_buf struct buf lines = {0};
    stack_checks_add(&job->checks, run->stacks, (size_t)(job->task - run->plan->tasks));
    if (job->checks.count > 0)
        health_run(job->checks.items, &context, 0, &health);
    for (size_t i = 0; i < health.count; i++)
        if (health.results[i].code < 0 && !is_unit_check(job->task->stack, health.results[i].name))
            return err_set(err, -ETIMEDOUT, "%s did not start in time: %s: %s", unit, health.results[i].name, health.results[i].why.text);
    systemd_last_lines(unit, &lines);
    return err_set(err, -ETIMEDOUT, "%s did not start in time%s%s", unit, lines.size ? ": " : "", buf_str(&lines));
}

static void advance_units(struct run_state *run, struct job *job) {
    struct err err;
    while (job->step < job->task->step_count) {
        const struct stack_step *step = &job->task->steps[job->step];
        int r = 1;
        if (step->verb != STACK_LEAVE && !job->is_issued) {
            r = issue(run, step, &err);
            job->is_issued = true;
            job->has_acted = true;
        }
        if (r >= 0 && step->verb != STACK_LEAVE)
            r = look(step, &err);
        if (r == 0 && clock_ms() >= job->deadline)
            r = explain_late(run, job, step->unit->unit, &err);
        if (r < 0)
            fail(run, job, &err);
        if (r <= 0)
            return;
        job->step++;
        job->is_issued = false;
    }
    const char *planned = run->views[job->task - run->plan->tasks].planned;
    if (stack_digest_save(run->runner->root_fd, job->task->stack->name, "started", planned, &err) < 0)
        log_warn("%s", err.text);
    stack_checks_add(&job->checks, run->stacks, (size_t)(job->task - run->plan->tasks));
    job->phase = PHASE_CHECKS;
}

static void become_running(struct run_state *run, struct job *job) {
    size_t index = (size_t)(job->task - run->plan->tasks);
    const struct stack_hooks hooks = {.root_fd = run->runner->root_fd, .is_live = true};
    struct err err;
    bool is_new = job->has_acted || !run->views[index].is_running;
    if (is_new && stack_hooks_one(&hooks, run->stacks, index, STACK_AFTER_START, &err) < 0)
        fail(run, job, &err);
    else
        finish(run, job, STACK_RUNNING, "");
}

// A check often knows only that there was no answer; why is in what the stack's first unit said last. Not twice: a unit's check says it.
static void fail_check(struct run_state *run, struct job *job, const struct health_result *failed) {
    const struct stack *stack = job->task->stack;
    const char *unit = stack->unit_count > 0 ? stack->units[0].unit : NULL;
    cleanup_buf struct buf lines = {0};
    struct err err;
    if (unit)
        systemd_last_lines(unit, &lines);
    if (lines.size && !strstr(failed->why.text, buf_str(&lines)))
        err_set(&err, -ETIMEDOUT, "%s: %s; %s: %s", failed->name, failed->why.text, unit, buf_str(&lines));
    else
        err_set(&err, -ETIMEDOUT, "%s: %s", failed->name, failed->why.text);
    fail(run, job, &err);
}

static void advance_checks(struct run_state *run, struct job *job) {
    const struct health_context context = {.root_fd = run->runner->root_fd, .stops_at_failure = true};
    cleanup_health struct health health = {0};
    if (job->checks.count > 0)
        health_run(job->checks.items, &context, 0, &health);
    if (!health.failed) {
        become_running(run, job);
    } else if (clock_ms() >= job->deadline) {
        fail_check(run, job, health.failed);
    }
}

static bool advance_all(struct run_state *run) {
    static void (*const advance[])(struct run_state *,
                                   struct job *) = {[PHASE_NEEDS] = begin, [PHASE_UNITS] = advance_units, [PHASE_CHECKS] = advance_checks};
    bool is_done = true;
    for (size_t i = 0; i < run->plan->count; i++) {
        struct job *job = &run->jobs[i];
        for (enum phase before = PHASE_DONE; job->phase != PHASE_DONE && job->phase != before;) {
            before = job->phase;
            advance[before](run, job);
        }
        is_done = is_done && job->phase == PHASE_DONE;
    }
    return is_done;
}

// A stack that is off, still runs, and does not go with this one; NULL when there is none.
static const struct stack *find_obstacle(const struct run_state *run, const struct stack *stack) {
    for (size_t i = 0; i < run->plan->count; i++)
        if (run->plan->tasks[i].kind == STACK_TASK_STOP && stack_conflicts(run->plan->tasks[i].stack, stack))
            return run->plan->tasks[i].stack;
    return NULL;
}

static void start_job(struct run_state *run, const struct stack_task *task, struct job *job) {
    const struct stack *obstacle = task->kind == STACK_TASK_RUN ? find_obstacle(run, task->stack) : NULL;
    *job = (struct job){.task = task, .phase = task->kind == STACK_TASK_RUN ? PHASE_NEEDS : PHASE_DONE};
    if (task->kind == STACK_TASK_HOLD)
        finish(run, job, STACK_FAILED, task->why);
    if (obstacle) {
        cleanup_free char *why = str_printf("waits for %s, which is off and still runs", obstacle->name);
        finish(run, job, STACK_WAITING, why);
    }
}

// Somebody waits who may know better, such as an operator with a new configuration.
static bool is_superseded(const struct run_state *run) {
    int fd = run->runner->queue_fd;
    if (fd <= 0)
        return false;
    bool is_locked = flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
    flock(fd, LOCK_UN);
    return is_locked;
}

static void leave_early(struct run_state *run) {
    log_info("another webops waits and takes over");
    for (size_t i = 0; i < run->plan->count; i++)
        if (run->jobs[i].phase != PHASE_DONE)
            run->outcome->waiting++;
}

void stack_runner_start(const struct stack_runner *runner, const struct stacks *stacks, const struct stack_plan *plan,
                        const struct stack_view *views, struct stack_outcome *outcome) {
    cleanup_free struct job *jobs = mem_array(plan->count + 1, sizeof(*jobs));
    struct run_state run = {runner, stacks, plan, views, outcome, jobs, INT64_MAX};
    if (runner->limit_seconds)
        run.limit = clock_ms() + runner->limit_seconds * INT64_C(1000);
    for (size_t i = 0; i < plan->count; i++)
        start_job(&run, &plan->tasks[i], &jobs[i]);
    for (int64_t begin = clock_ms(); !advance_all(&run); begin = clock_ms()) {
        if (is_superseded(&run)) {
            leave_early(&run);
            break;
        }
        clock_sleep_ms(clock_rest_ms(clock_ms() - begin, POLL_MS));
    }
    for (size_t i = 0; i < plan->count; i++)
        stack_checks_done(&jobs[i].checks);
}

int stack_runner_stop(const struct stack_runner *runner, const struct stack_task *task, struct stack_outcome *outcome, struct err *err) {
    const char *name = task->stack->name;
    int r = 0;
    if (task->kind != STACK_TASK_STOP)
        return 0;
    for (size_t i = 0; r >= 0 && i < task->step_count; i++) {
        r = systemd_act("stop", task->steps[i].unit->unit, true, err);
        if (r >= 0)
            note_step(runner->root_fd, &task->steps[i], outcome);
    }
    if (r >= 0)
        r = stack_release_persist(task->stack, err);
    if (r >= 0)
        r = stack_digest_save(runner->root_fd, name, "started", NULL, err);
    if (r >= 0)
        r = stack_record_save(runner->root_fd, name, STACK_STOPPED, "", err);
    return r < 0 ? err_prefix(err, r, "%s", name) : 0;
}

void stack_runner_stop_all(const struct stack_runner *runner, const struct stack_plan *plan, struct stack_outcome *outcome) {
    for (size_t i = plan->count; i-- > 0;) {
        const char *name = plan->tasks[i].stack->name;
        struct err err;
        if (stack_runner_stop(runner, &plan->tasks[i], outcome, &err) >= 0)
            continue;
        cleanup_free char *why = str_printf("cannot be stopped: %s", err.text + strlen(name) + 2);
        record(runner->root_fd, name, STACK_FAILED, why);
        log_error("%s: %s", name, why);
        actionlog_write(runner->root_fd, "stacks", "stop", name, why);
        outcome->unstopped++;
    }
}
