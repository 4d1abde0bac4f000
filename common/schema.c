// SPDX-License-Identifier: Apache-2.0
// A parsed config.env against a table of keys: the check and typed access. Types are in schema_types.c, the base keys in schema_base.c,
// the files behind *_FILE keys in schema_files.c, the documentation in schema_format.c.
#include "common/schema.h"
#include "common/buf.h"
#include "common/opt.h"
#include "common/schema_types.h"
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <string.h>

static bool name_matches(const char *pattern, const char *name) {
    for (; *pattern && *name; pattern++, name++)
        if (*pattern == '#' ? !isdigit((unsigned char)*name) : *pattern != *name)
            return false;
    return *pattern == *name;
}

const struct schema_key *schema_find(const struct schema *schema, const char *name) {
    for (const struct schema_key *const *table = schema->tables; *table; table++)
        for (const struct schema_key *key = *table; key->name; key++)
            if (name_matches(key->name, name))
                return key;
    return NULL;
}

static size_t names_collect(const struct schema *schema, const char ***ret_names) {
    size_t count = 0;
    const char **names = NULL;
    for (const struct schema_key *const *table = schema->tables; *table; table++)
        for (const struct schema_key *key = *table; key->name; key++) {
            names = mem_resize(names, count + 1, sizeof(*names));
            names[count++] = key->name;
        }
    *ret_names = names;
    return count;
}

// The known key that is nearest to a mistyped one, with its digits put back in place of '#'; NULL if none is near. The caller frees it.
static char *nearest_key(const struct schema *schema, const char *name) {
    cleanup_free const char **names = NULL;
    size_t count = names_collect(schema, &names);
    cleanup_free char *hashed = str_dup(name);
    char digit = '0';
    char *at = strpbrk(hashed, "0123456789");
    if (at) {
        digit = *at;
        *at = '#';
    }
    const char *nearest = nearest_word(hashed, names, count, sizeof(*names));
    if (!nearest && at)
        nearest = nearest_word(name, names, count, sizeof(*names));
    if (!nearest)
        return NULL;
    char *copy = str_dup(nearest);
    char *hash = strchr(copy, '#');
    if (hash)
        *hash = digit;
    return copy;
}

static bool has_suffix(const char *text, const char *suffix) {
    size_t size = strlen(text), tail = strlen(suffix);
    return size >= tail && strcmp(text + size - tail, suffix) == 0;
}

// An unknown key that looks like this must not have its value taken for a harmless mistake.
bool schema_names_secret(const char *name) {
    static const char *const words[] = {"PASSWORD", "PASSWD", "PASSPHRASE", "TOKEN", "SECRET", "KEY"};
    if (has_suffix(name, "_FILE") || has_suffix(name, "_KEYS"))
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (strstr(name, words[i]))
            return true;
    return false;
}

static bool holds_private_key(const char *value) {
    const char *begin = strstr(value, "-----BEGIN");
    return (begin && strstr(begin, "PRIVATE KEY")) || strstr(value, "AGE-SECRET-KEY-");
}

static void add_secret_problem(const struct config_entry *entry, struct config_problems *problems) {
    cleanup_free char *file = str_dup(entry->key);
    for (char *c = file; *c; c++)
        *c = *c == '_' ? '-' : (char)tolower((unsigned char)*c);
    config_problem_add(problems, entry->line, "%s: a secret is never a value: give it as a file: %s_FILE=" SCHEMA_SECRETS_DIR "/%s.secret",
                       entry->key, entry->key, file);
}

static void add_unknown_problem(const struct schema *schema, const struct config_entry *entry, struct config_problems *problems) {
    cleanup_free char *nearest = nearest_key(schema, entry->key);
    if (nearest)
        config_problem_add(problems, entry->line, "%s: unknown key; did you mean %s?", entry->key, nearest);
    else
        config_problem_add(problems, entry->line, "%s: unknown key", entry->key);
}

static void add_range_problem(const struct schema_key *key, const struct config_entry *entry, struct config_problems *problems) {
    const char *noun = key->type == SCHEMA_INTEGER ? "a whole number" : "a size such as 512M or 2G";
    char min[SCHEMA_NUMBER_BYTES], max[SCHEMA_NUMBER_BYTES];
    schema_format_number(key->min, key->type != SCHEMA_INTEGER, min);
    schema_format_number(key->max, key->type != SCHEMA_INTEGER, max);
    if (key->min == 0 && key->max == 0)
        config_problem_add(problems, entry->line, "%s: expected %s", entry->key, noun);
    else
        config_problem_add(problems, entry->line, "%s: expected %s, from %s to %s", entry->key, noun, min, max);
}

static void add_value_problem(const struct schema_key *key, const struct config_entry *entry, struct config_problems *problems) {
    if (!entry->value[0])
        config_problem_add(problems, entry->line, "%s: the value is empty: leave the line out to get the default", entry->key);
    else if (key->choices)
        config_problem_add(problems, entry->line, "%s: expected one of: %s", entry->key, key->choices);
    else if (schema_types[key->type].expected)
        config_problem_add(problems, entry->line, "%s: expected %s", entry->key, schema_types[key->type].expected);
    else
        add_range_problem(key, entry, problems);
}

static void check_entry(const struct schema *schema, const struct config_entry *entry, struct config_problems *problems) {
    const struct schema_key *key = schema_find(schema, entry->key);
    if (holds_private_key(entry->value)) {
        config_problem_add(problems, entry->line, "%s: the value is a private key: put it into a file under " SCHEMA_SECRETS_DIR,
                           entry->key);
    } else if (!key) {
        if (schema_names_secret(entry->key))
            add_secret_problem(entry, problems);
        else
            add_unknown_problem(schema, entry, problems);
    } else if (!(entry->value[0] == 0 ? schema_types[key->type].may_be_empty : schema_types[key->type].is_valid(key, entry->value))) {
        add_value_problem(key, entry, problems);
    }
}

int schema_check(const struct schema *schema, const struct config *config, struct config_problems *problems) {
    size_t before = problems->count;
    for (size_t i = 0; i < config->count; i++)
        check_entry(schema, &config->entries[i], problems);
    for (schema_rule *const *rule = schema->rules; rule && *rule; rule++)
        (*rule)(schema, config, problems);
    return problems->count > before ? -EINVAL : 0;
}

int schema_parse(const struct schema *schema, const char *text, size_t size, struct config *ret_config, struct config_problems *problems) {
    int parsed = config_parse(text, size, ret_config, problems);
    int checked = schema_check(schema, ret_config, problems);
    return parsed < 0 ? parsed : checked;
}

const char *schema_text(const struct schema *schema, const struct config *config, const char *name) {
    const struct schema_key *key = schema_find(schema, name);
    assert(key);
    const struct config_entry *entry = config_find(config, name);
    return entry ? entry->value : key->fallback;
}

bool schema_bool(const struct schema *schema, const struct config *config, const char *name) {
    const char *text = schema_text(schema, config, name);
    return text && strcmp(text, "true") == 0;
}

int64_t schema_integer(const struct schema *schema, const struct config *config, const char *name) {
    const char *text = schema_text(schema, config, name);
    int64_t number = 0;
    return text && schema_parse_number(text, true, &number) ? number : 0;
}
