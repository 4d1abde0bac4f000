// SPDX-License-Identifier: Apache-2.0
// What the files about stacks share: the rules that a set adds to its schema, and the readers of requirements and ports.
#pragma once
#include "common/stack.h"

extern schema_rule *const stack_rules[]; // NULL-terminated; they need schema->stacks

// The keys of "A or B or C", one after the other; false at the end. Moves *cursor.
bool stack_next_alternative(const char **cursor, char ret_key[CONFIG_KEY_BYTES]) must_check nonnull(1, 2);
// Whether an enabled stack's requirement would be met. The key of a bool must be true, another one must not be empty.
bool stack_requirement_holds(const struct stack_set *set, const char *requirement, const struct config *config) nonnull(1, 2, 3);

#define STACK_MAX_FACTOR 1000
struct stack_term {
    int64_t factor;
    char key[CONFIG_KEY_BYTES]; // "" when the text is no term
};
// The terms of "KEY + 2*KEY", one after the other; false at the end. Moves *cursor.
bool stack_next_term(const char **cursor, struct stack_term *ret_term) must_check nonnull(1, 2);
// What the terms come to. False when one of the keys has no value, or one that is not valid.
bool stack_sum(const struct schema *schema, const struct config *config, const char *terms, int64_t *ret_sum) must_check
    nonnull(1, 2, 3, 4);

struct stack_port_range {
    unsigned first, last;
};
// "80" or "8000-8100".
bool stack_port_parse(const char *text, struct stack_port_range *ret_range) must_check nonnull(1, 2);
