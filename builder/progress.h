// SPDX-License-Identifier: Apache-2.0
// Stage lines of a long run: a live line with a bar and elapsed time on a terminal, one plain line per finished stage in a pipe, JSON
// events for programs. Writes to standard error (JSON to standard output).
#pragma once
#include "common/cleanup.h"
#include <stdbool.h>
#include <stdint.h>

enum progress_style { PROGRESS_TERMINAL, PROGRESS_LINES, PROGRESS_JSON };

struct progress;

// `stages` is how many stages the whole run has. The style for the run: JSON when asked for, else by whether standard error is a terminal.
struct progress *progress_new(unsigned stages, bool json);
// Ends the run: clears the live line.
void progress_free(struct progress *progress);
// A stage begins; `label` is copied.
void progress_start(struct progress *progress, const char *label) nonnull(1, 2);
// How far the stage is: bytes of a total that may be 0 = unknown; on a terminal with rate and remaining time, as JSON twice a second. Cheap;
// may be called often.
void progress_update(struct progress *progress, uint64_t done, uint64_t total) nonnull(1);
// The stage is over; `outcome` is one word or phrase ("built", "cached", "failed"). Returns its seconds.
double progress_end(struct progress *progress, const char *outcome) nonnull(1, 2);

static inline void progress_free_fn(struct progress **progress) {
    if (*progress)
        progress_free(*progress);
}
#define cleanup_progress cleanup(progress_free_fn)
