// SPDX-License-Identifier: Apache-2.0
// The members of a manifest as one table, which drives reading and writing of both forms, and the values' texts.
#include "common/manifest_table.h"
#include <stddef.h>
#include <string.h>

#define MEMBER(type, field, kind)                                                                                                          \
    { #field, kind, offsetof(struct type, field), sizeof(((struct type *)0)->field), NULL }
#define OBJECT(type, field, table)                                                                                                         \
    { #field, KIND_OBJECT, offsetof(struct type, field), sizeof(((struct type *)0)->field), table }

static const struct member part_members[] = {
    MEMBER(manifest_part, offset, KIND_U64), MEMBER(manifest_part, bytes, KIND_U64), MEMBER(manifest_part, sha256, KIND_HEX), {0}};

static const struct member boot_members[] = {
    MEMBER(slot_boot, id, KIND_HEX), MEMBER(slot_boot, data_blocks, KIND_U64), MEMBER(slot_boot, root_hash, KIND_HEX), {0}};

const struct member manifest_layer_members[] = {
    MEMBER(manifest_layer, name, KIND_TEXT),
    MEMBER(manifest_layer, version, KIND_TEXT),
    OBJECT(manifest_layer, data, part_members),
    OBJECT(manifest_layer, index, part_members),
    {0},
};

// Order of the members in JSON, and of the lines of the flat form. "format" stands before them, "layers" behind.
const struct member manifest_members[] = {
    MEMBER(manifest, profile, KIND_TEXT),
    MEMBER(manifest, version, KIND_TEXT),
    MEMBER(manifest, compatible, KIND_TEXT),
    MEMBER(manifest, channel, KIND_TEXT),
    MEMBER(manifest, sequence, KIND_U64),
    MEMBER(manifest, created, KIND_I64),
    MEMBER(manifest, valid_from, KIND_I64),
    MEMBER(manifest, valid_until, KIND_I64),
    MEMBER(manifest, minimum_updater, KIND_U32),
    MEMBER(manifest, config_schema, KIND_U32),
    {"development", KIND_BOOL, offsetof(struct manifest, is_development), sizeof(bool), NULL},
    {"slot", KIND_OBJECT, offsetof(struct manifest, boot), sizeof(struct slot_boot), boot_members},
    MEMBER(manifest, cmdline, KIND_TEXT),
    OBJECT(manifest, packages, part_members),
    OBJECT(manifest, uki, part_members),
    OBJECT(manifest, uki_index, part_members),
    OBJECT(manifest, cmdline_in_uki, part_members),
    OBJECT(manifest, linux_in_uki, part_members),
    OBJECT(manifest, initrd_in_uki, part_members),
    {0},
};

// Decimal without sign, blanks or leading zeros, at most `max`.
static bool parse_number(const char *text, uint64_t max, uint64_t *ret_value) {
    uint64_t value = 0;
    if (!*text || (*text == '0' && text[1]))
        return false;
    for (const char *c = text; *c; c++) {
        uint64_t digit = (uint64_t)(*c - '0');
        if (*c < '0' || *c > '9' || value > (max - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *ret_value = value;
    return true;
}

// Text of one value → structure. What a text may consist of is checked later; here only that it fits.
bool manifest_leaf_set(const struct member *member, const char *text, char *base) {
    uint64_t number = 0;
    void *field = base + member->offset;
    switch (member->kind) {
    case KIND_TEXT:
        if (strlen(text) >= member->size)
            return false;
        memcpy(field, text, strlen(text) + 1);
        return true;
    case KIND_U64:
    case KIND_I64: // never negative; 2^63 - 1 is the largest number that JSON readers agree on as an integer
        if (!parse_number(text, INT64_MAX, &number))
            return false;
        memcpy(field, &number, sizeof(number));
        return true;
    case KIND_U32:
        if (!parse_number(text, INT32_MAX, &number))
            return false;
        *(uint32_t *)field = (uint32_t)number;
        return true;
    case KIND_BOOL:
        *(bool *)field = strcmp(text, "true") == 0;
        return *(bool *)field || strcmp(text, "false") == 0;
    default:
        return strlen(text) == 2 * member->size && hex_parse(text, member->size, field);
    }
}

void manifest_leaf_text(const struct member *member, const char *base, char ret_text[MANIFEST_LEAF_BYTES]) {
    const void *field = base + member->offset;
    uint64_t number = 0;
    switch (member->kind) {
    case KIND_TEXT:
        snprintf(ret_text, MANIFEST_LEAF_BYTES, "%s", (const char *)field);
        break;
    case KIND_U64:
    case KIND_I64:
        memcpy(&number, field, sizeof(number));
        snprintf(ret_text, MANIFEST_LEAF_BYTES, "%llu", (unsigned long long)number);
        break;
    case KIND_U32:
        snprintf(ret_text, MANIFEST_LEAF_BYTES, "%u", *(const uint32_t *)field);
        break;
    case KIND_BOOL:
        snprintf(ret_text, MANIFEST_LEAF_BYTES, "%s", *(const bool *)field ? "true" : "false");
        break;
    default:
        hex_format(field, member->size, ret_text);
    }
}

const char *manifest_expectation(const struct member *member, char ret_text[64]) {
    static const char *const texts[] = {[KIND_U64] = "a whole number from 0 to 2^63 - 1",
                                        [KIND_I64] = "a whole number from 0 to 2^63 - 1",
                                        [KIND_U32] = "a whole number from 0 to 2^31 - 1",
                                        [KIND_BOOL] = "true or false",
                                        [KIND_OBJECT] = "an object"};
    if (member->kind == KIND_HEX)
        snprintf(ret_text, 64, "%zu hex digits in lower case", 2 * member->size);
    else if (member->kind == KIND_TEXT)
        snprintf(ret_text, 64, "a text of at most %zu bytes", member->size - 1);
    else
        snprintf(ret_text, 64, "%s", texts[member->kind]);
    return ret_text;
}
