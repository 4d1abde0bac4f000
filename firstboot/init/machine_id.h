// SPDX-License-Identifier: Apache-2.0
// The machine's identity, machine-id(5).
#pragma once
#include "common/err.h"
#include <stdbool.h>
#include <stdint.h>

#define MACHINE_ID_TEXT_BYTES 34 // 32 hex digits, line feed, NUL

// True for 32 lower-case hex digits, not all zero, and nothing behind them but at most one line feed.
bool machine_id_is_valid(const char *text) nonnull(1);
// Random bytes as an identity: a version 4, variant 1 UUID without dashes, as machine-id(5) recommends.
void machine_id_format(const uint8_t random[16], char ret_text[MACHINE_ID_TEXT_BYTES]);
// The identity kept in `machine-id` of a directory; made and stored durably when missing or malformed, unless `is_read_only`: then it
// lasts for this boot. *ret_is_new says which.
int machine_id_load(int dir_fd, bool is_read_only, char ret_text[MACHINE_ID_TEXT_BYTES], bool *ret_is_new, struct err *err) must_check
    nonnull(4, 5);
