// SPDX-License-Identifier: Apache-2.0
// Whatever is read as a manifest must be written as the same bytes, and say the same in the other form. Every input is tried as both.
#include "common/buf.h"
#include "common/manifest.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok) {
    if (!ok)
        abort();
}

// Fields are compared by their text: what is behind a NUL is not part of them.
static void both_forms(const struct manifest *manifest, struct buf *json, struct buf *flat) {
    struct manifest again;
    struct err err;
    cleanup_buf struct buf json_again = {0}, flat_again = {0};
    must(manifest_format(manifest, json, &err) == 0 && manifest_format_flat(manifest, flat, &err) == 0);
    must(manifest_parse(json->data, json->size, &again, &err) == 0 && manifest_format_flat(&again, &flat_again, &err) == 0);
    must(strcmp(flat->data, flat_again.data) == 0);
    must(manifest_parse_flat(flat->data, flat->size, &again, &err) == 0 && manifest_format(&again, &json_again, &err) == 0);
    must(strcmp(json->data, json_again.data) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct manifest manifest;
    struct err err;
    cleanup_buf struct buf json = {0}, flat = {0}, more_json = {0}, more_flat = {0};
    if (manifest_parse((const char *)data, size, &manifest, &err) == 0) {
        both_forms(&manifest, &json, &flat);
        must(json.size == size && memcmp(json.data, data, size) == 0);
    }
    if (manifest_parse_flat((const char *)data, size, &manifest, &err) == 0)
        both_forms(&manifest, &more_json, &more_flat);
    return 0;
}
