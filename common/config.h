// SPDX-License-Identifier: Apache-2.0
// config.env: flat KEY=value text ↔ list of entries, and the list of problems found in it. Pure, no I/O.
//
// A file that is accepted means the same to a POSIX shell that sources it:
//   * one KEY=value per line; KEY is [A-Z][A-Z0-9_]*, starts in column 1, has no blanks around '='; empty lines and `# comment` lines
//   * value: bare (letters, digits and % + , - . / : = @ _), or 'single quoted', or "double quoted" without $ ` \ and "
//   * blanks may follow a value, nothing else may (no comment, no second word)
//   * UTF-8 without BOM, LF line ends, no control characters in values
#pragma once
#include "common/err.h"
#include <stdbool.h>
#include <stddef.h>

#define CONFIG_MAX_BYTES (64 << 10)
#define CONFIG_READ_BYTES (4 << 20) // what a caller reads at most: enough to say *where* a file is over CONFIG_MAX_BYTES
#define CONFIG_MAX_ENTRIES 1024
#define CONFIG_MAX_PROBLEMS 1000
#define CONFIG_KEY_BYTES 64 // longest key, without NUL

struct config_entry {
    char *key;
    char *value; // unquoted
    unsigned line; // from 1
};

struct config {
    struct config_entry *entries; // in file order, keys unique
    size_t count;
    char **broken; // keys that stand in the file with a value that could not be read
    size_t broken_count;
};

// One problem each; the text names line-independent facts (key, expectation, nearest key) and never the line's content or a value.
struct config_problem {
    unsigned line; // 0 = about the file as a whole (a missing key)
    char *text;
};

struct config_problems {
    struct config_problem *items; // always sorted by line
    size_t count;
};

void config_done(struct config *config);
void config_problems_done(struct config_problems *problems);
// Keeps the list sorted by line. At most CONFIG_MAX_PROBLEMS are kept; the last one then says so.
void config_problem_add(struct config_problems *problems, unsigned line, const char *fmt, ...) printf_like(3, 4) nonnull(1, 3);
// "FILE:LINE: text" each ("FILE: text" for line 0), one log_error() line per problem.
void config_problems_log(const struct config_problems *problems, const char *file) nonnull(1, 2);

// Parses all of `text` and collects *all* problems (NUL, CR, BOM, bad key, duplicate key, unbalanced quote, text behind a quote, no '=',
// over CONFIG_MAX_BYTES, expansion characters that a shell would treat otherwise). Returns 0, or -EINVAL when `problems` grew.
// *ret_config holds the good entries either way; the caller frees both.
int config_parse(const char *text, size_t size, struct config *ret_config, struct config_problems *problems) must_check nonnull(3, 4);
// Adds or replaces an entry, for keys that come from elsewhere than config.env (a seed's meta-data).
void config_set(struct config *config, const char *key, const char *value, unsigned line) nonnull(1, 2, 3);
// NULL when the key is not set.
const struct config_entry *config_find(const struct config *config, const char *key) nonnull(1, 2);

// Whether the key stands in the file, even with a value that could not be read: then nobody should be told that it is missing.
bool config_mentions(const struct config *config, const char *key) nonnull(1, 2);

// Appends a line `KEY=value` that config_parse() and a shell read back as `value`. -EINVAL when no form of quoting can carry it.
struct buf;
int config_format_entry(const char *key, const char *value, struct buf *buf) must_check nonnull(1, 2, 3);

#define cleanup_config cleanup(config_done)
#define cleanup_config_problems cleanup(config_problems_done)
