// SPDX-License-Identifier: Apache-2.0
// webops apply: makes the machine match config.env; with the name of a stack, that stack, too. The base is session.c, stacks are stack/.
#include "common/log.h"
#include "firstboot/session.h"
#include "firstboot/stack/engine.h"
#include "firstboot/stack/state.h"
#include "firstboot/verbs.h"
#include <errno.h>
#include <string.h>

// The base does not touch units of stacks; whoever edited a value of theirs should know what makes it count.
static void tell_of_stacks(const struct session *session) {
    for (size_t i = 0; i < session->plan.stack_count; i++) {
        const struct plan_stack *planned = &session->plan.stacks[i];
        const char *name = planned->stack->name;
        cleanup_free char *started = stack_digest_load(session->apply.root_fd, name, "started");
        if (plan_stack_is_active(planned) && !planned->problem && (!started || strcmp(started, planned->digest) != 0))
            log_info("%s %s; `webops apply %s` brings it up to date", name, started ? "runs with older files" : "is not started", name);
        if (!plan_stack_is_active(planned) && started)
            log_info("%s is off and still runs; `webops install` stops it", name);
    }
}

static int apply_base(const char *root, const char *stage, bool is_dry_run) {
    struct err err;
    cleanup_session struct session session = {.apply = {.root_fd = -1}};
    int r = session_open(root, stage, &session, &err);
    if (r == -EINVAL) {
        log_error("apply: %s", err.text);
        return EXIT_USAGE;
    }
    session.apply.is_dry_run = is_dry_run;
    if (r >= 0)
        r = session_run(&session, &err);
    if (r >= 0 && is_dry_run)
        session_print(&session);
    if (r >= 0 && session.is_manual)
        tell_of_stacks(&session);
    return r < 0 ? verb_failed(r, &err) : r;
}

int verb_apply(const struct verb *self, int argc, char **argv) {
    const char *root = "/", *stage = "manual";
    bool is_dry_run = false;
    const struct opt options[] = {
        {"stage", 0, OPT_TEXT, &stage, "STAGE", "early (before the network), late (with it), or manual: everything (default)."},
        {"dry-run", 0, OPT_FLAG, &is_dry_run, NULL, "Shows which files, units and ports would change; changes nothing."},
        {"root", 0, OPT_ROOT, &root, "DIR", "Works on the tree below DIR and leaves the running system alone."},
        {0},
    };
    char **args;
    int count, r = opt_parse(self, options, argc, argv, &args, &count);
    if (r >= 0)
        return r;
    if (count == 0)
        return apply_base(root, stage, is_dry_run);
    struct err err;
    const struct stack_engine_options engine = {.root = root, .name = args[0], .is_live = strcmp(root, "/") == 0, .is_dry_run = is_dry_run};
    r = stack_engine_install(&engine, &err);
    return r < 0 ? verb_failed(r, &err) : r;
}
