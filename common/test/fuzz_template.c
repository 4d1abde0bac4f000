// SPDX-License-Identifier: Apache-2.0
// Fuzz entry: a format, a template and two values from any bytes ("<format letter><template> NUL <value> NUL <secret>"). Errors name the template
// and leave the output alone; what passes the check can only fail for its values; a value in JSON is read back as it was.
#include "common/template.h"
#include "common/buf.h"
#include <jansson.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct schema_key keys[] = {
    {.name = "BOOL", .type = SCHEMA_BOOL, .fallback = "true"},
    {.name = "NUMBER", .type = SCHEMA_INTEGER, .fallback = "7"},
    {.name = "TEXT", .type = SCHEMA_TEXT},
    {.name = "PEERS", .type = SCHEMA_PEER_LIST, .fallback = "a=192.0.2.1 b=::1"},
    {.name = "S_FILE", .type = SCHEMA_SECRET_FILE},
    {.name = NULL},
};
static const struct schema_key *const tables[] = {keys, NULL};
static const struct schema schema = {.tables = tables};

struct part {
    const char *text;
    size_t size;
};

static struct part next_part(const uint8_t **data, size_t *size) {
    const uint8_t *end = memchr(*data, 0, *size);
    struct part part = {(const char *)*data, end ? (size_t)(end - *data) : *size};
    *data += part.size + (end != NULL);
    *size -= part.size + (end != NULL);
    return part;
}

static const char *find_secret(void *context, const char *key, size_t *ret_size) {
    const struct part *part = context;
    if (strcmp(key, "S_FILE") != 0)
        abort();
    *ret_size = part->size;
    return part->text;
}

static void check_json(const struct template_values *values, const struct part *secret) {
    cleanup_buf struct buf text = {0};
    struct err err = {0};
    const char template[] = "[{{secret S_FILE}}]";
    if (template_render("fuzz", template, strlen(template), TEMPLATE_JSON, values, &text, &err) < 0)
        return;
    json_t *json = json_loadb(text.data, text.size, 0, NULL);
    const json_t *string = json_array_get(json, 0);
    size_t size = secret->size > 0 && secret->text[secret->size - 1] == '\n' ? secret->size - 1 : secret->size;
    if (json_array_size(json) != 1 || json_string_length(string) != size || memcmp(json_string_value(string), secret->text, size) != 0)
        abort();
    json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    enum template_format format = data[0] % TEMPLATE_FORMATS;
    data++, size--;
    struct part template = next_part(&data, &size), value = next_part(&data, &size), secret = {(const char *)data, size};
    cleanup_config struct config config = {0};
    cleanup_free char *text = mem_array(1, value.size + 1);
    memcpy(text, value.text, value.size);
    config_set(&config, "TEXT", text, 1);
    struct template_values values = {.schema = &schema, .config = &config, .secret = find_secret, .context = &secret};
    cleanup_buf struct buf out = {0};
    struct err checked = {0}, rendered = {0};
    bool uses_secret = false;
    buf_add_str(&out, "kept");
    int check = template_check("fuzz", template.text, template.size, format, &schema, &uses_secret, &checked);
    int render = template_render("fuzz", template.text, template.size, format, &values, &out, &rendered);
    if (check < 0 && (render != check || strcmp(checked.text, rendered.text) != 0))
        abort();
    if (render < 0 && (out.size != 4 || strncmp(rendered.text, "fuzz:", 5) != 0))
        abort();
    if (out.size > 4 + TEMPLATE_MAX_BYTES || strncmp(buf_str(&out), "kept", 4) != 0)
        abort();
    check_json(&values, &secret);
    return 0;
}
