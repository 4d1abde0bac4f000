// SPDX-License-Identifier: Apache-2.0
// What the stacks of a set want of a config.env beyond the types of its values. As all rules these see values that may be wrong (which
// schema_check() reports), so they read a value only if it is valid.
#include "common/stack_rules.h"
#include "common/schema_types.h"
#include <inttypes.h>
#include <regex.h>
#include <string.h>

// The line of a key's entry, or of the stack's switch when the key has its default.
static unsigned line_of(const struct stack *stack, const struct config *config, const char *key) {
    const struct config_entry *entry = config_find(config, key) ?: config_find(config, stack->enable);
    return entry ? entry->line : 0;
}

// Not so when it stands in the file with a value that is wrong anyway.
static bool is_missing(const struct stack_set *set, const struct stack_key *key, const struct config *config) {
    const char *name = key->schema.name;
    const struct config_entry *entry = config_find(config, name);
    if (stack_holds(set, name, config))
        return false;
    return entry ? !*entry->value && schema_types[key->schema.type].may_be_empty : !config_mentions(config, name);
}

// The key because of which this one has to be set; NULL when it need not be.
static const char *needed_by(const struct stack_set *set, const struct stack *stack, const struct stack_key *key,
                             const struct config *config) {
    if (key->is_required)
        return stack->enable;
    return key->required_when && stack_holds(set, key->required_when, config) ? key->required_when : NULL;
}

static void check_required(const struct stack_set *set, const struct stack *stack, const struct config *config,
                           struct config_problems *problems) {
    for (size_t i = 0; i < stack->key_count; i++) {
        const char *name = stack->keys[i].schema.name, *cause = needed_by(set, stack, &stack->keys[i], config);
        if (!cause || !is_missing(set, &stack->keys[i], config))
            continue;
        bool is_bool = schema_find(&set->schema, cause)->type == SCHEMA_BOOL;
        unsigned line = line_of(stack, config, config_find(config, name) ? name : cause);
        config_problem_add(problems, line, "%s: needed because %s%s", name, cause, is_bool ? "=true" : " is set");
    }
}

bool stack_next_term(const char **cursor, struct stack_term *ret_term) {
    size_t size;
    const char *item = schema_next_item(cursor, "+", &size);
    if (!item)
        return false;
    const char *star = memchr(item, '*', size), *key = star ? star + 1 : item;
    size_t key_size = size - (size_t)(key - item);
    cleanup_free char *factor = star ? str_printf("%.*s", (int)(star - item), item) : str_dup("1");
    *ret_term = (struct stack_term){0};
    if (schema_parse_number(factor, false, &ret_term->factor) && key_size < sizeof(ret_term->key))
        memcpy(ret_term->key, key, key_size);
    return true;
}

static bool integer_of(const struct schema *schema, const struct config *config, const char *name, int64_t *ret_integer) {
    const struct schema_key *key = schema_find(schema, name);
    const char *text = key && key->type == SCHEMA_INTEGER ? schema_text(schema, config, name) : NULL;
    return text && schema_types[SCHEMA_INTEGER].is_valid(key, text) && schema_parse_number(text, false, ret_integer);
}

bool stack_sum(const struct schema *schema, const struct config *config, const char *terms, int64_t *ret_sum) {
    struct stack_term term;
    int64_t value, sum = 0;
    for (const char *cursor = terms; stack_next_term(&cursor, &term);)
        if (!integer_of(schema, config, term.key, &value) || __builtin_mul_overflow(value, term.factor, &value) ||
            __builtin_add_overflow(sum, value, &sum))
            return false;
    *ret_sum = sum;
    return true;
}

// The line of the key, or, when that has its default, of the first of the others that has not.
static unsigned line_of_relation(const struct stack *stack, const struct config *config, const struct stack_key *key) {
    struct stack_term term;
    const char *name = key->schema.name;
    for (const char *cursor = key->at_least; !config_find(config, name) && stack_next_term(&cursor, &term);)
        if (config_find(config, term.key))
            return line_of(stack, config, term.key);
    return line_of(stack, config, name);
}

static void check_at_least(const struct stack_set *set, const struct stack *stack, const struct config *config,
                           struct config_problems *problems) {
    for (size_t i = 0; i < stack->key_count; i++) {
        const struct stack_key *key = &stack->keys[i];
        int64_t value, least;
        if (key->at_least && integer_of(&set->schema, config, key->schema.name, &value) &&
            stack_sum(&set->schema, config, key->at_least, &least) && value < least)
            config_problem_add(problems, line_of_relation(stack, config, key), "%s: must be at least %s, which is %" PRId64,
                               key->schema.name, key->at_least, least);
    }
}

