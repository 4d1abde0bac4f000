// SPDX-License-Identifier: Apache-2.0
// One pass from left to right; no number is taken that does not fit.
#include "firstboot/fetch/contentrange.h"
#include <errno.h>
#include <string.h>

bool decimal_take(const char **text, const char *end, uint64_t *ret_number) {
    const char *c = *text;
    uint64_t number = 0;
    for (; c < end && *c >= '0' && *c <= '9'; c++) {
        if (number > CONTENT_RANGE_MAX / 10) // so that ten times it fits
            return false;
        number = number * 10 + (uint64_t)(*c - '0');
    }
    if (c == *text || number > CONTENT_RANGE_MAX)
        return false;
    *text = c;
    *ret_number = number;
    return true;
}

static bool take_text(const char **text, const char *end, const char *expected) {
    size_t size = strlen(expected);
    if ((size_t)(end - *text) < size || memcmp(*text, expected, size) != 0)
        return false;
    *text += size;
    return true;
}

int content_range_parse(const char *text, size_t size, struct content_range *ret_range, struct err *err) {
    const char *at = text, *end = text + size;
    struct content_range range = {0};
    if (!take_text(&at, end, "bytes "))
        return err_set(err, -EINVAL, "Content-Range does not begin with 'bytes '");
    range.is_unsatisfied = take_text(&at, end, "*");
    if (!range.is_unsatisfied &&
        (!decimal_take(&at, end, &range.first) || !take_text(&at, end, "-") || !decimal_take(&at, end, &range.last)))
        return err_set(err, -EINVAL, "Content-Range names no first and last byte");
    if (!take_text(&at, end, "/") || !decimal_take(&at, end, &range.total) || at != end)
        return err_set(err, -EINVAL, "Content-Range names no total size");
    if (!range.is_unsatisfied && (range.first > range.last || range.last >= range.total))
        return err_set(err, -EINVAL, "Content-Range contradicts itself");
    *ret_range = range;
    return 0;
}
