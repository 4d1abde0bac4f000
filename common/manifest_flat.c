// SPDX-License-Identifier: Apache-2.0
// Manifest ↔ config.env text: the same members as in JSON, the path to each in capitals with '_' between.
#include "common/buf.h"
#include "common/config.h"
#include "common/manifest_table.h"
#include <errno.h>
#include <string.h>

#define KEY_FORMAT "FORMAT"
#define KEY_LAYERS "LAYERS"

// "LAYER0_" + "index" → "LAYER0_INDEX"
static char *key_of(const char *prefix, const struct member *member) {
    char *key = str_printf("%s%s", prefix, member->name);
    for (char *c = key; *c; c++)
        if (*c >= 'a' && *c <= 'z')
            *c = (char)(*c - 'a' + 'A');
    return key;
}

static int write_members(const struct member *members, const char *prefix, const char *base, struct buf *text, struct err *err) {
    int r = 0;
    for (const struct member *member = members; r == 0 && member->name; member++) {
        char value[MANIFEST_LEAF_BYTES];
        cleanup_free char *key = key_of(prefix, member);
        if (member->kind == KIND_OBJECT) {
            cleanup_free char *inner = str_printf("%s_", key);
            r = write_members(member->members, inner, base + member->offset, text, err);
            continue;
        }
        manifest_leaf_text(member, base, value);
        if (config_format_entry(key, value, text) < 0)
            r = err_set(err, -EINVAL, "manifest: %s has characters that cannot be written", key);
    }
    return r;
}

int manifest_format_flat(const struct manifest *manifest, struct buf *text, struct err *err) {
    cleanup_buf struct buf flat = {0};
    int r = manifest_check(manifest, err);
    buf_printf(&flat, KEY_FORMAT "=%d\n", MANIFEST_FORMAT);
    if (r == 0)
        r = write_members(manifest_members, "", (const char *)manifest, &flat, err);
    buf_printf(&flat, KEY_LAYERS "=%u\n", manifest->layer_count);
    for (uint32_t i = 0; r == 0 && i < manifest->layer_count; i++) {
        cleanup_free char *prefix = str_printf("LAYER%u_", i);
        r = write_members(manifest_layer_members, prefix, (const char *)&manifest->layers[i], &flat, err);
    }
    if (r == 0)
        buf_add(text, flat.data, flat.size);
    return r;
}

// Counts the keys it uses.
static int read_members(const struct config *config, const struct member *members, const char *prefix, char *base, size_t *used,
                        struct err *err) {
    int r = 0;
    for (const struct member *member = members; r == 0 && member->name; member++) {
        char expected[64];
        cleanup_free char *key = key_of(prefix, member);
        if (member->kind == KIND_OBJECT) {
            cleanup_free char *inner = str_printf("%s_", key);
            r = read_members(config, member->members, inner, base + member->offset, used, err);
            continue;
        }
        const struct config_entry *entry = config_find(config, key);
        if (!entry)
            r = err_set(err, -EINVAL, "manifest: %s is missing", key);
        else if (!manifest_leaf_set(member, entry->value, base))
            r = err_set(err, -EINVAL, "manifest: %s is not %s", key, manifest_expectation(member, expected));
        ++*used;
    }
    return r;
}

static int read_fixed(const struct config *config, struct manifest *manifest, struct err *err) {
    const struct config_entry *format = config_find(config, KEY_FORMAT), *layers = config_find(config, KEY_LAYERS);
    char expected[8];
    snprintf(expected, sizeof(expected), "%d", MANIFEST_FORMAT);
    if (!format || strcmp(format->value, expected) != 0)
        return err_set(err, -EINVAL, "manifest: " KEY_FORMAT " is not %s", expected);
    for (unsigned i = 1; layers && i <= SLOT_MAX_LAYERS; i++) {
        snprintf(expected, sizeof(expected), "%u", i);
        if (strcmp(layers->value, expected) == 0)
            manifest->layer_count = i;
    }
    if (manifest->layer_count == 0)
        return err_set(err, -EINVAL, "manifest: " KEY_LAYERS " is not a number from 1 to %d", SLOT_MAX_LAYERS);
    return 0;
}

static int read_manifest(const struct config *config, struct manifest *manifest, struct err *err) {
    size_t used = 2;
    int r = read_fixed(config, manifest, err);
    if (r == 0)
        r = read_members(config, manifest_members, "", (char *)manifest, &used, err);
    for (uint32_t i = 0; r == 0 && i < manifest->layer_count; i++) {
        cleanup_free char *prefix = str_printf("LAYER%u_", i);
        r = read_members(config, manifest_layer_members, prefix, (char *)&manifest->layers[i], &used, err);
    }
    if (r == 0 && used != config->count) // keys are unique, so each was used at most once
        r = err_set(err, -EINVAL, "manifest: %zu unknown keys", config->count - used);
    return r == 0 ? manifest_check(manifest, err) : r;
}

int manifest_parse_flat(const char *text, size_t size, struct manifest *ret_manifest, struct err *err) {
    cleanup_config struct config config = {0};
    cleanup_config_problems struct config_problems problems = {0};
    struct manifest manifest = {0};
    if (config_parse(text, size, &config, &problems) < 0)
        return err_set(err, -EINVAL, "manifest: line %u: %s", problems.items[0].line, problems.items[0].text);
    int r = read_manifest(&config, &manifest, err);
    if (r == 0)
        *ret_manifest = manifest;
    return r;
}
