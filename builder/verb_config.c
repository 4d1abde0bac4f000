// SPDX-License-Identifier: Apache-2.0
// webops-image config check|doc: the machine's own parser and schema, on the workstation.
#include "builder/config_schema.h"
#include "builder/verbs.h"
#include "common/buf.h"
#include "common/config_report.h"
#include "common/log.h"
#include <string.h>

struct config_options {
    const char *profile, *image, *secrets;
    bool json;
};

static int config_check(const char *file, const struct config_options *options) {
    struct err err = {0};
    cleanup_config_schema struct config_schema found = {0};
    int r = config_schema_load(options->profile, options->image, &found, &err);
    if (r < 0)
        return verb_failed(r, &err);
    const struct recipe *recipe = &found.recipe;
    cleanup_free char *of_profile = recipe->profile && recipe->profile->config ? recipe_beside(recipe, recipe->profile->config) : NULL;
    if (!file && !of_profile) {
        log_error("config check: name a FILE, or a --profile that has a default configuration");
        return EXIT_USAGE;
    }
    return config_report_with(found.schema, file ? file : of_profile, options->secrets, options->json);
}

static int config_doc(const struct config_options *options) {
    struct err err = {0};
    cleanup_config_schema struct config_schema found = {0};
    cleanup_buf struct buf text = {0};
    int r = config_schema_load(options->profile, options->image, &found, &err);
    if (r < 0)
        return verb_failed(r, &err);
    schema_format_markdown(found.schema, &text);
    fputs(buf_str(&text), stdout);
    return EXIT_OK;
}

int verb_config(const struct verb *self, int argc, char **argv) {
    struct config_options values = {0};
    const struct opt options[] = {
        {"profile", 'p', OPT_TEXT, &values.profile, "PROFILE",
         "With the keys of this profile's stacks only; check without FILE: its default configuration."},
        {"image", 'i', OPT_TEXT, &values.image, "IMAGE", "With the keys of the stacks in this image only."},
        {"secrets", 0, OPT_TEXT, &values.secrets, "DIR", "Also checks the secret files that *_FILE keys name, in this directory."},
        {"json", 0, OPT_FLAG, &values.json, NULL, "Prints one JSON object."},
        {0},
    };
    char **args;
    int count;
    int r = opt_parse(self, options, argc, argv, &args, &count);
    if (r >= 0)
        return r;
    bool is_doc = strcmp(args[0], "doc") == 0;
    if (is_doc && (values.json || values.secrets)) {
        log_error("config doc: prints Markdown only; --%s is for config check", values.json ? "json" : "secrets");
        return EXIT_USAGE;
    }
    if (values.profile && values.image) {
        log_error("config: --profile and --image exclude each other");
        return EXIT_USAGE;
    }
    if (strcmp(args[0], "check") == 0)
        return config_check(count > 1 ? args[1] : NULL, &values);
    if (is_doc && count == 1)
        return config_doc(&values);
    log_error("config: expected 'check [FILE]' or 'doc'; see --help");
    return EXIT_USAGE;
}
