// SPDX-License-Identifier: Apache-2.0
// Manifest ↔ JSON, by the table of manifest_table.c. What the members must be to each other: manifest_check.c.
#include "common/manifest.h"
#include "common/buf.h"
#include "common/manifest_table.h"
#include <errno.h>
#include <jansson.h>
#include <string.h>

static bool json_leaf_set(const struct member *member, const json_t *value, char *base) {
    char number[32];
    bool is_number = member->kind == KIND_U64 || member->kind == KIND_I64 || member->kind == KIND_U32;
    if (is_number && json_is_integer(value)) {
        snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(value));
        return manifest_leaf_set(member, number, base);
    }
    if (member->kind == KIND_BOOL && json_is_boolean(value))
        return manifest_leaf_set(member, json_is_true(value) ? "true" : "false", base);
    bool is_text = member->kind == KIND_TEXT || member->kind == KIND_HEX;
    return is_text && json_is_string(value) && manifest_leaf_set(member, json_string_value(value), base);
}

// `extra` names are allowed although they are not in the table: the caller reads them.
static int json_no_unknown(const json_t *object, const struct member *members, const char *const *extra, const char *where,
                           struct err *err) {
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)object, name, value) {
        bool is_known = false;
        for (const struct member *member = members; member->name && !is_known; member++)
            is_known = strcmp(member->name, name) == 0;
        for (; extra && *extra && !is_known; extra++)
            is_known = strcmp(*extra, name) == 0;
        if (!is_known)
            return err_set(err, -EINVAL, "manifest: %s has the unknown member '%.40s'", where, name);
    }
    return 0;
}

static int json_to_members(const json_t *object, const struct member *members, const char *const *extra, const char *where, char *base,
                           struct err *err) {
    int r = json_no_unknown(object, members, extra, where, err);
    for (const struct member *member = members; r == 0 && member->name; member++) {
        const json_t *value = json_object_get(object, member->name);
        char text[64];
        cleanup_free char *path = str_printf("%s.%s", where, member->name);
        if (!value)
            return err_set(err, -EINVAL, "manifest: %s is missing", path);
        if (member->kind == KIND_OBJECT && json_is_object(value))
            r = json_to_members(value, member->members, NULL, path, base + member->offset, err);
        else if (!json_leaf_set(member, value, base))
            return err_set(err, -EINVAL, "manifest: %s is not %s", path, manifest_expectation(member, text));
    }
    return r;
}

