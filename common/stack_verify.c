// SPDX-License-Identifier: Apache-2.0
// What the members of a stack must be beyond their types: keys and requirements here, what is done with them in stack_verify_parts.c.
#include "common/stack_verify.h"
#include "common/schema_types.h"
#include "common/stack_rules.h"
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <regex.h>
#include <stdarg.h>
#include <string.h>

#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"

int stack_complain(const struct stack_verify *verify, const char *format, ...) {
    char text[sizeof(verify->err->text)];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return err_set(verify->err, -EINVAL, "%s", text);
}

const struct schema_key *stack_verify_find(const struct stack_verify *verify, const char *name) {
    return schema_find(verify->schema, name);
}

bool stack_is_word(const char *text, const char *first, const char *rest, size_t max_size) {
    size_t size = strlen(text);
    return size > 0 && size <= max_size && strchr(first, text[0]) && strspn(text, rest) == size;
}

static bool ends_with(const char *text, const char *suffix) {
    size_t size = strlen(text), tail = strlen(suffix);
    return size > tail && strcmp(text + size - tail, suffix) == 0;
}

static bool is_key_name(const char *name) {
    return stack_is_word(name, UPPER, UPPER DIGITS "_", CONFIG_KEY_BYTES - 1);
}

// '#' stands for a digit, and not at the beginning.
static bool is_key_pattern(const char *name) {
    return stack_is_word(name, UPPER, UPPER DIGITS "_#", CONFIG_KEY_BYTES - 1);
}

static int verify_names(const struct stack_verify *verify) {
    const struct stack *stack = verify->stack;
    if (!stack_is_word(stack->name, LOWER, LOWER DIGITS "-", 32))
        return stack_complain(verify, "name: expected a name of a-z, 0-9 and '-', a letter first, at most 32 characters");
    if (!*stack->summary || ends_with(stack->summary, "."))
        return stack_complain(verify, "summary: expected a few words without a full stop");
    if (!is_key_name(stack->enable) || !ends_with(stack->enable, "_ENABLED"))
        return stack_complain(verify, "enable: expected a key that ends in _ENABLED");
    if (stack->package && !stack_is_word(stack->package, LOWER DIGITS, LOWER DIGITS "+.-", 64))
        return stack_complain(verify, "package: expected the name of a package");
    if (stack->start_timeout_seconds > STACK_MAX_TIMEOUT)
        return stack_complain(verify, "start_timeout: at most %d seconds are possible", STACK_MAX_TIMEOUT);
    return 0;
}

// NULL when `min`, `max` and `choices` are where the type has a use for them.
static const char *bounds_problem(const struct schema_key *key) {
    bool has_bounds = key->min || key->max;
    bool takes_bounds = key->type == SCHEMA_INTEGER || key->type == SCHEMA_SIZE || key->type == SCHEMA_MEMORY;
    if (has_bounds && !takes_bounds)
        return "only an integer, size or memory has min and max";
    if (key->min < 0 || key->min > key->max)
        return "min must not be above max";
    if ((key->type == SCHEMA_WORD) != (key->choices && *key->choices))
        return key->choices ? "only a word has choices" : "a word needs choices";
    return NULL;
}

static const char *secret_problem(const struct schema_key *key) {
    bool is_secret = key->type == SCHEMA_SECRET_FILE;
    if (is_secret != ends_with(key->name, "_FILE"))
        return is_secret ? "the name of a secret-file key ends in _FILE" : "a key that ends in _FILE is a secret-file";
    return key->type == SCHEMA_TEXT && schema_names_secret(key->name)
               ? "looks like a secret, which is never a value: make it a secret-file, …_FILE"
               : NULL;
}

static const char *pattern_problem(const struct stack_key *key) {
    regex_t regex;
    cleanup_free char *whole = key->pattern ? str_printf("^(%s)$", key->pattern) : NULL;
    if (!key->pattern)
        return NULL;
    if (regcomp(&regex, whole, REG_EXTENDED | REG_NOSUB) != 0)
        return "pattern is no extended regular expression";
    bool fits = !key->schema.fallback || regexec(&regex, key->schema.fallback, 0, NULL, 0) == 0;
    regfree(&regex);
    return fits ? NULL : "default does not match pattern";
}

