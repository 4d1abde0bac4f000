// SPDX-License-Identifier: Apache-2.0
// Numbers into words; who shows them, and where, decides for itself.
#include "common/meter.h"
#include <inttypes.h>
#include <stdio.h>

const char *meter_size(uint64_t bytes, char ret_text[METER_SIZE_BYTES]) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double size = (double)bytes;
    size_t unit = 0;
    for (; size >= 1024 && unit + 1 < ARRAY_SIZE(units); unit++)
        size /= 1024;
    snprintf(ret_text, METER_SIZE_BYTES, unit ? "%.1f %s" : "%.0f %s", size, units[unit]);
    return ret_text;
}

unsigned meter_percent(uint64_t done, uint64_t total) {
    if (done >= total)
        return total ? 100 : 0;
    return (unsigned)((double)done * 100 / (double)total);
}

void meter_format(uint64_t done, uint64_t total, uint64_t rate, char ret_text[METER_BYTES]) {
    char text[METER_SIZE_BYTES];
    int length = snprintf(ret_text, METER_BYTES, "%3u %%", meter_percent(done, total));
    if (rate == 0 || done > total)
        return;
    uint64_t left = (total - done) / rate;
    snprintf(ret_text + length, METER_BYTES - (size_t)length, "  %s/s  %" PRIu64 ":%02" PRIu64 " left", meter_size(rate, text), left / 60,
             left % 60);
}