static int json_to_layers(const json_t *root, struct manifest *manifest, struct err *err) {
    const json_t *layers = json_object_get(root, "layers");
    if (!json_is_array(layers) || json_array_size(layers) < 1 || json_array_size(layers) > SLOT_MAX_LAYERS)
        return err_set(err, -EINVAL, "manifest: layers is not a list of 1 to %d layers", SLOT_MAX_LAYERS);
    manifest->layer_count = (uint32_t)json_array_size(layers);
    for (uint32_t i = 0; i < manifest->layer_count; i++) {
        const json_t *layer = json_array_get(layers, i);
        cleanup_free char *where = str_printf("layers[%u]", i);
        if (!json_is_object(layer))
            return err_set(err, -EINVAL, "manifest: %s is not an object", where);
        int r = json_to_members(layer, manifest_layer_members, NULL, where, (char *)&manifest->layers[i], err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int json_to_manifest(const json_t *root, struct manifest *manifest, struct err *err) {
    static const char *const extra[] = {"format", "layers", NULL};
    const json_t *format = json_object_get(root, "format");
    if (!json_is_integer(format))
        return err_set(err, -EINVAL, "manifest: it does not say which format it has");
    if (json_integer_value(format) != MANIFEST_FORMAT)
        return err_set(err, -EINVAL, "manifest: format %lld, this program reads format %d", (long long)json_integer_value(format),
                       MANIFEST_FORMAT);
    int r = json_to_members(root, manifest_members, extra, "manifest", (char *)manifest, err);
    return r == 0 ? json_to_layers(root, manifest, err) : r;
}

static json_t *members_to_json(const struct member *members, const char *base) {
    json_t *object = json_object();
    for (const struct member *member = members; member->name; member++) {
        char text[MANIFEST_LEAF_BYTES];
        json_t *value;
        if (member->kind == KIND_OBJECT) {
            value = members_to_json(member->members, base + member->offset);
        } else {
            manifest_leaf_text(member, base, text);
            if (member->kind == KIND_TEXT || member->kind == KIND_HEX)
                value = json_string(text);
            else
                value = member->kind == KIND_BOOL ? json_boolean(text[0] == 't') : json_integer(strtoll(text, NULL, 10));
        }
        json_object_set_new(object, member->name, value);
    }
    return object;
}

static void manifest_to_text(const struct manifest *manifest, struct buf *text) {
    json_t *root = json_object(), *layers = json_array();
    json_object_set_new(root, "format", json_integer(MANIFEST_FORMAT));
    json_t *members = members_to_json(manifest_members, (const char *)manifest);
    json_object_update(root, members);
    json_decref(members);
    for (uint32_t i = 0; i < manifest->layer_count; i++)
        json_array_append_new(layers, members_to_json(manifest_layer_members, (const char *)&manifest->layers[i]));
    json_object_set_new(root, "layers", layers);
    char *dumped = json_dumps(root, JSON_INDENT(1));
    if (!dumped)
        abort(); // no memory: every text was checked to be ASCII
    buf_add_str(text, dumped);
    buf_add_str(text, "\n");
    free(dumped);
    json_decref(root);
}

int manifest_format(const struct manifest *manifest, struct buf *text, struct err *err) {
    cleanup_buf struct buf json = {0};
    int r = manifest_check(manifest, err);
    if (r < 0)
        return r;
    manifest_to_text(manifest, &json);
    if (json.size > MANIFEST_MAX_BYTES)
        return err_set(err, -EFBIG, "manifest: %zu bytes, %d are possible", json.size, MANIFEST_MAX_BYTES);
    buf_add(text, json.data, json.size);
    return 0;
}

// Only the one way of writing it that manifest_format() has: no second reader can understand something else (escapes, -0, blanks, order).
static int check_canonical(const char *text, size_t size, const struct manifest *manifest, struct err *err) {
    cleanup_buf struct buf again = {0};
    manifest_to_text(manifest, &again);
    if (again.size == size && memcmp(again.data, text, size) == 0)
        return 0;
    return err_set(err, -EINVAL, "manifest: it is not written in the one form that is allowed (order, blanks, escapes, numbers)");
}

static int parse(const char *text, size_t size, struct manifest *ret_manifest, struct err *err) {
    json_error_t error;
    struct manifest manifest = {0};
    if (size > MANIFEST_MAX_BYTES)
        return err_set(err, -EFBIG, "manifest: %zu bytes, %d are possible", size, MANIFEST_MAX_BYTES);
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        return err_set(err, -EINVAL, "manifest: line %d, column %d: %s", error.line, error.column, error.text);
    int r = json_is_object(root) ? json_to_manifest(root, &manifest, err) : err_set(err, -EINVAL, "manifest: it is not a JSON object");
    json_decref(root);
    if (r == 0)
        r = manifest_check(&manifest, err);
    if (r == 0)
        r = check_canonical(text, size, &manifest, err);
    if (r == 0)
        *ret_manifest = manifest;
    return r;
}

// A message may quote what stands there; nobody's terminal shall be steered by it.
static int without_controls(int r, struct err *err) {
    for (char *c = err->text; r < 0 && *c; c++)
        if ((unsigned char)*c < ' ' || (unsigned char)*c > '~')
            *c = '?';
    return r;
}

int manifest_parse(const char *text, size_t size, struct manifest *ret_manifest, struct err *err) {
    return without_controls(parse(text, size, ret_manifest, err), err);
}
