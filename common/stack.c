// SPDX-License-Identifier: Apache-2.0
// The life of a stack. Its formats are stack_json.c's, what it must be stack_verify.c's, several of them stack_set.c's.
#include "common/stack.h"
#include "common/stack_table.h"
#include <string.h>

static void list_done(struct stack_list *list) {
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
}

static void members_done(const struct stack_member *members, char *base) {
    for (const struct stack_member *member = members; member->name; member++) {
        void *at = base + member->offset;
        if (member->kind == STACK_KIND_TEXT || member->kind == STACK_KIND_WORDS) {
            free(*(char **)at);
        } else if (member->kind == STACK_KIND_TEXTS) {
            list_done(at);
        } else if (member->kind == STACK_KIND_LIST) {
            char *items = *(char **)at;
            size_t count = *(size_t *)(void *)(base + member->count_offset);
            for (size_t i = 0; i < count; i++)
                members_done(member->members, items + i * member->size);
            free(items);
        }
    }
}

void stack_done(struct stack *stack) {
    for (size_t i = 0; i < stack->key_count; i++)
        free((char *)stack->keys[i].schema.group); // not a member of any format
    members_done(stack_members, (char *)stack);
    *stack = (struct stack){0};
}

void stack_free(struct stack *stack) {
    if (stack)
        stack_done(stack);
    free(stack);
}
