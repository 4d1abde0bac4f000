// SPDX-License-Identifier: Apache-2.0
// Any bytes as what webops-fetch says: a frame that is accepted is within its limits.
#include "firstboot/update/fetcher.h"
#include <assert.h>
#include <errno.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *line = (const char *)data, *end = line + size;
    while (line < end) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        size_t length = (size_t)((newline ? newline : end) - line);
        struct frame frame;
        struct err err;
        int r = frame_parse(line, length, &frame, &err);
        assert(r == 0 || r == -EPROTO);
        if (r == 0) {
            assert(frame.kind != FRAME_DATA || (frame.bytes > 0 && frame.bytes <= FRAME_MAX_DATA_BYTES));
            assert(frame.kind != FRAME_DATA || frame.offset + frame.bytes > frame.offset);
            assert(frame.kind != FRAME_FAILED || (frame.text < length && (frame.code == -EAGAIN || frame.code == -EIO)));
        }
        line += length + 1;
    }
    return 0;
}
