// SPDX-License-Identifier: Apache-2.0
// The rules of a manifest: what texts consist of, how parts follow each other, and that everything in it describes the same generation.
#include "common/bundle.h"
#include "common/chunkindex.h"
#include "common/manifest_table.h"
#include "common/sha256.h"
#include <errno.h>
#include <string.h>

#define MAX_TIME 253402300799 // end of the year 9999
#define MAX_PACKAGES_BYTES (16 << 20)

static bool has_only(const char *text, const char *others) {
    for (const char *c = text; *c; c++)
        if (!(*c >= 'a' && *c <= 'z') && !(*c >= '0' && *c <= '9') && !strchr(others, *c))
            return false;
    return true;
}

static bool is_name(const char *text) {
    return *text && *text != '.' && *text != '-' && has_only(text, ".-");
}

// Printable ASCII that needs no quoting trick of GRUB's script or of config.env.
static bool is_cmdline(const char *text) {
    for (const char *c = text; *c; c++)
        if (*c < ' ' || *c > '~' || strchr("'\"\\$`", *c))
            return false;
    return *text != 0;
}

static int check_texts(const struct manifest *manifest, struct err *err) {
    if (!is_name(manifest->compatible) || !is_name(manifest->channel))
        return err_set(err, -EINVAL, "manifest: compatible and channel are 1 to %d characters of a-z 0-9 . -, not starting with . or -",
                       MANIFEST_NAME_BYTES - 1);
    if (!is_cmdline(manifest->cmdline))
        return err_set(err, -EINVAL, "manifest: cmdline is not printable ASCII, or has one of ' \" \\ $ `");
    return 0;
}

static int check_numbers(const struct manifest *manifest, struct err *err) {
    if (manifest->sequence < 1 || manifest->sequence > INT64_MAX)
        return err_set(err, -EINVAL, "manifest: sequence is not a number from 1 to 2^63 - 1");
    if (manifest->created < 0 || manifest->valid_from < 0 || manifest->created > MAX_TIME || manifest->valid_until > MAX_TIME)
        return err_set(err, -EINVAL, "manifest: created, valid_from or valid_until lies outside of the years 1970 to 9999");
    if (manifest->valid_from >= manifest->valid_until)
        return err_set(err, -EINVAL, "manifest: valid_from is not before valid_until");
    if (manifest->minimum_updater < 1 || manifest->minimum_updater > INT32_MAX || manifest->config_schema > INT32_MAX)
        return err_set(err, -EINVAL, "manifest: minimum_updater or config_schema is out of range");
    return 0;
}

static uint64_t aligned(uint64_t bytes) {
    return (bytes + BUNDLE_ALIGN - 1) / BUNDLE_ALIGN * BUNDLE_ALIGN;
}

// The next part of the payload: starts at the aligned end of the one before.
static int check_part(const struct manifest_part *part, const char *name, uint64_t max_bytes, uint64_t *end, struct err *err) {
    if (part->bytes < 1 || part->bytes > max_bytes)
        return err_set(err, -EINVAL, "manifest: %s has an impossible size (1 to %llu bytes)", name, (unsigned long long)max_bytes);
    if (part->offset != *end)
        return err_set(err, -EINVAL, "manifest: %s does not start where the part before it ends, at %llu", name, (unsigned long long)*end);
    *end += aligned(part->bytes);
    return *end <= SLOT_MAX_BYTES ? 0 : err_set(err, -EINVAL, "manifest: the payload is larger than any slot");
}

// Order: docs/FORMATS.md, "Bundle".
static int check_payload(const struct manifest *manifest, struct err *err) {
    uint64_t end = 0;
    int r = check_part(&manifest->packages, "packages", MAX_PACKAGES_BYTES, &end, err);
    if (r == 0)
        r = check_part(&manifest->uki_index, "uki_index", CHUNKINDEX_MAX_BYTES, &end, err);
    for (uint32_t i = 0; r == 0 && i < manifest->layer_count; i++)
        r = check_part(&manifest->layers[i].index, "a layer's index", CHUNKINDEX_MAX_BYTES, &end, err);
    if (r == 0)
        r = check_part(&manifest->uki, "uki", MANIFEST_MAX_PART_BYTES, &end, err);
    for (uint32_t i = 0; r == 0 && i < manifest->layer_count; i++)
        r = check_part(&manifest->layers[i].data, "a layer", MANIFEST_MAX_PART_BYTES, &end, err);
    return r;
}

