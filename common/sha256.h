// SPDX-License-Identifier: Apache-2.0
// SHA-256 (FIPS 180-4) without a library, because the init has none. For bulk data with hardware help use OpenSSL's EVP instead.
#pragma once
#include <stddef.h>
#include <stdint.h>

#define SHA256_BYTES 32

struct sha256 {
    uint32_t state[8];
    uint64_t size_bytes;
    uint8_t block[64];
};

void sha256_init(struct sha256 *sha);
void sha256_update(struct sha256 *sha, const void *data, size_t size);
void sha256_final(struct sha256 *sha, uint8_t ret_digest[SHA256_BYTES]);
void sha256_hash(const void *data, size_t size, uint8_t ret_digest[SHA256_BYTES]);
