// SPDX-License-Identifier: Apache-2.0
// A template's text as a flat list of nodes, checked against the schema: what template.c walks. Pure.
#pragma once
#include "common/template.h"

enum node_kind { NODE_TEXT, NODE_VALUE, NODE_WORD, NODE_SECRET, NODE_IF, NODE_EACH, NODE_SEP };
enum operand_kind { OPERAND_NONE, OPERAND_KEY, OPERAND_ITEM, OPERAND_NAME, OPERAND_ADDRESS, OPERAND_LITERAL };

struct operand {
    enum operand_kind kind;
    const char *text; // of a key or literal; points into the template
    size_t size;
    const struct schema_key *key;
};

struct node {
    enum node_kind kind;
    unsigned line;
    struct operand left, right; // what is shown, asked or walked; `right`: what it is compared with
    bool is_negated; // "!=" instead of "=="
    const char *text; // NODE_TEXT
    size_t size;
    size_t otherwise; // NODE_IF: first node of the part that counts when the condition does not hold
    size_t end; // blocks: the node behind them
};

struct template {
    struct node *nodes;
    size_t count;
    bool uses_secret;
};

void template_done(struct template *template);
int template_parse(const char *name, const char *text, size_t size, enum template_format format, const struct schema *schema,
                   struct template *ret_template, struct err *err) must_check nonnull(1, 2, 5, 6, 7);

#define cleanup_template cleanup(template_done)
