// SPDX-License-Identifier: Apache-2.0
// webops health: runs the checks, prints them, and leaves the result in /run/webops/health.json. Exit 0 healthy, 1 not.
#include "common/buf.h"
#include "common/file.h"
#include "common/log.h"
#include "firstboot/bootrecord.h"
#include "firstboot/console.h"
#include "firstboot/health.h"
#include "firstboot/metrics.h"
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

// For those who look later: webops status, a trial's verdict, webops-http.
static int leave(int root_fd, const json_t *health, const struct config *record, const json_t *report, bool is_monitor, struct err *err) {
    if (geteuid() != 0)
        return 0;
    int r = report_write(root_fd, HEALTH_PATH, health, err);
    return r < 0 ? r : metrics_write(root_fd, health, record, report, is_monitor, err);
}

struct manner {
    bool is_boot, is_monitor, as_json;
};

static void tell(const struct manner *manner, const struct health *health, const json_t *json, const struct config *record) {
    cleanup_free char *line = health_line(health, record), *text = json_dumps(json, JSON_INDENT(2));
    if (manner->is_boot)
        console_print("%s", line);
    if (manner->as_json)
        printf("%s\n", text);
    else if (!manner->is_monitor)
        print_table(health, line);
}

static int check(int root_fd, const struct manner *manner, struct err *err) {
    cleanup_config struct config record = {0};
    cleanup_json json_t *report = report_read(root_fd, REPORT_PATH);
    cleanup_health struct health health = {0};
    int r = bootrecord_load(root_fd, &record, err);
    if (r < 0)
        return r;
    if (bootrecord_is_medium(&record)) {
        puts(manner->as_json ? "{\"medium\": true, \"checks\": []}" : "started from an installation medium: there is no machine to judge");
        return EXIT_OK;
    }
    cleanup_stack_checks struct stack_checks checks = {0};
    const struct health_context context = {.root_fd = root_fd, .record = &record, .report = report, .is_monitor = manner->is_monitor};
    if (manner->is_boot)
        note_start(root_fd);
    stack_checks_load(root_fd, &checks);
    health_run(checks.items, &context, manner->is_boot ? (unsigned)health_setting(&context, "health_timeout", 300) : 0, &health);
    cleanup_json json_t *json = health_json(&health, &record);
    tell(manner, &health, json, &record);
    r = leave(root_fd, json, &record, report, manner->is_monitor, err);
    // An unhealthy machine is no failure of the monitor's unit, which would be one more check that fails.
    return r < 0 ? r : health.failed && !manner->is_monitor ? EXIT_PERMANENT : EXIT_OK;
}

int verb_health(const struct verb *self, int argc, char **argv) {
    struct manner manner = {0};
    const struct opt options[] = {
        {"boot", 0, OPT_FLAG, &manner.is_boot, NULL,
         "Waits up to HEALTH_TIMEOUT for what is still starting; prints the result on the console, too."},
        {"json", 0, OPT_FLAG, &manner.as_json, NULL, "Prints one JSON object."},
        {"monitor", 0, OPT_FLAG, &manner.is_monitor, NULL,
         "For webops-monitor.service: prints nothing, writes nothing to state, takes what is starting for no failure; exit 0."},
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
    r = root_fd < 0 ? root_fd : check(root_fd, &manner, &err);
    return r < 0 ? verb_failed(r, &err) : r;
}
