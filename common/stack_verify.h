// SPDX-License-Identifier: Apache-2.0
// The two halves of stack_verify(). Internal to stack_verify*.c.
#pragma once
#include "common/stack.h"

#define STACK_MAX_TIMEOUT 3600

struct stack_verify {
    const struct stack *stack;
    const struct schema *schema; // the stack's own keys, and the base's
    struct err *err;
};

// Returns -EINVAL.
int stack_complain(const struct stack_verify *verify, const char *format, ...) printf_like(2, 3) nonnull(1, 2);
// Of the stack or the base; NULL when unknown.
const struct schema_key *stack_verify_find(const struct stack_verify *verify, const char *name) nonnull(1, 2);
bool stack_is_word(const char *text, const char *first, const char *rest, size_t max_size) nonnull(1, 2, 3);
// "files[2].when" must be a key.
int stack_verify_when(const struct stack_verify *verify, const char *list, size_t index, const char *when) must_check nonnull(1, 2);
// Files, ports, units, data, sysctls, health, hooks.
int stack_verify_parts(const struct stack_verify *verify) must_check nonnull(1);
// The enable key stands in no "keys" list: the index that its author counts.
static inline size_t stack_key_index(const struct stack *stack, size_t index) {
    return index && stack->keys[0].schema.name && stack->enable && __builtin_strcmp(stack->keys[0].schema.name, stack->enable) == 0
               ? index - 1
               : index;
}
