// SPDX-License-Identifier: Apache-2.0
// Puts session, plan and runner together. Units that are no longer wanted are stopped while their files are still there.
#include "firstboot/stack/engine.h"
#include "firstboot/bootrecord.h"
#include "common/file.h"
#include "common/log.h"
#include "common/opt.h"
#include "firstboot/health.h"
#include "firstboot/report.h"
#include "firstboot/session.h"
#include "firstboot/stack/purge.h"
#include "firstboot/stack/runner.h"
#include "firstboot/stack/status.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

#define LOCK_PATH "run/webops/stacks/lock"
#define QUEUE_PATH "run/webops/stacks/queue" // locked by who waits for the other lock: runs that nobody started end early for it
#define LOADED_PATH "run/webops/stacks/loaded" // systemd knows the units that were rendered early
#define ARMED_PATH "run/webops/stacks/retry" // the timer was started
#define DEFAULT_LIMIT_SECONDS 300

struct engine {
    const struct stack_engine_options *options;
    struct session session;
    bool is_live;
    struct stacks stacks;
    int only; // index; -1 = all
    struct stack_view *views;
    struct stack_plan plan;
    struct stack_outcome outcome;
};

static void views_free(struct engine *engine) {
    for (size_t i = 0; engine->views && i < engine->stacks.set.count; i++) {
        free(engine->views[i].planned);
        free(engine->views[i].started);
        free(engine->views[i].units);
    }
    free(engine->views);
    engine->views = NULL;
}

static void engine_done(struct engine *engine) {
    views_free(engine);
    stack_plan_done(&engine->plan);
    stacks_done(&engine->stacks);
    session_done(&engine->session);
}

// Long: it is held while stacks start. So it is another one than the base's. An operator's run does not wait until one by itself is through.
static int lock(int root_fd, bool is_operators, struct err *err) {
    int r = file_mkdirs(root_fd, STACK_RUN_DIR, 0755, err);
    cleanup_fd int fd = r < 0 ? r : file_open(root_fd, LOCK_PATH, O_RDWR | O_CREAT, 0600, err), queue_fd = -1;
    if (fd < 0)
        return fd;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK) {
        log_info("another webops is at work on stacks; waiting for it");
        queue_fd = is_operators ? file_open(root_fd, QUEUE_PATH, O_RDWR | O_CREAT, 0600, err) : -1;
        if (is_operators && queue_fd < 0)
            return queue_fd;
        if (is_operators && flock(queue_fd, LOCK_SH) < 0)
            return err_sys(err, -errno, "cannot lock /" QUEUE_PATH);
    }
    if (flock(fd, LOCK_EX) < 0)
        return err_sys(err, -errno, "cannot lock /" LOCK_PATH);
    return take_fd(&fd);
}

// One question for all units of all stacks.
static int ask_systemd(struct engine *engine, struct err *err) {
    const struct stack_set *set = &engine->stacks.set;
    size_t count = 0, at = 0;
    for (size_t i = 0; i < set->count; i++)
        count += set->stacks[i]->unit_count;
    cleanup_free const char **names = mem_array(count + 1, sizeof(*names));
    cleanup_free struct systemd_unit *units = mem_array(count + 1, sizeof(*units));
    for (size_t i = 0; i < set->count; i++)
        for (size_t k = 0; k < set->stacks[i]->unit_count; k++)
            names[at++] = set->stacks[i]->units[k].unit;
    int r = engine->is_live ? systemd_show(names, count, units, err) : 0;
    for (size_t i = 0, from = 0; r >= 0 && i < set->count; from += set->stacks[i]->unit_count, i++)
        memcpy(engine->views[i].units, units + from, set->stacks[i]->unit_count * sizeof(*units));
    return r;
}

static int make_plan(struct engine *engine, struct err *err) {
    const struct stack_set *set = &engine->stacks.set;
    int root_fd = engine->session.apply.root_fd;
    views_free(engine);
    stack_plan_done(&engine->plan);
    engine->views = mem_array(set->count + 1, sizeof(*engine->views));
    for (size_t i = 0; i < set->count; i++) {
        const char *name = set->stacks[i]->name;
        const struct plan_stack *planned = engine->session.is_planned ? &engine->session.plan.stacks[i] : NULL;
        bool is_rendered = planned && plan_stack_is_active(planned) && !planned->problem;
        cleanup_stack_record struct stack_record record = {0};
        stack_record_load(root_fd, name, &record);
        engine->views[i] = (struct stack_view){
            .planned = is_rendered ? str_dup(planned->digest) : stack_digest_load(root_fd, name, "planned"),
            .started = stack_digest_load(root_fd, name, "started"),
            .units = mem_array(set->stacks[i]->unit_count + 1, sizeof(struct systemd_unit)),
            .is_running = record.state == STACK_RUNNING,
        };
    }
    int r = ask_systemd(engine, err);
    if (r >= 0)
        stack_plan_make(&engine->stacks, engine->views, engine->only, &engine->plan);
    return r;
}

