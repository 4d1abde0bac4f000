// SPDX-License-Identifier: Apache-2.0
// webops list: the stacks of this image.
#include "common/file.h"
#include "firstboot/report.h"
#include "firstboot/stack/status.h"
#include "firstboot/verbs.h"
#include <fcntl.h>

int verb_list(const struct verb *self, int argc, char **argv) {
    const char *root = "/";
    bool as_json = false;
    const struct opt options[] = {
        {"root", 0, OPT_TEXT, &root, "DIR", "Looks at the tree below DIR."},
        {"json", 0, OPT_FLAG, &as_json, NULL, "Prints one JSON array."},
        {0},
    };
    char **args;
    int count, r = opt_parse(self, options, argc, argv, &args, &count);
    if (r >= 0)
        return r;
    struct err err;
    cleanup_fd int root_fd = file_open(AT_FDCWD, root, O_RDONLY | O_DIRECTORY, 0, &err);
    if (root_fd < 0)
        return verb_failed(root_fd, &err);
    cleanup_json json_t *stacks = stack_status(root_fd);
    cleanup_free char *json = json_dumps(stacks, JSON_INDENT(2));
    cleanup_buf struct buf table = {0};
    stack_list_format(stacks, &table);
    printf("%s%s", as_json ? json : buf_str(&table), as_json ? "\n" : "");
    return EXIT_OK;
}
