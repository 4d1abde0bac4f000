// SPDX-License-Identifier: Apache-2.0
// Columns: UNIT LOAD ACTIVE SUB DESCRIPTION.
#include "firstboot/units.h"
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

// One judges the machine, too, at any time. The other fails when a server does: what a server answers makes no machine unhealthy, and it is in
// `webops status`.
static const char *const left_out[] = {"webops-monitor.service", "webops-update.service"};

static bool is_left_out(const char *unit) {
    for (size_t i = 0; i < ARRAY_SIZE(left_out); i++)
        if (strcmp(unit, left_out[i]) == 0)
            return true;
    return false;
}

int units_judge(const char *list, const char *ourselves, struct err *err) {
    int r = 0;
    for (const char *line = list; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        char unit[256], load[32], active[32];
        if (sscanf(line, " %255s %31s %31s", unit, load, active) != 3 || strcmp(unit, ourselves) == 0 || is_left_out(unit))
            continue;
        if (strcmp(active, "failed") == 0)
            return err_set(err, -EIO, "%s has failed", unit);
        if (r == 0 && strcmp(active, "activating") == 0)
            r = err_set(err, -EAGAIN, "%s is still starting", unit);
    }
    return r;
}
