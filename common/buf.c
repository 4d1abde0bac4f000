// SPDX-License-Identifier: Apache-2.0
// Growable byte strings and the allocations that may not fail.
#include "common/buf.h"
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

static void *checked(void *memory) {
    if (!memory) {
        fputs("out of memory\n", stderr);
        abort();
    }
    return memory;
}

void buf_done(struct buf *buf) {
    free(buf->data);
    *buf = (struct buf){0};
}

static void buf_reserve(struct buf *buf, size_t extra) {
    if (buf->data && buf->capacity - buf->size > extra)
        return;
    if (extra > PTRDIFF_MAX - buf->size) // doubling would never get there
        checked(NULL);
    size_t wanted = buf->capacity ? buf->capacity : 64;
    while (wanted - buf->size <= extra)
        wanted *= 2;
    buf->data = checked(realloc(buf->data, wanted));
    buf->capacity = wanted;
}

void buf_add(struct buf *buf, const void *data, size_t size) {
    buf_reserve(buf, size);
    if (size)
        memcpy(buf->data + buf->size, data, size);
    buf->size += size;
    buf->data[buf->size] = 0;
}

void buf_add_str(struct buf *buf, const char *text) {
    buf_add(buf, text, strlen(text));
}

void buf_printf(struct buf *buf, const char *fmt, ...) {
    va_list args;
    char *text = NULL;
    va_start(args, fmt);
    int length = vasprintf(&text, fmt, args);
    va_end(args);
    if (length < 0)
        checked(NULL);
    buf_add(buf, text, (size_t)length);
    free(text);
}

const char *buf_str(const struct buf *buf) {
    return buf->data ? buf->data : "";
}

char *buf_take(struct buf *buf) {
    if (!buf->data)
        buf_add(buf, "", 0);
    char *data = buf->data;
    *buf = (struct buf){0};
    return data;
}

char *str_printf(const char *fmt, ...) {
    va_list args;
    char *text = NULL;
    va_start(args, fmt);
    int length = vasprintf(&text, fmt, args);
    va_end(args);
    if (length < 0)
        checked(NULL);
    return text;
}

char *str_dup(const char *text) {
    return checked(strdup(text));
}

void *mem_array(size_t count, size_t size) {
    return checked(calloc(count ? count : 1, size));
}

void *mem_resize(void *old, size_t count, size_t size) {
    return checked(reallocarray(old, count ? count : 1, size));
}

void *mem_aligned(size_t size) {
    void *memory = NULL;
    if (posix_memalign(&memory, MEM_ALIGNMENT, size ? size : 1) != 0)
        abort();
    return memset(memory, 0, size);
}

bool str_ends_with(const char *text, const char *tail) {
    size_t size = strlen(text), length = strlen(tail);
    return size > length && strcmp(text + size - length, tail) == 0;
}

char *str_without(const char *text, const char *const *tails) {
    for (; *tails; tails++)
        if (str_ends_with(text, *tails))
            return str_printf("%.*s", (int)(strlen(text) - strlen(*tails)), text);
    return str_dup(text);
}