static const char *default_problem(const struct stack_key *key) {
    const char *fallback = key->schema.fallback;
    const struct schema_type_info *type = &schema_types[key->schema.type];
    if ((key->is_required || key->required_when) && (fallback || strchr(key->schema.name, '#') || key->schema.type == SCHEMA_BOOL))
        return "required goes with neither a default, nor a '#' in the name, nor the type bool";
    if (key->is_required && key->required_when)
        return "required is always, so required_when says nothing";
    if (fallback && key->schema.type == SCHEMA_SECRET_FILE)
        return "a secret-file has no default";
    if (fallback && !(*fallback ? type->is_valid(&key->schema, fallback) : type->may_be_empty))
        return "default is not valid for the type";
    return NULL;
}

static const char *key_problem(const struct stack_key *key) {
    if (!is_key_pattern(key->schema.name))
        return "name: expected A-Z, 0-9, '_' and '#' (any digit), a letter first, at most 63 characters";
    return secret_problem(&key->schema)
               ?: bounds_problem(&key->schema)
                      ?: default_problem(key) ?: pattern_problem(key) ?: ends_with(key->schema.help, ".") ? NULL : "help ends with a full stop";
}

static int verify_required_when(const struct stack_verify *verify, size_t index) {
    const struct stack_key *key = &verify->stack->keys[index];
    const char *other = key->required_when;
    if (!other)
        return 0;
    if (!is_key_name(other) || !stack_verify_find(verify, other))
        return stack_complain(verify, "keys[%zu].required_when: there is no key %s", stack_key_index(verify->stack, index), other);
    if (strcmp(other, key->schema.name) == 0)
        return stack_complain(verify, "keys[%zu].required_when: expected another key", stack_key_index(verify->stack, index));
    return 0;
}

static bool is_integer_key(const struct stack_verify *verify, const char *name) {
    const struct schema_key *key = is_key_name(name) ? stack_verify_find(verify, name) : NULL;
    return key && key->type == SCHEMA_INTEGER;
}

// "KEY + 2*KEY", of integers. Written back and compared, so that nothing in it is overlooked.
static int verify_terms(const struct stack_verify *verify, size_t index, const char *name, const char *terms) {
    struct stack_term term;
    cleanup_buf struct buf again = {0};
    bool is_bad = false;
    for (const char *cursor = terms; stack_next_term(&cursor, &term);) {
        if (*term.key && (!is_integer_key(verify, term.key) || strcmp(term.key, name) == 0))
            return stack_complain(verify, "keys[%zu].at_least: there is no other integer key %s", index, term.key);
        is_bad = is_bad || !*term.key || term.factor < 1 || term.factor > STACK_MAX_FACTOR;
        buf_add_str(&again, again.size ? " + " : "");
        if (term.factor != 1)
            buf_printf(&again, "%" PRId64 "*", term.factor);
        buf_add_str(&again, term.key);
    }
    if (is_bad || !again.size || strcmp(buf_str(&again), terms) != 0)
        return stack_complain(verify, "keys[%zu].at_least: expected a sum such as \"KEY + 2*KEY\"", index);
    return 0;
}

static int verify_at_least(const struct stack_verify *verify, size_t index) {
    const struct config defaults = {0};
    const struct stack_key *key = &verify->stack->keys[index];
    const char *name = key->schema.name;
    int64_t value, least;
    size_t shown = stack_key_index(verify->stack, index);
    if (!key->at_least)
        return 0;
    if (!is_integer_key(verify, name))
        return stack_complain(verify, "keys[%zu].at_least: only for an integer", shown);
    int r = verify_terms(verify, shown, name, key->at_least);
    if (r >= 0 && stack_sum(verify->schema, &defaults, name, &value) && stack_sum(verify->schema, &defaults, key->at_least, &least) &&
        value < least)
        return stack_complain(verify, "keys[%zu].at_least: the default of %s is below it", shown, name);
    return r;
}

