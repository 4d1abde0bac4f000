// SPDX-License-Identifier: Apache-2.0
// Stack JSON: what is read is written so that it is read as the same, refusals say where, and a stack that verifies makes a schema under
// which any configuration can be checked.
#include "common/buf.h"
#include "common/stack.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok) {
    if (!ok)
        abort();
}

// Every bool key is switched on, so that the rules have something to do.
static void check_config(const struct stack_set *set) {
    cleanup_buf struct buf text = {0};
    cleanup_config struct config config = {0};
    cleanup_config_problems struct config_problems problems = {0};
    const struct stack *stack = set->stacks[0];
    for (size_t i = 0; i < stack->key_count; i++)
        if (!strchr(stack->keys[i].schema.name, '#'))
            buf_printf(&text, "%s=%s\n", stack->keys[i].schema.name, stack->keys[i].schema.type == SCHEMA_BOOL ? "true" : "1");
    int r = schema_parse(&set->schema, buf_str(&text), text.size, &config, &problems);
    must((r < 0) == (problems.count > 0));
    for (size_t i = 0; i < stack->file_count; i++)
        (void)stack_holds(set, stack->files[i].when, &config);
    must(config_find(&config, stack->enable) && stack_is_enabled(set, stack, &config));
}

static void use(struct stack *stack) {
    struct stack **stacks = mem_array(1, sizeof(struct stack *));
    cleanup_stack_set struct stack_set set = {0};
    struct err err;
    size_t index = 1;
    stacks[0] = stack;
    if (stack_set_make(stacks, 1, &set, &err) < 0)
        return;
    if (stack_set_verify(&set, &index, &err) == 0)
        check_config(&set);
    else
        must(index == 0 && err.text[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct stack *stack = mem_array(1, sizeof(*stack)), again = {0};
    struct err err = {0};
    cleanup_buf struct buf first = {0}, second = {0};
    if (stack_parse((const char *)data, size, "fuzz.json", stack, &err) < 0) {
        must(strncmp(err.text, "fuzz.json:", 10) == 0);
        stack_free(stack);
        return 0;
    }
    stack_format(stack, &first);
    if (first.size <= STACK_MAX_BYTES) { // indented it may be larger than what came in
        must(stack_parse(first.data, first.size, "again", &again, &err) == 0);
        stack_format(&again, &second);
        must(strcmp(first.data, second.data) == 0);
        stack_done(&again);
    }
    use(stack);
    return 0;
}
