// SPDX-License-Identifier: Apache-2.0
// A header line, then per secret a line with name and size, and the bytes.
#include "common/secretpack.h"
#include "common/schema.h"
#include <assert.h>
#include <errno.h>
#include <string.h>

#define HEADER "webops-secrets 1\n"

void secretpack_begin(struct buf *pack) {
    buf_add_str(pack, HEADER);
}

void secretpack_add(struct buf *pack, const char *name, const void *data, size_t size) {
    assert(schema_is_secret_name(name) && size > 0 && size <= SCHEMA_SECRET_MAX_BYTES);
    buf_printf(pack, "%s %zu\n", name, size);
    buf_add(pack, data, size);
}

struct entry {
    char name[SCHEMA_SECRET_NAME_BYTES];
    const char *data;
    size_t size;
};

// "<name> <size>\n" at *at, which moves behind the bytes.
static const char *read_entry(const char **at, const char *end, struct entry *entry) {
    const char *line_end = memchr(*at, '\n', (size_t)(end - *at)), *blank = memchr(*at, ' ', (size_t)(end - *at));
    if (!line_end || !blank || blank > line_end || (size_t)(blank - *at) >= sizeof(entry->name))
        return "a line that is no name and size";
    snprintf(entry->name, sizeof(entry->name), "%.*s", (int)(blank - *at), *at);
    if (!schema_is_secret_name(entry->name))
        return "a name that no secret has";
    entry->size = 0;
    for (const char *digit = blank + 1; digit < line_end; digit++) {
        if (*digit < '0' || *digit > '9' || entry->size > SCHEMA_SECRET_MAX_BYTES)
            return "a size that is none";
        entry->size = entry->size * 10 + (size_t)(*digit - '0');
    }
    if (entry->size == 0 || entry->size > SCHEMA_SECRET_MAX_BYTES)
        return "an empty secret, or one over 64 KiB";
    if (entry->size > (size_t)(end - line_end - 1))
        return "missing bytes";
    entry->data = line_end + 1;
    *at = entry->data + entry->size;
    return NULL;
}

static bool is_known(const struct entry *entries, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(entries[i].name, name) == 0)
            return true;
    return false;
}

static const char *read_entries(const char *at, const char *end, struct entry entries[SECRETPACK_MAX_SECRETS], size_t *ret_count) {
    const char *problem = NULL;
    size_t count = 0;
    for (; at < end && !problem; count++) {
        if (count == SECRETPACK_MAX_SECRETS)
            return "too many secrets";
        problem = read_entry(&at, end, &entries[count]);
        if (!problem && is_known(entries, count, entries[count].name))
            problem = "a name that stands there twice";
    }
    *ret_count = count;
    return problem;
}

int secretpack_parse(const char *data, size_t size, secretpack_take *take, void *context, struct err *err) {
    struct entry entries[SECRETPACK_MAX_SECRETS];
    size_t count = 0;
    if (size < strlen(HEADER) || memcmp(data, HEADER, strlen(HEADER)) != 0)
        return err_set(err, -EINVAL, "this is no pack of secrets");
    const char *problem = read_entries(data + strlen(HEADER), data + size, entries, &count);
    if (problem)
        return err_set(err, -EINVAL, "the pack of secrets has %s", problem);
    for (size_t i = 0; i < count; i++)
        take(context, entries[i].name, entries[i].data, entries[i].size);
    return 0;
}
