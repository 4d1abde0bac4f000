// SPDX-License-Identifier: Apache-2.0
// The stacks of an image as one: start order, the schema that they and the base make up, and what holds under a configuration.
#include "common/stack_rules.h"
#include "common/schema_types.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

// What set->schema points to. The view is a copy of the set for the rules, so that a set may be moved.
struct tables {
    struct stack_set view;
    const struct schema_key **lists;
    struct schema_key *keys;
    schema_rule **rules;
};

bool stack_next_alternative(const char **cursor, char ret_key[CONFIG_KEY_BYTES]) {
    const char *word;
    size_t size;
    while ((word = schema_next_word(cursor, &size)))
        if ((size != 2 || memcmp(word, "or", 2) != 0) && size < CONFIG_KEY_BYTES) {
            memcpy(ret_key, word, size);
            ret_key[size] = 0;
            return true;
        }
    return false;
}

bool stack_port_parse(const char *text, struct stack_port_range *ret_range) {
    char first[8];
    const char *dash = strchr(text, '-');
    size_t size = dash ? (size_t)(dash - text) : strlen(text);
    int64_t low, high;
    if (size >= sizeof(first))
        return false;
    memcpy(first, text, size);
    first[size] = 0;
    if (!schema_parse_number(first, false, &low) || !schema_parse_number(dash ? dash + 1 : first, false, &high) || low < 1 ||
        high > 65535 || low > high)
        return false;
    *ret_range = (struct stack_port_range){(unsigned)low, (unsigned)high};
    return true;
}

static bool names_key(const char *requirement, const char *key) {
    char name[CONFIG_KEY_BYTES];
    for (const char *cursor = requirement; stack_next_alternative(&cursor, name);)
        if (strcmp(name, key) == 0)
            return true;
    return false;
}

// Whether `stack` starts after `other`.
static bool follows(const struct stack *stack, const struct stack *other) {
    for (size_t i = 0; i < stack->requires.count; i++)
        if (names_key(stack->requires.items[i], other->enable))
            return true;
    return false;
}

// The first of stacks[from …] that follows none of them; `count` when there is none.
static size_t find_startable(struct stack *const *stacks, size_t from, size_t count) {
    for (size_t i = from; i < count; i++) {
        size_t j = from;
        while (j < count && !follows(stacks[i], stacks[j]))
            j++;
        if (j == count)
            return i;
    }
    return count;
}

// Every one of stacks[from …] follows another one: walking along arrives at a stack a second time, and what lies between is the circle.
static int name_cycle(struct stack *const *stacks, size_t from, struct err *err) {
    const struct stack *path[STACK_MAX_STACKS + 1] = {stacks[from]};
    size_t length = 1, start = 0;
    for (;; length++) {
        size_t next = from;
        while (!follows(path[length - 1], stacks[next]))
            next++;
        path[length] = stacks[next];
        for (start = 0; path[start] != path[length]; start++)
            ;
        if (start < length)
            break;
    }
    cleanup_buf struct buf names = {0};
    for (size_t i = start; i <= length; i++)
        buf_printf(&names, "%s%s", i > start ? " → " : "", path[i]->name);
    return err_set(err, -EINVAL, "stacks require each other in a circle: %s", buf_str(&names));
}

static int compare_names(const void *a, const void *b) {
    return strcmp((*(struct stack *const *)a)->name, (*(struct stack *const *)b)->name);
}

static int order(struct stack **stacks, size_t count, struct err *err) {
    qsort(stacks, count, sizeof(*stacks), compare_names);
    for (size_t i = 1; i < count; i++)
        if (strcmp(stacks[i - 1]->name, stacks[i]->name) == 0)
            return err_set(err, -EEXIST, "there are two stacks '%s'", stacks[i]->name);
    for (size_t done = 0; done < count; done++) {
        size_t next = find_startable(stacks, done, count);
        if (next == count)
            return name_cycle(stacks, done, err);
        struct stack *stack = stacks[next];
        memmove(stacks + done + 1, stacks + done, (next - done) * sizeof(*stacks));
        stacks[done] = stack;
    }
    return 0;
}

// Whether two names, of which '#' stands for any digit, can mean the same key.
static bool names_overlap(const char *a, const char *b) {
    for (; *a && *b; a++, b++)
        if (*a != *b && !(*a == '#' && *b >= '0' && *b <= '9') && !(*b == '#' && *a >= '0' && *a <= '9'))
            return false;
    return *a == *b;
}

static const struct schema_key *find_overlap(const struct schema_key *const *tables, const char *name) {
    for (; *tables; tables++)
        for (const struct schema_key *key = *tables; key->name; key++)
            if (names_overlap(key->name, name))
                return key;
    return NULL;
}

static bool same_text(const char *a, const char *b) {
    return a && b ? strcmp(a, b) == 0 : a == b;
}

// Two stacks may share a key, when they mean the same by it.
static bool is_same_key(const struct stack_key *a, const struct stack_key *b) {
    return strcmp(a->schema.name, b->schema.name) == 0 && a->schema.type == b->schema.type && a->schema.min == b->schema.min &&
           a->schema.max == b->schema.max && same_text(a->schema.fallback, b->schema.fallback) &&
           same_text(a->schema.choices, b->schema.choices) && same_text(a->pattern, b->pattern);
}

