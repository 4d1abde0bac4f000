// SPDX-License-Identifier: Apache-2.0
// stack.yaml → struct stack. libcyaml checks the shape by a table that is made of common/stack_table.c's and gives every value as text; from
// that the JSON form is made, which one reader (stack_parse) judges for all. Lines of what that reader refuses: recipe_line.c.
#include "builder/recipe.h"
#include "builder/recipe_line.h"
#include "builder/recipe_yaml.h"
#include "common/buf.h"
#include "common/schema_types.h"
#include "common/stack_table.h"
#include <assert.h>
#include <errno.h>
#include <jansson.h>
#include <string.h>

#define MAX_MEMBERS 24
#define MAX_LISTS 12

// What libcyaml makes of any value: a text, or `count` of something.
struct cell {
    void *data;
    uint64_t count;
};

// The libcyaml tables of a stack. Lists of mappings are one level deep.
struct shape {
    cyaml_schema_field_t fields[MAX_MEMBERS], item_fields[MAX_LISTS][MAX_MEMBERS];
    cyaml_schema_value_t root, text, items[MAX_LISTS];
};

static cyaml_schema_value_t text_value(const struct stack_member *member) {
    cyaml_schema_value_t value = {.type = CYAML_STRING, .flags = CYAML_FLAG_POINTER, .data_size = sizeof(char)};
    value.string.max = STACK_MAX_TEXT;
    if (!member->is_required)
        value.flags |= CYAML_FLAG_OPTIONAL;
    return value;
}

static cyaml_schema_value_t list_value(const struct stack_member *member, const cyaml_schema_value_t *entry) {
    cyaml_schema_value_t value = {.type = CYAML_SEQUENCE, .flags = CYAML_FLAG_POINTER, .data_size = entry->data_size};
    if (entry->flags & CYAML_FLAG_POINTER)
        value.data_size = sizeof(void *);
    value.sequence.entry = entry;
    value.sequence.max = STACK_MAX_ITEMS;
    if (!member->is_required)
        value.flags |= CYAML_FLAG_OPTIONAL;
    return value;
}

static bool is_list_of_texts(const struct stack_member *member) {
    return member->kind == STACK_KIND_TEXTS || member->kind == STACK_KIND_WORDS;
}

static size_t member_count(const struct stack_member *members) {
    size_t count = 0;
    while (members[count].name)
        count++;
    assert(count < MAX_MEMBERS);
    return count;
}

static void fill_fields(struct shape *shape, const struct stack_member *members, cyaml_schema_field_t *fields, size_t *lists) {
    for (size_t i = 0; members[i].name; i++) {
        const struct stack_member *member = &members[i];
        fields[i] = (cyaml_schema_field_t){.key = member->name, .data_offset = (uint32_t)(i * sizeof(struct cell))};
        fields[i].count_offset = fields[i].data_offset + (uint32_t)offsetof(struct cell, count);
        fields[i].count_size = sizeof(((struct cell *)NULL)->count);
        if (member->kind == STACK_KIND_LIST) {
            size_t list = (*lists)++;
            assert(list < MAX_LISTS);
            fill_fields(shape, member->members, shape->item_fields[list], lists);
            shape->items[list].type = CYAML_MAPPING;
            shape->items[list].data_size = (uint32_t)(member_count(member->members) * sizeof(struct cell));
            shape->items[list].mapping.fields = shape->item_fields[list];
            fields[i].value = list_value(member, &shape->items[list]);
        } else {
            fields[i].value = is_list_of_texts(member) ? list_value(member, &shape->text) : text_value(member);
        }
    }
}

static void fill_shape(struct shape *shape) {
    size_t lists = 0;
    *shape = (struct shape){.text = text_value(&(struct stack_member){.is_required = true})};
    fill_fields(shape, stack_members, shape->fields, &lists);
    shape->root.type = CYAML_MAPPING;
    shape->root.flags = CYAML_FLAG_POINTER;
    shape->root.data_size = (uint32_t)(member_count(stack_members) * sizeof(struct cell));
    shape->root.mapping.fields = shape->fields;
}

// What is no number stays a text, which the reader of the JSON refuses with words of its own.
static json_t *number_to_json(const char *text, bool with_suffix) {
    int64_t number;
    bool is_negative = text[0] == '-';
    if (!schema_parse_number(text + is_negative, with_suffix, &number))
        return json_string(text);
    return json_integer(is_negative ? -number : number);
}

static json_t *text_to_json(enum stack_kind kind, const char *text) {
    if (kind == STACK_KIND_UNSIGNED || kind == STACK_KIND_LONG)
        return number_to_json(text, false);
    if (kind == STACK_KIND_INT64)
        return number_to_json(text, true);
    if (kind == STACK_KIND_BOOL && (strcmp(text, "true") == 0 || strcmp(text, "false") == 0))
        return json_boolean(text[0] == 't');
    return json_string(text);
}

static json_t *cells_to_json(const struct stack_member *members, const struct cell *cells);

static json_t *cell_to_json(const struct stack_member *member, const struct cell *cell) {
    if (member->kind != STACK_KIND_LIST && !is_list_of_texts(member))
        return text_to_json(member->kind, cell->data);
    json_t *array = json_array();
    const struct cell *items = cell->data;
    for (uint64_t i = 0; i < cell->count; i++)
        json_array_append_new(array, member->kind == STACK_KIND_LIST
                                         ? cells_to_json(member->members, items + i * member_count(member->members))
                                         : json_string(((char *const *)cell->data)[i]));
    return array;
}

static json_t *cells_to_json(const struct stack_member *members, const struct cell *cells) {
    json_t *object = json_object();
    for (size_t i = 0; members[i].name; i++)
        if (cells[i].data)
            json_object_set_new(object, members[i].name, cell_to_json(&members[i], &cells[i]));
    return object;
}

static char *cells_to_text(const struct cell *cells) {
    json_t *object = cells_to_json(stack_members, cells);
    json_object_set_new(object, "format", json_integer(STACK_FORMAT));
    char *text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    if (!text)
        abort(); // no memory: YAML is UTF-8
    return text;
}

int recipe_stack_complain(const char *text, size_t size, const char *name, struct err *err) {
    cleanup_free char *member = str_printf("%.*s", (int)strcspn(err->text, ": "), err->text);
    return err_prefix(err, -EINVAL, "%s:%u", name, recipe_line(text, size, member));
}

int recipe_parse_stack(const char *text, size_t size, const char *name, struct stack *ret_stack, struct err *err) {
    static const char label[] = "stack"; // goes in front of what stack_parse() says
    struct shape shape;
    struct cell *cells = NULL;
    fill_shape(&shape);
    int r = recipe_yaml_load(text, size, name, &shape.root, &cells, err);
    if (r < 0)
        return r;
    cleanup_free char *json = cells_to_text(cells);
    recipe_yaml_free(&shape.root, cells);
    r = stack_parse(json, strlen(json), label, ret_stack, err);
    if (r >= 0)
        return r;
    memmove(err->text, err->text + strlen(label) + 2, strlen(err->text) - strlen(label) - 1);
    return recipe_stack_complain(text, size, name, err);
}
