// SPDX-License-Identifier: Apache-2.0
// From text to nodes: finds the tags, pairs the blocks, looks keys up. What a tag means is a table; whether a value fits is for template.c.
#include "common/template_parse.h"
#include "common/schema_types.h"
#include "common/template_place.h"
#include <errno.h>
#include <string.h>

#define BLANKS " \t"

struct block { // that is open
    size_t node;
    bool has_else;
    struct place before;
};

struct parse {
    const char *name;
    const char *text, *end; // the whole template
    const char *at; // what comes next
    unsigned line; // of `at`
    enum template_format format;
    const struct schema *schema;
    struct template *template;
    struct block blocks[TEMPLATE_MAX_DEPTH];
    size_t depth;
    struct place place;
    unsigned tag_line;
    struct err *err;
};

// The inside of a tag, without blanks at its ends, as it is used up.
struct inside {
    const char *text;
    size_t size;
};

void template_done(struct template *template) {
    free(template->nodes);
    *template = (struct template){0};
}

#define fail(parse, ...) fail_with(parse, str_printf(__VA_ARGS__))
static int fail_with(struct parse *parse, char *taken) {
    cleanup_free char *text = taken;
    return err_set(parse->err, -EINVAL, "%s:%u: %s", parse->name, parse->tag_line, text);
}

static struct node *add_node(struct parse *parse, enum node_kind kind) {
    struct template *template = parse->template;
    if ((template->count & (template->count - 1)) == 0)
        template->nodes = mem_resize(template->nodes, template->count ? 2 * template->count : 1, sizeof(*template->nodes));
    struct node *node = &template->nodes[template->count++];
    *node = (struct node){.kind = kind, .line = parse->tag_line};
    return node;
}

static void add_text(struct parse *parse, const char *text, size_t size) {
    if (size == 0)
        return;
    struct node *node = add_node(parse, NODE_TEXT);
    node->text = text;
    node->size = size;
    place_text(parse->format, &parse->place, text, size);
}

static void skip_blanks(struct inside *in) {
    while (in->size > 0 && strchr(BLANKS, in->text[0]))
        in->text++, in->size--;
}

static bool take(struct inside *in, const char *word) {
    size_t size = strlen(word);
    if (in->size < size || memcmp(in->text, word, size) != 0)
        return false;
    in->text += size;
    in->size -= size;
    skip_blanks(in);
    return true;
}

// A word that is followed by a blank.
static bool take_word(struct inside *in, const char *word) {
    size_t size = strlen(word);
    return in->size > size && strchr(BLANKS, in->text[size]) && take(in, word);
}

