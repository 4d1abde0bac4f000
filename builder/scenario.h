// SPDX-License-Identifier: Apache-2.0
// The scenarios of `webops-image test`: a table of steps that a machine goes through, on a throw-away disk. Results are printed and reported
// by the verb.
#pragma once
#include "builder/machine.h"
#include "common/err.h"
#include <stdbool.h>
#include <stdint.h>

#define SCENARIO_MAX_STEPS 8

struct scenario_request {
    struct machine_request machine; // image, firmware, configuration, memory, …; extra, serial and keep are ours
    const char *ssh_key; // private key of the configuration's OPERATOR_USER; NULL = not given
    const char *update; // a bundle; NULL = only the boot
    const char *log_dir; // NULL = logs are thrown away
    bool wants_rollback;
    long timeout_s; // for each boot
};

struct scenario; // what runs
struct scenario_step {
    const char *name; // of the log file and in reports
    const char *title; // for people
    bool needs_update, needs_rollback; // left out unless asked for
    int (*run)(struct scenario *scenario, struct err *err);
};
extern const struct scenario_step scenario_steps[]; // ended by a step without name

enum scenario_result { SCENARIO_NOT_RUN, SCENARIO_PASSED, SCENARIO_FAILED };
struct scenario_outcome {
    const struct scenario_step *step;
    enum scenario_result result;
    int64_t duration_ms;
    char note[200]; // what was found, one line
    char *log; // path of the step's log; in the log directory, or gone when the scenario ends
    char *log_text; // its end
    struct err problem; // of a failed step
};
struct scenario_outcomes {
    struct scenario_outcome items[SCENARIO_MAX_STEPS];
    size_t count;
};
void scenario_outcomes_done(struct scenario_outcomes *outcomes);

// -EINVAL for a request that contradicts itself.
int scenario_check(const struct scenario_request *request, struct err *err) must_check nonnull(1, 2);
// Whether what it names can be opened, and its bundle is one, before a machine is started: -EBADMSG, or why it cannot be opened.
int scenario_check_files(const struct scenario_request *request, struct err *err) must_check nonnull(1, 2);
// The steps of a request, in order. Pure.
void scenario_plan(const struct scenario_request *request, struct scenario_outcomes *ret_outcomes) nonnull(1, 2);
// Runs the planned steps until one fails; `tell` is called after each. A failed step is not a failure of this function: see the outcomes.
// Everything that was started is stopped, everything but the log directory is removed.
int scenario_run(const struct scenario_request *request, struct scenario_outcomes *outcomes, void (*tell)(const struct scenario_outcome *),
                 struct err *err) must_check nonnull(1, 2, 3, 4);

#define cleanup_scenario_outcomes cleanup(scenario_outcomes_done)
