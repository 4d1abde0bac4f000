// SPDX-License-Identifier: Apache-2.0
// Writes and prefixes error texts. Prints nothing.
#include "common/err.h"
#include <assert.h>
#include <stdarg.h>
#include <string.h>

int err_set(struct err *err, int code, const char *fmt, ...) {
    assert(code < 0);
    va_list args;
    va_start(args, fmt);
    vsnprintf(err->text, sizeof(err->text), fmt, args);
    va_end(args);
    return code;
}

int err_sys(struct err *err, int code, const char *fmt, ...) {
    assert(code < 0);
    va_list args;
    va_start(args, fmt);
    int length = vsnprintf(err->text, sizeof(err->text), fmt, args);
    va_end(args);
    if (length >= 0 && (size_t)length < sizeof(err->text))
        snprintf(err->text + length, sizeof(err->text) - (size_t)length, ": %s", strerror(-code));
    return code;
}

int err_prefix(struct err *err, int code, const char *fmt, ...) {
    struct err old = *err;
    va_list args;
    va_start(args, fmt);
    int length = vsnprintf(err->text, sizeof(err->text), fmt, args);
    va_end(args);
    if (length >= 0 && (size_t)length < sizeof(err->text))
        snprintf(err->text + length, sizeof(err->text) - (size_t)length, ": %s", old.text);
    return code;
}
