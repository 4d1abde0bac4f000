// SPDX-License-Identifier: Apache-2.0
// Stack ↔ JSON, by the table of stack_table.c. The enable key is no member of "keys": it is made from the stack's name on reading.
#include "common/schema_types.h"
#include "common/stack_table.h"
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <string.h>

static json_t *text_to_json(const char *text) {
    json_t *value = json_string(text);
    if (!value)
        abort(); // no memory: texts come from UTF-8 parsers
    return value;
}

static json_t *list_to_json(const struct stack_list *list) {
    json_t *array = json_array();
    for (size_t i = 0; i < list->count; i++)
        json_array_append_new(array, text_to_json(list->items[i]));
    return array;
}

static json_t *words_to_json(const char *words) {
    json_t *array = json_array();
    const char *word;
    size_t size;
    for (const char *cursor = words; (word = schema_next_word(&cursor, &size));)
        json_array_append_new(array, json_stringn(word, size));
    return array;
}

static json_t *mode_to_json(mode_t mode) {
    char text[16];
    snprintf(text, sizeof(text), "%04o", (unsigned)mode);
    return text_to_json(text);
}

static json_t *members_to_json(const struct stack_member *members, const char *base, const char *skip_key);

static json_t *items_to_json(const struct stack_member *member, const char *base, const char *skip_key) {
    json_t *array = json_array();
    const char *items = *(const char *const *)(const void *)(base + member->offset);
    size_t count = *(const size_t *)(const void *)(base + member->count_offset);
    for (size_t i = 0; i < count; i++) {
        const char *item = items + i * member->size;
        if (strcmp(member->name, "keys") != 0 || strcmp(((const struct stack_key *)(const void *)item)->schema.name, skip_key) != 0)
            json_array_append_new(array, members_to_json(member->members, item, skip_key));
    }
    return array;
}

// NULL when the member has the value that its absence means.
static json_t *member_to_json(const struct stack_member *member, const char *base, const char *skip_key) {
    const void *at = base + member->offset;
    switch (member->kind) {
    case STACK_KIND_TEXT:
        return *(const char *const *)at ? text_to_json(*(const char *const *)at) : NULL;
    case STACK_KIND_TEXTS:
        return list_to_json(at);
    case STACK_KIND_WORDS:
        return *(const char *const *)at ? words_to_json(*(const char *const *)at) : NULL;
    case STACK_KIND_UNSIGNED:
        return *(const unsigned *)at ? json_integer(*(const unsigned *)at) : NULL;
    case STACK_KIND_LONG:
        return json_integer(*(const long *)at);
    case STACK_KIND_INT64:
        return *(const int64_t *)at ? json_integer(*(const int64_t *)at) : NULL;
    case STACK_KIND_BOOL:
        return *(const bool *)at ? json_true() : NULL;
    case STACK_KIND_MODE:
        return mode_to_json(*(const mode_t *)at);
    case STACK_KIND_WORD:
        return text_to_json(member->words->name(*(const int *)at));
    case STACK_KIND_LIST:
        return items_to_json(member, base, skip_key);
    }
    abort();
}

static json_t *members_to_json(const struct stack_member *members, const char *base, const char *skip_key) {
    json_t *object = json_object();
    for (const struct stack_member *member = members; member->name; member++) {
        json_t *value = member_to_json(member, base, skip_key);
        if (json_is_array(value) && !json_array_size(value) && !member->is_required) {
            json_decref(value);
            value = NULL;
        }
        if (value)
            json_object_set_new(object, member->name, value);
    }
    return object;
}

void stack_format(const struct stack *stack, struct buf *json) {
    json_t *root = json_object();
    json_object_set_new(root, "format", json_integer(STACK_FORMAT));
    json_t *members = members_to_json(stack_members, (const char *)stack, stack->enable);
    json_object_update(root, members);
    json_decref(members);
    char *dumped = json_dumps(root, JSON_INDENT(1));
    json_decref(root);
    if (!dumped)
        abort();
    buf_printf(json, "%s\n", dumped);
    free(dumped);
}

static int complain(struct err *err, const char *where, const char *expected) {
    return err_set(err, -EINVAL, "%s: expected %s", where, expected);
}

