// SPDX-License-Identifier: Apache-2.0
// One log for both programs: lines on standard error, with <priority> prefixes when the journal reads them.
#pragma once
#include "common/cleanup.h"
#include <stdbool.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

// `program` is the prefix of each line and must outlive the process. `for_journal` writes <3>…<7> priorities (sd-daemon(3)).
void log_init(const char *program, enum log_level highest, bool for_journal) nonnull(1);
void log_write(enum log_level level, const char *fmt, ...) printf_like(2, 3) nonnull(2);
// A callback that is called before a line is written, so that a progress bar can clear its own line. NULL removes it.
void log_set_before_line(void (*before_line)(void));

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...) log_write(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)
