// SPDX-License-Identifier: Apache-2.0
// Health of this machine: a table of checks, run until all pass, one fails for good, or time is up.
#pragma once
#include "common/config.h"
#include <jansson.h>
#include <stdbool.h>

#define HEALTH_PATH "run/webops/health.json"

struct health_context {
    int root_fd;
    const struct config *record; // the init's boot record
    const json_t *report; // of `webops apply`; NULL when it never ran
    const void *data; // of the check that runs; set by health_run()
    bool stops_at_failure; // what comes behind the first failure stays unasked, and counts as failed
    bool is_monitor; // every half minute while the machine works: nothing is written to state, and what is being started is no failure
};

enum health_failure {
    HEALTH_CURABLE, // waiting may help
    HEALTH_FINAL, // waiting does not help
    HEALTH_VAGUE, // says less than any other, by whose name the machine is then called unhealthy
};

// One check: 0 = passes, 1 = does not apply to this machine, negative = fails and err says why.
struct health_check {
    const char *name;
    int (*run)(const struct health_context *context, struct err *err);
    enum health_failure failure;
    const void *data; // for `run`, in its context
};
// The checks of every machine, ended by name == NULL. Those of stacks come behind them: firstboot/stack/checks.h.
extern const struct health_check health_base_checks[];

struct health_result {
    const char *name;
    int code; // as returned
    struct err why; // of a failure
};
struct health {
    struct health_result *results; // in the table's order
    size_t count;
    const struct health_result *failed; // the first failure that says most; NULL = healthy
};

void health_done(struct health *health);
// Repeats the failing checks every second, less often when they take long, one behind the other, for at most `timeout_seconds` (0 = once).
void health_run(const struct health_check *checks, const struct health_context *context, unsigned timeout_seconds,
                struct health *ret_health) nonnull(1, 2, 4);
// A setting of the last `webops apply`, from its report.
int health_setting(const struct health_context *context, const char *name, int fallback) nonnull(1, 2);
// "healthy: quickstart 1.0 slot a, 9 checks" or "unhealthy: sshd: …".
char *health_line(const struct health *health, const struct config *record) nonnull(1, 2);
json_t *health_json(const struct health *health, const struct config *record) nonnull(1, 2);

#define cleanup_health cleanup(health_done)
