// SPDX-License-Identifier: Apache-2.0
// Signals that ask us to end, noticed where it is safe: what was made elsewhere must be removed first. There are no handlers and no global state.
#pragma once
#include "common/err.h"
#include <stdint.h>

struct stop {
    int fd; // readable when a signal is there
    unsigned seen; // signals so far
    unsigned allowed; // signals that are borne; what finishes soon, or cleans up, bears one
};

// From here on SIGINT, SIGTERM and SIGHUP end nothing by themselves, unless they are ignored (builder/signals.h). Children get them as usual.
int stop_open(struct stop *ret_stop, struct err *err) must_check nonnull(1, 2);
void stop_done(struct stop *stop);
// -EINTR when more signals came than are borne.
int stop_check(struct stop *stop, struct err *err) must_check nonnull(1, 2);
// Sleeps, and ends early for a signal that is not borne.
int stop_sleep(struct stop *stop, int64_t ms, struct err *err) must_check nonnull(1, 3);

#define cleanup_stop cleanup(stop_done)
