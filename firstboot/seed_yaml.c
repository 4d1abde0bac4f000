// SPDX-License-Identifier: Apache-2.0
// Line by line, by recursive descent with bounded depth and node count. A list item's content is parsed as if its dash were a blank.
#include "firstboot/seed_yaml.h"
#include "common/buf.h"
#include <errno.h>
#include <jansson.h>
#include <string.h>

struct line {
    const char *text; // behind the indentation
    size_t size; // without trailing blanks
    unsigned indent, number;
};

struct parser {
    struct seed_yaml *yaml;
    struct line *lines; // without empty ones and comments
    size_t line_count, at;
    struct config_problems *problems;
    bool failed;
};

// Index of a node that was added; 0 after a failure (the root is made first, so 0 is never a member).
typedef size_t node_index;

static node_index parse_block(struct parser *p, unsigned depth);

void seed_yaml_done(struct seed_yaml *yaml) {
    for (size_t i = 0; i < yaml->count; i++) {
        free(yaml->nodes[i].key);
        free(yaml->nodes[i].text);
    }
    free(yaml->nodes);
    *yaml = (struct seed_yaml){0};
}

static node_index fail(struct parser *p, unsigned line, const char *text) {
    if (!p->failed)
        config_problem_add(p->problems, line, "%s", text);
    p->failed = true;
    return 0;
}

static node_index node_add(struct parser *p, enum seed_yaml_kind kind, unsigned line, char *text) {
    struct seed_yaml *yaml = p->yaml;
    if (yaml->count >= SEED_YAML_MAX_NODES) {
        free(text);
        return fail(p, line, "too many values");
    }
    if ((yaml->count & (yaml->count - 1)) == 0)
        yaml->nodes = mem_resize(yaml->nodes, yaml->count ? yaml->count * 2 : 1, sizeof(*yaml->nodes));
    yaml->nodes[yaml->count] = (struct seed_yaml_node){.kind = kind, .line = line, .text = text};
    return yaml->count++;
}

// Hangs `child` behind `last` (0: as the first) of `parent`.
static void node_link(struct parser *p, node_index parent, node_index last, node_index child) {
    if (last)
        p->yaml->nodes[last].next = child;
    else
        p->yaml->nodes[parent].child = child;
}

static bool is_blank(char c) {
    return c == ' ';
}

static const struct line *current(const struct parser *p) {
    return p->at < p->line_count && !p->failed ? &p->lines[p->at] : NULL;
}

static bool is_item(const struct line *line) {
    return line->text[0] == '-' && (line->size == 1 || is_blank(line->text[1]));
}

// A comment starts at the line's beginning or behind a blank.
static size_t cut_comment(const char *text, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (text[i] == '#' && (i == 0 || is_blank(text[i - 1])))
            size = i;
    while (size > 0 && is_blank(text[size - 1]))
        size--;
    return size;
}

// Length of a quoted text with its quotes; 0 if it is not closed or needs an escape.
static size_t quoted_size(const char *text, size_t size) {
    const char *end = memchr(text + 1, text[0], size - 1);
    if (!end || memchr(text, '\\', (size_t)(end - text)) || (end + 1 < text + size && end[1] == text[0]))
        return 0;
    return (size_t)(end - text) + 1;
}

// The text of one scalar that takes all of `text` (but a comment); NULL after a failure. The caller frees it.
static char *scalar_text(struct parser *p, unsigned line, const char *text, size_t size) {
    size = text[0] == '"' || text[0] == '\'' ? size : cut_comment(text, size);
    if (size == 0)
        return str_dup("");
    if (text[0] == '"' || text[0] == '\'') {
        size_t quoted = quoted_size(text, size);
        if (quoted == 0 || cut_comment(text + quoted, size - quoted) != 0) {
            fail(p, line, "expected one quoted text without escapes");
            return NULL;
        }
        return str_printf("%.*s", (int)quoted - 2, text + 1);
    }
    bool is_bare_colon = text[0] == ':' && (size == 1 || is_blank(text[1]));
    if (is_bare_colon || strchr("&*!|>%@`{}[],?", text[0])) {
        fail(p, line, "expected a plain text, a quoted text or a list [a, b]: other YAML is not read here");
        return NULL;
    }
    return str_printf("%.*s", (int)size, text);
}

// "[a, b]": scalars only, on one line.
static node_index parse_flow_list(struct parser *p, unsigned line, const char *text, size_t size) {
    node_index list = node_add(p, SEED_LIST, line, NULL), last = 0;
    size = cut_comment(text, size);
    if (size < 2 || text[size - 1] != ']')
        return fail(p, line, "expected a list [a, b] that ends on its line");
    const char *at = text + 1, *end = text + size - 1;
    while (!p->failed) {
        while (at < end && is_blank(*at))
            at++;
        if (at == end)
            break;
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const char *stop = comma ? comma : end;
        cleanup_free char *item = scalar_text(p, line, at, cut_comment(at, (size_t)(stop - at)));
        if (!item || item[0] == 0)
            return fail(p, line, "expected a list [a, b] of texts");
        node_index child = node_add(p, SEED_SCALAR, line, take_ptr(item));
        node_link(p, list, last, child);
        last = child;
        at = comma ? comma + 1 : end;
    }
    return p->failed ? 0 : list;
}

