// SPDX-License-Identifier: Apache-2.0
// Recipe YAML: every parser takes every text; a refusal always says where.
#include "builder/recipe.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect_place(int result, const struct err *err) {
    if (result < 0 && strncmp(err->text, "fuzz.yaml", 9) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct recipe_image *image = NULL;
    struct recipe_layer *layer = NULL;
    struct recipe_profile *profile = NULL;
    struct stack stack = {0};
    struct err err = {0};
    expect_place(recipe_parse_image((const char *)data, size, "fuzz.yaml", &image, &err), &err);
    expect_place(recipe_parse_layer((const char *)data, size, "fuzz.yaml", &layer, &err), &err);
    expect_place(recipe_parse_profile((const char *)data, size, "fuzz.yaml", &profile, &err), &err);
    expect_place(recipe_parse_stack((const char *)data, size, "fuzz.yaml", &stack, &err), &err);
    stack_done(&stack);
    if (image)
        recipe_image_free(image);
    if (layer)
        recipe_layer_free(layer);
    if (profile)
        recipe_profile_free(profile);
    return 0;
}
