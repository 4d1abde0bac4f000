// SPDX-License-Identifier: Apache-2.0
// One bounded GET over libcurl.
#pragma once
#include "common/buf.h"
#include "common/err.h"
#include <stdbool.h>

#define TRANSFER_MAX_BYTES (64 << 20)
#define TRANSFER_MAX_SECONDS 3600

struct transfer {
    const char *url; // http or https
    const char *header; // one more request header; NULL = none
    size_t max_bytes;
    long timeout_seconds; // for all of it
    bool missing_ok; // 404 and 204 give an empty body
};

// -EAGAIN: no answer, a broken one, or 408, 429, 5xx: later it may work. -EFBIG: larger than max_bytes. -EIO: any other refusal.
// Redirects are followed to http and https only, at most 5.
int transfer_run(const struct transfer *transfer, struct buf *ret_body, struct err *err) must_check nonnull(1, 2, 3);
