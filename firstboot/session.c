// SPDX-License-Identifier: Apache-2.0
// One run over the base: finds the configuration, plans, carries out, reports. A wrong configuration is reported and never fails a boot.
#include "firstboot/session.h"
#include "common/file.h"
#include "common/log.h"
#include "common/opt.h"
#include "common/run.h"
#include "firstboot/actionlog.h"
#include "firstboot/bootrecord.h"
#include "firstboot/console.h"
#include "firstboot/generation.h"
#include "firstboot/grow.h"
#include "firstboot/identity.h"
#include "firstboot/label.h"
#include "firstboot/report.h"
#include "firstboot/runtime.h"
#include "firstboot/stack/ports.h"
#include "firstboot/stack/state.h"
#include "firstboot/swap.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

void session_done(struct session *session) {
    plan_done(&session->plan);
    facts_done(&session->facts);
    apply_done(&session->apply);
    config_done(&session->record);
    discovered_done(&session->found);
    config_problems_done(&session->problems);
    buf_done(&session->errors);
    stack_set_done(&session->set);
    if (session->apply.root_fd >= 0)
        close(session->apply.root_fd);
}

// Notes a step that changed something (1), or keeps its error and goes on.
static void note(struct session *session, int r, const char *action, const char *object, const struct err *err) {
    if (r > 0)
        apply_note(&session->apply, action, object);
    if (r >= 0)
        return;
    log_error("%s", err->text);
    buf_printf(&session->errors, "%s\n", err->text);
    if (!session->apply.is_dry_run)
        actionlog_write(session->apply.root_fd, session->apply.stage, action, object, err->text);
}

// Growth takes seconds (growpart is a long script) and nothing before the network needs the room.
static int grow_step(struct session *session, struct err *err) {
    return session->is_live && !session->is_early ? grow_state(session->apply.root_fd, &session->record, err) : 0;
}
static int host_keys_step(struct session *session, struct err *err) {
    return session->is_late ? 0 : identity_make_host_keys(session->apply.root_fd, err);
}
static int generation_step(struct session *session, struct err *err) {
    return session->is_late ? 0 : generation_publish(session->apply.root_fd, &session->record, err);
}
// A machine whose image has stacks that cannot be read still gets its network: by the base keys.
static int stacks_step(struct session *session, struct err *err) {
    session->schema = &schema_base;
    int r = stack_set_load(session->apply.root_fd, &session->set, err);
    if (r >= 0)
        session->schema = &session->set.schema;
    return r;
}
static int discover_step(struct session *session, struct err *err) {
    const struct discover discover = {
        .root_fd = session->apply.root_fd, .schema = session->schema, .late = !session->is_early, .is_dry_run = session->apply.is_dry_run};
    return discover_config(&discover, &session->found, err);
}

// What comes before the plan, in this order: state must have room, and secrets must be there.
static const struct {
    const char *action, *object;
    int (*run)(struct session *, struct err *);
    bool changes; // left out of a dry run
} steps[] = {
    {"grow", "state", grow_step, true},
    {"make", "host keys", host_keys_step, true},
    {"publish", "generation", generation_step, true},
    {"load", "stacks", stacks_step, false},
    {"discover", "config.env", discover_step, false},
};

#define FIREWALL_LOADED "run/webops/firewall-loaded"

static bool has_config(const struct session *session) {
    return strcmp(session->found.source, "default") != 0 || session->found.config.count > 0;
}

// nft takes the whole ruleset or nothing. A candidate that it refuses is not written, so the one in force stays. The early stage loads it
// at once, which is the same check; nftables.service then has nothing to do (its drop-in looks for FIREWALL_LOADED).
static int check_firewall(int root_fd, const struct plan *plan, bool is_early, struct err *err) {
    static const char candidate[] = "run/webops/nftables.candidate";
    const struct plan_entry *entry = plan_find(plan, "etc/nftables.conf");
    if (!is_early && apply_is_right(root_fd, entry)) // it was checked when it was written
        return 0;
    int r = file_publish(root_fd, candidate, entry->content, entry->size, 0600, err);
    if (r < 0)
        return r;
    const struct run check = {.argv = RUN_ARGV("nft", is_early ? "-f" : "-cf", "/run/webops/nftables.candidate"), .timeout_ms = 90000};
    r = run_quiet(&check, err);
    unlinkat(root_fd, candidate, 0);
    if (r < 0)
        return err_prefix(err, r, "the firewall's ruleset is refused");
    return is_early ? file_publish(root_fd, FIREWALL_LOADED, "", 0, 0644, err) : 0;
}