// "A or B", of the keys that this image knows. Empty when one of them stands in the file with a value that is wrong anyway.
static void missing_keys(const struct stack_set *set, const char *requirement, const struct config *config, struct buf *ret_keys) {
    char key[CONFIG_KEY_BYTES];
    bool is_mentioned = false;
    for (const char *cursor = requirement; stack_next_alternative(&cursor, key);) {
        const struct schema_key *known = schema_find(&set->schema, key);
        if (known)
            buf_printf(ret_keys, "%s%s", ret_keys->size ? " or " : "", key);
        const struct config_entry *entry = config_find(config, key);
        is_mentioned |=
            entry ? known && *entry->value && !schema_types[known->type].is_valid(known, entry->value) : config_mentions(config, key);
    }
    if (is_mentioned)
        buf_done(ret_keys);
}

static void check_requires(const struct stack_set *set, const struct stack *stack, const struct config *config,
                           struct config_problems *problems) {
    for (size_t i = 0; i < stack->requires.count; i++) {
        cleanup_buf struct buf keys = {0};
        if (stack_requirement_holds(set, stack->requires.items[i], config))
            continue;
        missing_keys(set, stack->requires.items[i], config, &keys);
        if (keys.size)
            config_problem_add(problems, line_of(stack, config, stack->enable), "%s needs %s", stack->enable, buf_str(&keys));
    }
}

static bool conflicts_with(const struct stack *stack, const char *key) {
    for (size_t i = 0; i < stack->conflicts.count; i++)
        if (strcmp(stack->conflicts.items[i], key) == 0)
            return true;
    return false;
}

bool stack_conflicts(const struct stack *stack, const struct stack *other) {
    return conflicts_with(stack, other->enable) || conflicts_with(other, stack->enable);
}

// Whether an enabled stack before this one has the same conflict the other way round, and has said so.
static bool is_known_conflict(const struct stack_set *set, const struct stack *stack, const char *key, const struct config *config) {
    for (size_t i = 0; set->stacks[i] != stack; i++)
        if (strcmp(set->stacks[i]->enable, key) == 0)
            return stack_is_enabled(set, set->stacks[i], config) && conflicts_with(set->stacks[i], stack->enable);
    return false;
}

static void check_conflicts(const struct stack_set *set, const struct stack *stack, const struct config *config,
                            struct config_problems *problems) {
    for (size_t i = 0; i < stack->conflicts.count; i++) {
        const char *key = stack->conflicts.items[i];
        if (stack_holds(set, key, config) && !is_known_conflict(set, stack, key, config))
            config_problem_add(problems, line_of(stack, config, stack->enable), "%s does not go with %s", stack->enable, key);
    }
}

static void rule_needs(const struct schema *schema, const struct config *config, struct config_problems *problems) {
    const struct stack_set *set = schema->stacks;
    for (size_t i = 0; i < set->count; i++)
        if (stack_is_enabled(set, set->stacks[i], config)) {
            check_required(set, set->stacks[i], config, problems);
            check_at_least(set, set->stacks[i], config, problems);
            check_requires(set, set->stacks[i], config, problems);
            check_conflicts(set, set->stacks[i], config, problems);
        }
}

static bool matches(const char *pattern, const char *value) {
    cleanup_free char *whole = str_printf("^(%s)$", pattern);
    regex_t regex;
    if (regcomp(&regex, whole, REG_EXTENDED | REG_NOSUB) != 0)
        return false;
    int r = regexec(&regex, value, 0, NULL, 0);
    regfree(&regex);
    return r == 0;
}

static void check_pattern(const struct stack_key *key, const struct config_entry *entry, struct config_problems *problems) {
    if (*entry->value && schema_types[key->schema.type].is_valid(&key->schema, entry->value) && !matches(key->pattern, entry->value))
        config_problem_add(problems, entry->line, "%s: expected what matches %s", entry->key, key->pattern);
}

static void rule_patterns(const struct schema *schema, const struct config *config, struct config_problems *problems) {
    for (size_t i = 0; i < schema->stacks->count; i++) {
        const struct stack *stack = schema->stacks->stacks[i];
        for (size_t j = 0; j < stack->key_count; j++)
            for (size_t k = 0; stack->keys[j].pattern && k < config->count; k++) {
                const struct schema_key *found = schema_find(schema, config->entries[k].key);
                if (found && strcmp(found->name, stack->keys[j].schema.name) == 0)
                    check_pattern(&stack->keys[j], &config->entries[k], problems);
            }
    }
}

// A port that somebody listens on under this configuration.
struct wanted {
    const struct stack *stack; // NULL = the base
    const char *spec; // key, number or range
    enum stack_protocol protocol;
    struct stack_port_range range;
};

static bool want(const struct schema *schema, const struct config *config, struct wanted wanted, struct wanted *ret_wanted) {
    const struct schema_key *key = schema_find(schema, wanted.spec);
    const char *text = key ? schema_text(schema, config, wanted.spec) : wanted.spec;
    if (text && key && key->type == SCHEMA_LISTEN && strrchr(text, ':'))
        text = strrchr(text, ':') + 1;
    if (!text || !stack_port_parse(text, &wanted.range))
        return false;
    *ret_wanted = wanted;
    return true;
}

