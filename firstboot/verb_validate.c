// SPDX-License-Identifier: Apache-2.0
// webops validate [FILE]: the check that decides at boot whether a configuration is taken, before it is put in place. Changes nothing.
#include "common/config_report.h"
#include "common/opt.h"
#include "firstboot/verbs.h"

int verb_validate(const struct verb *self, int argc, char **argv) {
    const char *secrets = SCHEMA_SECRETS_DIR;
    bool json = false;
    const struct opt options[] = {
        {"secrets", 0, OPT_TEXT, &secrets, "DIR", "Directory of the secret files that *_FILE keys name (" SCHEMA_SECRETS_DIR ")."},
        {"json", 0, OPT_FLAG, &json, NULL, "Prints one JSON object."},
        {0},
    };
    char **args;
    int count;
    int r = opt_parse(self, options, argc, argv, &args, &count);
    if (r >= 0)
        return r;
    return config_report_with(&schema_base, count ? args[0] : "/webops/config.env", secrets, json);
}
