// SPDX-License-Identifier: Apache-2.0
// Any bytes as Content-Range: what is accepted is consistent, and written again and read again it is the same.
#include "firstboot/fetch/contentrange.h"
#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct content_range range = {0}, again = {0};
    struct err err;
    if (content_range_parse((const char *)data, size, &range, &err) < 0)
        return 0;
    assert(range.total <= CONTENT_RANGE_MAX);
    assert(range.is_unsatisfied || (range.first <= range.last && range.last < range.total));
    char text[128];
    int length = range.is_unsatisfied ? snprintf(text, sizeof(text), "bytes */%llu", (unsigned long long)range.total)
                                      : snprintf(text, sizeof(text), "bytes %llu-%llu/%llu", (unsigned long long)range.first,
                                                 (unsigned long long)range.last, (unsigned long long)range.total);
    assert(content_range_parse(text, (size_t)length, &again, &err) == 0);
    assert(again.first == range.first && again.last == range.last && again.total == range.total);
    return 0;
}
