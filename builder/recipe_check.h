// SPDX-License-Identifier: Apache-2.0
// The checks of a recipe that a YAML type cannot express. Internal to recipe_parse.c.
#pragma once
#include "builder/recipe.h"
#include "builder/recipe_line.h"

int recipe_check_image(const struct recipe_image *image, const struct recipe_place *place) must_check nonnull(1, 2);
int recipe_check_layer(const struct recipe_layer *layer, const struct recipe_place *place) must_check nonnull(1, 2);
int recipe_check_profile(const struct recipe_profile *profile, const struct recipe_place *place) must_check nonnull(1, 2);
