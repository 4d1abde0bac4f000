// SPDX-License-Identifier: Apache-2.0
// By which keys a config.env is checked on the workstation: those of a profile, of a finished image, or of every stack there is.
#pragma once
#include "builder/recipe.h"
#include "builder/seed.h"

struct config_schema {
    const struct schema *schema; // points into the others
    struct recipe recipe; // of a profile, else empty
    struct stack_set set;
};

// At most one of `profile` (name or path) and `image` (path of a build's image); with neither, all stacks that came with this program.
int config_schema_load(const char *profile, const char *image, struct config_schema *ret, struct err *err) must_check nonnull(3, 4);
// Checks config.env and secrets of `seed` by that schema, as seed_check() does; a seed without a configuration is right.
int config_schema_check(const char *profile, const char *image, const struct seed *seed, struct err *err) must_check nonnull(3, 4);
void config_schema_done(struct config_schema *schema);

#define cleanup_config_schema cleanup(config_schema_done)
