// SPDX-License-Identifier: Apache-2.0
// The log's only state lives here: prefix, level, destination style.
#include "common/log.h"
#include <stdarg.h>
#include <string.h>

static struct {
    const char *program;
    enum log_level highest;
    bool for_journal;
    void (*before_line)(void);
} log_state = {.program = "webops", .highest = LOG_LEVEL_INFO};

void log_init(const char *program, enum log_level highest, bool for_journal) {
    log_state.program = program;
    log_state.highest = highest;
    log_state.for_journal = for_journal;
}

void log_set_before_line(void (*before_line)(void)) {
    log_state.before_line = before_line;
}

void log_write(enum log_level level, const char *fmt, ...) {
    static const struct {
        int priority; // syslog(3) numbers, as sd-daemon(3) expects them
        const char *word;
    } levels[] = {{3, "error: "}, {4, "warning: "}, {6, ""}, {7, "debug: "}};
    if (level > log_state.highest)
        return;
    char line[2048];
    va_list args;
    va_start(args, fmt);
    vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    if (log_state.before_line)
        log_state.before_line();
    // One line each with its own prefix: the journal would take a bare second line for one of another priority.
    for (char *rest = line, *part; (part = strsep(&rest, "\n"));) {
        if (!*part && part != line)
            continue;
        if (log_state.for_journal)
            fprintf(stderr, "<%d>%s%s\n", levels[level].priority, levels[level].word, part);
        else
            fprintf(stderr, "%s: %s%s\n", log_state.program, levels[level].word, part);
    }
}
