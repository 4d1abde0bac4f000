// SPDX-License-Identifier: Apache-2.0
// YAML text → data by a table; nothing is known here of what it means. No file access.
#include "builder/recipe_yaml.h"
#include "builder/recipe.h"
#include "builder/recipe_line.h"
#include "common/buf.h"
#include "common/opt.h"
#include <errno.h>
#include <string.h>

#define MAX_STEPS 8
#define MAX_KEY 64

// libcyaml reports through a log callback: first the fault, then a backtrace of the way to it, the innermost step first.
struct yaml_step {
    char key[MAX_KEY]; // in a mapping; "" when it stopped between two
    unsigned index; // in a list
    bool is_list;
};
struct yaml_fault {
    char what[400];
    struct yaml_step steps[MAX_STEPS];
    unsigned step_count;
};

static void collect_step(struct yaml_fault *fault, const char *text) {
    static const char entry[] = "  in sequence entry '", field[] = "  in mapping field '";
    if (fault->step_count == MAX_STEPS)
        return;
    struct yaml_step *step = &fault->steps[fault->step_count++];
    *step = (struct yaml_step){.is_list = strncmp(text, entry, strlen(entry)) == 0};
    if (step->is_list)
        step->index = (unsigned)strtoul(text + strlen(entry), NULL, 10) - 1; // counted from 1
    else if (strncmp(text, field, strlen(field)) == 0)
        snprintf(step->key, sizeof(step->key), "%.*s", (int)strcspn(text + strlen(field), "'"), text + strlen(field));
}

static void collect_fault(cyaml_log_t level, void *context, const char *format, va_list args) {
    struct yaml_fault *fault = context;
    char text[400];
    if (level < CYAML_LOG_ERROR)
        return;
    vsnprintf(text, sizeof(text), format, args);
    text[strcspn(text, "\n")] = 0;
    if (strncmp(text, "  in ", 5) == 0)
        collect_step(fault, text);
    else if (!fault->what[0] && strncmp(text, "Load: ", 6) == 0)
        snprintf(fault->what, sizeof(fault->what), "%s", text + strlen("Load: "));
}

static cyaml_config_t yaml_config(struct yaml_fault *fault) {
    return (cyaml_config_t){.log_fn = fault ? collect_fault : NULL,
                            .log_ctx = fault,
                            .mem_fn = cyaml_mem,
                            .log_level = CYAML_LOG_ERROR,
                            .flags = CYAML_CFG_NO_ALIAS};
}

// What libcyaml says, by its beginning, and what we say.
static const struct phrase {
    const char *theirs, *ours;
    enum { AT_VALUE, AT_KEY, AT_LIST } place; // AT_KEY: the key follows; AT_LIST: not about the entry where it stopped
} phrases[] = {
    {"Unexpected key: ", "unknown key", AT_KEY},
    {"Missing required mapping field: ", "missing", AT_KEY},
    {"Mapping field already seen: ", "stands twice", AT_KEY},
    {"Expecting SEQUENCE", "expected a list, such as [a, b]", AT_VALUE},
    {"Expecting MAPPING", "expected keys with values, such as {key: value}", AT_VALUE},
    {"Expecting STRING", "expected one value, and no list or mapping", AT_VALUE},
    {"Expecting ENUM", "expected true or false", AT_VALUE},
    {"Invalid ENUM value", "expected true or false", AT_VALUE}, // the only enumeration there is
    {"STRING length < ", "must not be empty", AT_VALUE},
    {"STRING length > ", "is longer than 4096 characters", AT_VALUE},
    {"Excessive entries", "has too many entries", AT_LIST},
    {"Insufficient entries", "must not be empty", AT_LIST},
};

static const struct phrase *find_phrase(const char *what) {
    for (size_t i = 0; i < ARRAY_SIZE(phrases); i++)
        if (strncmp(what, phrases[i].theirs, strlen(phrases[i].theirs)) == 0)
            return &phrases[i];
    return NULL;
}