static node_index parse_inline(struct parser *p, unsigned line, const char *text, size_t size) {
    if (text[0] == '[')
        return parse_flow_list(p, line, text, size);
    if (size == 2 && memcmp(text, "{}", 2) == 0)
        return node_add(p, SEED_MAP, line, NULL);
    char *scalar = scalar_text(p, line, text, size);
    return scalar ? node_add(p, SEED_SCALAR, line, scalar) : 0;
}

// Length of the key at the beginning of a line, quotes included; 0 when the line is no "key:" or "key: value".
static size_t key_size(const struct line *line) {
    const char *text = line->text;
    size_t start = text[0] == '"' || text[0] == '\'' ? quoted_size(text, line->size) : 0;
    for (size_t i = start; i < line->size; i++) {
        if (text[i] == ':' && (i + 1 == line->size || is_blank(text[i + 1])))
            return i;
        if (start || (text[i] == '#' && i > 0 && is_blank(text[i - 1])))
            return 0;
    }
    return 0;
}

// What stands below a "key:" or "-" that ended its line: a deeper block, for a key also a list at the same depth, or nothing.
static node_index parse_below(struct parser *p, const struct line *owner, bool is_key, unsigned depth) {
    const struct line *line = current(p);
    if (line && (line->indent > owner->indent || (is_key && line->indent == owner->indent && is_item(line))))
        return parse_block(p, depth + 1);
    return node_add(p, SEED_SCALAR, owner->number, str_dup(""));
}

static node_index parse_list(struct parser *p, unsigned indent, unsigned depth) {
    const struct line *line = current(p);
    node_index list = node_add(p, SEED_LIST, line->number, NULL), last = 0;
    while ((line = current(p)) && line->indent == indent && is_item(line)) {
        struct line owner = *line;
        size_t skip = 1;
        while (skip < owner.size && is_blank(owner.text[skip]))
            skip++;
        bool is_alone = skip == owner.size || cut_comment(owner.text + skip, owner.size - skip) == 0;
        p->lines[p->at].text += skip;
        p->lines[p->at].size -= skip;
        p->lines[p->at].indent += (unsigned)skip;
        p->at += is_alone;
        node_index child = is_alone ? parse_below(p, &owner, false, depth) : parse_block(p, depth + 1);
        if (p->failed)
            return 0;
        node_link(p, list, last, child);
        last = child;
    }
    return p->failed ? 0 : list;
}

static bool has_key(const struct seed_yaml *yaml, node_index map, const char *key) {
    return seed_yaml_find(yaml, &yaml->nodes[map], key) != NULL;
}

static node_index parse_member(struct parser *p, node_index map, unsigned depth) {
    struct line owner = *current(p);
    size_t size = key_size(&owner);
    cleanup_free char *key = size ? scalar_text(p, owner.number, owner.text, size) : NULL;
    if (!key || !key[0])
        return fail(p, owner.number, "expected 'key: value'");
    if (has_key(p->yaml, map, key))
        return fail(p, owner.number, "a key stands here twice");
    size_t skip = size + 1;
    while (skip < owner.size && is_blank(owner.text[skip]))
        skip++;
    bool is_alone = skip == owner.size || cut_comment(owner.text + skip, owner.size - skip) == 0;
    p->at++;
    node_index child = is_alone ? parse_below(p, &owner, true, depth) : parse_inline(p, owner.number, owner.text + skip, owner.size - skip);
    if (child) {
        p->yaml->nodes[child].key = take_ptr(key);
        p->yaml->nodes[child].line = owner.number; // where the key stands, not its value
    }
    return child;
}

static node_index parse_map(struct parser *p, unsigned indent, unsigned depth) {
    const struct line *line = current(p);
    node_index map = node_add(p, SEED_MAP, line->number, NULL), last = 0;
    while ((line = current(p)) && line->indent == indent && !is_item(line)) {
        node_index child = parse_member(p, map, depth);
        if (p->failed)
            return 0;
        node_link(p, map, last, child);
        last = child;
    }
    return p->failed ? 0 : map;
}

static node_index parse_block(struct parser *p, unsigned depth) {
    const struct line *line = current(p);
    if (depth > SEED_YAML_MAX_DEPTH)
        return fail(p, line->number, "nested too deeply");
    unsigned indent = line->indent;
    node_index block;
    if (is_item(line)) {
        block = parse_list(p, indent, depth);
    } else if (key_size(line)) {
        block = parse_map(p, indent, depth);
    } else {
        p->at++;
        return parse_inline(p, line->number, line->text, line->size);
    }
    const struct line *next = current(p);
    if (next && next->indent > indent)
        return fail(p, next->number, "the indentation fits nothing above it");
    return block;
}

static bool line_is_text(const char *text, size_t size) {
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
            return false;
    return true;
}

