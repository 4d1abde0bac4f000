// SPDX-License-Identifier: Apache-2.0
// How long an answer that does not come, or says "not now", is borne: about a minute, with growing pauses. What may be asked again is for the caller to know.
#pragma once
#include "builder/upload/stop.h"

struct patience { // one for all tries of one request
    struct stop *stop; // NULL: signals end the program
    int64_t end_ms, pause_ms; // 0 = the first try has not failed yet
};

// After a try that failed with `r` and `err`. 0: a pause was made, try again. `r`, and `err` as it is: the minute is over. -EINTR: a signal came.
int patience_wait(struct patience *patience, int r, struct err *err) must_check nonnull(1, 3);
