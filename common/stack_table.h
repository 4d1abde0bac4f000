// SPDX-License-Identifier: Apache-2.0
// The members of a stack as one table: stack_json.c reads and writes JSON by it, stack.c frees by it, and the builder makes the shape of
// stack.yaml from it, so that a member is added in one place. What members must be to each other: stack_verify.c.
#pragma once
#include "common/stack.h"

enum stack_kind {
    STACK_KIND_TEXT, // char *
    STACK_KIND_TEXTS, // struct stack_list
    STACK_KIND_WORDS, // a list of words, kept as one text with blanks between them
    STACK_KIND_UNSIGNED, // unsigned
    STACK_KIND_LONG, // long, may be negative
    STACK_KIND_INT64, // int64_t; a size such as 16M in YAML
    STACK_KIND_BOOL, // bool
    STACK_KIND_MODE, // mode_t, as text "0640"
    STACK_KIND_WORD, // an enum, by its word
    STACK_KIND_LIST // a list of mappings
};

struct stack_words {
    int (*find)(const char *word); // -1 when unknown
    const char *(*name)(int value);
    int count;
};

struct stack_member {
    const char *name; // NULL ends the table
    enum stack_kind kind;
    size_t offset; // in the structure
    bool is_required;
    const struct stack_words *words; // STACK_KIND_WORD
    // STACK_KIND_LIST
    const struct stack_member *members;
    size_t size, count_offset;
};

extern const struct stack_member stack_members[];

#define STACK_MAX_ITEMS 256 // of any list
#define STACK_MAX_TEXT 4096 // of any text