static int verify_keys(const struct stack_verify *verify) {
    const struct stack *stack = verify->stack;
    for (size_t i = 0; i < stack->key_count; i++) {
        const char *name = stack->keys[i].schema.name, *problem = key_problem(&stack->keys[i]);
        if (problem)
            return stack_complain(verify, "keys[%zu]: %s: %s", stack_key_index(stack, i), name, problem);
        for (size_t j = 0; j < i; j++)
            if (strcmp(stack->keys[j].schema.name, name) == 0)
                return stack_complain(verify, "keys[%zu]: %s is defined twice", stack_key_index(stack, i), name);
        int r = verify_required_when(verify, i);
        if (r >= 0)
            r = verify_at_least(verify, i);
        if (r < 0)
            return r;
    }
    return 0;
}

// "KEY" or "KEY or KEY …"; one of them at least must be a key of this image.
static int verify_requirement(const struct stack_verify *verify, size_t index) {
    const char *text = verify->stack->requires.items[index];
    char key[CONFIG_KEY_BYTES];
    bool is_known = false;
    cleanup_buf struct buf again = {0};
    for (const char *cursor = text; stack_next_alternative(&cursor, key);) {
        if (!is_key_name(key) || strcmp(key, verify->stack->enable) == 0)
            return stack_complain(verify, "requires[%zu]: expected keys, and other ones than %s", index, verify->stack->enable);
        is_known |= stack_verify_find(verify, key) != NULL;
        buf_printf(&again, "%s%s", again.size ? " or " : "", key);
    }
    if (strcmp(buf_str(&again), text) != 0)
        return stack_complain(verify, "requires[%zu]: expected KEY or \"KEY or KEY\"", index);
    return is_known ? 0 : stack_complain(verify, "requires[%zu]: no stack of this image defines %s", index, text);
}

static int verify_relations(const struct stack_verify *verify) {
    const struct stack *stack = verify->stack;
    int r = 0;
    for (size_t i = 0; r >= 0 && i < stack->requires.count; i++)
        r = verify_requirement(verify, i);
    // A key that the image does not know cannot be set, so a conflict with it cannot arise.
    for (size_t i = 0; r >= 0 && i < stack->conflicts.count; i++)
        if (!is_key_name(stack->conflicts.items[i]) || strcmp(stack->conflicts.items[i], stack->enable) == 0)
            r = stack_complain(verify, "conflicts[%zu]: expected a key, and another one than %s", i, stack->enable);
    return r;
}

int stack_verify_when(const struct stack_verify *verify, const char *list, size_t index, const char *when) {
    if (!when || (!strchr(when, '#') && stack_verify_find(verify, when)))
        return 0;
    return stack_complain(verify, "%s[%zu].when: there is no key %s", list, index, when);
}

// The stack's keys and the base's as one. Where the base has them already, they are there twice, which nobody minds.
static const struct schema_key **merge_tables(const struct stack *stack, const struct schema *base, struct schema_key *own) {
    size_t count = 0;
    while (base->tables[count])
        count++;
    const struct schema_key **tables = mem_array(count + 2, sizeof(*tables));
    tables[0] = own;
    memcpy(tables + 1, base->tables, count * sizeof(*tables));
    for (size_t i = 0; i < stack->key_count; i++)
        own[i] = stack->keys[i].schema;
    return tables;
}

int stack_verify(const struct stack *stack, const struct schema *base, struct err *err) {
    cleanup_free struct schema_key *own = mem_array(stack->key_count + 1, sizeof(*own));
    cleanup_free const struct schema_key **tables = merge_tables(stack, base, own);
    const struct schema schema = {.tables = tables};
    const struct stack_verify verify = {.stack = stack, .schema = &schema, .err = err};
    int r = verify_names(&verify);
    if (r >= 0)
        r = verify_keys(&verify);
    if (r >= 0)
        r = verify_relations(&verify);
    return r < 0 ? r : stack_verify_parts(&verify);
}
