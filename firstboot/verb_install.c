// SPDX-License-Identifier: Apache-2.0
// webops install: the base and every enabled stack.
#include "firstboot/stack/engine.h"
#include "firstboot/verbs.h"
#include <string.h>

int verb_install(const struct verb *self, int argc, char **argv) {
    struct stack_engine_options engine = {.root = "/"};
    const struct opt options[] = {
        {"boot", 0, OPT_FLAG, &engine.is_boot, NULL,
         "For units: the base is applied already, and a stack that does not start fails nothing but its health checks."},
        {"dry-run", 0, OPT_FLAG, &engine.is_dry_run, NULL, "Shows which files, units and ports would change; changes nothing."},
        {"root", 0, OPT_ROOT, &engine.root, "DIR", "Works on the tree below DIR and leaves the running system alone."},
        {"json", 0, OPT_FLAG, &engine.as_json, NULL, "Prints the stacks as JSON in the end."},
        {0},
    };
    char **args;
    int count, r = opt_parse(self, options, argc, argv, &args, &count);
    if (r >= 0)
        return r;
    struct err err;
    engine.is_live = strcmp(engine.root, "/") == 0;
    r = stack_engine_install(&engine, &err);
    return r < 0 ? verb_failed(r, &err) : r;
}