// The stacks as this run's configuration has them; the session owns set and configuration.
static void borrow_stacks(struct engine *engine) {
    struct session *session = &engine->session;
    engine->stacks = (struct stacks){.set = session->set, .config = session->found.config, .is_borrowed = true};
    engine->stacks.items = mem_array(session->set.count + 1, sizeof(*engine->stacks.items));
    for (size_t i = 0; i < session->plan.stack_count; i++) {
        const struct plan_stack *planned = &session->plan.stacks[i];
        engine->stacks.items[i] = (struct stacks_item){
            .is_enabled = planned->is_enabled,
            .is_uninstalled = planned->is_uninstalled,
            .problem = planned->problem ? str_dup(planned->problem) : NULL,
        };
    }
}

static int find_only(struct engine *engine, struct err *err) {
    engine->only = -1;
    if (!engine->options->name)
        return 0;
    engine->only = stacks_find(&engine->stacks, engine->options->name, err);
    return engine->only < 0 ? engine->only : 0;
}

static int check_enabled(const struct engine *engine, struct err *err) {
    if (engine->only < 0 || engine->stacks.items[engine->only].is_enabled)
        return 0;
    const struct stack *stack = engine->stacks.set.stacks[engine->only];
    return err_set(err, -EPERM, "%s is not enabled: set %s=true in /webops/config.env", stack->name, stack->enable);
}

// What could not be stopped earlier, or failed before it was switched off, and does not run any more.
static void forget_ended(const struct engine *engine) {
    int root_fd = engine->session.apply.root_fd;
    for (size_t i = 0; i < engine->plan.count; i++) {
        const char *name = engine->plan.tasks[i].stack->name;
        cleanup_stack_record struct stack_record record = {0};
        struct err err;
        stack_record_load(root_fd, name, &record);
        if (!stacks_is_active(&engine->stacks, i) && engine->plan.tasks[i].kind == STACK_TASK_NONE && record.state == STACK_FAILED &&
            stack_record_save(root_fd, name, STACK_STOPPED, "", &err) < 0)
            log_warn("%s", err.text);
    }
}

// Between plan and writing: what is off now stops, with its files still in place. What does not stop holds up nobody else.
static int before_write(struct session *session, void *context, struct err *err) {
    struct engine *engine = context;
    const struct stack_runner runner = {.root_fd = session->apply.root_fd};
    borrow_stacks(engine);
    int r = find_only(engine, err);
    if (r >= 0)
        r = check_enabled(engine, err);
    if (r >= 0 && engine->only >= 0 && !session->apply.is_dry_run)
        r = stack_state_set_uninstalled(session->apply.root_fd, engine->options->name, false, err);
    if (r >= 0)
        r = make_plan(engine, err);
    if (r >= 0 && engine->is_live && !session->apply.is_dry_run) {
        stack_runner_stop_all(&runner, &engine->plan, &engine->outcome);
        if (engine->only < 0)
            forget_ended(engine);
    }
    return r;
}

static void print_plan(const struct engine *engine) {
    cleanup_buf struct buf text = {0};
    session_print(&engine->session);
    stack_plan_format(&engine->plan, &text);
    printf("%s", buf_str(&text));
}

static unsigned limit_of(const struct engine *engine) {
    cleanup_json json_t *report = report_read(engine->session.apply.root_fd, REPORT_PATH);
    const struct health_context context = {.root_fd = engine->session.apply.root_fd, .report = report};
    return (unsigned)health_setting(&context, "health_timeout", DEFAULT_LIMIT_SECONDS);
}

static bool has_active(const struct stacks *stacks) {
    for (size_t i = 0; i < stacks->set.count; i++)
        if (stacks_is_active(stacks, i))
            return true;
    return false;
}

