// SPDX-License-Identifier: Apache-2.0
// The update engine: a table of steps, each of which can be done again. After an interruption at any point the next run goes through the
// same table and finds done what is done. docs/UPDATES.md has the steps, and what a power cut does at each.
#pragma once
#include "firstboot/update/machine.h"
#include "firstboot/update/progress.h"
#include <stdbool.h>

#define UPDATE_LOCK_PATH "var/lib/webops/update/lock"

struct update_options {
    const char *location; // path or address; NULL: the interrupted update's, else UPDATE_URL
    const char *channel; // NULL: UPDATE_CHANNEL, else the image's
    bool is_plan; // says what would be done, and what speaks against it
    bool wants_reboot;
    bool is_forced; // takes rejected and older generations
    bool is_automatic; // by the timer: nothing unless UPDATE_AUTO, and only inside UPDATE_WINDOW
    void (*after_step)(const char *step); // for tests; NULL = none
};
enum update_result {
    UPDATE_NOTHING, // this generation runs, or waits for its trial already
    UPDATE_PLANNED,
    UPDATE_PUBLISHED, // it is on trial with the next restart
    UPDATE_REBOOT, // the same, and the caller restarts the machine now
};
// -EBUSY: another update, or a trial, is under way; -EPERM: the policy refuses; others as of the modules it calls.
int update_run(const struct machine *machine, const struct update_options *options, struct progress *progress, struct err *err) must_check
    nonnull(1, 2, 3, 4);
// Takes the lock on updates: a descriptor that holds it, or -EBUSY with the number of the process that has it.
int update_lock(int root_fd, struct err *err) must_check nonnull(2);