static int make_plan(struct session *session, struct err *err) {
    cleanup_stack_inputs struct stack_inputs inputs = {0};
    int root_fd = session->apply.root_fd;
    int r = facts_gather(root_fd, session->schema, &session->found.config, has_config(session), &session->facts, err);
    if (r < 0)
        return r;
    stack_inputs_gather(root_fd, &session->set, &session->found.config, &session->assume, &inputs);
    // Stacks are the installed machine's business: a member of a cluster must not appear twice.
    session->facts.facts.stacks = session->set.count && !bootrecord_is_medium(&session->record) ? &inputs : NULL;
    r = plan_make(session->schema, &session->found.config, &session->facts.facts, &session->plan, &session->problems, err);
    session->facts.facts.stacks = NULL;
    session->is_planned = r >= 0;
    return r;
}

// What the engine of stacks, health and hooks go by from now on. The digest of a stack with a problem stays: so do its files.
static int remember_stacks(struct session *session, struct err *err) {
    int root_fd = session->apply.root_fd, r = stack_config_save(root_fd, &session->found.config, err);
    for (size_t i = 0; r >= 0 && i < session->plan.stack_count; i++) {
        const struct plan_stack *planned = &session->plan.stacks[i];
        bool is_active = plan_stack_is_active(planned);
        if (!is_active || !planned->problem)
            r = stack_digest_save(root_fd, planned->stack->name, "planned", is_active ? planned->digest : NULL, err);
    }
    return r;
}

// Negative: before_write refused, and nothing was done.
static int carry_out(struct session *session, struct err *ret_err) {
    struct err err;
    struct plan *plan = &session->plan;
    int root_fd = session->apply.root_fd, r = make_plan(session, &err);
    bool is_live = session->is_live && !session->apply.is_dry_run;
    note(session, r, "plan", "config.env", &err);
    if (r < 0)
        return 0;
    if (session->before_write && (r = session->before_write(session, session->context, ret_err)) < 0)
        return r;
    if (is_live && (r = check_firewall(root_fd, plan, session->is_early, &err)) < 0) {
        note(session, r, "check", "etc/nftables.conf", &err);
        ((struct plan_entry *)plan_find(plan, "etc/nftables.conf"))->kind = PLAN_KEEP;
    }
    note(session, apply_plan(&session->apply, plan, &err), "write", "etc", &err);
    if (session->apply.is_dry_run)
        return 0;
    note(session, remember_stacks(session, &err), "write", STACK_RUN_DIR, &err);
    if (!session->is_early && !bootrecord_is_medium(&session->record)) // the room for it comes with growth
        note(session, swap_apply(root_fd, plan->swap_bytes, session->is_live, &err), "write", SWAP_PATH, &err);
    // Before anybody is told to read what was written.
    note(session, label_restore(&session->apply, &err), "label", "etc", &err);
    if (is_live)
        runtime_apply(&session->apply, plan, &session->errors);
    // Said before services are told: journald may be one of them.
    log_info("configuration: %s; %zu changes", session->found.source, session->apply.changed_count);
    if (is_live)
        runtime_react(&session->apply, session->is_early, &session->errors);
    return 0;
}

static void add_problems(struct buf *text, const char *source, const struct config_problems *problems) {
    for (size_t i = 0; i < problems->count; i++)
        buf_printf(text, "%s:%u: %s\n", source, problems->items[i].line, problems->items[i].text);
}

// All problems with source and line, one per line.
static void collect_problems(const struct session *session, struct buf *text) {
    for (size_t i = 0; i < session->found.refusal_count; i++)
        add_problems(text, session->found.refusals[i].source, &session->found.refusals[i].problems);
    add_problems(text, session->found.source, &session->problems);
}

// The late stage finds what the early one found and said already.
static bool was_said(const struct session *session, const char *problems) {
    cleanup_json json_t *report = report_read(session->apply.root_fd, REPORT_PATH), *now = report_lines(problems);
    return session->is_late && json_equal(json_object_get(json_object_get(report, "early"), "problems"), now);
}

static void tell_console(const struct session *session, const char *problems) {
    if (was_said(session, problems))
        problems = "";
    for (const char *line = problems; *line; line += strcspn(line, "\n") + 1)
        console_print("config: %.*s", (int)strcspn(line, "\n"), line);
    if (*problems)
        console_print("the configuration above is not applied; in force: %s", session->found.source);
    if (session->is_late && !has_config(session))
        console_print("no config.env was found: nobody can log in. Provide one with SSH_AUTHORIZED_KEYS on the boot partition, on a volume "
                      "labelled WEBOPS or CIDATA, "
                      "as a NoCloud seed or as a QEMU/SMBIOS credential, and reboot.");
}

