// SPDX-License-Identifier: Apache-2.0
// Writes and prefixes error texts. Prints nothing.
#include "common/err.h"
#include <assert.h>
#include <stdarg.h>
#include <string.h>

// Built in a copy, because an argument may be the very text that is replaced. `tail` NULL = nothing is appended.
static void compose(struct err *err, const char *tail, const char *fmt, va_list args) {
    struct err made;
    int length = vsnprintf(made.text, sizeof(made.text), fmt, args);
    if (length < 0) // a broken %ls argument: say at least where
        length = snprintf(made.text, sizeof(made.text), "%s", fmt);
    if (tail && (size_t)length < sizeof(made.text))
        snprintf(made.text + length, sizeof(made.text) - (size_t)length, ": %s", tail);
    *err = made;
}

int err_set(struct err *err, int code, const char *fmt, ...) {
    assert(code < 0);
    va_list args;
    va_start(args, fmt);
    compose(err, NULL, fmt, args);
    va_end(args);
    return code;
}

int err_sys(struct err *err, int code, const char *fmt, ...) {
    assert(code < 0);
    va_list args;
    va_start(args, fmt);
    compose(err, strerror(-code), fmt, args);
    va_end(args);
    return code;
}

int err_prefix(struct err *err, int code, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    compose(err, err->text, fmt, args);
    va_end(args);
    return code;
}
