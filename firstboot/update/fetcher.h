// SPDX-License-Identifier: Apache-2.0
// A webops-fetch --ranges child: started, asked, listened to, stopped. What its frames mean for a download is source.c's business.
#pragma once
#include "common/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum frame_kind { FRAME_DATA, FRAME_END, FRAME_WHOLE, FRAME_TRAFFIC, FRAME_ALIVE, FRAME_FAILED };
struct frame {
    enum frame_kind kind;
    uint64_t offset, bytes; // DATA: bytes ≤ FRAME_MAX_DATA_BYTES; TRAFFIC: bytes
    unsigned requests; // TRAFFIC
    int code; // FAILED: -EAGAIN or -EIO
    size_t text; // FAILED: where the text begins in the line
};
#define FRAME_MAX_LINE_BYTES 1024
#define FRAME_MAX_DATA_BYTES (64 << 10)
// A line without its newline. docs/FORMATS.md, "Fetch protocol". Pure.
int frame_parse(const char *line, size_t size, struct frame *ret_frame, struct err *err) must_check nonnull(1, 3, 4);

struct fetcher;
// `arguments`: further options, NULL-terminated; NULL = none. The child's environment is empty.
int fetcher_start(const char *program, const char *const *arguments, const char *url, struct fetcher **ret_fetcher,
                  struct err *err) must_check nonnull(1, 3, 4, 5);
// Kills it. NULL is allowed.
void fetcher_stop(struct fetcher *fetcher);
// At most FETCHER_AHEAD requests may be unanswered.
#define FETCHER_AHEAD 16
int fetcher_ask(struct fetcher *fetcher, uint64_t offset, uint64_t bytes, struct err *err) must_check nonnull(1, 4);
// The next frame; of DATA what has arrived of it (at least a byte), at *ret_data until fetcher_used() tells how much of it was taken. Waits at
// most a minute for any sign of life. FAILED and the child's death are returned as errors.
int fetcher_next(struct fetcher *fetcher, struct frame *ret_frame, const void **ret_data, struct err *err) must_check nonnull(1, 2, 3, 4);
void fetcher_used(struct fetcher *fetcher, size_t size) nonnull(1);
