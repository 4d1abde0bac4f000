// SPDX-License-Identifier: Apache-2.0
// The checks of a recipe that a YAML type cannot express. Internal to recipe_parse.c.
#pragma once
#include "builder/recipe.h"

struct recipe_place { // where a check stands, for its message
    const char *text; // of the whole recipe, ends in NUL
    const char *name;
    struct err *err;
};

// "NAME:LINE: KEY: what", where LINE is the first that holds `key:`. Returns -EINVAL.
int recipe_complain(const struct recipe_place *place, const char *key, const char *format, ...) printf_like(3, 4) nonnull(1, 2, 3);
int recipe_check_image(const struct recipe_image *image, const struct recipe_place *place) must_check nonnull(1, 2);
int recipe_check_layer(const struct recipe_layer *layer, const struct recipe_place *place) must_check nonnull(1, 2);
// Also fills in zstd_level when it is 0.
int recipe_check_profile(struct recipe_profile *profile, const struct recipe_place *place) must_check nonnull(1, 2);