// What health and updates have to know of the configuration in force.
static json_t *settings(const struct session *session) {
    static const char *const update_texts[] = {"UPDATE_URL", "UPDATE_CHANNEL", "UPDATE_WINDOW"};
    static const char *const update_names[] = {"update_url", "update_channel", "update_window"};
    const struct config *config = &session->found.config;
    json_t *all = json_pack(
        "{s:I, s:I, s:b, s:b, s:I, s:b, s:I}", "health_timeout", (json_int_t)schema_integer(session->schema, config, "HEALTH_TIMEOUT"),
        "ssh_port", (json_int_t)schema_integer(session->schema, config, "SSH_PORT"), "firewall",
        schema_bool(session->schema, config, "ENABLE_FIREWALL"), "watchdog", session->plan.feeds_watchdog, "watchdog_device",
        (json_int_t)session->plan.watchdog, "update_auto", schema_bool(session->schema, config, "UPDATE_AUTO"), "update_tries",
        (json_int_t)schema_integer(session->schema, config, "UPDATE_TRIES"));
    for (size_t i = 0; i < ARRAY_SIZE(update_texts); i++)
        json_object_set_new(all, update_names[i], report_text(schema_text(session->schema, config, update_texts[i]) ?: ""));
    return all;
}

static json_t *list_stacks(const struct session *session) {
    json_t *list = json_array();
    for (size_t i = 0; i < session->plan.stack_count; i++) {
        const struct plan_stack *planned = &session->plan.stacks[i];
        json_t *stack = json_pack("{s:s, s:b, s:b}", "name", planned->stack->name, "enabled", planned->is_enabled, "uninstalled",
                                  planned->is_uninstalled);
        if (planned->problem)
            json_object_set_new(stack, "problem", report_text(planned->problem));
        json_array_append_new(list, stack);
    }
    return list;
}

static int save_report(const struct session *session, const char *problems, struct err *err) {
    struct actionlog_time now = actionlog_now();
    json_t *stage =
        json_pack("{s:s, s:s, s:b, s:i, s:o, s:o, s:o, s:o}", "time", now.text, "source", session->found.source, "has_config",
                  has_config(session), "changes", (int)session->apply.changed_count, "problems", report_lines(problems), "errors",
                  report_lines(buf_str(&session->errors)), "settings", settings(session), "stacks", list_stacks(session));
    return report_save(session->apply.root_fd, session->apply.stage, stage, err);
}

// One webops at a time: two would undo each other's half.
static int lock(int root_fd, struct err *err) {
    int r = file_mkdirs(root_fd, "run/webops", 0755, err);
    return r < 0 ? r : file_lock(root_fd, "run/webops/lock", err);
}

int session_run(struct session *session, struct err *err) {
    struct err failure;
    bool is_dry_run = session->apply.is_dry_run;
    cleanup_fd int lock_fd = is_dry_run ? -1 : lock(session->apply.root_fd, err);
    if (lock_fd < 0 && !is_dry_run)
        return lock_fd;
    note(session, bootrecord_load(session->apply.root_fd, &session->record, &failure), "read", BOOTRECORD_PATH, &failure);
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
        if (!is_dry_run || !steps[i].changes)
            note(session, steps[i].run(session, &failure), steps[i].action, steps[i].object, &failure);
    int r = carry_out(session, err);
    if (r < 0)
        return r;
    cleanup_buf struct buf problems = {0};
    collect_problems(session, &problems);
    discovered_log(&session->found);
    config_problems_log(&session->problems, session->found.source);
    if (session->is_live && !session->is_manual)
        tell_console(session, buf_str(&problems));
    if (!is_dry_run)
        note(session, save_report(session, buf_str(&problems), &failure), "write", REPORT_PATH, &failure);
    // A bad configuration must not make a unit fail: health would take it for a bad generation.
    bool is_refused = problems.size > 0 && session->is_manual;
    return session->errors.size > 0 || is_refused ? EXIT_PERMANENT : EXIT_OK;
}

int session_open(const char *root, const char *stage, struct session *ret_session, struct err *err) {
    static const char *const stages[] = {"early", "late", "manual"};
    size_t known = 0;
    while (known < ARRAY_SIZE(stages) && strcmp(stages[known], stage) != 0)
        known++;
    if (known == ARRAY_SIZE(stages))
        return err_set(err, -EINVAL, "--stage is early, late or manual");
    int fd = file_open(AT_FDCWD, root, O_RDONLY | O_DIRECTORY, 0, err);
    if (fd < 0)
        return fd;
    *ret_session = (struct session){
        .apply = {.root_fd = fd, .stage = stages[known]},
        .is_live = strcmp(root, "/") == 0,
        .is_early = known == 0,
        .is_late = known == 1,
        .is_manual = known == 2,
        .schema = &schema_base,
    };
    return 0;
}

void session_print(const struct session *session) {
    cleanup_buf struct buf ports = {0};
    for (size_t i = 0; i < session->apply.changed_count; i++)
        printf("%s /%s\n", session->apply.changed_actions[i], session->apply.changed[i]);
    stack_ports_format(&session->plan, &ports);
    printf("%s", buf_str(&ports));
}
