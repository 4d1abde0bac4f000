// SPDX-License-Identifier: Apache-2.0
// webops uninstall STACK: stops it and keeps it off, whatever config.env says, until `webops apply STACK`.
#include "firstboot/stack/engine.h"
#include "firstboot/verbs.h"
#include <string.h>

int verb_uninstall(const struct verb *self, int argc, char **argv) {
    struct stack_engine_options engine = {.root = "/"};
    const struct opt options[] = {
        {"purge", 0, OPT_FLAG, &engine.is_purge, NULL, "Deletes the stack's data, too: the directories that are printed, nothing else."},
        {"dry-run", 0, OPT_FLAG, &engine.is_dry_run, NULL, "Shows what would be stopped, removed and deleted; changes nothing."},
        {"root", 0, OPT_ROOT, &engine.root, "DIR", "Works on the tree below DIR and leaves the running system alone."},
        {0},
    };
    char **args;
    int count, r = opt_parse(self, options, argc, argv, &args, &count);
    if (r >= 0)
        return r;
    struct err err;
    engine.is_live = strcmp(engine.root, "/") == 0;
    engine.name = args[0];
    r = stack_engine_uninstall(&engine, &err);
    return r < 0 ? verb_failed(r, &err) : r;
}
