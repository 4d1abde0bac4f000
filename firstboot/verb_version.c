// SPDX-License-Identifier: Apache-2.0
// webops version.
#include "firstboot/verbs.h"
#include <stdio.h>

int verb_version(const struct verb *self, int argc, char **argv) {
    const struct opt options[] = {{0}};
    char **args;
    int count, r = opt_parse(self, options, argc, argv, &args, &count);
    if (r >= 0)
        return r;
    printf("webops %s\n", WEBOPS_VERSION);
    return EXIT_OK;
}
