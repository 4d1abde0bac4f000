// SPDX-License-Identifier: Apache-2.0
// What happens to a generation between its first start and its commit or rejection: the verbs `webops trial …`, which units call.
// docs/UPDATES.md has the table of who does what when.
#pragma once
#include "firstboot/update/machine.h"

#define TRIAL_HEALTH_STARTED_PATH "run/webops/health-started" // CLOCK_BOOTTIME seconds at which `webops health --boot` began
#define TRIAL_MARGIN_SECONDS 120 // beyond HEALTH_TIMEOUT: the boot before it, and hashing the slot

enum trial_result {
    TRIAL_NOTHING, // this boot is no trial
    TRIAL_GOES_ON,
    TRIAL_DONE, // committed, rejected, or judged
    TRIAL_RESTART, // the caller restarts the machine now
};

// Early in a boot: counts an attempt on state when this is the generation on trial. More attempts than tries: the boot loader could not
// count (a write-protected ESP), so the trial is rejected here, and the good slot is made the next one by other means.
int trial_start(const struct machine *machine, struct err *err) must_check nonnull(1, 2);
// After health: the running generation becomes good in all backends, floors are raised. Does nothing when there is nothing to commit.
int trial_commit(const struct machine *machine, struct err *err) must_check nonnull(1, 2);
// This boot of a trial has failed: ledger, entry bad, TRIAL_RESTART. On a machine that is not on trial nothing happens.
// `check` NULL: from health.json.
int trial_fail(const struct machine *machine, const char *stage, const char *check, const char *reason, struct err *err) must_check
    nonnull(1, 2, 5);
// On the old slot: finds out why the trial did not make it, if it did not.
int trial_review(const struct machine *machine, struct err *err) must_check nonnull(1, 2);
// The operator's word: the running generation is bad, the other one, which must be good, is next. TRIAL_RESTART.
int trial_rollback(const struct machine *machine, struct err *err) must_check nonnull(1, 2);
// Whether rollback would work: 0 and the entry it goes to, or what speaks against it.
int trial_rollback_check(const struct machine *machine, int esp_fd, struct err *err) must_check nonnull(1, 3);

// 1 when the running generation is the one on trial.
int trial_is_running(const struct machine *machine, const struct journal *journal) nonnull(1, 2);
// Seconds of CLOCK_BOOTTIME at which a trial that has not been decided is taken for hung. `health_started` < 0: health has not begun.
int64_t trial_deadline(int64_t health_timeout, int64_t health_started);
