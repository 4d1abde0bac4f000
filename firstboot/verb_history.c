// SPDX-License-Identifier: Apache-2.0
// webops history: which generations were installed, committed, rejected and rolled back here, oldest first.
#include "firstboot/show.h"
#include "firstboot/update/journal.h"
#include "firstboot/verbs.h"

static const char *text_of(const json_t *event, const char *name) {
    return json_string_value(json_object_get(event, name)) ?: "-";
}

static int gather(int root_fd, json_t **ret_found, struct err *err) {
    (void)err;
    *ret_found = history_read(root_fd);
    return 0;
}

static void format(const json_t *events, struct buf *text) {
    if (json_array_size(events) == 0)
        buf_add_str(text, "no update was made here yet\n");
    for (size_t i = 0; i < json_array_size(events); i++) {
        const json_t *event = json_array_get(events, i);
        buf_printf(text, "%s  %-12s %s %s  %s\n", text_of(event, "time"), text_of(event, "event"), text_of(event, "profile"),
                   text_of(event, "version"), text_of(event, "detail"));
    }
}

int verb_history(const struct verb *self, int argc, char **argv) {
    static const struct show show = {"Prints a JSON array.", gather, format};
    return show_run(&show, self, argc, argv);
}
