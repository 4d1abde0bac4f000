// SPDX-License-Identifier: Apache-2.0
// webops validate [FILE]: the check that decides at boot whether a configuration is taken, before it is put in place. Changes nothing.
#include "common/config_report.h"
#include "common/file.h"
#include "common/opt.h"
#include "common/stack.h"
#include "firstboot/verbs.h"
#include <fcntl.h>

int verb_validate(const struct verb *self, int argc, char **argv) {
    const char *secrets = SCHEMA_SECRETS_DIR, *root = "/";
    bool json = false;
    const struct opt options[] = {
        {"secrets", 0, OPT_TEXT, &secrets, "DIR", "Directory of the secret files that *_FILE keys name (" SCHEMA_SECRETS_DIR ")."},
        {"root", 0, OPT_TEXT, &root, "DIR", "Takes the stacks, whose keys are known, from the image below DIR."},
        {"json", 0, OPT_FLAG, &json, NULL, "Prints one JSON object."},
        {0},
    };
    char **args;
    int count;
    int r = opt_parse(self, options, argc, argv, &args, &count);
    if (r >= 0)
        return r;
    struct err err;
    struct stack_set set;
    cleanup_fd int root_fd = file_open(AT_FDCWD, root, O_RDONLY | O_DIRECTORY, 0, &err);
    r = root_fd < 0 ? root_fd : stack_set_load(root_fd, &set, &err);
    if (r < 0)
        return verb_failed(r, &err);
    r = config_report_with(&set.schema, count ? args[0] : "/webops/config.env", secrets, json);
    stack_set_done(&set);
    return r;
}
