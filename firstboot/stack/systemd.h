// SPDX-License-Identifier: Apache-2.0
// systemd as the engine of stacks sees it: states of units, jobs, mount units, last log lines. Through its own programs.
#pragma once
#include "common/buf.h"
#include "common/err.h"
#include <stdbool.h>

enum systemd_state { SYSTEMD_INACTIVE, SYSTEMD_ACTIVE, SYSTEMD_CHANGING, SYSTEMD_FAILED, SYSTEMD_MISSING };
struct systemd_unit {
    enum systemd_state state; // CHANGING: a job is queued or runs, or it restarts by itself
    bool is_condition_unmet; // it was not started because a Condition…= of its does not hold
    char result[32]; // "success", "exit-code", …
};
// What `systemctl show` printed for `count` units: paragraphs in the order asked for. Pure. -EINVAL when they are not as many.
int systemd_parse_show(const char *text, size_t count, struct systemd_unit *ret_units, struct err *err) must_check nonnull(1, 3, 4);
int systemd_show(const char *const *names, size_t count, struct systemd_unit *ret_units, struct err *err) must_check nonnull(1, 3, 4);
// `systemctl <verb> <unit>`; without waiting for the job's end unless is_blocking. `unit` NULL: none ("daemon-reload").
int systemd_act(const char *verb, const char *unit, bool is_blocking, struct err *err) must_check nonnull(1, 4);
// The last three lines in the journal of the unit's own processes (of the service manager about the unit when there are none), and before them the
// nearest one of the last 30 that tells of a failure, joined by " | ", each cut to 200 bytes, control characters blanked.
void systemd_last_lines(const char *unit, struct buf *text) nonnull(1, 2);
