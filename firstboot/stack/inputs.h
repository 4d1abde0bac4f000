// SPDX-License-Identifier: Apache-2.0
// What rendering stacks needs besides configuration and facts: their templates, the operator's own ones, and the secrets that keys name.
// Reads; decides nothing but which stacks are active.
#pragma once
#include "common/stack.h"

// A file that was read, or why it was not; both NULL: it does not exist.
struct stack_text {
    char *text;
    size_t size;
    char *problem;
};
struct stack_input {
    const struct stack *stack;
    bool is_enabled; // by the configuration
    bool is_uninstalled; // by the operator's word, whatever the configuration says
    struct stack_text *templates, *overrides; // one per file of the stack; NULL unless it is active
};
struct stack_secret {
    char *key;
    struct stack_text text;
};
struct stack_inputs {
    const struct stack_set *set; // borrowed
    struct stack_input *items; // in the set's order
    struct stack_secret *secrets; // behind every *_FILE key of a stack that is set
    size_t secret_count;
};

void stack_inputs_done(struct stack_inputs *inputs); // wipes the secrets
// Of one stack, what a dry run assumes about it; NULL members: nothing.
struct stack_assume {
    const char *installed, *uninstalled;
};
// What cannot be read is part of the result, so that one stack does not cost the others. No secret is read when nothing is active.
void stack_inputs_gather(int root_fd, const struct stack_set *set, const struct config *config, const struct stack_assume *assume,
                         struct stack_inputs *ret_inputs) nonnull(2, 3, 4, 5);

static inline bool stack_input_is_active(const struct stack_input *input) {
    return input->is_enabled && !input->is_uninstalled;
}
#define cleanup_stack_inputs cleanup(stack_inputs_done)
