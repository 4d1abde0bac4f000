// SPDX-License-Identifier: Apache-2.0
// The fixed 32 bytes at the start of a bundle or channel file.
#include "common/bundle.h"
#include <errno.h>
#include <string.h>

enum { // byte offsets, docs/FORMATS.md
    AT_VERSION = 8,
    AT_MANIFEST_BYTES = 12,
    AT_SIGNATURE_BYTES = 16,
    AT_RESERVED = 20,
};

static const char magic[8] = {'W', 'E', 'B', 'O', 'P', 'S', 'B', 'U'};

static void put32(uint8_t *bytes, uint32_t value) {
    for (int i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
}

static uint32_t get32(const uint8_t *bytes) {
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

int bundle_head_parse(const uint8_t bytes[BUNDLE_FIXED_BYTES], struct bundle_head *ret_head, struct err *err) {
    static const uint8_t zero[BUNDLE_FIXED_BYTES - AT_RESERVED];
    if (memcmp(bytes, magic, sizeof(magic)) != 0)
        return err_set(err, -EINVAL, "bundle: no magic, this is not a bundle");
    if (get32(bytes + AT_VERSION) != BUNDLE_VERSION)
        return err_set(err, -EINVAL, "bundle: format %u, this program reads format %d", get32(bytes + AT_VERSION), BUNDLE_VERSION);
    if (memcmp(bytes + AT_RESERVED, zero, sizeof(zero)) != 0)
        return err_set(err, -EINVAL, "bundle: unused bytes of the head are not zero");
    struct bundle_head head = {get32(bytes + AT_MANIFEST_BYTES), get32(bytes + AT_SIGNATURE_BYTES)};
    if (head.manifest_bytes < 1 || head.manifest_bytes > MANIFEST_MAX_BYTES)
        return err_set(err, -EINVAL, "bundle: a manifest of %u bytes, 1 to %d are possible", head.manifest_bytes, MANIFEST_MAX_BYTES);
    if (head.signature_bytes < 1 || head.signature_bytes > BUNDLE_MAX_SIGNATURE_BYTES)
        return err_set(err, -EINVAL, "bundle: a signature of %u bytes, 1 to %d are possible", head.signature_bytes,
                       BUNDLE_MAX_SIGNATURE_BYTES);
    *ret_head = head;
    return 0;
}

void bundle_head_format(const struct bundle_head *head, uint8_t ret_bytes[BUNDLE_FIXED_BYTES]) {
    memset(ret_bytes, 0, BUNDLE_FIXED_BYTES);
    memcpy(ret_bytes, magic, sizeof(magic));
    put32(ret_bytes + AT_VERSION, BUNDLE_VERSION);
    put32(ret_bytes + AT_MANIFEST_BYTES, head->manifest_bytes);
    put32(ret_bytes + AT_SIGNATURE_BYTES, head->signature_bytes);
}

uint64_t bundle_head_bytes(const struct bundle_head *head) {
    return BUNDLE_FIXED_BYTES + (uint64_t)head->manifest_bytes + head->signature_bytes;
}

uint64_t bundle_payload_offset(const struct bundle_head *head) {
    return (bundle_head_bytes(head) + BUNDLE_ALIGN - 1) / BUNDLE_ALIGN * BUNDLE_ALIGN;
}
