// SPDX-License-Identifier: Apache-2.0
// A growable byte string, always NUL-terminated behind its length. Allocation failure aborts: nothing here can go on without memory.
#pragma once
#include "common/cleanup.h"
#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *data; // NULL while empty and never grown
    size_t size; // bytes in use, without the terminating NUL
    size_t capacity;
};

void buf_done(struct buf *buf);
void buf_add(struct buf *buf, const void *data, size_t size) nonnull(1);
void buf_add_str(struct buf *buf, const char *text) nonnull(1, 2);
void buf_printf(struct buf *buf, const char *fmt, ...) printf_like(2, 3) nonnull(1, 2);
// The text so far; "" for an empty buffer. Owned by `buf`.
const char *buf_str(const struct buf *buf) nonnull(1);
// Hands the memory to the caller, who frees it; never NULL. `buf` is empty afterwards.
char *buf_take(struct buf *buf) nonnull(1);

// asprintf() that aborts without memory; the caller frees.
char *str_printf(const char *fmt, ...) printf_like(1, 2) nonnull(1);
char *str_dup(const char *text) nonnull(1);
// Whether something stands before `tail` at the end of `text`.
bool str_ends_with(const char *text, const char *tail) nonnull(1, 2);
// A copy without the first of `tails` (ended by NULL) that the text ends with; the caller frees.
char *str_without(const char *text, const char *const *tails) nonnull(1, 2);
#define MEM_ALIGNMENT 4096
// calloc() and realloc() of an array that abort without memory or when count × size overflows.
void *mem_array(size_t count, size_t size) must_check;
void *mem_resize(void *old, size_t count, size_t size) must_check;
// Zeroed memory for O_DIRECT, which begins at a multiple of MEM_ALIGNMENT bytes; aborts like the others. The caller frees.
void *mem_aligned(size_t size) must_check;

#define cleanup_buf cleanup(buf_done)
