// SPDX-License-Identifier: Apache-2.0
// One file by HTTP(S), as a stream of bytes that goes on where it broke. For a program that has no library for it (libcurl has no static one).
#pragma once
#include "builder/flash/connection.h"
#include "builder/flash/httphead.h"
#include "builder/flash/url.h"

struct http_options {
    const char *ca_file; // NULL: the certificates of this system
    struct connection_limits limits; // 30 s of silence, 60 s of trickling
    unsigned tries; // in a row that brought less than HTTP_WORTH_BYTES; 8
    unsigned backoff_ms; // before the second try; 1 s, doubles up to 30 s
};
#define HTTP_DEFAULTS                                                                                                                      \
    { .limits = {.timeout_ms = 30000, .slow_ms = 60000}, .tries = 8, .backoff_ms = 1000 }
#define HTTP_WORTH_BYTES ((uint64_t)64 << 10)

struct http {
    struct http_options options;
    struct url url;
    struct tls *tls; // NULL: for http only
    struct connection connection;
    uint64_t at, total; // of the file
    uint64_t begun_at; // where this connection's part of it begins
    char etag[HTTP_VALUE_BYTES]; // of the first answer, when it stands for the very bytes
    unsigned failures; // in a row
    size_t in_at, in_size; // of `in`: read behind a head, and not yet used
    char in[HTTP_HEAD_MAX_BYTES];
};

// Reads the address and what is to be trusted. Asks nobody yet.
int http_init(const char *url, const struct http_options *options, struct http *ret_http, struct err *err) must_check nonnull(1, 2, 3, 4);
// Asks for the file, along at most five redirections, from https to https only. -ENOENT: 404 or no such host; -EAGAIN: later it may work; -EACCES: 403; -EPERM:
// a certificate (but one that is not valid yet: -EAGAIN) or a redirection that is not to be trusted; -EPROTO: an answer that is not understood.
int http_start(struct http *http, struct err *err) must_check nonnull(1, 2);
// At least one byte; 0 at the file's end. A connection that breaks, or whose server is slower than the limits, is begun again at the next byte:
// -EAGAIN when that failed too often, -ESTALE when the file is another one by then, or the server gives no parts.
ssize_t http_read(struct http *http, void *data, size_t size, struct err *err) must_check nonnull(1, 2, 4);
void http_done(struct http *http);
