// SPDX-License-Identifier: Apache-2.0
// webops history: which generations were installed, committed, rejected and rolled back here, oldest first.
#include "common/file.h"
#include "firstboot/report.h"
#include "firstboot/update/journal.h"
#include "firstboot/verbs.h"
#include <fcntl.h>

static const char *text_of(const json_t *event, const char *name) {
    return json_string_value(json_object_get(event, name)) ?: "-";
}

static void print_table(const json_t *events) {
    if (json_array_size(events) == 0)
        printf("no update was made here yet\n");
    for (size_t i = 0; i < json_array_size(events); i++) {
        const json_t *event = json_array_get(events, i);
        printf("%s  %-12s %s %s  %s\n", text_of(event, "time"), text_of(event, "event"), text_of(event, "profile"),
               text_of(event, "version"), text_of(event, "detail"));
    }
}

int verb_history(const struct verb *self, int argc, char **argv) {
    const char *root = "/";
    bool as_json = false;
    const struct opt options[] = {
        {"root", 0, OPT_TEXT, &root, "DIR", "Looks at the tree below DIR."},
        {"json", 0, OPT_FLAG, &as_json, NULL, "Prints a JSON array."},
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
    cleanup_json json_t *events = history_read(root_fd);
    if (!as_json) {
        print_table(events);
        return EXIT_OK;
    }
    cleanup_free char *text = json_dumps(events, JSON_INDENT(2));
    printf("%s\n", text);
    return EXIT_OK;
}
