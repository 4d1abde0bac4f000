// SPDX-License-Identifier: Apache-2.0
// A maintenance window: "03:00-05:00", "Sun 03:00-05:00", "Mon-Fri 22:00-02:00", "Sat,Sun 00:00-24:00". Local time. Pure.
#pragma once
#include "common/cleanup.h"
#include <stdbool.h>

struct window {
    unsigned days; // bit 0 = Sunday … bit 6 = Saturday: on which it opens
    int start_minute, end_minute; // of the day, 0 … 1439 and 1 … 1440; an end before the start lies on the next day
};

// False when the text is no window: unknown day, hour or minute out of range, start equal to end.
bool window_parse(const char *text, struct window *ret_window) must_check nonnull(1, 2);
// Whether it is open on this weekday (0 = Sunday, as tm_wday) at this minute of the day. The end itself is outside.
bool window_is_open(const struct window *window, int weekday, int minute) nonnull(1);