static int json_to_text(const json_t *value, const char *where, char **ret_text, struct err *err) {
    if (!json_is_string(value))
        return complain(err, where, "a text");
    if (json_string_length(value) > STACK_MAX_TEXT)
        return err_set(err, -EINVAL, "%s: longer than %d bytes", where, STACK_MAX_TEXT);
    for (const char *c = json_string_value(value); *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            return err_set(err, -EINVAL, "%s: a control character", where);
    *ret_text = str_dup(json_string_value(value));
    return 0;
}

static int json_to_list(const json_t *value, const char *where, struct stack_list *list, struct err *err) {
    if (!json_is_array(value) || json_array_size(value) > STACK_MAX_ITEMS)
        return complain(err, where, "a list of texts");
    int r = 0;
    list->items = mem_array(json_array_size(value), sizeof(*list->items));
    for (size_t i = 0; r >= 0 && i < json_array_size(value); i++) {
        cleanup_free char *item = str_printf("%s[%zu]", where, i);
        r = json_to_text(json_array_get(value, i), item, &list->items[i], err);
        list->count += r >= 0;
    }
    return r;
}

static int json_to_words(const json_t *value, const char *where, char **ret_words, struct err *err) {
    cleanup_buf struct buf words = {0};
    if (!json_is_array(value) || json_array_size(value) > STACK_MAX_ITEMS)
        return complain(err, where, "a list of words");
    for (size_t i = 0; i < json_array_size(value); i++) {
        cleanup_free char *item = str_printf("%s[%zu]", where, i), *word = NULL;
        int r = json_to_text(json_array_get(value, i), item, &word, err);
        if (r < 0)
            return r;
        if (!*word || strchr(word, ' '))
            return complain(err, item, "a word without blanks");
        buf_printf(&words, "%s%s", i ? " " : "", word);
    }
    *ret_words = buf_take(&words);
    return 0;
}

static int json_to_mode(const json_t *value, const char *where, mode_t *ret_mode, struct err *err) {
    const char *text = json_is_string(value) ? json_string_value(value) : "";
    if (strlen(text) != 4 || text[0] != '0' || strspn(text, "01234567") != 4)
        return complain(err, where, "a quoted octal mode such as \"0640\"");
    *ret_mode = (mode_t)strtoul(text, NULL, 8);
    return 0;
}

static int json_to_word(const struct stack_words *words, const json_t *value, const char *where, int *ret_value, struct err *err) {
    int found = json_is_string(value) ? words->find(json_string_value(value)) : -1;
    cleanup_buf struct buf all = {0};
    for (int i = 0; found < 0 && i < words->count; i++)
        buf_printf(&all, " %s", words->name(i));
    if (found < 0)
        return err_set(err, -EINVAL, "%s: expected one of:%s", where, buf_str(&all));
    *ret_value = found;
    return 0;
}

static int json_to_integer(const json_t *value, const char *where, int64_t min, int64_t max, int64_t *ret_integer, struct err *err) {
    if (!json_is_integer(value) || json_integer_value(value) < min || json_integer_value(value) > max)
        return complain(err, where, min < 0 ? "a whole number" : "a whole number from 0 on");
    *ret_integer = json_integer_value(value);
    return 0;
}

static int json_to_members(const json_t *object, const struct stack_member *members, const char *where, char *base, struct err *err);

static int json_to_items(const struct stack_member *member, const json_t *value, const char *where, char *base, struct err *err) {
    if (!json_is_array(value) || json_array_size(value) > STACK_MAX_ITEMS)
        return complain(err, where, "a list");
    size_t count = json_array_size(value), *filled = (size_t *)(void *)(base + member->count_offset);
    char *items = *(char **)(void *)(base + member->offset) = mem_array(count, member->size);
    int r = 0;
    for (; r >= 0 && *filled < count; (*filled)++) {
        cleanup_free char *item = str_printf("%s[%zu]", where, *filled);
        r = json_to_members(json_array_get(value, *filled), member->members, item, items + *filled * member->size, err);
    }
    return r;
}

static int json_to_member(const struct stack_member *member, const json_t *value, const char *where, char *base, struct err *err) {
    void *at = base + member->offset;
    int64_t integer = 0;
    int r = 0;
    switch (member->kind) {
    case STACK_KIND_TEXT:
        return json_to_text(value, where, at, err);
    case STACK_KIND_TEXTS:
        return json_to_list(value, where, at, err);
    case STACK_KIND_WORDS:
        return json_to_words(value, where, at, err);
    case STACK_KIND_UNSIGNED:
        r = json_to_integer(value, where, 0, INT_MAX, &integer, err);
        *(unsigned *)at = (unsigned)integer;
        return r;
    case STACK_KIND_LONG:
        r = json_to_integer(value, where, LONG_MIN, LONG_MAX, &integer, err);
        *(long *)at = integer;
        return r;
    case STACK_KIND_INT64:
        return json_to_integer(value, where, 0, INT64_MAX, at, err);
    case STACK_KIND_BOOL:
        *(bool *)at = json_is_true(value);
        return json_is_boolean(value) ? 0 : complain(err, where, "true or false");
    case STACK_KIND_MODE:
        return json_to_mode(value, where, at, err);
    case STACK_KIND_WORD:
        return json_to_word(member->words, value, where, at, err);
    case STACK_KIND_LIST:
        return json_to_items(member, value, where, base, err);
    }
    abort();
}

static int refuse_unknown(const json_t *object, const struct stack_member *members, const char *where, struct err *err) {
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)object, name, value) {
        const struct stack_member *member = members;
        while (member->name && strcmp(member->name, name) != 0)
            member++;
        if (!member->name && (members != stack_members || strcmp(name, "format") != 0))
            return err_set(err, -EINVAL, "%s%s%.40s: unknown", where, *where ? "." : "", name);
    }
    return 0;
}