static int check_uki(const struct manifest *manifest, struct err *err) {
    const struct manifest_part *parts[] = {&manifest->cmdline_in_uki, &manifest->linux_in_uki, &manifest->initrd_in_uki};
    uint8_t digest[SHA256_BYTES];
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        if (parts[i]->bytes < 1 || parts[i]->bytes > manifest->uki.bytes || parts[i]->offset > manifest->uki.bytes - parts[i]->bytes)
            return err_set(err, -EINVAL, "manifest: a range inside the UKI is empty or ends behind it");
        for (size_t j = 0; j < i; j++)
            if (parts[i]->offset < parts[j]->offset + parts[j]->bytes && parts[j]->offset < parts[i]->offset + parts[i]->bytes)
                return err_set(err, -EINVAL, "manifest: two ranges inside the UKI overlap");
    }
    sha256_hash(manifest->cmdline, strlen(manifest->cmdline), digest);
    if (manifest->cmdline_in_uki.bytes != strlen(manifest->cmdline) || memcmp(manifest->cmdline_in_uki.sha256, digest, sizeof(digest)) != 0)
        return err_set(err, -EINVAL, "manifest: cmdline_in_uki is not the size and hash of cmdline");
    return 0;
}

// Command line, slot header and root hash must be of one generation.
static int check_generation(const struct manifest *manifest, struct err *err) {
    struct slot_boot boot;
    struct slot_header header;
    uint8_t bytes[SLOT_HEADER_BYTES];
    int r = slot_boot_find(manifest->cmdline, &boot, err);
    if (r < 0)
        return err_prefix(err, -EINVAL, "manifest: cmdline");
    if (memcmp(boot.id, manifest->boot.id, sizeof(boot.id)) != 0 || boot.data_blocks != manifest->boot.data_blocks ||
        memcmp(boot.root_hash, manifest->boot.root_hash, sizeof(boot.root_hash)) != 0)
        return err_set(err, -EINVAL, "manifest: webops.slot= of cmdline is not that of slot");
    r = manifest_slot_header(manifest, &header, bytes, err);
    return r < 0 ? err_prefix(err, -EINVAL, "manifest") : 0;
}

int manifest_check(const struct manifest *manifest, struct err *err) {
    int r = 0;
    if (manifest->layer_count < 1 || manifest->layer_count > SLOT_MAX_LAYERS)
        return err_set(err, -EINVAL, "manifest: %u layers, 1 to %d are possible", manifest->layer_count, SLOT_MAX_LAYERS);
    int (*const checks[])(const struct manifest *, struct err *) = {check_texts, check_numbers, check_payload, check_uki, check_generation};
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(checks); i++)
        r = checks[i](manifest, err);
    return r;
}

// Profile, version and layer names are judged by the header's own rules.
int manifest_slot_header(const struct manifest *manifest, struct slot_header *ret_header, uint8_t ret_bytes[SLOT_HEADER_BYTES],
                         struct err *err) {
    struct slot_header header = {.sequence = manifest->sequence, .layer_count = manifest->layer_count};
    uint8_t bytes[SLOT_HEADER_BYTES];
    memcpy(header.profile, manifest->profile, sizeof(header.profile));
    memcpy(header.version, manifest->version, sizeof(header.version));
    for (uint32_t i = 0; i < manifest->layer_count && i < SLOT_MAX_LAYERS; i++) {
        memcpy(header.layers[i].name, manifest->layers[i].name, sizeof(header.layers[i].name));
        memcpy(header.layers[i].version, manifest->layers[i].version, sizeof(header.layers[i].version));
        header.layers[i].length = manifest->layers[i].data.bytes;
        memcpy(header.layers[i].sha256, manifest->layers[i].data.sha256, sizeof(header.layers[i].sha256));
    }
    int r = slot_header_format(&header, bytes, err);
    if (r < 0)
        return r;
    if (memcmp(header.id, manifest->boot.id, sizeof(header.id)) != 0)
        return err_set(err, -EBADMSG, "the slot header made of profile, version, sequence and layers has another id than slot says");
    if (header.data_bytes / SLOT_BLOCK_BYTES != manifest->boot.data_blocks)
        return err_set(err, -EBADMSG, "the slot header made of the layers has another data size than slot says");
    *ret_header = header;
    memcpy(ret_bytes, bytes, sizeof(bytes));
    return 0;
}

uint64_t manifest_payload_bytes(const struct manifest *manifest) {
    const struct manifest_part *last = manifest->layer_count ? &manifest->layers[manifest->layer_count - 1].data : &manifest->uki;
    return aligned(last->offset + last->bytes);
}
