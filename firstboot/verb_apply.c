// SPDX-License-Identifier: Apache-2.0
// webops apply: finds the configuration, plans, carries out, reports. A wrong configuration is reported and never fails a boot.
#include "common/file.h"
#include "common/log.h"
#include "common/run.h"
#include "firstboot/actionlog.h"
#include "firstboot/apply.h"
#include "firstboot/bootrecord.h"
#include "firstboot/console.h"
#include "firstboot/discover.h"
#include "firstboot/facts.h"
#include "firstboot/generation.h"
#include "firstboot/grow.h"
#include "firstboot/identity.h"
#include "firstboot/report.h"
#include "firstboot/runtime.h"
#include "firstboot/swap.h"
#include "firstboot/verbs.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

// Everything one run knows.
struct session {
    struct apply apply;
    struct config record;
    struct discovered found;
    struct config_problems problems; // of values that only this machine can judge
    struct buf errors; // one line each
    bool is_live; // the root is the running system's
    bool is_early, is_late, is_manual;
    bool feeds_watchdog;
};

static void session_done(struct session *session) {
    apply_done(&session->apply);
    config_done(&session->record);
    discovered_done(&session->found);
    config_problems_done(&session->problems);
    buf_done(&session->errors);
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
static int discover_step(struct session *session, struct err *err) {
    const struct discover discover = {.root_fd = session->apply.root_fd, .schema = &schema_base, .late = !session->is_early};
    return discover_config(&discover, &session->found, err);
}

// What comes before the plan, in this order: state must have room, and secrets must be there.
static const struct {
    const char *action, *object;
    int (*run)(struct session *, struct err *);
} steps[] = {
    {"grow", "state", grow_step},
    {"make", "host keys", host_keys_step},
    {"publish", "generation", generation_step},
    {"discover", "config.env", discover_step},
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
    int r = file_publish(root_fd, candidate, entry->content, entry->size, 0600, err);
    if (r < 0)
        return r;
    const struct run check = {.argv = RUN_ARGV("nft", is_early ? "-f" : "-cf", "/run/webops/nftables.candidate"), .timeout_ms = 30000};
    r = run_quiet(&check, err);
    unlinkat(root_fd, candidate, 0);
    if (r < 0)
        return err_prefix(err, r, "the firewall's ruleset is refused");
    return is_early ? file_publish(root_fd, FIREWALL_LOADED, "", 0, 0644, err) : 0;
}

static void drop_entry(struct plan *plan, const char *path) {
    struct plan_entry *entry = (struct plan_entry *)plan_find(plan, path);
    free(entry->path);
    free(entry->content);
    memmove(entry, entry + 1, (size_t)(plan->entries + plan->count - entry - 1) * sizeof(*entry));
    plan->count--;
}

static int make_plan(struct session *session, struct plan *ret_plan, struct err *err) {
    cleanup_facts struct facts_store facts = {0};
    int root_fd = session->apply.root_fd;
    int r = facts_gather(root_fd, &schema_base, &session->found.config, has_config(session), &facts, err);
    return r < 0 ? r : plan_make(&schema_base, &session->found.config, &facts.facts, ret_plan, &session->problems, err);
}

static void carry_out(struct session *session) {
    cleanup_plan struct plan plan = {0};
    struct err err;
    int root_fd = session->apply.root_fd, r = make_plan(session, &plan, &err);
    note(session, r, "plan", "config.env", &err);
    if (r < 0)
        return;
    session->feeds_watchdog = plan.feeds_watchdog;
    if (session->is_live && (r = check_firewall(root_fd, &plan, session->is_early, &err)) < 0) {
        note(session, r, "check", "etc/nftables.conf", &err);
        drop_entry(&plan, "etc/nftables.conf");
    }
    note(session, apply_plan(&session->apply, &plan, &err), "write", "etc", &err);
    if (!session->is_early) // the room for it comes with growth
        note(session, swap_apply(root_fd, plan.swap_bytes, session->is_live, &err), "write", SWAP_PATH, &err);
    if (session->is_live)
        runtime_apply(&session->apply, &plan, &session->errors);
    // Said before services are told: journald may be one of them.
    log_info("configuration: %s; %zu changes", session->found.source, session->apply.changed_count);
    if (session->is_live)
        runtime_react(&session->apply, session->is_early, &session->errors);
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
        "{s:I, s:I, s:b, s:b, s:b, s:I}", "health_timeout", (json_int_t)schema_integer(&schema_base, config, "HEALTH_TIMEOUT"), "ssh_port",
        (json_int_t)schema_integer(&schema_base, config, "SSH_PORT"), "firewall", schema_bool(&schema_base, config, "ENABLE_FIREWALL"),
        "watchdog", session->feeds_watchdog, "update_auto", schema_bool(&schema_base, config, "UPDATE_AUTO"), "update_tries",
        (json_int_t)schema_integer(&schema_base, config, "UPDATE_TRIES"));
    for (size_t i = 0; i < ARRAY_SIZE(update_texts); i++)
        json_object_set_new(all, update_names[i], report_text(schema_text(&schema_base, config, update_texts[i]) ?: ""));
    return all;
}