// Units and drop-ins that the early stage wrote are unknown to systemd until now.
static int load_units(int root_fd, struct err *err) {
    int r = file_exists(root_fd, LOADED_PATH) ? 0 : systemd_act("daemon-reload", NULL, true, err);
    return r < 0 || file_exists(root_fd, LOADED_PATH) ? r : file_publish(root_fd, LOADED_PATH, "", 0, 0644, err);
}

static int start(struct engine *engine, struct err *err) {
    bool is_boot = engine->options->is_boot;
    int root_fd = engine->session.apply.root_fd;
    cleanup_fd int queue_fd = is_boot ? file_open(root_fd, QUEUE_PATH, O_RDWR | O_CREAT, 0600, err) : -1;
    if (is_boot && queue_fd < 0)
        return queue_fd;
    const struct stack_runner runner = {root_fd, is_boot ? limit_of(engine) : 0, queue_fd};
    int r = has_active(&engine->stacks) ? load_units(root_fd, err) : 0;
    if (r >= 0)
        r = make_plan(engine, err);
    if (r >= 0)
        stack_runner_start(&runner, &engine->stacks, &engine->plan, engine->views, &engine->outcome);
    for (size_t i = 0; r >= 0 && i < engine->stacks.set.count; i++)
        if (engine->stacks.items[i].is_enabled && engine->stacks.items[i].is_uninstalled)
            log_info("%s is uninstalled; `webops apply %s` brings it back", engine->stacks.set.stacks[i]->name,
                     engine->stacks.set.stacks[i]->name);
    return r;
}

static int exit_code(const struct engine *engine, int session_code) {
    if (engine->options->is_boot)
        return EXIT_OK;
    if (session_code != EXIT_OK || engine->outcome.failed || engine->outcome.unstopped)
        return EXIT_PERMANENT;
    return engine->outcome.waiting ? EXIT_TEMPORARY : EXIT_OK;
}

static void print_stacks(const struct engine *engine) {
    cleanup_json json_t *stacks = stack_status(engine->session.apply.root_fd);
    cleanup_buf struct buf text = {0};
    cleanup_free char *json = json_dumps(stacks, JSON_INDENT(2));
    stack_status_format(stacks, &text);
    printf("%s%s", engine->options->as_json ? json : buf_str(&text), engine->options->as_json ? "\n" : "");
}

// What came up late, or waits for something that may come up, is tried again by a timer.
static void arrange_retry(const struct engine *engine) {
    static const char timer[] = "webops-stacks-retry.timer";
    bool is_pending = engine->outcome.failed || engine->outcome.waiting;
    int root_fd = engine->session.apply.root_fd, r = 0;
    struct err err;
    if (is_pending)
        r = file_publish(root_fd, ARMED_PATH, "", 0, 0644, &err);
    if (r >= 0 && (is_pending || file_exists(root_fd, ARMED_PATH)))
        r = systemd_act(is_pending ? "restart" : "stop", timer, true, &err);
    if (r < 0)
        log_warn("%s", err.text);
    else if (!is_pending)
        unlinkat(root_fd, ARMED_PATH, 0);
}

static int install_booted(struct engine *engine, struct err *err) {
    int r = stacks_load(engine->session.apply.root_fd, &engine->stacks, err);
    if (r < 0 || !has_active(&engine->stacks))
        return r < 0 ? r : EXIT_OK;
    engine->only = -1;
    r = start(engine, err);
    if (r >= 0)
        arrange_retry(engine);
    return r < 0 ? r : EXIT_OK;
}

static int install_all(struct engine *engine, struct err *err) {
    struct session *session = &engine->session;
    session->assume.installed = engine->options->name;
    session->before_write = before_write;
    session->context = engine;
    int code = session_run(session, err);
    if (code < 0 || !session->is_planned)
        return code;
    if (session->apply.is_dry_run) {
        print_plan(engine);
        return code;
    }
    if (!engine->is_live)
        return code;
    int r = start(engine, err);
    if (r < 0)
        return r;
    arrange_retry(engine);
    print_stacks(engine);
    return exit_code(engine, code);
}

// A member of a cluster must not appear twice.
static int check_machine(int root_fd, struct err *err) {
    cleanup_config struct config record = {0};
    int r = bootrecord_load(root_fd, &record, err);
    if (r >= 0 && bootrecord_is_medium(&record))
        return err_set(err, -EPERM, "this machine was started from an installation medium: stacks start on the installed machine only");
    return r;
}

