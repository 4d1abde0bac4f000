// SPDX-License-Identifier: Apache-2.0
// Slot header ↔ 4096 bytes, and the webops.slot= kernel parameter. Every byte is accounted for: one flipped bit anywhere is refused.
#include "common/slot.h"
#include "common/le.h"
#include "common/sha256.h"
#include <errno.h>
#include <string.h>

static const char magic[8] = {'W', 'E', 'B', 'O', 'P', 'S', 'S', 'L'};

enum { // byte offsets, docs/FORMATS.md
    AT_FORMAT = 8,
    AT_LAYER_COUNT = 12,
    AT_ID = 16,
    AT_SEQUENCE = 32,
    AT_DATA_BYTES = 40,
    AT_PROFILE = 48,
    AT_VERSION = 96,
    AT_RESERVED = 144,
    AT_LAYERS = 256,
    LAYER_BYTES = 160,
    LAYER_AT_VERSION = 48,
    LAYER_AT_OFFSET = 96,
    LAYER_AT_LENGTH = 104,
    LAYER_AT_SHA256 = 112,
    LAYER_AT_RESERVED = 144,
};
_Static_assert(AT_LAYERS + SLOT_MAX_LAYERS * LAYER_BYTES <= SLOT_HEADER_BYTES, "the layer table fits");

static bool is_zero(const uint8_t *bytes, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (bytes[i])
            return false;
    return true;
}

static uint64_t padded(uint64_t bytes) {
    return (bytes + SLOT_BLOCK_BYTES - 1) / SLOT_BLOCK_BYTES * SLOT_BLOCK_BYTES;
}

static bool is_name(const char *text) {
    if (!*text || *text == '.' || *text == '-')
        return false;
    for (const char *c = text; *c; c++)
        if (!(*c >= 'a' && *c <= 'z') && !(*c >= '0' && *c <= '9') && *c != '-' && *c != '.')
            return false;
    return true;
}

static bool is_version(const char *text) {
    if (!*text)
        return false;
    for (const char *c = text; *c; c++)
        if (*c <= ' ' || *c > '~')
            return false;
    return true;
}

// A fixed-size text field: terminated, and nothing but zero behind the end.
static bool is_field(const char *field, size_t size, bool (*is_valid)(const char *)) {
    size_t length = strnlen(field, size);
    return length < size && is_zero((const uint8_t *)field + length, size - length) && is_valid(field);
}

static void compute_id(const uint8_t bytes[SLOT_HEADER_BYTES], uint8_t ret_id[SLOT_ID_BYTES]) {
    static const uint8_t zero[SLOT_ID_BYTES];
    struct sha256 sha;
    uint8_t digest[SHA256_BYTES];
    sha256_init(&sha);
    sha256_update(&sha, bytes, AT_ID);
    sha256_update(&sha, zero, SLOT_ID_BYTES);
    sha256_update(&sha, bytes + AT_ID + SLOT_ID_BYTES, SLOT_HEADER_BYTES - AT_ID - SLOT_ID_BYTES);
    sha256_final(&sha, digest);
    memcpy(ret_id, digest, SLOT_ID_BYTES);
}

static int check(const struct slot_header *header, struct err *err) {
    if (!is_field(header->profile, sizeof(header->profile), is_name))
        return err_set(err, -EINVAL, "slot header: the profile name must be 1 to 47 characters of a-z 0-9 . -");
    if (!is_field(header->version, sizeof(header->version), is_version))
        return err_set(err, -EINVAL, "slot header: the version must be 1 to 47 printable characters without blanks");
    if (header->layer_count < 1 || header->layer_count > SLOT_MAX_LAYERS)
        return err_set(err, -EINVAL, "slot header: %u layers, 1 to %d are possible", header->layer_count, SLOT_MAX_LAYERS);
    uint64_t end = SLOT_HEADER_BYTES;
    for (uint32_t i = 0; i < header->layer_count; i++) {
        const struct slot_layer *layer = &header->layers[i];
        if (!is_field(layer->name, sizeof(layer->name), is_name) || !is_field(layer->version, sizeof(layer->version), is_version))
            return err_set(err, -EINVAL, "slot header: layer %u has a bad name or version", i);
        if (layer->length == 0 || layer->length > SLOT_MAX_BYTES)
            return err_set(err, -EINVAL, "slot header: layer %u has an impossible length", i);
        if (layer->offset != end)
            return err_set(err, -EINVAL, "slot header: layer %u does not start where layer %d ends", i, (int)i - 1);
        end += padded(layer->length);
    }
    if (header->data_bytes != end || end > SLOT_MAX_BYTES)
        return err_set(err, -EINVAL, "slot header: the data size is not the end of the last layer");
    return 0;
}