// Corrects the innermost step by the fault.
static void finish_steps(struct yaml_fault *fault, const struct phrase *phrase) {
    struct yaml_step *steps = fault->steps;
    if (phrase->place == AT_KEY && fault->step_count && !steps[0].is_list)
        snprintf(steps[0].key, sizeof(steps[0].key), "%s", fault->what + strlen(phrase->theirs));
    if (phrase->place == AT_LIST && fault->step_count && steps[0].is_list)
        memmove(steps, steps + 1, --fault->step_count * sizeof(*steps));
}

// "sources[0].keyring"
static char *member_of(const struct yaml_fault *fault) {
    struct buf path = {0};
    for (unsigned i = fault->step_count; i-- > 0;)
        if (fault->steps[i].is_list)
            buf_printf(&path, "[%u]", fault->steps[i].index);
        else
            buf_printf(&path, "%s%s", path.size ? "." : "", fault->steps[i].key);
    return buf_take(&path);
}

static const cyaml_schema_field_t *find_field(const cyaml_schema_value_t *value, const char *key) {
    const cyaml_schema_field_t *field = value->mapping.fields;
    while (field->key && strcmp(field->key, key) != 0)
        field++;
    return field->key ? field : NULL;
}

// The mapping in which the innermost step is; NULL if the way to it is not in the table.
static const cyaml_schema_value_t *find_mapping(const struct yaml_fault *fault, const cyaml_schema_value_t *schema) {
    for (unsigned i = fault->step_count; schema && i-- > 1;)
        if (fault->steps[i].is_list) {
            schema = schema->type == CYAML_SEQUENCE ? schema->sequence.entry : NULL;
        } else {
            const cyaml_schema_field_t *field = schema->type == CYAML_MAPPING ? find_field(schema, fault->steps[i].key) : NULL;
            schema = field ? &field->value : NULL;
        }
    return schema && schema->type == CYAML_MAPPING ? schema : NULL;
}

static const char *nearest_key(const struct yaml_fault *fault, const cyaml_schema_value_t *schema) {
    const cyaml_schema_value_t *mapping = fault->step_count ? find_mapping(fault, schema) : NULL;
    if (!mapping)
        return NULL;
    size_t count = 0;
    while (mapping->mapping.fields[count].key)
        count++;
    return nearest_word(fault->steps[0].key, mapping->mapping.fields, count, sizeof(*mapping->mapping.fields));
}

static int explain(struct yaml_fault *fault, const cyaml_schema_value_t *schema, const struct recipe_place *place) {
    const struct phrase *phrase = find_phrase(fault->what);
    if (phrase)
        finish_steps(fault, phrase);
    cleanup_free char *member = member_of(fault);
    const char *what = phrase ? phrase->ours : fault->what;
    const char *near = phrase && strcmp(phrase->ours, "unknown key") == 0 ? nearest_key(fault, schema) : NULL;
    if (!*member)
        return err_set(place->err, -EINVAL, "%s:1: %s", place->name, what);
    return recipe_complain(place, member, "%s%s%s%s", what, near ? "; did you mean " : "", near ?: "", near ? "?" : "");
}

int recipe_yaml_load(const char *text, size_t size, const char *name, const cyaml_schema_value_t *schema, void *ret_data, struct err *err) {
    const struct recipe_place place = {.text = text, .size = size, .name = name, .err = err};
    struct yaml_fault fault = {0};
    cyaml_config_t config = yaml_config(&fault);
    if (size > RECIPE_MAX_BYTES)
        return err_set(err, -EFBIG, "%s is larger than the %d bytes a recipe may have", name, RECIPE_MAX_BYTES);
    int scanned = recipe_yaml_scan(text, size, name, err);
    if (scanned < 0)
        return scanned;
    cyaml_data_t *data = NULL;
    cyaml_err_t r = cyaml_load_data((const uint8_t *)text, size, &config, schema, &data, NULL);
    if (r != CYAML_OK) {
        if (!fault.what[0])
            snprintf(fault.what, sizeof(fault.what), "%s", cyaml_strerror(r));
        return explain(&fault, schema, &place);
    }
    if (!data)
        return err_set(err, -EINVAL, "%s:1: the recipe is empty", name);
    *(void **)ret_data = data;
    return 0;
}

void recipe_yaml_free(const cyaml_schema_value_t *schema, void *data) {
    cyaml_config_t config = yaml_config(NULL);
    cyaml_free(&config, schema, data, 0);
}
