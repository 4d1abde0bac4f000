// SPDX-License-Identifier: Apache-2.0
// A head as webops-verify reads it: fixed bytes, signature, manifest. What is taken must be one of the heads that were really signed, and
// the fixed bytes must be written again as they were read.
#include "common/bundle.h"
#include "common/test/fuzz_trust.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bundle_head head;
    struct manifest manifest;
    struct err err;
    uint8_t again[BUNDLE_FIXED_BYTES];
    if (size < BUNDLE_FIXED_BYTES || bundle_head_parse(data, &head, &err) < 0)
        return 0;
    bundle_head_format(&head, again);
    if (memcmp(again, data, sizeof(again)) != 0)
        abort();
    if (bundle_head_bytes(&head) != size)
        return 0;
    const uint8_t *json = data + BUNDLE_FIXED_BYTES, *signature = json + head.manifest_bytes;
    if (signature_verify(&fuzz_trust, json, head.manifest_bytes, signature, head.signature_bytes, NULL, &err) < 0)
        return 0;
    fuzz_must_be_signed(data, size);
    if (manifest_parse((const char *)json, head.manifest_bytes, &manifest, &err) < 0)
        abort();
    return 0;
}