static bool is_key_char(char c) {
    return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

// The innermost {{#each}}'s list; NULL when there is none.
static const struct schema_key *find_list(const struct parse *parse) {
    for (size_t i = parse->depth; i-- > 0;)
        if (parse->template->nodes[parse->blocks[i].node].kind == NODE_EACH)
            return parse->template->nodes[parse->blocks[i].node].left.key;
    return NULL;
}

static int parse_field(struct parse *parse, struct inside *in, struct operand *operand) {
    const struct schema_key *list = find_list(parse);
    if (!list)
        return fail(parse, "a '.' has no meaning outside of {{#each …}}");
    operand->kind = take(in, ".name") ? OPERAND_NAME : take(in, ".address") ? OPERAND_ADDRESS : OPERAND_ITEM;
    if (operand->kind == OPERAND_ITEM)
        take(in, ".");
    else if (list->type != SCHEMA_PEER_LIST)
        return fail(parse, "%s: has no .name and .address: it is no list of name=address", list->name);
    return 0;
}

static int parse_key(struct parse *parse, struct inside *in, struct operand *operand) {
    char name[CONFIG_KEY_BYTES + 1];
    size_t size = 0;
    while (size < in->size && is_key_char(in->text[size]))
        size++;
    if (size == 0 || size >= sizeof(name))
        return fail(parse, "a key, a field or a \"text\" is expected here");
    *operand = (struct operand){.kind = OPERAND_KEY, .text = in->text, .size = size};
    memcpy(name, in->text, size);
    name[size] = 0;
    in->text += size;
    in->size -= size;
    skip_blanks(in);
    operand->key = schema_find(parse->schema, name);
    return operand->key ? 0 : fail(parse, "%s: unknown key", name);
}

static int parse_operand(struct parse *parse, struct inside *in, bool may_be_literal, struct operand *operand) {
    if (in->size > 0 && in->text[0] == '.')
        return parse_field(parse, in, operand);
    if (!may_be_literal || in->size == 0 || in->text[0] != '"')
        return parse_key(parse, in, operand);
    const char *end = memchr(in->text + 1, '"', in->size - 1);
    if (!end)
        return fail(parse, "a text is not closed with '\"'");
    *operand = (struct operand){.kind = OPERAND_LITERAL, .text = in->text + 1, .size = (size_t)(end - in->text - 1)};
    in->size -= operand->size + 2;
    in->text = end + 1;
    skip_blanks(in);
    return 0;
}

static int expect_end(struct parse *parse, const struct inside *in) {
    return in->size == 0 ? 0 : fail(parse, "the tag holds more than it can: a misspelt word, or text behind its end");
}

static int open_block(struct parse *parse, const struct node *block) {
    if (parse->depth == TEMPLATE_MAX_DEPTH)
        return fail(parse, "blocks are nested deeper than %d", TEMPLATE_MAX_DEPTH);
    parse->blocks[parse->depth++] = (struct block){.node = (size_t)(block - parse->template->nodes), .before = parse->place};
    return 0;
}

static int tag_if(struct parse *parse, struct inside *in) {
    struct operand left = {0}, right = {0};
    bool is_negated = false;
    int r = parse_operand(parse, in, true, &left);
    if (r < 0)
        return r;
    if (take(in, "==") || (is_negated = take(in, "!=")))
        r = parse_operand(parse, in, true, &right);
    else if (left.kind == OPERAND_LITERAL)
        r = fail(parse, "a text alone is no condition");
    if (r < 0 || (r = expect_end(parse, in)) < 0)
        return r;
    struct node *node = add_node(parse, NODE_IF);
    node->left = left;
    node->right = right;
    node->is_negated = is_negated;
    return open_block(parse, node);
}

static bool is_list(const struct schema_key *key) {
    static const enum schema_type lists[] = {SCHEMA_TEXT,      SCHEMA_HOST_LIST, SCHEMA_ADDRESS_LIST, SCHEMA_CIDR_LIST,
                                             SCHEMA_PORT_LIST, SCHEMA_SSH_KEYS,  SCHEMA_PEER_LIST};
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
        if (key->type == lists[i])
            return true;
    return false;
}

static int tag_each(struct parse *parse, struct inside *in) {
    struct operand list = {0};
    int r = parse_key(parse, in, &list);
    if (r < 0 || (r = expect_end(parse, in)) < 0)
        return r;
    if (!is_list(list.key))
        return fail(parse, "%s: is no list", list.key->name);
    struct node *node = add_node(parse, NODE_EACH);
    node->left = list;
    return open_block(parse, node);
}

static int tag_sep(struct parse *parse, struct inside *in) {
    int r = expect_end(parse, in);
    if (r < 0)
        return r;
    if (!find_list(parse))
        return fail(parse, "{{#sep}} has no meaning outside of {{#each …}}");
    return open_block(parse, add_node(parse, NODE_SEP));
}

// The next part of a block begins where the block began; behind the block, the place is what both ways there have in common.
static int join_place(struct parse *parse, const struct block *block) {
    return place_join(&parse->place, &block->before) ? 0 : fail(parse, "a quote, comment or bracket that begins in a block must end there");
}

static int tag_else(struct parse *parse, struct inside *in) {
    struct block *block = parse->depth ? &parse->blocks[parse->depth - 1] : NULL;
    int r = expect_end(parse, in);
    if (r < 0)
        return r;
    if (!block || block->has_else || parse->template->nodes[block->node].kind != NODE_IF)
        return fail(parse, "{{#else}} without an {{#if …}}");
    // What is shown when the condition holds ends here; template.c steps over the rest by `end`.
    block->has_else = true;
    parse->template->nodes[block->node].otherwise = parse->template->count;
    r = join_place(parse, block);
    parse->place = block->before;
    return r;
}

static int close_block(struct parse *parse, struct inside *in, enum node_kind kind, const char *word) {
    int r = expect_end(parse, in);
    if (r < 0)
        return r;
    if (parse->depth == 0 || parse->template->nodes[parse->blocks[parse->depth - 1].node].kind != kind)
        return fail(parse, "{{/%s}} closes nothing, or a block inside is still open", word);
    const struct block *block = &parse->blocks[--parse->depth];
    struct node *node = &parse->template->nodes[block->node];
    node->end = parse->template->count;
    if (!block->has_else)
        node->otherwise = node->end;
    return join_place(parse, block);
}

static int tag_end_if(struct parse *parse, struct inside *in) {
    return close_block(parse, in, NODE_IF, "if");
}

static int tag_end_each(struct parse *parse, struct inside *in) {
    return close_block(parse, in, NODE_EACH, "each");
}

static int tag_end_sep(struct parse *parse, struct inside *in) {
    return close_block(parse, in, NODE_SEP, "sep");
}

static const struct {
    const char *word;
    bool has_operand;
    int (*parse)(struct parse *parse, struct inside *in);
} block_tags[] = {
    {"#if", true, tag_if},      {"#else", false, tag_else},     {"#each", true, tag_each},    {"#sep", false, tag_sep},
    {"/if", false, tag_end_if}, {"/each", false, tag_end_each}, {"/sep", false, tag_end_sep},
};

static int parse_block(struct parse *parse, struct inside *in) {
    for (size_t i = 0; i < ARRAY_SIZE(block_tags); i++)
        if (block_tags[i].has_operand ? take_word(in, block_tags[i].word) : take(in, block_tags[i].word))
            return block_tags[i].parse(parse, in);
    return fail(parse, "unknown tag: {{#if …}}, {{#else}}, {{#each …}}, {{#sep}} and their ends {{/if}}, {{/each}}, {{/sep}} are known");
}

// Numbers and booleans need no quotes in any format.
static bool is_plain(const struct operand *operand) {
    return operand->kind == OPERAND_KEY && (operand->key->type == SCHEMA_BOOL || operand->key->type == SCHEMA_INTEGER);
}

static int check_place(struct parse *parse, bool is_word) {
    const char *problem = is_word ? NULL : place_problem(parse->format, &parse->place);
    if (is_word)
        place_word(&parse->place);
    else
        place_value(&parse->place);
    return problem ? fail(parse, "%s", problem) : 0;
}

static int parse_value(struct parse *parse, struct inside *in) {
    enum node_kind kind = take_word(in, "word") ? NODE_WORD : take_word(in, "secret") ? NODE_SECRET : NODE_VALUE;
    struct operand operand = {0};
    int r = parse_operand(parse, in, false, &operand);
    if (r < 0 || (r = expect_end(parse, in)) < 0)
        return r;
    if (kind == NODE_SECRET && (operand.kind != OPERAND_KEY || operand.key->type != SCHEMA_SECRET_FILE))
        return fail(parse, "{{secret …}} takes a key whose type is a secret file");
    if (kind == NODE_VALUE && (is_plain(&operand) || parse->format == TEMPLATE_RAW))
        kind = NODE_WORD;
    add_node(parse, kind)->left = operand;
    parse->template->uses_secret = parse->template->uses_secret || kind == NODE_SECRET;
    return check_place(parse, kind == NODE_WORD);
}

// Blanks before `at` and back to the begin of the line, or NULL when the line holds something else there.
static const char *line_start(const struct parse *parse, const char *at) {
    while (at > parse->text && strchr(BLANKS, at[-1]))
        at--;
    return at == parse->text || at[-1] == '\n' ? at : NULL;
}

// The begin of the next line when only blanks are in between, or NULL.
static const char *line_end(const struct parse *parse, const char *at) {
    while (at < parse->end && *at && strchr(BLANKS, *at))
        at++;
    return at == parse->end ? at : *at == '\n' ? at + 1 : NULL;
}

// `tag` is its "{{"; the text before it, from parse->at on, has not been added yet.
static int parse_tag(struct parse *parse, const char *tag) {
    const char *close = memmem(tag + 2, (size_t)(parse->end - tag - 2), "}}", 2);
    if (!close)
        return fail(parse, "{{ is not closed with }}");
    struct inside in = {.text = tag + 2, .size = (size_t)(close - tag - 2)};
    skip_blanks(&in);
    while (in.size > 0 && strchr(BLANKS, in.text[in.size - 1]))
        in.size--;
    bool is_comment = in.size > 0 && in.text[0] == '!', is_block = in.size > 0 && strchr("#/", in.text[0]);
    if (!is_comment && memchr(in.text, '\n', in.size))
        return fail(parse, "{{ is not closed with }} on its line");
    const char *from = line_start(parse, tag), *to = line_end(parse, close + 2);
    bool vanishes = (is_comment || is_block) && from && to;
    add_text(parse, parse->at, (size_t)((vanishes ? from : tag) - parse->at));
    if (parse->place.problem)
        return fail(parse, "%s", parse->place.problem);
    parse->at = vanishes ? to : close + 2;
    return is_comment ? 0 : is_block ? parse_block(parse, &in) : parse_value(parse, &in);
}

static void count_lines(struct parse *parse, const char *from, const char *to) {
    while ((from = memchr(from, '\n', (size_t)(to - from)))) {
        parse->line++;
        from++;
    }
}

static int parse_all(struct parse *parse) {
    const char *tag;
    while ((tag = memmem(parse->at, (size_t)(parse->end - parse->at), "{{", 2))) {
        while (tag + 2 < parse->end && tag[2] == '{') // "{{{": the last two are the tag's
            tag++;
        const char *counted = parse->at;
        count_lines(parse, counted, tag);
        parse->tag_line = parse->line;
        int r = parse_tag(parse, tag);
        if (r < 0)
            return r;
        count_lines(parse, tag, parse->at);
    }
    add_text(parse, parse->at, (size_t)(parse->end - parse->at));
    if (parse->place.problem)
        return fail(parse, "%s", parse->place.problem);
    if (parse->depth == 0)
        return 0;
    parse->tag_line = parse->template->nodes[parse->blocks[parse->depth - 1].node].line;
    return fail(parse, "the block that begins here is not closed");
}

int template_parse(const char *name, const char *text, size_t size, enum template_format format, const struct schema *schema,
                   struct template *ret_template, struct err *err) {
    cleanup_template struct template template = {0};
    struct parse parse = {.name = name,
                          .text = text,
                          .end = text + size,
                          .at = text,
                          .line = 1,
                          .tag_line = 1,
                          .format = format,
                          .schema = schema,
                          .template = &template,
                          .err = err};
    if (size > TEMPLATE_MAX_BYTES)
        return fail(&parse, "the template is larger than %d KiB", TEMPLATE_MAX_BYTES >> 10);
    if (memchr(text, 0, size))
        return fail(&parse, "the template holds a NUL byte");
    int r = parse_all(&parse);
    if (r < 0)
        return r;
    *ret_template = template;
    template = (struct template){0};
    return 0;
}
