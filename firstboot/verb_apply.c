// SPDX-License-Identifier: Apache-2.0
// webops apply: makes the machine match config.env; with the name of a stack, that stack, too. The base is session.c, stacks are stack/.
#include "common/log.h"
#include "firstboot/session.h"
#include "firstboot/stack/engine.h"
#include "firstboot/verbs.h"
#include <errno.h>
#include <string.h>

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
    return r < 0 ? verb_failed(r, &err) : r;
}

int verb_apply(const struct verb *self, int argc, char **argv) {
    const char *root = "/", *stage = "manual";
    bool is_dry_run = false;
    const struct opt options[] = {
        {"stage", 0, OPT_TEXT, &stage, "STAGE", "early (before the network), late (with it), or manual: everything (default)."},
        {"dry-run", 0, OPT_FLAG, &is_dry_run, NULL, "Shows which files, units and ports would change; changes nothing."},
        {"root", 0, OPT_TEXT, &root, "DIR", "Works on the tree below DIR and leaves the running system alone."},
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
