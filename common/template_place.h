// SPDX-License-Identifier: Apache-2.0
// Where in a file a template has got to: inside quotes, a comment, behind which character. A value is quoted as a whole, so it may only stand where
// its quotes count: '{{KEY}}' in a shell script would undo them. Follows the template's own text; values and words never change the place. Pure.
#pragma once
#include "common/template.h"

struct place {
    char quote; // that is open; 0 = none
    char last; // character before; 0 = none on this line; PLACE_VALUE; PLACE_UNKNOWN
    bool is_escaped, is_comment, has_equals;
    bool is_spaced; // blanks follow `last`
    int depth; // of open brackets
    const char *problem; // what cannot be in such a file at all
};
#define PLACE_VALUE '\1' // a value that brought its own quotes
#define PLACE_UNKNOWN '\2' // depends on values

void place_text(enum template_format format, struct place *place, const char *text, size_t size) nonnull(2, 3);
void place_word(struct place *place) nonnull(1);
void place_value(struct place *place) nonnull(1);
// Why a quoted value cannot stand here; NULL when it can.
const char *place_problem(enum template_format format, const struct place *place) nonnull(2);
// The place behind a block, from those before it and at its end. False when a quote, comment or bracket does not end where it began.
bool place_join(struct place *place, const struct place *before) must_check nonnull(1, 2);
