// SPDX-License-Identifier: Apache-2.0
// The one error object: a text on the caller's stack, written where the failure is known and prefixed on the way up.
#pragma once
#include "common/cleanup.h"

// Text is always NUL-terminated; a longer message is cut at the end. Never put the value of a secret or a config line into it.
struct err {
    char text[768];
};

// Replaces the text and returns `code`, which must be a negative errno.
int err_set(struct err *err, int code, const char *fmt, ...) printf_like(3, 4) nonnull(1, 3);
// err_set() with ": strerror(-code)" appended.
int err_sys(struct err *err, int code, const char *fmt, ...) printf_like(3, 4) nonnull(1, 3);
// Puts "prefix: " before the present text and returns `code` unchanged.
int err_prefix(struct err *err, int code, const char *fmt, ...) printf_like(3, 4) nonnull(1, 3);
