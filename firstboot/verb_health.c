// SPDX-License-Identifier: Apache-2.0
// webops health: runs the checks, prints them, and leaves the result in /run/webops/health.json. Exit 0 healthy, 1 not.
#include "common/buf.h"
#include "common/file.h"
#include "common/log.h"
#include "firstboot/bootrecord.h"
#include "firstboot/console.h"
#include "firstboot/health.h"
#include "firstboot/report.h"
#include "firstboot/stack/checks.h"
#include "firstboot/verbs.h"
#include "firstboot/update/trial.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

static void print_table(const struct health *health, const char *line) {
    for (size_t i = 0; i < health->count; i++) {
        const struct health_result *result = &health->results[i];
        const char *state = result->code < 0 ? "FAILED" : result->code > 0 ? "n/a" : "ok";
        printf("%-20s %-7s%s%s\n", result->name, state, result->code < 0 ? " " : "", result->code < 0 ? result->why.text : "");
    }
    printf("%s\n", line);
}

// So that the deadline of a trial counts from here; see verb_trial.c.
static void note_start(int root_fd) {
    struct timespec now;
    struct err err;
    clock_gettime(CLOCK_BOOTTIME, &now);
    cleanup_free char *text = str_printf("%lld\n", (long long)now.tv_sec);
    if (file_publish(root_fd, TRIAL_HEALTH_STARTED_PATH, text, strlen(text), 0644, &err) < 0)
        log_warn("%s", err.text);
}

static int check(int root_fd, bool is_boot, bool as_json, struct err *err) {
    cleanup_config struct config record = {0};
    cleanup_json json_t *report = report_read(root_fd, REPORT_PATH);
    cleanup_health struct health health = {0};
    int r = bootrecord_load(root_fd, &record, err);
    if (r < 0)
        return r;
    cleanup_stack_checks struct stack_checks checks = {0};
    const struct health_context context = {.root_fd = root_fd, .record = &record, .report = report};
    if (is_boot)
        note_start(root_fd);
    stack_checks_load(root_fd, &checks);
    health_run(checks.items, &context, is_boot ? (unsigned)health_setting(&context, "health_timeout", 300) : 0, &health);
    cleanup_json json_t *json = health_json(&health, &record);
    cleanup_free char *line = health_line(&health, &record), *text = json_dumps(json, JSON_INDENT(2));
    if (is_boot)
        console_print("%s", line);
    if (as_json)
        printf("%s\n", text);
    else
        print_table(&health, line);
    r = geteuid() == 0 ? report_write(root_fd, HEALTH_PATH, json, err) : 0;
    return r < 0 ? r : health.failed ? EXIT_PERMANENT : EXIT_OK;
}

int verb_health(const struct verb *self, int argc, char **argv) {
    bool is_boot = false, json = false;
    const struct opt options[] = {
        {"boot", 0, OPT_FLAG, &is_boot, NULL,
         "Waits up to HEALTH_TIMEOUT for what is still starting; prints the result on the console, too."},
        {"json", 0, OPT_FLAG, &json, NULL, "Prints one JSON object."},
        {0},
    };
    char **args;
    int count, r = opt_parse(self, options, argc, argv, &args, &count);
    if (r >= 0)
        return r;
    struct err err;
    if (geteuid() != 0)
        log_warn("some checks need root; see `webops status` for the last result");
    cleanup_fd int root_fd = file_open(AT_FDCWD, "/", O_RDONLY | O_DIRECTORY, 0, &err);
    r = root_fd < 0 ? root_fd : check(root_fd, is_boot, json, &err);
    return r < 0 ? verb_failed(r, &err) : r;
}
