// SPDX-License-Identifier: Apache-2.0
// A file by HTTP(S) as a pipe. Who asks and reads the answers is a process of its own, which is nobody when we are root: it holds no disk, and
// writes nothing but the pipe.
#pragma once
#include "builder/flash/http.h"

struct stream;

// Asks, and returns when the answer has begun. *ret_fd gives the bytes, and is the caller's. Errors are http_start()'s.
int stream_new(const char *url, const struct http_options *options, struct stream **ret_stream, int *ret_fd, struct err *err) must_check
    nonnull(1, 2, 3, 4, 5);
// At the pipe's end: 0 when it is the file's end, too, else what http_read() failed with.
int stream_end(struct stream *stream, struct err *err) must_check nonnull(1, 2);
void stream_free(struct stream *stream);
// A whole file of at most `max_bytes` into memory, which the caller frees. -EFBIG: it is larger.
int stream_fetch(const char *url, const struct http_options *options, size_t max_bytes, char **ret_data, size_t *ret_size,
                 struct err *err) must_check nonnull(1, 2, 4, 5, 6);
