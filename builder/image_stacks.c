// SPDX-License-Identifier: Apache-2.0
// The stacks of an image, or those that it may have.
#include "builder/image_stacks.h"
#include "builder/image_report.h"
#include "builder/places.h"
#include <errno.h>

// A program that stands alone came with none.
int image_stacks_shipped(struct stack_set *ret_set, struct err *err) {
    cleanup_places struct places places = {0};
    struct err ignored;
    return places_find(&places, &ignored) < 0 ? stack_set_make(NULL, 0, ret_set, err) : recipe_load_tree(places.data_dir, ret_set, err);
}

int image_stacks_load(const char *image, struct stack_set *ret_set, struct err *err) {
    int r = image_report_stacks(image, NULL, ret_set, err);
    return r == -ENOENT ? image_stacks_shipped(ret_set, err) : r;
}
