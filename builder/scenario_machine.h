// SPDX-License-Identifier: Apache-2.0
// The machine of a scenario: power, waiting for verdicts, commands, its logs. What is expected of it is in scenario_steps.c.
#pragma once
#include "builder/machine.h"
#include "builder/machine_status.h"
#include "builder/remote.h"
#include "builder/scenario.h"
#include "builder/scenario_access.h"
#include "builder/vm.h"

#define SCENARIO_BUNDLE_DEVICE "/dev/disk/by-id/virtio-bundle"
#define SCENARIO_COMMAND_MS 120000
#define SCENARIO_UPDATE_MS 1200000
#define SCENARIO_MAX_STARTS 12 // more than any number of tries

struct scenario {
    const struct scenario_request *request;
    struct scenario_outcome *outcome; // of the step that runs
    struct scenario_access access;
    struct machine machine;
    struct vm vm;
    char **argv;
    char *logs, *console, *control, *bundle_drive; // directory; log of the machine that runs; paths and texts it needs
    unsigned console_count;
    struct remote remote;
    struct machine_status first, now; // before the update; at last
    const char *extra[5];
};

int scenario_machine_prepare(const struct scenario_request *request, struct scenario *scenario, struct err *err) must_check
    nonnull(1, 2, 3);
void scenario_machine_done(struct scenario *scenario);

// Starts the machine from `disk` (a qcow2 overlay), with a console log of its own.
int scenario_power_on(struct scenario *scenario, const char *disk, struct err *err) must_check nonnull(1, 2, 3);
// A clean power-off; the machine is ended when it takes too long.
void scenario_power_off(struct scenario *scenario) nonnull(1);
// Waits for the next verdict of a boot after the first `seen` ones: 0 = healthy, -EIO = unhealthy (what it says is in err), -ETIMEDOUT.
int scenario_wait_verdict(struct scenario *scenario, unsigned seen, struct err *err) must_check nonnull(1, 3);
// A line for the step's log.
void scenario_log(struct scenario *scenario, const char *fmt, ...) printf_like(2, 3) nonnull(1, 2);
// Runs a webops command as root and logs it. *ret_output may be NULL; the caller frees it. A status other than 0 is -EIO, with the last line
// of its standard error; `may_break`: a connection that the machine's restart breaks is success, too.
int scenario_command(struct scenario *scenario, const char *command, unsigned timeout_ms, bool may_break, char **ret_output,
                     struct err *err) must_check nonnull(1, 2, 6);
// `webops status --json` → scenario->now.
int scenario_look(struct scenario *scenario, struct err *err) must_check nonnull(1, 2);
