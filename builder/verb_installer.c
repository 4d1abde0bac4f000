// SPDX-License-Identifier: Apache-2.0
// webops-image installer: builds what is missing of a profile, and makes an installation medium of it.
#include "builder/build.h"
#include "builder/installer.h"
#include "builder/verbs.h"
#include "common/log.h"
#include <stdio.h>

static int make(struct build *build, const struct seed *seed, struct err *err) {
    int r = seed->config ? seed_check(&build->recipe.stacks.schema, seed->config, seed->secrets, err) : 0;
    if (r >= 0 && seed->config)
        r = seed_try(seed, err);
    if (r >= 0 && !build_is_current(build))
        r = build_apply(build, err);
    return r < 0 ? r : installer_save(build, seed, err);
}

static void print_result(const struct build *build) {
    static const char *const suffixes[] = {".iso", ".vmlinuz", ".initrd", ".cmdline"};
    for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
        cleanup_free char *path = installer_path(build, suffixes[i]);
        printf("%s\n", path);
    }
}

int verb_installer(const struct verb *self, int argc, char **argv) {
    struct seed seed = {0};
    const struct opt options[] = {
        {"config", 'c', OPT_TEXT, &seed.config, "FILE", "config.env on the medium: what to install where, and for the installed machine"},
        {"encrypt-to", 0, OPT_TEXT, &seed.encrypt_to, "CERT", "put the secrets into an envelope for the keys of these certificates (PEM)"},
        {"secrets", 0, OPT_TEXT, &seed.secrets, "DIR", "directory of *.secret files (0600), on the medium, too"},
        {0},
    };
    cleanup_build struct build build = {0};
    struct err err = {0};
    int code = build_verb_start_with(self, argc, argv, options, &(struct build_options){.out_dir = "out", .is_installer = true}, &build);
    if (code >= 0)
        return code;
    if (seed_conflict(&seed)) {
        log_error("installer: %s", seed_conflict(&seed));
        return EXIT_USAGE;
    }
    build_verb_warn(&build);
    int r = make(&build, &seed, &err);
    if (r < 0)
        return verb_failed(r, &err);
    if (seed.secrets && !seed.encrypt_to)
        log_warn("the medium holds secrets that whoever has it can read; so do .iso and .initrd: keep them as you keep the secrets");
    print_result(&build);
    return EXIT_OK;
}
