// SPDX-License-Identifier: Apache-2.0
// webops drift: prints what drift.c finds. Exit 0 without drift, 1 with.
#include "common/file.h"
#include "common/jsontext.h"
#include "firstboot/drift.h"
#include "firstboot/report.h"
#include "firstboot/verbs.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

static int print_json(const struct drift *drift) {
    cleanup_json json_t *array = json_array();
    for (size_t i = 0; i < drift->count; i++) {
        cleanup_free char *path = str_printf("/%s", drift->items[i].path);
        json_array_append_new(array, json_pack("{s:s, s:o}", "kind", drift_words[drift->items[i].kind], "path", jsontext(path)));
    }
    cleanup_free char *text = json_dumps(array, JSON_INDENT(2));
    printf("%s\n", text);
    return drift->count > 0 ? EXIT_PERMANENT : EXIT_OK;
}

static int print_plain(const struct drift *drift) {
    for (size_t i = 0; i < drift->count; i++)
        printf("%-8s /%s\n", drift_words[drift->items[i].kind], drift->items[i].path);
    if (drift->count == 0)
        printf("no drift\n");
    return drift->count > 0 ? EXIT_PERMANENT : EXIT_OK;
}

int verb_drift(const struct verb *self, int argc, char **argv) {
    const char *root = "/";
    bool json = false;
    const struct opt options[] = {
        {"root", 0, OPT_ROOT, &root, "DIR", "Looks at the tree below DIR."},
        {"json", 0, OPT_FLAG, &json, NULL, "Prints a JSON array of {kind, path}."},
        {0},
    };
    char **args;
    int count, r = opt_parse(self, options, argc, argv, &args, &count);
    if (r >= 0)
        return r;
    struct err err;
    cleanup_rendered struct rendered rendered = {0};
    cleanup_drift struct drift drift = {0};
    cleanup_fd int root_fd = file_open(AT_FDCWD, root, O_RDONLY | O_DIRECTORY, 0, &err);
    r = root_fd < 0 ? root_fd : rendered_load(root_fd, &rendered, &err);
    if (r >= 0)
        r = drift_find(root_fd, &rendered, &drift, &err);
    if (r < 0)
        return verb_failed(r, &err);
    return json ? print_json(&drift) : print_plain(&drift);
}
