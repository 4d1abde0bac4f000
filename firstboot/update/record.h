// SPDX-License-Identifier: Apache-2.0
// Small text files on state, in config.env syntax with a check value as last line: what the update engine remembers must be either what was
// written or nothing. Used by journal, floors and ledger.
#pragma once
#include "common/buf.h"
#include "common/config.h"
#include "common/err.h"
#include <stdint.h>

#define UPDATE_DIR "var/lib/webops/update"
#define RECORD_MAX_BYTES (128 << 10)

// Adds the check value and publishes the file, mode 0600, its directory 0700.
int record_save(int root_fd, const char *path, const struct buf *text, struct err *err) must_check nonnull(2, 3, 4);
// 1 and the text without the check value (the caller frees), or 0 when there is none. A damaged file (check value, size, owner, mode, not a
// file) is renamed to <path>.damaged, logged, and counts as none.
int record_load(int root_fd, const char *path, char **ret_text, struct err *err) must_check nonnull(2, 3, 4);
// Puts a file aside whose content makes no sense although its check value is right, with the reason in the log.
void record_put_aside(int root_fd, const char *path, const char *why) nonnull(2, 3);

// Pure: 0 and the size without the last line, or -EINVAL.
int record_check(const char *text, size_t size, size_t *ret_size, struct err *err) must_check nonnull(1, 3, 4);

// Readers of single values. -EINVAL names the key; "" is a missing text.
int record_text(const struct config *config, const char *key, char *ret_text, size_t capacity, struct err *err) must_check
    nonnull(1, 2, 3, 5);
int record_number(const struct config *config, const char *key, int64_t *ret_number, struct err *err) must_check nonnull(1, 2, 3, 4);
int record_hash(const struct config *config, const char *key, uint8_t ret_hash[32], struct err *err) must_check nonnull(1, 2, 3, 4);
// Appends KEY=value; control characters, and the single quote that no quoting can carry beside a $, become others.
void record_add(struct buf *text, const char *key, const char *value) nonnull(1, 2, 3);
void record_add_number(struct buf *text, const char *key, int64_t number) nonnull(1, 2);
void record_add_hash(struct buf *text, const char *key, const uint8_t hash[32]) nonnull(1, 2, 3);
