// SPDX-License-Identifier: Apache-2.0
// The stacks of an image, or those that it may have.
#include "builder/image_stacks.h"
#include "builder/image_report.h"
#include "builder/places.h"
#include "common/file.h"
#include "common/log.h"
#include <errno.h>
#include <fcntl.h>

// A program that stands alone came with none.
int image_stacks_shipped(struct stack_set *ret_set, struct err *err) {
    cleanup_places struct places places = {0};
    struct err ignored;
    return places_find(&places, &ignored) < 0 ? stack_set_make(NULL, 0, ret_set, err) : recipe_load_tree(places.data_dir, ret_set, err);
}

int image_stacks_load(const char *image, struct stack_set *ret_set, struct err *err) {
    struct err why = {0};
    int r = image_report_stacks(image, NULL, ret_set, &why);
    if (r == -ENOENT && !file_exists(AT_FDCWD, image))
        return err_set(err, r, "there is no image %s", image);
    if (r == -ENOENT)
        return err_set(err, r, "%s, which names the stacks of the image; put it beside the image", why.text);
    return r < 0 ? err_set(err, r, "%s", why.text) : r;
}

int image_stacks_guess(const char *image, struct stack_set *ret_set, struct err *err) {
    int r = image_stacks_load(image, ret_set, err);
    if (r != -ENOENT)
        return r;
    log_warn("%s; until then any stack's key is taken", err->text);
    return image_stacks_shipped(ret_set, err);
}
