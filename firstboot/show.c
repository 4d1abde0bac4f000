// SPDX-License-Identifier: Apache-2.0
#include "firstboot/show.h"
#include "common/file.h"
#include <fcntl.h>

static int print(const struct show *show, const char *root, bool as_json, struct err *err) {
    cleanup_json json_t *found = NULL;
    cleanup_fd int root_fd = file_open(AT_FDCWD, root, O_RDONLY | O_DIRECTORY, 0, err);
    int r = root_fd < 0 ? root_fd : show->gather(root_fd, &found, err);
    if (r < 0)
        return r;
    cleanup_buf struct buf text = {0};
    cleanup_free char *json = as_json ? json_dumps(found, JSON_INDENT(2) | JSON_ENCODE_ANY) : NULL;
    if (json)
        buf_printf(&text, "%s\n", json);
    else
        show->format(found, &text);
    printf("%s", buf_str(&text));
    return EXIT_OK;
}

int show_run(const struct show *show, const struct verb *self, int argc, char **argv) {
    const char *root = "/";
    bool as_json = false;
    const struct opt options[] = {
        {"root", 0, OPT_TEXT, &root, "DIR", "Looks at the tree below DIR."},
        {"json", 0, OPT_FLAG, &as_json, NULL, show->json_help},
        {0},
    };
    char **args;
    int count, r = opt_parse(self, options, argc, argv, &args, &count);
    if (r >= 0)
        return r;
    struct err err;
    r = print(show, root, as_json, &err);
    return r < 0 ? verb_failed(r, &err) : r;
}
