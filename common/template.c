// SPDX-License-Identifier: Apache-2.0
// Walks the nodes of a template and writes its text. Values go straight to the output: nothing that was substituted is read again.
#include "common/template.h"
#include "common/schema_types.h"
#include "common/template_parse.h"
#include "common/template_quote.h"
#include <errno.h>
#include <string.h>

// Nodes that one template may walk: lists within lists of a large config would else take for ever to make nothing.
#define MAX_STEPS (1 << 20)

struct item { // of the innermost {{#each}}
    const char *text;
    size_t size;
    const struct operand *list;
    bool is_last;
};

struct value {
    const char *text; // NULL = not set
    size_t size;
};

struct walk {
    const char *name;
    enum template_format format;
    const struct template *template;
    const struct template_values *values;
    struct buf text;
    size_t steps;
    struct err *err;
};

// "KEY: " in front, but never a value.
static int fail_value(const struct walk *walk, const struct node *node, const struct item *item, const char *why) {
    const struct operand *key = node->left.kind == OPERAND_KEY || !item ? &node->left : item->list;
    return err_set(walk->err, -EINVAL, "%s:%u: %.*s: %s", walk->name, node->line, (int)key->size, key->text, why);
}

static struct value value_of_key(const struct walk *walk, const struct operand *operand) {
    char name[CONFIG_KEY_BYTES + 1];
    memcpy(name, operand->text, operand->size);
    name[operand->size] = 0;
    const char *text = schema_text(walk->values->schema, walk->values->config, name);
    if (!text && operand->key->type == SCHEMA_BOOL)
        text = "false";
    return (struct value){text, text ? strlen(text) : 0};
}

// An item of a peer list is "name=address"; one without '=' has neither.
static struct value value_of_field(const struct item *item, enum operand_kind kind) {
    const char *equals = memchr(item->text, '=', item->size);
    if (!equals)
        return (struct value){NULL, 0};
    size_t size = (size_t)(equals - item->text);
    return kind == OPERAND_NAME ? (struct value){item->text, size} : (struct value){equals + 1, item->size - size - 1};
}

static struct value value_of(const struct walk *walk, const struct operand *operand, const struct item *item) {
    switch (operand->kind) {
    case OPERAND_KEY:
        return value_of_key(walk, operand);
    case OPERAND_ITEM:
        return (struct value){item->text, item->size};
    case OPERAND_NAME:
    case OPERAND_ADDRESS:
        return value_of_field(item, operand->kind);
    case OPERAND_LITERAL:
        return (struct value){operand->text, operand->size};
    case OPERAND_NONE:
        break;
    }
    return (struct value){NULL, 0};
}

static int walk_value(struct walk *walk, const struct node *node, const struct item *item) {
    struct value value = value_of(walk, &node->left, item);
    if (!value.text)
        return fail_value(walk, node, item,
                          node->left.kind == OPERAND_KEY ? "is not set: put what needs it between {{#if …}} and {{/if}}"
                                                         : "an item is not name=address");
    const char *why = node->kind == NODE_WORD ? template_quote_word(walk->format, value.text, value.size, &walk->text)
                                              : template_quote(walk->format, value.text, value.size, &walk->text);
    return why ? fail_value(walk, node, item, why) : 0;
}

static int walk_secret(struct walk *walk, const struct node *node) {
    char name[CONFIG_KEY_BYTES + 1];
    struct value value = {NULL, 0};
    memcpy(name, node->left.text, node->left.size);
    name[node->left.size] = 0;
    if (walk->values->secret)
        value.text = walk->values->secret(walk->values->context, name, &value.size);
    if (!value.text)
        return fail_value(walk, node, NULL, "there is no such secret");
    if (value.size > 0 && value.text[value.size - 1] == '\n')
        value.size--;
    const char *why = template_quote(walk->format, value.text, value.size, &walk->text);
    return why ? fail_value(walk, node, NULL, why) : 0;
}