static void split_lines(struct parser *p, const char *text, size_t size) {
    unsigned number = 0;
    for (size_t at = 0; at < size && !p->failed;) {
        const char *end = memchr(text + at, '\n', size - at);
        size_t length = end ? (size_t)(end - text) - at : size - at;
        struct line line = {.text = text + at, .size = length, .number = ++number};
        at += length + 1;
        while (line.size > 0 && is_blank(line.text[line.size - 1]))
            line.size--;
        while (line.size > 0 && is_blank(line.text[0]))
            line.text++, line.size--, line.indent++;
        if (!line_is_text(line.text, line.size))
            fail(p, number, "a tab or another control character (Windows line ends?)");
        bool is_start = p->line_count == 0 && line.indent == 0 && line.size == 3 && memcmp(line.text, "---", 3) == 0;
        if (line.size == 0 || line.text[0] == '#' || is_start)
            continue;
        if ((p->line_count & (p->line_count - 1)) == 0)
            p->lines = mem_resize(p->lines, p->line_count ? p->line_count * 2 : 1, sizeof(*p->lines));
        p->lines[p->line_count++] = line;
    }
}

static node_index add_json(struct parser *p, json_t *json, unsigned depth);

static void add_json_members(struct parser *p, node_index parent, json_t *json, unsigned depth) {
    node_index last = 0;
    const char *key;
    json_t *value;
    size_t index;
    if (json_is_object(json)) {
        json_object_foreach(json, key, value) {
            node_index child = add_json(p, value, depth + 1);
            if (!child)
                return;
            p->yaml->nodes[child].key = str_dup(key);
            node_link(p, parent, last, child);
            last = child;
        }
    } else {
        json_array_foreach(json, index, value) {
            node_index child = add_json(p, value, depth + 1);
            if (!child)
                return;
            node_link(p, parent, last, child);
            last = child;
        }
    }
}

static node_index add_json(struct parser *p, json_t *json, unsigned depth) {
    if (depth > SEED_YAML_MAX_DEPTH)
        return fail(p, 1, "nested too deeply");
    if (json_is_object(json) || json_is_array(json)) {
        node_index node = node_add(p, json_is_object(json) ? SEED_MAP : SEED_LIST, 1, NULL);
        if (!p->failed)
            add_json_members(p, node, json, depth);
        return p->failed ? 0 : node;
    }
    if (json_is_string(json))
        return node_add(p, SEED_SCALAR, 1, str_dup(json_string_value(json)));
    if (json_is_integer(json))
        return node_add(p, SEED_SCALAR, 1, str_printf("%lld", (long long)json_integer_value(json)));
    return node_add(p, SEED_SCALAR, 1, str_dup(json_is_true(json) ? "true" : json_is_false(json) ? "false" : ""));
}

static void parse_json(struct parser *p, const char *text, size_t size) {
    json_error_t error;
    json_t *json = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (json)
        add_json(p, json, 0);
    else
        fail(p, error.line > 0 ? (unsigned)error.line : 1, "not valid JSON");
    json_decref(json);
}

static void parse_yaml(struct parser *p, const char *text, size_t size) {
    split_lines(p, text, size);
    if (p->failed)
        return;
    if (p->line_count == 0)
        node_add(p, SEED_MAP, 1, NULL);
    else
        parse_block(p, 0);
    const struct line *rest = current(p);
    if (rest)
        fail(p, rest->number, "expected the end: the indentation fits nothing above it");
}

int seed_yaml_parse(const char *text, size_t size, struct seed_yaml *ret_yaml, struct config_problems *problems) {
    *ret_yaml = (struct seed_yaml){0};
    struct parser parser = {.yaml = ret_yaml, .problems = problems};
    size_t start = 0;
    while (start < size && (is_blank(text[start]) || text[start] == '\n'))
        start++;
    if (size > SEED_YAML_MAX_BYTES)
        fail(&parser, 1, "larger than 64 KiB");
    else if (start < size && text[start] == '{')
        parse_json(&parser, text, size);
    else
        parse_yaml(&parser, text, size);
    free(parser.lines);
    if (!parser.failed)
        return 0;
    seed_yaml_done(ret_yaml);
    return -EINVAL;
}

const struct seed_yaml_node *seed_yaml_first(const struct seed_yaml *yaml, const struct seed_yaml_node *node) {
    return node && node->child ? &yaml->nodes[node->child] : NULL;
}

const struct seed_yaml_node *seed_yaml_next(const struct seed_yaml *yaml, const struct seed_yaml_node *node) {
    return node && node->next ? &yaml->nodes[node->next] : NULL;
}

const struct seed_yaml_node *seed_yaml_find(const struct seed_yaml *yaml, const struct seed_yaml_node *node, const char *key) {
    if (!node || node->kind != SEED_MAP)
        return NULL;
    for (const struct seed_yaml_node *member = seed_yaml_first(yaml, node); member; member = seed_yaml_next(yaml, member))
        if (strcmp(member->key, key) == 0)
            return member;
    return NULL;
}

const char *seed_yaml_text(const struct seed_yaml *yaml, const struct seed_yaml_node *node, const char *key) {
    const struct seed_yaml_node *member = seed_yaml_find(yaml, node, key);
    return member && member->kind == SEED_SCALAR ? member->text : NULL;
}
