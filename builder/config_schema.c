// SPDX-License-Identifier: Apache-2.0
// Finds the schema; checks nothing itself.
#include "builder/config_schema.h"
#include "builder/image_stacks.h"
#include "builder/places.h"
#include <assert.h>

static int load_of_profile(const char *profile, struct config_schema *ret, struct err *err) {
    cleanup_places struct places places = {0};
    int r = places_find(&places, err);
    if (r >= 0)
        r = recipe_load(profile, &(struct recipe_paths){.data_dir = places.data_dir}, &ret->recipe, err);
    if (r >= 0)
        ret->schema = &ret->recipe.stacks.schema;
    return r;
}

static int load_of_image(const char *image, struct config_schema *ret, struct err *err) {
    int r = image_stacks_load(image, &ret->set, err);
    if (r >= 0)
        ret->schema = &ret->set.schema;
    return r;
}

static int load_shipped(struct config_schema *ret, struct err *err) {
    cleanup_places struct places places = {0};
    int r = places_find(&places, err);
    if (r >= 0)
        r = recipe_load_tree(places.data_dir, &ret->set, err);
    if (r >= 0)
        ret->schema = &ret->set.schema;
    return r;
}

int config_schema_load(const char *profile, const char *image, struct config_schema *ret, struct err *err) {
    assert(!profile || !image);
    return profile ? load_of_profile(profile, ret, err) : image ? load_of_image(image, ret, err) : load_shipped(ret, err);
}

int config_schema_check(const char *profile, const char *image, const struct seed *seed, struct err *err) {
    cleanup_config_schema struct config_schema found = {0};
    if (!seed->config)
        return 0;
    int r = config_schema_load(profile, image, &found, err);
    return r < 0 ? r : seed_check(found.schema, seed->config, seed->secrets, err);
}

void config_schema_done(struct config_schema *schema) {
    recipe_done(&schema->recipe);
    stack_set_done(&schema->set);
    schema->schema = NULL;
}
