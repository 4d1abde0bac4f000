// SPDX-License-Identifier: Apache-2.0
// webops why: the newest rejection: which generation, at which stage, which check, and the last lines of its log.
#include "common/file.h"
#include "firstboot/report.h"
#include "firstboot/update/journal.h"
#include "firstboot/verbs.h"
#include <fcntl.h>
#include <string.h>
#include <time.h>

static void format_time(int64_t seconds, char ret_text[32]) {
    struct tm parts;
    time_t time = (time_t)seconds;
    if (!gmtime_r(&time, &parts) || strftime(ret_text, 32, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
        ret_text[0] = 0;
}

static void print_text(const struct rejection *rejection, const char *time) {
    printf("%-12s %s %s, sequence %llu\n", "rejected", rejection->profile, rejection->version, (unsigned long long)rejection->sequence);
    printf("%-12s %s\n", "when", time);
    printf("%-12s %s\n", "stage", rejection->stage);
    if (*rejection->check)
        printf("%-12s %s\n", "check", rejection->check);
    printf("%-12s %s\n", "why", rejection->reason);
    if (rejection->log && *rejection->log)
        printf("%-12s\n%s", "last lines", rejection->log);
}

static void print_json(const struct rejection *rejection, const char *time) {
    char hex[65];
    hex_format(rejection->root_hash, 32, hex);
    cleanup_json json_t *object =
        json_pack("{s:s, s:s, s:I, s:s, s:s, s:s, s:s, s:o, s:o}", "profile", rejection->profile, "version", rejection->version, "sequence",
                  (json_int_t)rejection->sequence, "root_hash", hex, "time", time, "stage", rejection->stage, "check", rejection->check,
                  "reason", report_text(rejection->reason), "log", report_lines(rejection->log ?: ""));
    cleanup_free char *text = json_dumps(object, JSON_INDENT(2));
    printf("%s\n", text ? text : "{}");
}

static int why(const char *root, bool as_json, struct err *err) {
    cleanup_rejection struct rejection rejection = {0};
    char time[32];
    cleanup_fd int root_fd = file_open(AT_FDCWD, root, O_RDONLY | O_DIRECTORY, 0, err);
    int r = root_fd < 0 ? root_fd : ledger_last(root_fd, &rejection, err);
    if (r < 0)
        return r;
    if (r == 0) {
        printf("%s\n", as_json ? "null" : "no generation was rejected here");
        return EXIT_OK;
    }
    format_time(rejection.time, time);
    if (as_json)
        print_json(&rejection, time);
    else
        print_text(&rejection, time);
    return EXIT_OK;
}

int verb_why(const struct verb *self, int argc, char **argv) {
    const char *root = "/";
    bool as_json = false;
    const struct opt options[] = {
        {"root", 0, OPT_TEXT, &root, "DIR", "Looks at the tree below DIR."},
        {"json", 0, OPT_FLAG, &as_json, NULL, "Prints one JSON object, or null."},
        {0},
    };
    char **args;
    int count, r = opt_parse(self, options, argc, argv, &args, &count);
    if (r >= 0)
        return r;
    struct err err;
    r = why(root, as_json, &err);
    return r < 0 ? verb_failed(r, &err) : r;
}
