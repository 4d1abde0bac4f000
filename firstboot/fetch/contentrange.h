// SPDX-License-Identifier: Apache-2.0
// The value of a Content-Range header (RFC 9110, 14.4), as strictly as an update needs it. Pure.
#pragma once
#include "common/err.h"
#include <stdbool.h>
#include <stdint.h>

struct content_range {
    bool is_unsatisfied; // "bytes */total", which only a 416 may carry: first and last mean nothing
    uint64_t first, last, total; // first ≤ last < total ≤ CONTENT_RANGE_MAX
};
#define CONTENT_RANGE_MAX (UINT64_C(1) << 60)

// "bytes first-last/total" or "bytes */total", one space, decimal digits, nothing else around or between them: an unknown total ("*"), signs
// and other spaces are -EINVAL. `text` needs no end but `size`.
int content_range_parse(const char *text, size_t size, struct content_range *ret_range, struct err *err) must_check nonnull(1, 3, 4);
// Digits only, at most CONTENT_RANGE_MAX. Moves *text behind them.
bool decimal_take(const char **text, const char *end, uint64_t *ret_number) nonnull(1, 2, 3);
