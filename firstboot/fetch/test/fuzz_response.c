// SPDX-License-Identifier: Apache-2.0
// Any bytes as the lines of an answer's head: limits hold, values are texts, and only an answer that fits is taken.
#include "firstboot/fetch/response.h"
#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void judge(const struct response *response) {
    static const struct wanted questions[] = {{0, 9, false}, {5, 2000, false}, {0, 0, true}};
    for (size_t i = 0; i < ARRAY_SIZE(questions); i++) {
        struct identity identity = {.has_total = true, .total = 10, .etag = "\"one\""};
        struct err err = {0};
        enum verdict verdict = response_judge(response, &questions[i], &identity, &err);
        assert(identity.total == 10 || verdict == VERDICT_CHANGED || verdict == VERDICT_REFUSED);
        assert(verdict != VERDICT_PART || (response->status == 206 && !questions[i].is_whole));
        assert(verdict != VERDICT_WHOLE || response->status == 200);
        assert((verdict != VERDICT_REFUSED && verdict != VERDICT_CHANGED) || err.text[0]);
    }
    int64_t wait = retry_after_ms(response->values[RESPONSE_RETRY], 1700000000, 60000);
    assert(wait == 0 || (wait >= 1000 && wait <= 60000));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct response response = {0};
    struct err err;
    const char *line = (const char *)data, *end = line + size;
    while (line < end) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        const char *next = newline ? newline + 1 : end;
        if (response_line(&response, line, (size_t)(next - line), &err) < 0)
            return 0;
        line = next;
        assert(response.lines <= RESPONSE_MAX_LINES && response.bytes <= RESPONSE_MAX_BYTES);
    }
    for (int i = 0; i < RESPONSE_HEADERS; i++)
        assert(memchr(response.values[i], 0, RESPONSE_VALUE_BYTES));
    if (response.is_complete)
        judge(&response);
    return 0;
}
