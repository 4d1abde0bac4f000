// SPDX-License-Identifier: Apache-2.0
// A boot as a drawing: one bar per stage, from what the console showed and when. Pure text.
#pragma once
#include "common/buf.h"
#include <stdbool.h>
#include <stdint.h>

#define TIMELINE_MAX_STAGES 16

struct timeline_stage {
    const char *name; // borrowed; plain ASCII without markup characters
    int64_t start_ms; // since power-on
};

struct timeline {
    struct timeline_stage stages[TIMELINE_MAX_STAGES];
    unsigned count;
};

// The stage `name` begins at `start_ms`. More than TIMELINE_MAX_STAGES (a machine that reboots again and again) are not recorded.
void timeline_add(struct timeline *timeline, const char *name, int64_t start_ms) nonnull(1, 2);
// An SVG document; `title` as the names above. The last stage is a point: it has begun, that is what was waited for.
void timeline_format(const struct timeline *timeline, const char *title, struct buf *svg) nonnull(1, 2, 3);
