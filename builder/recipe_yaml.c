// SPDX-License-Identifier: Apache-2.0
// YAML text → data by a table; nothing is known here of what it means. No file access.
#include "builder/recipe_yaml.h"
#include "builder/recipe.h"
#include <errno.h>
#include <stdbool.h>
#include <string.h>

// libcyaml reports through a log callback: first the fault, then a backtrace whose first line carries line and column.
struct yaml_fault {
    char what[400];
    unsigned line;
};

static void collect_fault(cyaml_log_t level, void *context, const char *format, va_list args) {
    struct yaml_fault *fault = context;
    char text[400];
    if (level < CYAML_LOG_ERROR)
        return;
    vsnprintf(text, sizeof(text), format, args);
    text[strcspn(text, "\n")] = 0;
    const char *line = strstr(text, "line: ");
    if (line && !fault->line)
        fault->line = (unsigned)strtoul(line + strlen("line: "), NULL, 10);
    if (!fault->what[0] && strncmp(text, "Load: ", 6) == 0 && strcmp(text, "Load: Backtrace:") != 0)
        snprintf(fault->what, sizeof(fault->what), "%s", text + strlen("Load: "));
}

static cyaml_config_t yaml_config(struct yaml_fault *fault) {
    return (cyaml_config_t){.log_fn = fault ? collect_fault : NULL,
                            .log_ctx = fault,
                            .mem_fn = cyaml_mem,
                            .log_level = CYAML_LOG_ERROR,
                            .flags = CYAML_CFG_NO_ALIAS};
}

// libcyaml blames a key that it does not know on the mapping: looks from that line on for the key itself.
static unsigned line_of_key(const char *text, size_t size, const struct yaml_fault *fault) {
    static const char unknown[] = "Unexpected key: ";
    unsigned line = fault->line ? fault->line : 1, here = 1;
    const char *key = fault->what + strlen(unknown);
    if (strncmp(fault->what, unknown, strlen(unknown)) != 0)
        return line;
    for (size_t i = 0; i + strlen(key) < size; i++) {
        bool is_start = i == 0 || strchr(" \n{,\"'", text[i - 1]);
        if (here >= line && is_start && strncmp(text + i, key, strlen(key)) == 0 && strchr(":\"' ", text[i + strlen(key)]))
            return here;
        here += text[i] == '\n';
    }
    return line;
}

int recipe_yaml_load(const char *text, size_t size, const char *name, const cyaml_schema_value_t *schema, void *ret_data, struct err *err) {
    struct yaml_fault fault = {0};
    cyaml_config_t config = yaml_config(&fault);
    if (size > RECIPE_MAX_BYTES)
        return err_set(err, -EFBIG, "%s is larger than the %d bytes a recipe may have", name, RECIPE_MAX_BYTES);
    cyaml_data_t *data = NULL;
    cyaml_err_t r = cyaml_load_data((const uint8_t *)text, size, &config, schema, &data, NULL);
    if (r != CYAML_OK)
        return err_set(err, -EINVAL, "%s:%u: %s", name, line_of_key(text, size, &fault), fault.what[0] ? fault.what : cyaml_strerror(r));
    if (!data)
        return err_set(err, -EINVAL, "%s:1: the recipe is empty", name);
    *(void **)ret_data = data;
    return 0;
}

void recipe_yaml_free(const cyaml_schema_value_t *schema, void *data) {
    cyaml_config_t config = yaml_config(NULL);
    cyaml_free(&config, schema, data, 0);
}
