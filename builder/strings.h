// SPDX-License-Identifier: Apache-2.0
// A growing list of texts; also what a YAML list of texts becomes.
#pragma once
#include "common/err.h"
#include <stdbool.h>

struct strings {
    char **items;
    unsigned count;
};

// Appends a copy.
void strings_add(struct strings *list, const char *text) nonnull(1, 2);
bool strings_has(const struct strings *list, const char *text) nonnull(1, 2);
void strings_done(struct strings *list);

#define cleanup_strings cleanup(strings_done)