static int json_to_members(const json_t *object, const struct stack_member *members, const char *where, char *base, struct err *err) {
    if (!json_is_object(object))
        return complain(err, *where ? where : "stack", "a mapping");
    int r = refuse_unknown(object, members, where, err);
    for (const struct stack_member *member = members; r >= 0 && member->name; member++) {
        const json_t *value = json_object_get(object, member->name);
        cleanup_free char *path = str_printf("%s%s%s", where, *where ? "." : "", member->name);
        if (value)
            r = json_to_member(member, value, path, base, err);
        else if (member->is_required)
            r = err_set(err, -EINVAL, "%s: missing", path);
    }
    return r;
}

// keys[0] becomes the enable key, and every key gets the heading it has in docs/CONFIG.md.
static void add_enable_key(struct stack *stack) {
    stack->keys = mem_resize(stack->keys, stack->key_count + 1, sizeof(*stack->keys));
    memmove(stack->keys + 1, stack->keys, stack->key_count * sizeof(*stack->keys));
    stack->key_count++;
    stack->keys[0] = (struct stack_key){
        .schema = {.name = str_dup(stack->enable),
                   .type = SCHEMA_BOOL,
                   .fallback = str_dup("false"),
                   .help = str_printf("Whether this machine runs %s: %s.", stack->name, stack->summary)},
    };
    for (size_t i = 0; i < stack->key_count; i++)
        stack->keys[i].schema.group = str_printf("Stack %s", stack->name);
}

static int parse(const json_t *root, struct stack *stack, struct err *err) {
    const json_t *format = json_object_get(root, "format");
    if (!json_is_integer(format) || json_integer_value(format) != STACK_FORMAT)
        return err_set(err, -EINVAL, "format: expected %d", STACK_FORMAT);
    return json_to_members(root, stack_members, "", (char *)stack, err);
}

int stack_parse(const char *json, size_t size, const char *name, struct stack *ret_stack, struct err *err) {
    json_error_t error;
    struct stack stack = {0};
    if (size > STACK_MAX_BYTES)
        return err_set(err, -EINVAL, "%s: %zu bytes, %d are possible", name, size, STACK_MAX_BYTES);
    json_t *root = json_loadb(json, size, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        return err_set(err, -EINVAL, "%s:%d: %s", name, error.line, error.text);
    int r = parse(root, &stack, err);
    json_decref(root);
    if (r < 0) {
        stack_done(&stack);
        return err_prefix(err, -EINVAL, "%s", name);
    }
    add_enable_key(&stack);
    *ret_stack = stack;
    return 0;
}
