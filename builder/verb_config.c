// SPDX-License-Identifier: Apache-2.0
// webops-image config check|doc: the machine's own parser and schema, on the workstation.
#include "builder/places.h"
#include "builder/recipe.h"
#include "builder/verbs.h"
#include "common/buf.h"
#include "common/config_report.h"
#include "common/log.h"
#include <string.h>

struct config_options {
    const char *profile, *secrets;
    bool json;
};

// The file that a profile gives to its machines as the default. *ret_file is NULL if it has none; the caller frees it.
static int profile_config(const char *profile, char **ret_file, struct err *err) {
    cleanup(places_done) struct places places = {0};
    cleanup(recipe_done) struct recipe recipe = {0};
    int r = places_find(&places, err);
    if (r < 0)
        return r;
    const struct recipe_paths paths = {.data_dir = places.data_dir};
    r = recipe_load(profile, &paths, &recipe, err);
    if (r < 0)
        return r;
    const char *file = recipe.profile->config, *slash = strrchr(recipe.profile_path, '/');
    if (file && file[0] != '/' && slash) // it stands beside the profile
        *ret_file = str_printf("%.*s/%s", (int)(slash - recipe.profile_path), recipe.profile_path, file);
    else
        *ret_file = file ? str_dup(file) : NULL;
    return 0;
}

static int config_check(const char *file, const struct config_options *options) {
    struct err err = {0};
    cleanup_free char *of_profile = NULL;
    if (options->profile) {
        int r = profile_config(options->profile, &of_profile, &err);
        if (r < 0)
            return verb_failed(r, &err);
    }
    if (!file && !of_profile) {
        log_error("config check: name a FILE, or a --profile that has a default configuration");
        return EXIT_USAGE;
    }
    return config_report_with(&schema_base, file ? file : of_profile, options->secrets, options->json);
}

static int config_doc(void) {
    cleanup_buf struct buf text = {0};
    schema_format_markdown(&schema_base, &text);
    return fputs(buf_str(&text), stdout) < 0 || fflush(stdout) != 0 ? EXIT_PERMANENT : EXIT_OK;
}

int verb_config(const struct verb *self, int argc, char **argv) {
    struct config_options values = {0};
    const struct opt options[] = {
        {"profile", 0, OPT_TEXT, &values.profile, "PROFILE",
         "With the keys of this profile's stacks; without FILE: its default configuration."},
        {"secrets", 0, OPT_TEXT, &values.secrets, "DIR", "Also checks the secret files that *_FILE keys name, in this directory."},
        {"json", 0, OPT_FLAG, &values.json, NULL, "Prints one JSON object."},
        {0},
    };
    char **args;
    int count;
    int r = opt_parse(self, options, argc, argv, &args, &count);
    if (r >= 0)
        return r;
    if (strcmp(args[0], "check") == 0)
        return config_check(count > 1 ? args[1] : NULL, &values);
    if (strcmp(args[0], "doc") == 0 && count == 1)
        return config_doc();
    log_error("config: expected 'check [FILE]' or 'doc'; see --help");
    return EXIT_USAGE;
}
