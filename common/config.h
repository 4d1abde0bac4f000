// SPDX-License-Identifier: Apache-2.0
// config.env: flat KEY=value text ↔ list of entries, and the list of problems found in it. Pure, no I/O. Rules: docs/FORMATS.md.
#pragma once
#include "common/err.h"
#include <stdbool.h>
#include <stddef.h>

#define CONFIG_MAX_BYTES (64 << 10)

struct config_entry {
    char *key;
    char *value; // unquoted
    unsigned line; // from 1
};

struct config {
    struct config_entry *entries; // in file order, keys unique
    size_t count;
};

// One problem each; the text names line-independent facts (key, expectation, nearest key) and never the line's content or a value.
struct config_problem {
    unsigned line; // 0 = about the file as a whole (a missing key)
    char *text;
};

struct config_problems {
    struct config_problem *items;
    size_t count;
};

void config_done(struct config *config);
void config_problems_done(struct config_problems *problems);
void config_problem_add(struct config_problems *problems, unsigned line, const char *fmt, ...) printf_like(3, 4) nonnull(1, 3);
// Sorted by line, "FILE:LINE: text" each, one log_error() line per problem.
void config_problems_log(const struct config_problems *problems, const char *file) nonnull(1, 2);

// Parses all of `text` and collects *all* problems (NUL, CR, BOM, bad key, duplicate key, unbalanced quote, text behind a quote, no '=',
// over CONFIG_MAX_BYTES, expansion characters that a shell would treat otherwise). Returns 0, or -EINVAL when `problems` grew.
// *ret_config holds the good entries either way; the caller frees both.
int config_parse(const char *text, size_t size, struct config *ret_config, struct config_problems *problems) must_check nonnull(3, 4);
// NULL when the key is not set.
const struct config_entry *config_find(const struct config *config, const char *key) nonnull(1, 2);

#define cleanup_config cleanup(config_done)
#define cleanup_config_problems cleanup(config_problems_done)
