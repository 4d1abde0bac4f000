// SPDX-License-Identifier: Apache-2.0
// Module alias patterns: the part of fnmatch(3) they use. The C library's own brings 16 kB of character classes along.
#pragma once
#include "common/cleanup.h"
#include <stdbool.h>

// True when the whole text matches: `*`, `?`, `[abc]`, `[a-f]`, `[!x]` (ASCII, no classes), `\c`. An unclosed `[` stands for itself.
// Needs at most pattern × text steps, whatever the pattern.
bool match_pattern(const char *pattern, const char *text) must_check nonnull(1, 2);