static void write_fields(const struct slot_header *header, uint8_t *bytes) {
    memset(bytes, 0, SLOT_HEADER_BYTES);
    memcpy(bytes, magic, sizeof(magic));
    le_put(bytes + AT_FORMAT, 4, SLOT_FORMAT_VERSION);
    le_put(bytes + AT_LAYER_COUNT, 4, header->layer_count);
    le_put(bytes + AT_SEQUENCE, 8, header->sequence);
    le_put(bytes + AT_DATA_BYTES, 8, header->data_bytes);
    memcpy(bytes + AT_PROFILE, header->profile, SLOT_NAME_BYTES);
    memcpy(bytes + AT_VERSION, header->version, SLOT_VERSION_BYTES);
    for (uint32_t i = 0; i < header->layer_count; i++) {
        const struct slot_layer *layer = &header->layers[i];
        uint8_t *at = bytes + AT_LAYERS + i * LAYER_BYTES;
        memcpy(at, layer->name, SLOT_NAME_BYTES);
        memcpy(at + LAYER_AT_VERSION, layer->version, SLOT_VERSION_BYTES);
        le_put(at + LAYER_AT_OFFSET, 8, layer->offset);
        le_put(at + LAYER_AT_LENGTH, 8, layer->length);
        memcpy(at + LAYER_AT_SHA256, layer->sha256, sizeof(layer->sha256));
    }
}

int slot_header_format(struct slot_header *header, uint8_t ret_bytes[SLOT_HEADER_BYTES], struct err *err) {
    struct slot_header filled = *header;
    uint64_t end = SLOT_HEADER_BYTES;
    for (uint32_t i = 0; i < filled.layer_count && i < SLOT_MAX_LAYERS; i++) {
        filled.layers[i].offset = end;
        if (filled.layers[i].length <= SLOT_MAX_BYTES)
            end += padded(filled.layers[i].length);
    }
    filled.data_bytes = end;
    int r = check(&filled, err);
    if (r < 0)
        return r;
    write_fields(&filled, ret_bytes);
    compute_id(ret_bytes, filled.id);
    memcpy(ret_bytes + AT_ID, filled.id, SLOT_ID_BYTES);
    *header = filled;
    return 0;
}

static void read_fields(const uint8_t *bytes, struct slot_header *header) {
    memcpy(header->id, bytes + AT_ID, SLOT_ID_BYTES);
    header->sequence = le_get(bytes + AT_SEQUENCE, 8);
    header->data_bytes = le_get(bytes + AT_DATA_BYTES, 8);
    memcpy(header->profile, bytes + AT_PROFILE, SLOT_NAME_BYTES);
    memcpy(header->version, bytes + AT_VERSION, SLOT_VERSION_BYTES);
    for (uint32_t i = 0; i < header->layer_count; i++) {
        struct slot_layer *layer = &header->layers[i];
        const uint8_t *at = bytes + AT_LAYERS + i * LAYER_BYTES;
        memcpy(layer->name, at, SLOT_NAME_BYTES);
        memcpy(layer->version, at + LAYER_AT_VERSION, SLOT_VERSION_BYTES);
        layer->offset = le_get(at + LAYER_AT_OFFSET, 8);
        layer->length = le_get(at + LAYER_AT_LENGTH, 8);
        memcpy(layer->sha256, at + LAYER_AT_SHA256, sizeof(layer->sha256));
    }
}

static bool unused_is_zero(const uint8_t *bytes, uint32_t layer_count) {
    for (uint32_t i = 0; i < layer_count; i++)
        if (!is_zero(bytes + AT_LAYERS + i * LAYER_BYTES + LAYER_AT_RESERVED, LAYER_BYTES - LAYER_AT_RESERVED))
            return false;
    size_t end = AT_LAYERS + (size_t)layer_count * LAYER_BYTES;
    return is_zero(bytes + AT_RESERVED, AT_LAYERS - AT_RESERVED) && is_zero(bytes + end, SLOT_HEADER_BYTES - end);
}

int slot_header_parse(const uint8_t *bytes, size_t size, struct slot_header *ret_header, struct err *err) {
    if (size < SLOT_HEADER_BYTES)
        return err_set(err, -EINVAL, "slot header: %zu bytes, %d are needed", size, SLOT_HEADER_BYTES);
    if (memcmp(bytes, magic, sizeof(magic)) != 0)
        return err_set(err, -EINVAL, "slot header: no magic, this slot holds no generation");
    if (le_get(bytes + AT_FORMAT, 4) != SLOT_FORMAT_VERSION)
        return err_set(err, -EINVAL, "slot header: format %u, this program reads format %d", (unsigned)le_get(bytes + AT_FORMAT, 4),
                       SLOT_FORMAT_VERSION);
    uint8_t id[SLOT_ID_BYTES];
    compute_id(bytes, id);
    if (memcmp(id, bytes + AT_ID, SLOT_ID_BYTES) != 0)
        return err_set(err, -EINVAL, "slot header: the id does not match the content, the header is damaged");
    struct slot_header header = {.layer_count = (uint32_t)le_get(bytes + AT_LAYER_COUNT, 4)};
    if (header.layer_count < 1 || header.layer_count > SLOT_MAX_LAYERS)
        return err_set(err, -EINVAL, "slot header: %u layers, 1 to %d are possible", header.layer_count, SLOT_MAX_LAYERS);
    if (!unused_is_zero(bytes, header.layer_count))
        return err_set(err, -EINVAL, "slot header: unused bytes are not zero");
    read_fields(bytes, &header);
    int r = check(&header, err);
    if (r < 0)
        return r;
    *ret_header = header;
    return 0;
}

