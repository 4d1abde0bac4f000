// SPDX-License-Identifier: Apache-2.0
// What the init says: lines in the kernel log with "webops-init: " in front. Levels are the kernel's (3 error, 4 warning, 6 info, 7 debug).
#pragma once
#include "common/err.h"

#define CONSOLE_ERROR 3
#define CONSOLE_WARNING 4
#define CONSOLE_INFO 6
#define CONSOLE_DEBUG 7

// Opens /dev/console as descriptors 0, 1, 2 and lifts the kernel's limit of ten log lines per five seconds. Failure is no reason to stop.
void console_open(void);
// At most 900 bytes reach the log. Quietly does nothing while there is no /dev/kmsg.
void console_log(int level, const char *fmt, ...) printf_like(2, 3) nonnull(2);
// One line on the console whatever the kernel's log level, and in the kernel log as a debug line.
void console_say(const char *fmt, ...) printf_like(1, 2) nonnull(1);
// Says on the console and in the kernel log which step failed and why.
void console_report(const char *step, const struct err *err) nonnull(1, 2);
// Gives five seconds for reading that, and restarts the machine. There is no shell.
_Noreturn void console_restart(void);
