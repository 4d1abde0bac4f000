// SPDX-License-Identifier: Apache-2.0
// Glob matching without recursion: after a mismatch only the last star is tried again, one character further.
#include "firstboot/init/match.h"

// Of a set "[…]": where it ends, and whether it holds `c`. NULL when it is not closed.
static const char *match_set(const char *set, char c, bool *ret_is_in) {
    const char *at = set + 1;
    bool is_negated = *at == '!', is_in = false;
    at += is_negated;
    for (const char *first = at; *at != ']' || at == first; at++) {
        if (!*at)
            return NULL;
        if (at[1] == '-' && at[2] && at[2] != ']') {
            is_in = is_in || (at[0] <= c && c <= at[2]);
            at += 2;
        } else {
            is_in = is_in || *at == c;
        }
    }
    *ret_is_in = is_in != is_negated;
    return at + 1;
}

// Matches one character against the pattern's next element (no star) and returns what follows it; NULL for a mismatch.
static const char *match_one(const char *pattern, char c) {
    bool is_in = false;
    const char *end = *pattern == '[' ? match_set(pattern, c, &is_in) : NULL;
    if (end)
        return is_in ? end : NULL;
    if (*pattern == '?')
        return pattern + 1;
    if (*pattern == '\\' && pattern[1])
        pattern++;
    return *pattern == c ? pattern + 1 : NULL;
}

bool match_pattern(const char *pattern, const char *text) {
    const char *star = NULL, *retry = NULL;
    while (*text) {
        const char *next = *pattern && *pattern != '*' ? match_one(pattern, *text) : NULL;
        if (*pattern == '*') {
            star = ++pattern;
            retry = text;
        } else if (next) {
            pattern = next;
            text++;
        } else if (star) {
            pattern = star;
            text = ++retry;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return !*pattern;
}
