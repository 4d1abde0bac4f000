// SPDX-License-Identifier: Apache-2.0
// webops-image flash: what webops-flash does, with this program's knowledge of which keys an image has.
#include "builder/config_schema.h"
#include "builder/flash/command.h"
#include "builder/verbs.h"

static int check_config(const char *image, const struct seed *seed, struct err *err) {
    return config_schema_check(NULL, image, seed, err);
}

int verb_flash(const struct verb *self, int argc, char **argv) {
    return flash_command(self, check_config, argc, argv);
}
