// SPDX-License-Identifier: Apache-2.0
// 0.5, 1, 2, 4, then 8 s between tries.
#include "builder/upload/patience.h"
#include "common/clock.h"
#include "common/log.h"

#define PATIENCE_MS (60 * 1000)
#define FIRST_PAUSE_MS 500
#define LAST_PAUSE_MS 8000
#define TOLD_PAUSE_MS 4000 // what is over sooner is nobody's business

int patience_wait(struct patience *patience, int r, struct err *err) {
    if (!patience->end_ms)
        *patience = (struct patience){patience->stop, clock_ms() + PATIENCE_MS, FIRST_PAUSE_MS};
    int64_t pause = patience->pause_ms;
    if (clock_ms() + pause > patience->end_ms)
        return r;
    if (pause == TOLD_PAUSE_MS)
        log_info("%s; asking again for a minute", err->text);
    patience->pause_ms = 2 * pause < LAST_PAUSE_MS ? 2 * pause : LAST_PAUSE_MS;
    if (patience->stop)
        return stop_sleep(patience->stop, pause, err);
    clock_sleep_ms(pause);
    return 0;
}
