// SPDX-License-Identifier: Apache-2.0
// webops-image version
#include "builder/verbs.h"

int verb_version(const struct verb *self, int argc, char **argv) {
    static const struct opt options[] = {{0}};
    char **args;
    int count;
    int r = opt_parse(self, options, argc, argv, &args, &count);
    if (r >= 0)
        return r;
    puts("webops-image " WEBOPS_VERSION);
    return EXIT_OK;
}