int stack_engine_install(const struct stack_engine_options *options, struct err *err) {
    cleanup(engine_done) struct engine engine = {.options = options, .session = {.apply = {.root_fd = -1}}};
    int r = session_open(options->root, "manual", &engine.session, err);
    if (r >= 0)
        r = check_machine(engine.session.apply.root_fd, err);
    if (r < 0)
        return r;
    engine.is_live = options->is_live;
    engine.session.apply.is_dry_run = options->is_dry_run;
    cleanup_fd int lock_fd = options->is_dry_run ? -1 : lock(engine.session.apply.root_fd, !options->is_boot, err);
    if (lock_fd < 0 && !options->is_dry_run)
        return lock_fd;
    return options->is_boot ? install_booted(&engine, err) : install_all(&engine, err);
}

// Refused while somebody needs it.
static int check_needed(const struct engine *engine, struct err *err) {
    const struct stacks *stacks = &engine->stacks;
    const struct stack *stack = stacks->set.stacks[engine->only];
    for (size_t i = 0; i < stacks->set.count; i++)
        if ((int)i != engine->only && stacks_is_active(stacks, i) &&
            stack_needs(&stacks->set, stacks->set.stacks[i], stack, &stacks->config))
            return err_set(err, -EPERM, "%s is enabled and needs %s: uninstall it first, or set %s=false in /webops/config.env",
                           stacks->set.stacks[i]->name, stack->name, stacks->set.stacks[i]->enable);
    return 0;
}

// Between plan and writing: the same as for an install, but the one stack becomes, and stays, off.
static int before_uninstall(struct session *session, void *context, struct err *err) {
    struct engine *engine = context;
    const struct stack_runner runner = {.root_fd = session->apply.root_fd};
    borrow_stacks(engine);
    int r = find_only(engine, err);
    if (r >= 0)
        r = check_needed(engine, err);
    if (r >= 0 && engine->options->is_purge)
        r = purge_check(&engine->stacks, (size_t)engine->only, err);
    if (r >= 0)
        r = make_plan(engine, err);
    if (r >= 0 && engine->is_live && !session->apply.is_dry_run)
        r = stack_runner_stop(&runner, &engine->plan.tasks[engine->only], &engine->outcome, err);
    if (r >= 0 && !session->apply.is_dry_run)
        r = stack_state_set_uninstalled(session->apply.root_fd, engine->options->name, true, err);
    return r;
}

static void print_purge(const struct engine *engine) {
    cleanup_buf struct buf paths = {0};
    purge_format(engine->session.apply.root_fd, engine->stacks.set.stacks[engine->only], &paths);
    printf("%s", buf_str(&paths));
    fflush(stdout);
}

static int uninstall(struct engine *engine, struct err *err) {
    struct session *session = &engine->session;
    session->assume.uninstalled = engine->options->name;
    session->before_write = before_uninstall;
    session->context = engine;
    int code = session_run(session, err), root_fd = session->apply.root_fd;
    if (code < 0 || !session->is_planned)
        return code;
    const struct stack *stack = engine->stacks.set.stacks[engine->only];
    if (session->apply.is_dry_run)
        print_plan(engine);
    if (engine->options->is_purge)
        print_purge(engine);
    if (session->apply.is_dry_run)
        return code;
    int r = stack_digest_save(root_fd, stack->name, "started", NULL, err);
    if (r >= 0)
        r = stack_record_save(root_fd, stack->name, STACK_STOPPED, "", err);
    if (r >= 0 && engine->options->is_purge)
        r = purge_apply(root_fd, stack, err);
    if (r >= 0)
        log_info("%s is uninstalled%s; `webops apply %s` brings it back", stack->name,
                 engine->options->is_purge ? " and its data deleted" : ", its data is kept", stack->name);
    return r < 0 ? r : code;
}

int stack_engine_uninstall(const struct stack_engine_options *options, struct err *err) {
    cleanup(engine_done) struct engine engine = {.options = options, .session = {.apply = {.root_fd = -1}}};
    int r = session_open(options->root, "manual", &engine.session, err);
    if (r < 0)
        return r;
    engine.is_live = options->is_live;
    engine.session.apply.is_dry_run = options->is_dry_run;
    cleanup_fd int lock_fd = options->is_dry_run ? -1 : lock(engine.session.apply.root_fd, true, err);
    return lock_fd < 0 && !options->is_dry_run ? lock_fd : uninstall(&engine, err);
}
