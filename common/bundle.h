// SPDX-License-Identifier: Apache-2.0
// The head of a bundle: fixed 32 bytes, manifest, detached signature. The payload follows at the next multiple of 4096. A published channel
// file is a head without payload. Format: docs/FORMATS.md, "Bundle". Pure, no I/O.
#pragma once
#include "common/err.h"
#include "common/manifest.h"
#include <stddef.h>
#include <stdint.h>

#define BUNDLE_VERSION 1
#define BUNDLE_FIXED_BYTES 32 // magic "WEBOPSBU", u32 version 1, u32 manifest bytes, u32 signature bytes, zero
#define BUNDLE_MAX_SIGNATURE_BYTES (32 << 10)
#define BUNDLE_MAX_HEAD_BYTES (BUNDLE_FIXED_BYTES + MANIFEST_MAX_BYTES + BUNDLE_MAX_SIGNATURE_BYTES)
#define BUNDLE_ALIGN 4096

struct bundle_head {
    uint32_t manifest_bytes, signature_bytes; // 1 … their limits
};

// Reads the fixed 32 bytes: -EINVAL for anything that breaks a rule, an empty signature among it.
int bundle_head_parse(const uint8_t bytes[BUNDLE_FIXED_BYTES], struct bundle_head *ret_head, struct err *err) must_check nonnull(1, 2, 3);
void bundle_head_format(const struct bundle_head *head, uint8_t ret_bytes[BUNDLE_FIXED_BYTES]) nonnull(1, 2);
uint64_t bundle_head_bytes(const struct bundle_head *head); // without padding
uint64_t bundle_payload_offset(const struct bundle_head *head);
