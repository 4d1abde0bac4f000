// SPDX-License-Identifier: Apache-2.0
// webops why: the newest rejection: which generation, at which stage, which check, and the last lines of its log.
#include "firstboot/show.h"
#include "firstboot/update/journal.h"
#include "firstboot/verbs.h"
#include <errno.h>
#include <time.h>

static void format_time(int64_t seconds, char ret_text[32]) {
    struct tm parts;
    time_t time = (time_t)seconds;
    if (!gmtime_r(&time, &parts) || strftime(ret_text, 32, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
        ret_text[0] = 0;
}

static json_t *rejection_json(const struct rejection *rejection) {
    char hex[65], time[32];
    hex_format(rejection->root_hash, 32, hex);
    format_time(rejection->time, time);
    return json_pack("{s:s, s:s, s:I, s:s, s:s, s:s, s:s, s:o, s:o}", "profile", rejection->profile, "version", rejection->version,
                     "sequence", (json_int_t)rejection->sequence, "root_hash", hex, "time", time, "stage", rejection->stage, "check",
                     rejection->check, "reason", report_text(rejection->reason), "log", report_lines(rejection->log ?: ""));
}

static int gather(int root_fd, json_t **ret_found, struct err *err) {
    cleanup_rejection struct rejection rejection = {0};
    int r = ledger_last(root_fd, &rejection, err);
    if (r < 0)
        return r;
    *ret_found = r > 0 ? rejection_json(&rejection) : json_null();
    return *ret_found ? 0 : err_set(err, -EBADMSG, "the journal names the newest rejection's generation with bytes that are no text");
}

static const char *text_of(const json_t *found, const char *name) {
    return json_string_value(json_object_get(found, name)) ?: "";
}

static void format(const json_t *found, struct buf *text) {
    if (json_is_null(found)) {
        buf_add_str(text, "no generation was rejected here\n");
        return;
    }
    buf_printf(text, "%-12s %s %s, sequence %lld\n", "rejected", text_of(found, "profile"), text_of(found, "version"),
               (long long)json_integer_value(json_object_get(found, "sequence")));
    static const char *const rows[][2] = {{"when", "time"}, {"stage", "stage"}, {"check", "check"}, {"why", "reason"}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (*text_of(found, rows[i][1]))
            buf_printf(text, "%-12s %s\n", rows[i][0], text_of(found, rows[i][1]));
    const json_t *lines = json_object_get(found, "log");
    if (json_array_size(lines) > 0)
        buf_add_str(text, "last lines\n");
    for (size_t i = 0; i < json_array_size(lines); i++)
        buf_printf(text, "%s\n", json_string_value(json_array_get(lines, i)));
}

int verb_why(const struct verb *self, int argc, char **argv) {
    static const struct show show = {"Prints one JSON object, or null.", gather, format};
    return show_run(&show, self, argc, argv);
}
