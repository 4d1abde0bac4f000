// SPDX-License-Identifier: Apache-2.0
// webops-image flash: what webops-flash does, with this program's knowledge of which keys an image may have.
#include "builder/flash/command.h"
#include "builder/image_stacks.h"
#include "builder/verbs.h"

// By the keys of all stacks that came with this program.
static int check_config(const struct seed *seed, struct err *err) {
    cleanup_stack_set struct stack_set stacks = {0};
    int r = image_stacks_shipped(&stacks, err);
    return r < 0 ? r : seed_check(&stacks.schema, seed->config, seed->secrets, err);
}

int verb_flash(const struct verb *self, int argc, char **argv) {
    return flash_command(self, check_config, argc, argv);
}
