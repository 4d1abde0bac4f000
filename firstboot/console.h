// SPDX-License-Identifier: Apache-2.0
// Lines for whoever looks at the screen or the serial line of a machine that cannot be reached otherwise.
#pragma once
#include "common/cleanup.h"

// "webops: " and the text, to /dev/console; a machine without one, or one whose console takes nothing for a second, is none the worse.
void console_print(const char *fmt, ...) printf_like(1, 2) nonnull(1);
// The same to every console the kernel was told of: screen and serial line.
void console_print_all(const char *fmt, ...) printf_like(1, 2) nonnull(1);
