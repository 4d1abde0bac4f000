// SPDX-License-Identifier: Apache-2.0
// webops list: the stacks of this image.
#include "firstboot/show.h"
#include "firstboot/stack/status.h"
#include "firstboot/verbs.h"

static int gather(int root_fd, json_t **ret_found, struct err *err) {
    (void)err;
    *ret_found = stack_status(root_fd);
    return 0;
}

int verb_list(const struct verb *self, int argc, char **argv) {
    static const struct show show = {"Prints one JSON array.", gather, stack_list_format};
    return show_run(&show, self, argc, argv);
}
