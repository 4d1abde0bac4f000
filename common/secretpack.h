// SPDX-License-Identifier: Apache-2.0
// Secrets by name in one piece of memory: what is inside the envelope of a seed. Format: docs/FORMATS.md. No I/O.
#pragma once
#include "common/buf.h"
#include "common/err.h"
#include <stddef.h>

#define SECRETPACK_MAX_SECRETS 64
#define SECRETPACK_MAX_BYTES ((SECRETPACK_MAX_SECRETS * (64 << 10)) + (64 << 10))

// Starts an empty pack.
void secretpack_begin(struct buf *pack) nonnull(1);
// `name` passes schema_is_secret_name() (assert), at most SCHEMA_SECRET_MAX_BYTES.
void secretpack_add(struct buf *pack, const char *name, const void *data, size_t size) nonnull(1, 2);
// Gets each secret in order; `data` is valid during the call only.
typedef void secretpack_take(void *context, const char *name, const char *data, size_t size);
// Checks the whole pack before the first call: -EINVAL for another format, a bad or repeated name, a size that is 0 or over the limit, too many
// secrets, bytes that are missing or left over. The text names no content.
int secretpack_parse(const char *data, size_t size, secretpack_take *take, void *context, struct err *err) must_check nonnull(3, 5);
