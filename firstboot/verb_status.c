// SPDX-License-Identifier: Apache-2.0
// webops status: prints what status.c gathers. Works without root, with less.
#include "firstboot/show.h"
#include "firstboot/status.h"
#include "firstboot/verbs.h"

static int gather(int root_fd, json_t **ret_found, struct err *err) {
    (void)err;
    *ret_found = status_gather(root_fd);
    return 0;
}

int verb_status(const struct verb *self, int argc, char **argv) {
    static const struct show show = {"Prints one JSON object.", gather, status_format};
    return show_run(&show, self, argc, argv);
}
