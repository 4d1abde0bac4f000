// SPDX-License-Identifier: Apache-2.0
// webops-image seed: config.env and secrets, checked, as a medium that a machine finds by itself.
#include "builder/config_schema.h"
#include "builder/seed.h"
#include "builder/verbs.h"
#include "common/log.h"
#include <stdio.h>

struct seed_options {
    struct seed seed;
    const char *profile, *image;
};

static int make(const struct seed_options *options) {
    struct err err = {0};
    const struct seed *seed = &options->seed;
    int r = config_schema_check(options->profile, options->image, seed, &err);
    if (r >= 0)
        r = seed_save(seed, &err);
    if (r < 0)
        return verb_failed(r, &err);
    printf("%s\n", seed->path);
    return EXIT_OK;
}

int verb_seed(const struct verb *self, int argc, char **argv) {
    struct seed_options values = {0};
    const struct opt options[] = {
        {"output", 'o', OPT_TEXT, &values.seed.path, "FILE|DIR",
         "what to make: NAME.iso, NAME.img (FAT), or a directory to copy or to serve"},
        {"config", 'c', OPT_TEXT, &values.seed.config, "FILE", "config.env for the machine"},
        {"encrypt-to", 0, OPT_TEXT, &values.seed.encrypt_to, "CERT",
         "put the secrets into an envelope for the keys of these certificates (PEM)"},
        {"secrets", 0, OPT_TEXT, &values.seed.secrets, "DIR", "directory of *.secret files (0600)"},
        {"profile", 'p', OPT_TEXT, &values.profile, "PROFILE", "check by the keys of this profile's stacks only"},
        {"image", 'i', OPT_TEXT, &values.image, "IMAGE", "check by the keys of the stacks in this image"},
        {0},
    };
    char **args;
    int count;
    int code = opt_parse(self, options, argc, argv, &args, &count);
    if (code >= 0)
        return code;
    if (!values.seed.config || !values.seed.path) {
        log_error("seed: --config FILE and --output FILE|DIR are needed");
        return EXIT_USAGE;
    }
    if (seed_conflict(&values.seed)) {
        log_error("seed: %s", seed_conflict(&values.seed));
        return EXIT_USAGE;
    }
    if (values.profile && values.image) {
        log_error("seed: --profile and --image exclude each other");
        return EXIT_USAGE;
    }
    return make(&values);
}
