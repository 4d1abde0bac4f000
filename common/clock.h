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