static int check_key(const struct stack *stack, const struct stack_key *key, const struct stack *other, struct err *err) {
    for (size_t i = 0; i < other->key_count; i++)
        if (names_overlap(other->keys[i].schema.name, key->schema.name) &&
            (strcmp(key->schema.name, stack->enable) == 0 || strcmp(key->schema.name, other->enable) == 0 ||
             !is_same_key(key, &other->keys[i])))
            return err_set(err, -EEXIST, "stack %s: %s is also a key of %s, and not the same", stack->name, key->schema.name, other->name);
    return 0;
}

static int check_keys(struct stack *const *stacks, size_t count, struct err *err) {
    int r = 0;
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < stacks[i]->key_count; k++) {
            const struct stack_key *key = &stacks[i]->keys[k];
            if (find_overlap(schema_base.tables, key->schema.name))
                return err_set(err, -EEXIST, "stack %s: %s is a key of every machine", stacks[i]->name, key->schema.name);
            for (size_t j = 0; r >= 0 && j < i; j++)
                r = check_key(stacks[i], key, stacks[j], err);
        }
    return r;
}

// Base tables, then one per stack; base rules, then those about stacks.
static void compose(struct stack **stacks, size_t count, struct stack_set *set) {
    struct tables *tables = mem_array(1, sizeof(*tables));
    size_t base_lists = 0, base_rules = 0, own_rules = 0, key_count = 0;
    while (schema_base.tables[base_lists])
        base_lists++;
    while (schema_base.rules[base_rules])
        base_rules++;
    while (stack_rules[own_rules])
        own_rules++;
    for (size_t i = 0; i < count; i++)
        key_count += stacks[i]->key_count + 1;
    tables->lists = mem_array(base_lists + count + 1, sizeof(*tables->lists));
    tables->keys = mem_array(key_count, sizeof(*tables->keys));
    tables->rules = mem_array(base_rules + own_rules + 1, sizeof(*tables->rules));
    memcpy(tables->lists, schema_base.tables, base_lists * sizeof(*tables->lists));
    memcpy(tables->rules, schema_base.rules, base_rules * sizeof(*tables->rules));
    memcpy(tables->rules + base_rules, stack_rules, own_rules * sizeof(*tables->rules));
    struct schema_key *next = tables->keys;
    for (size_t i = 0; i < count; i++, next++) { // the array is zeroed: one empty key ends each table
        tables->lists[base_lists + i] = next;
        for (size_t k = 0; k < stacks[i]->key_count; k++)
            *next++ = stacks[i]->keys[k].schema;
    }
    *set = (struct stack_set){.stacks = stacks,
                              .count = count,
                              .schema = {.tables = tables->lists, .rules = tables->rules, .stacks = &tables->view},
                              .tables = tables};
    tables->view = *set;
}

static int set_make(struct stack **stacks, size_t count, struct stack_set *set, struct err *err) {
    if (count > STACK_MAX_STACKS)
        return err_set(err, -E2BIG, "%zu stacks, at most %d are possible", count, STACK_MAX_STACKS);
    int r = count ? order(stacks, count, err) : 0;
    if (r >= 0)
        r = check_keys(stacks, count, err);
    if (r < 0)
        return r;
    compose(stacks, count, set);
    return 0;
}

int stack_set_verify(const struct stack_set *set, size_t *ret_index, struct err *err) {
    for (size_t i = 0; i < set->count; i++) {
        int r = stack_verify(set->stacks[i], &set->schema, err);
        if (r < 0) {
            *ret_index = i;
            return r;
        }
    }
    return 0;
}

static void tables_free(struct tables *tables) {
    if (!tables)
        return;
    free(tables->lists);
    free(tables->keys);
    free(tables->rules);
    free(tables);
}

void stack_set_done(struct stack_set *set) {
    for (size_t i = 0; i < set->count; i++)
        stack_free(set->stacks[i]);
    free(set->stacks);
    tables_free(set->tables);
    *set = (struct stack_set){0};
}

int stack_set_make(struct stack **stacks, size_t count, struct stack_set *ret_set, struct err *err) {
    struct stack_set set = {.stacks = stacks, .count = count};
    int r = set_make(stacks, count, &set, err);
    if (r < 0)
        stack_set_done(&set);
    else
        *ret_set = set;
    return r;
}

const struct stack *stack_set_find(const struct stack_set *set, const char *name) {
    for (size_t i = 0; i < set->count; i++)
        if (strcmp(set->stacks[i]->name, name) == 0)
            return set->stacks[i];
    return NULL;
}

bool stack_holds(const struct stack_set *set, const char *when, const struct config *config) {
    const struct schema_key *key = when ? schema_find(&set->schema, when) : NULL;
    if (!key)
        return !when;
    const char *text = schema_text(&set->schema, config, when);
    return key->type == SCHEMA_BOOL ? text && strcmp(text, "true") == 0 : text && *text;
}

bool stack_is_enabled(const struct stack_set *set, const struct stack *stack, const struct config *config) {
    return stack_holds(set, stack->enable, config);
}

bool stack_requirement_holds(const struct stack_set *set, const char *requirement, const struct config *config) {
    char key[CONFIG_KEY_BYTES];
    for (const char *cursor = requirement; stack_next_alternative(&cursor, key);)
        if (stack_holds(set, key, config))
            return true;
    return false;
}

bool stack_needs(const struct stack_set *set, const struct stack *stack, const struct stack *other, const struct config *config) {
    return follows(stack, other) && stack_is_enabled(set, other, config);
}