static bool holds(const struct walk *walk, const struct node *node, const struct item *item) {
    struct value left = value_of(walk, &node->left, item);
    if (node->right.kind == OPERAND_NONE) {
        bool is_bool = node->left.kind == OPERAND_KEY && node->left.key->type == SCHEMA_BOOL;
        return is_bool ? left.size == 4 && memcmp(left.text, "true", 4) == 0 : left.size > 0;
    }
    struct value right = value_of(walk, &node->right, item);
    bool is_equal = left.size == right.size && (left.size == 0 || memcmp(left.text, right.text, left.size) == 0);
    return is_equal != node->is_negated;
}

static int walk_nodes(struct walk *walk, size_t from, size_t to, const struct item *item);

// Counted for every node and for every item of a list, because a list in a list takes its time even if nothing is inside.
static int count_step(struct walk *walk, const struct node *node) {
    if (walk->text.size <= TEMPLATE_MAX_BYTES && ++walk->steps <= MAX_STEPS)
        return 0;
    return err_set(walk->err, -EINVAL, "%s:%u: what the template makes is larger than %d KiB, or takes too long to make", walk->name,
                   node->line, TEMPLATE_MAX_BYTES >> 10);
}

static int walk_each(struct walk *walk, size_t at) {
    const struct node *node = &walk->template->nodes[at];
    const char *separators = node->left.key->type == SCHEMA_SSH_KEYS ? ";" : " ";
    const char *cursor = value_of_key(walk, &node->left).text;
    size_t size, next_size;
    const char *text = cursor ? schema_next_item(&cursor, separators, &size) : NULL;
    while (text) {
        const char *next = schema_next_item(&cursor, separators, &next_size);
        struct item item = {.text = text, .size = size, .list = &node->left, .is_last = !next};
        int r = walk_nodes(walk, at + 1, node->end, &item);
        if (r == 0)
            r = count_step(walk, node);
        if (r < 0)
            return r;
        text = next;
        size = next_size;
    }
    return 0;
}

static int walk_node(struct walk *walk, size_t at, const struct item *item) {
    const struct node *node = &walk->template->nodes[at];
    switch (node->kind) {
    case NODE_TEXT:
        buf_add(&walk->text, node->text, node->size);
        return 0;
    case NODE_VALUE:
    case NODE_WORD:
        return walk_value(walk, node, item);
    case NODE_SECRET:
        return walk_secret(walk, node);
    case NODE_IF:
        return holds(walk, node, item) ? walk_nodes(walk, at + 1, node->otherwise, item)
                                       : walk_nodes(walk, node->otherwise, node->end, item);
    case NODE_EACH:
        return walk_each(walk, at);
    case NODE_SEP:
        return item->is_last ? 0 : walk_nodes(walk, at + 1, node->end, item);
    }
    return 0;
}

static int walk_nodes(struct walk *walk, size_t from, size_t to, const struct item *item) {
    for (size_t at = from; at < to;) {
        const struct node *node = &walk->template->nodes[at];
        int r = walk_node(walk, at, item);
        if (r == 0)
            r = count_step(walk, node);
        if (r < 0)
            return r;
        at = node->end ? node->end : at + 1;
    }
    return 0;
}

int template_render(const char *name, const char *text, size_t size, enum template_format format, const struct template_values *values,
                    struct buf *ret_text, struct err *err) {
    cleanup_template struct template template = {0};
    int r = template_parse(name, text, size, format, values->schema, &template, err);
    if (r < 0)
        return r;
    struct walk walk = {.name = name, .format = format, .template = &template, .values = values, .err = err};
    r = walk_nodes(&walk, 0, template.count, NULL);
    if (r == 0)
        buf_add(ret_text, buf_str(&walk.text), walk.text.size);
    buf_done(&walk.text);
    return r;
}

int template_check(const char *name, const char *text, size_t size, enum template_format format, const struct schema *schema,
                   bool *ret_uses_secret, struct err *err) {
    cleanup_template struct template template = {0};
    int r = template_parse(name, text, size, format, schema, &template, err);
    if (r == 0)
        *ret_uses_secret = template.uses_secret;
    return r;
}
