// SPDX-License-Identifier: Apache-2.0
// Written with plain write(2): what is printed is on its way when the function returns, and a reader that is slow holds up the network.
#include "firstboot/fetch/wire.h"
#include "common/file.h"
#include "firstboot/fetch/contentrange.h"
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/uio.h>

int wire_parse_request(const char *line, size_t size, uint64_t *ret_offset, uint64_t *ret_bytes, struct err *err) {
    const char *at = line, *end = line + size;
    uint64_t offset = 0, bytes = 0;
    if (!decimal_take(&at, end, &offset) || at == end || *at++ != ' ' || !decimal_take(&at, end, &bytes) || at != end)
        return err_set(err, -EINVAL, "a request is not '<offset> <bytes>'");
    if (!bytes || bytes > CONTENT_RANGE_MAX - offset)
        return err_set(err, -EINVAL, "a request is empty or too large");
    *ret_offset = offset;
    *ret_bytes = bytes;
    return 0;
}

static int write_parts(struct iovec *parts, int count) {
    while (count) {
        ssize_t written = writev(STDOUT_FILENO, parts, count);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -errno;
        for (size_t left = (size_t)written; count;) {
            size_t step = left < parts->iov_len ? left : parts->iov_len;
            parts->iov_base = (char *)parts->iov_base + step;
            parts->iov_len -= step;
            left -= step;
            if (parts->iov_len)
                break;
            parts++;
            count--;
        }
    }
    return 0;
}

int wire_data(uint64_t offset, const void *data, size_t size) {
    for (size_t done = 0; done < size;) {
        size_t piece = size - done < WIRE_MAX_PIECE_BYTES ? size - done : WIRE_MAX_PIECE_BYTES;
        char head[64];
        int length = snprintf(head, sizeof(head), "data %llu %zu\n", (unsigned long long)(offset + done), piece);
        struct iovec parts[] = {{head, (size_t)length}, {(char *)data + done, piece}};
        int r = write_parts(parts, 2);
        if (r < 0)
            return r;
        done += piece;
    }
    return 0;
}

int wire_print(const char *fmt, ...) {
    char line[1024];
    va_list args;
    va_start(args, fmt);
    int length = vsnprintf(line, sizeof(line) - 1, fmt, args);
    va_end(args);
    if (length < 0 || length >= (int)sizeof(line) - 1)
        return -EINVAL;
    line[length] = '\n';
    struct iovec part = {line, (size_t)length + 1};
    return write_parts(&part, 1);
}

int wire_failed(int code, const struct err *err) {
    char text[sizeof(err->text)];
    memcpy(text, err->text, sizeof(text));
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 127)
            *c = ' ';
    return wire_print("failed %s %s", code == -EAGAIN ? "again" : "permanent", text);
}
