// SPDX-License-Identifier: Apache-2.0
// The head of an HTTP/1 answer (RFC 9112), as strictly as fetching one file needs it. Pure.
#pragma once
#include "common/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEAD_MAX_BYTES 16384
#define HTTP_VALUE_BYTES 2048
#define HTTP_MAX_LENGTH ((uint64_t)1 << 60)

enum http_header { HTTP_LENGTH, HTTP_RANGE, HTTP_TRANSFER, HTTP_CODING, HTTP_ETAG, HTTP_LOCATION, HTTP_HEADERS };

struct http_head {
    unsigned status;
    char values[HTTP_HEADERS][HTTP_VALUE_BYTES]; // "" = not there
    bool has_length;
    uint64_t length; // of the body
    bool has_range;
    uint64_t first, total; // of a part (206): where it begins, and how large the whole file is
};

// Bytes up to and with the empty line; 0 when it is not there yet.
size_t http_head_size(const char *data, size_t size) nonnull(1);
// -EPROTO: no HTTP, a header that contradicts another one, or a body in a form that is not read here (in chunks, compressed on the way).
int http_head_parse(const char *data, size_t size, struct http_head *ret_head, struct err *err) must_check nonnull(1, 3, 4);
// An ETag that stands for the very bytes, and not only for what they mean.
bool http_is_strong(const char *etag) nonnull(1);
