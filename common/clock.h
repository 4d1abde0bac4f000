// SPDX-License-Identifier: Apache-2.0
// Elapsed time. Wall-clock time is the caller's business.
#pragma once
#include <stdint.h>
#include <time.h>

// Milliseconds since an arbitrary start; never goes backwards (CLOCK_MONOTONIC, which stands still while the machine sleeps).
static inline int64_t clock_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

// Sleeps; a signal may end it early.
static inline void clock_sleep_ms(int64_t ms) {
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
}

#define CLOCK_REST_MAX_MS 30000

// How long to rest after a turn of polling that took `turn_ms`: four times as long, so that looking takes a fifth of a processor at most and is
// not what keeps a machine at its limit from getting ready; at least `least_ms`, at most CLOCK_REST_MAX_MS.
static inline int64_t clock_rest_ms(int64_t turn_ms, int64_t least_ms) {
    int64_t ms = turn_ms * 4 < CLOCK_REST_MAX_MS ? turn_ms * 4 : CLOCK_REST_MAX_MS;
    return ms > least_ms ? ms : least_ms;
}