// A stack may name a port twice, for two groups of peers.
static bool is_wanted(const struct wanted *all, size_t count, const struct wanted *wanted) {
    for (size_t i = 0; i < count; i++)
        if (all[i].stack == wanted->stack && strcmp(all[i].spec, wanted->spec) == 0 && all[i].protocol == wanted->protocol)
            return true;
    return false;
}

static size_t wanted_collect(const struct schema *schema, const struct config *config, struct wanted **ret_wanted) {
    const struct stack_set *set = schema->stacks;
    struct wanted *all = mem_array(2, sizeof(*all));
    size_t count = 0;
    if (schema_find(schema, "SSH_PORT"))
        count += want(schema, config, (struct wanted){.spec = "SSH_PORT"}, &all[count]);
    if (schema_find(schema, "HEALTH_LISTEN"))
        count += want(schema, config, (struct wanted){.spec = "HEALTH_LISTEN"}, &all[count]);
    for (size_t i = 0; i < set->count; i++) {
        const struct stack *stack = set->stacks[i];
        for (size_t j = 0; j < stack->port_count && stack_is_enabled(set, stack, config); j++) {
            const struct stack_port *port = &stack->ports[j];
            const struct wanted wanted = {stack, port->port, port->protocol, {0}};
            all = mem_resize(all, count + 1, sizeof(*all));
            if (stack_holds(set, port->when, config) && !is_wanted(all, count, &wanted))
                count += want(schema, config, wanted, &all[count]);
        }
    }
    *ret_wanted = all;
    return count;
}

// The base's own ports among each other are schema_rules.c's.
static bool clash(const struct wanted *a, const struct wanted *b) {
    return (a->stack || b->stack) && a->protocol == b->protocol && a->range.first <= b->range.last && b->range.first <= a->range.last;
}

// What names a side of a clash: the key of its port; its stack's switch when the port is no key, or both sides have the same one.
static const char *name_side(const struct wanted *side, const struct wanted *other) {
    bool is_literal = strspn(side->spec, "0123456789-") == strlen(side->spec);
    return side->stack && (is_literal || strcmp(side->spec, other->spec) == 0) ? side->stack->enable : side->spec;
}

// Told from the side that config.env says something about: `b`, when both do or neither.
static void add_clash(const struct config *config, const struct wanted *a, const struct wanted *b, struct config_problems *problems) {
    bool is_swapped = config_find(config, a->spec) && !config_find(config, b->spec);
    const struct wanted *here = is_swapped ? a : b, *there = is_swapped ? b : a;
    unsigned port = a->range.first > b->range.first ? a->range.first : b->range.first;
    const char *key = name_side(here, there);
    if (here->stack && !config_find(config, key)) // a default: the switch is what stands in the file
        key = here->stack->enable;
    const struct config_entry *entry = config_find(config, key);
    config_problem_add(problems, entry ? entry->line : 0, "%s: port %u/%s is also wanted by %s", key, port,
                       stack_protocol_name(here->protocol), name_side(there, here));
}

static void rule_ports(const struct schema *schema, const struct config *config, struct config_problems *problems) {
    cleanup_free struct wanted *wanted = NULL;
    size_t count = wanted_collect(schema, config, &wanted);
    for (size_t i = 1; i < count; i++)
        for (size_t j = 0; j < i; j++)
            if (clash(&wanted[j], &wanted[i]))
                add_clash(config, &wanted[j], &wanted[i], problems);
}

static void check_sysctls(const struct stack *earlier, const struct stack *later, const struct config *config,
                          struct config_problems *problems) {
    for (size_t i = 0; i < later->sysctl_count; i++)
        for (size_t j = 0; j < earlier->sysctl_count; j++)
            if (strcmp(later->sysctls[i].name, earlier->sysctls[j].name) == 0 && later->sysctls[i].value != earlier->sysctls[j].value)
                config_problem_add(problems, line_of(later, config, later->enable), "%s: wants %s=%ld, but %s wants %ld", later->enable,
                                   later->sysctls[i].name, later->sysctls[i].value, earlier->enable, earlier->sysctls[j].value);
}

static void rule_sysctls(const struct schema *schema, const struct config *config, struct config_problems *problems) {
    const struct stack_set *set = schema->stacks;
    for (size_t i = 1; i < set->count; i++)
        for (size_t j = 0; j < i && stack_is_enabled(set, set->stacks[i], config); j++)
            if (stack_is_enabled(set, set->stacks[j], config))
                check_sysctls(set->stacks[j], set->stacks[i], config, problems);
}

schema_rule *const stack_rules[] = {rule_needs, rule_patterns, rule_ports, rule_sysctls, NULL};