void hex_format(const uint8_t *bytes, size_t size, char *ret_text) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        ret_text[2 * i] = digits[bytes[i] >> 4];
        ret_text[2 * i + 1] = digits[bytes[i] & 15];
    }
    ret_text[2 * size] = 0;
}

bool hex_parse(const char *text, size_t size, uint8_t *ret_bytes) {
    for (size_t i = 0; i < 2 * size; i++) {
        char c = text[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0)
            return false;
        ret_bytes[i / 2] = (uint8_t)(i % 2 ? ret_bytes[i / 2] | digit : digit << 4);
    }
    return true;
}

int slot_boot_format(const struct slot_boot *boot, char ret_text[SLOT_BOOT_TEXT_BYTES]) {
    char id[2 * SLOT_ID_BYTES + 1], hash[65];
    hex_format(boot->id, SLOT_ID_BYTES, id);
    hex_format(boot->root_hash, sizeof(boot->root_hash), hash);
    return snprintf(ret_text, SLOT_BOOT_TEXT_BYTES, "%s:%llu:%s", id, (unsigned long long)boot->data_blocks, hash);
}

// Decimal without sign or leading zeros up to ':'; returns the end or NULL.
static const char *parse_blocks(const char *text, uint64_t *ret_blocks) {
    uint64_t value = 0;
    const char *c = text;
    for (; *c >= '0' && *c <= '9'; c++) {
        value = value * 10 + (uint64_t)(*c - '0');
        if (value > SLOT_MAX_BYTES / SLOT_BLOCK_BYTES)
            return NULL;
    }
    if (c == text || *text == '0' || *c != ':')
        return NULL;
    *ret_blocks = value;
    return c;
}

int slot_boot_parse(const char *value, struct slot_boot *ret_boot, struct err *err) {
    static const char expected[] = "<slot id, 32 hex digits>:<data blocks>:<root hash, 64 hex digits>";
    struct slot_boot boot;
    const size_t id_digits = 2 * SLOT_ID_BYTES, hash_digits = 2 * sizeof(boot.root_hash);
    if (!hex_parse(value, SLOT_ID_BYTES, boot.id) || value[id_digits] != ':')
        return err_set(err, -EINVAL, "webops.slot= is not %s", expected);
    const char *end = parse_blocks(value + id_digits + 1, &boot.data_blocks);
    if (!end || !hex_parse(end + 1, sizeof(boot.root_hash), boot.root_hash) || end[1 + hash_digits])
        return err_set(err, -EINVAL, "webops.slot= is not %s", expected);
    *ret_boot = boot;
    return 0;
}

int slot_boot_find(const char *command_line, struct slot_boot *ret_boot, struct err *err) {
    static const char name[] = "webops.slot=";
    char value[SLOT_BOOT_TEXT_BYTES] = "";
    bool found = false;
    for (const char *word = command_line; *word;) {
        size_t length = strcspn(word, " \t\n");
        if (length >= strlen(name) && memcmp(word, name, strlen(name)) == 0) {
            size_t size = length - strlen(name);
            if (found)
                return err_set(err, -EINVAL, "webops.slot= stands twice on the kernel command line");
            if (size >= sizeof(value))
                return err_set(err, -EINVAL, "webops.slot= is too long");
            memcpy(value, word + strlen(name), size);
            value[size] = 0;
            found = true;
        }
        word += length;
        word += strspn(word, " \t\n");
    }
    if (!found)
        return err_set(err, -ENOENT, "the kernel command line has no webops.slot=");
    return slot_boot_parse(value, ret_boot, err);
}

uint64_t slot_tree_bytes(uint64_t data_blocks) {
    const uint64_t hashes_per_block = SLOT_BLOCK_BYTES / SHA256_BYTES;
    uint64_t total = 0;
    for (uint64_t blocks = data_blocks; blocks > 1;) {
        blocks = (blocks + hashes_per_block - 1) / hashes_per_block;
        total += blocks;
    }
    return total * SLOT_BLOCK_BYTES;
}
