// SPDX-License-Identifier: Apache-2.0
// /var/log/webops/webops.log: one JSON object per line for every action that changed something. Never a value of the configuration.
#pragma once
#include "common/cleanup.h"

#define ACTIONLOG_PATH "var/log/webops/webops.log"
#define ACTIONLOG_MAX_BYTES (1 << 20) // then it becomes webops.log.1, which replaces an older one

// Appends {"time", "stage", "action", "object", "result"}; `result` is "ok" or an error text. A log that cannot be written is a warning
// and nothing else.
void actionlog_write(int root_fd, const char *stage, const char *action, const char *object, const char *result) nonnull(2, 3, 4, 5);
// "2026-11-21T09:30:00Z" of now.
struct actionlog_time {
    char text[24];
};
struct actionlog_time actionlog_now(void);