static int save_report(const struct session *session, const char *problems, struct err *err) {
    struct actionlog_time now = actionlog_now();
    json_t *stage = json_pack("{s:s, s:s, s:b, s:i, s:o, s:o, s:o}", "time", now.text, "source", session->found.source, "has_config",
                              has_config(session), "changes", (int)session->apply.changed_count, "problems", report_lines(problems),
                              "errors", report_lines(buf_str(&session->errors)), "settings", settings(session));
    return report_save(session->apply.root_fd, session->apply.stage, stage, err);
}

// One webops at a time: two would undo each other's half.
static int lock(int root_fd, struct err *err) {
    int r = file_mkdirs(root_fd, "run/webops", 0755, err);
    int fd = r < 0 ? r : file_open(root_fd, "run/webops/lock", O_RDWR | O_CREAT, 0600, err);
    if (fd >= 0 && flock(fd, LOCK_EX) < 0)
        r = err_sys(err, -errno, "cannot lock /run/webops/lock");
    if (r < 0 && fd >= 0)
        close(fd);
    return r < 0 ? r : fd;
}

static int run_session(struct session *session, struct err *err) {
    cleanup_fd int lock_fd = lock(session->apply.root_fd, err);
    if (lock_fd < 0)
        return lock_fd;
    struct err failure;
    note(session, bootrecord_load(session->apply.root_fd, &session->record, &failure), "read", BOOTRECORD_PATH, &failure);
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
        note(session, steps[i].run(session, &failure), steps[i].action, steps[i].object, &failure);
    carry_out(session);
    cleanup_buf struct buf problems = {0};
    collect_problems(session, &problems);
    discovered_log(&session->found);
    config_problems_log(&session->problems, session->found.source);
    if (session->is_live && !session->is_manual)
        tell_console(session, buf_str(&problems));
    note(session, save_report(session, buf_str(&problems), &failure), "write", REPORT_PATH, &failure);
    // A bad configuration must not make a unit fail: health would take it for a bad generation.
    bool is_refused = problems.size > 0 && session->is_manual;
    return session->errors.size > 0 || is_refused ? EXIT_PERMANENT : EXIT_OK;
}

static const char *const stages[] = {"early", "late", "manual"};

int verb_apply(const struct verb *self, int argc, char **argv) {
    const char *root = "/", *stage = "manual";
    const struct opt options[] = {
        {"stage", 0, OPT_TEXT, &stage, "STAGE", "early (before the network), late (with it), or manual: everything (default)."},
        {"root", 0, OPT_TEXT, &root, "DIR", "Works on the tree below DIR and leaves the running system alone."},
        {0},
    };
    char **args;
    int count, r = opt_parse(self, options, argc, argv, &args, &count);
    if (r >= 0)
        return r;
    size_t known = 0;
    while (known < ARRAY_SIZE(stages) && strcmp(stages[known], stage) != 0)
        known++;
    if (known == ARRAY_SIZE(stages)) {
        log_error("apply: --stage is early, late or manual");
        return EXIT_USAGE;
    }
    struct err err;
    cleanup(session_done) struct session session = {.apply = {.root_fd = -1, .stage = stages[known]}};
    session.is_early = known == 0;
    session.is_late = known == 1;
    session.is_manual = known == 2;
    session.is_live = strcmp(root, "/") == 0;
    session.apply.root_fd = file_open(AT_FDCWD, root, O_RDONLY | O_DIRECTORY, 0, &err);
    if (session.apply.root_fd < 0)
        return verb_failed(session.apply.root_fd, &err);
    r = run_session(&session, &err);
    return r < 0 ? verb_failed(r, &err) : r;
}
