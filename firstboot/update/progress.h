// SPDX-License-Identifier: Apache-2.0
// What `webops update` shows while it works: a bar with rate and remaining time on a terminal, a line now and then where output goes
// elsewhere, or one JSON object per line.
#pragma once
#include "firstboot/update/delta.h"
#include <jansson.h>
#include <stdbool.h>

struct progress {
    bool is_json, is_terminal;
    unsigned width; // of the terminal
    int last_tenth; // of the phase, as last printed to a file
    enum delta_phase last_phase;
    int64_t last_ms;
};
void progress_init(struct progress *progress, bool is_json) nonnull(1);
// A line of text, or {"event": "message", "text": …}.
void progress_say(struct progress *progress, const char *fmt, ...) printf_like(2, 3) nonnull(1, 2);
// Only with --json: the object gets "event" and "time"; it is stolen.
void progress_event(struct progress *progress, const char *event, json_t *object) nonnull(1, 2);
void progress_update(struct progress *progress, const struct delta_progress *delta) nonnull(1, 2);
// Removes the bar.
void progress_end(struct progress *progress) nonnull(1);

// Pure: one line of at most `width` columns, without line end.
#define PROGRESS_LINE_BYTES 256
void progress_format(const struct delta_progress *delta, unsigned width, char ret_line[PROGRESS_LINE_BYTES]) nonnull(1);
const char *progress_phase(enum delta_phase phase); // "comparing", "writing", "checking"
