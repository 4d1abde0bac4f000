// SPDX-License-Identifier: Apache-2.0
// The lines between webops and webops-fetch --ranges: docs/FORMATS.md, "Fetch protocol". firstboot/update/fetcher.c is the other side.
#pragma once
#include "common/err.h"
#include <stdint.h>

#define WIRE_MAX_REQUEST_BYTES 64 // with its newline
#define WIRE_MAX_PIECE_BYTES (64 << 10) // of one "data" frame

// "<offset> <bytes>" without newline: decimal digits, bytes > 0, the end below CONTENT_RANGE_MAX.
int wire_parse_request(const char *line, size_t size, uint64_t *ret_offset, uint64_t *ret_bytes, struct err *err) must_check
    nonnull(1, 3, 4, 5);
// Frames on standard output. -EPIPE when nobody reads.
int wire_data(uint64_t offset, const void *data, size_t size) must_check nonnull(2);
int wire_print(const char *fmt, ...) must_check printf_like(1, 2) nonnull(1);
// "failed again …" for -EAGAIN, else "failed permanent …": one line without control characters.
int wire_failed(int code, const struct err *err) must_check nonnull(2);
