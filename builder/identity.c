// SPDX-License-Identifier: Apache-2.0
// SHA-256 over profile, version and purpose → UUIDs and volume serial numbers. Nothing random: same inputs, same bytes.
#include "builder/identity.h"
#include "common/sha256.h"
#include <stdio.h>
#include <string.h>

static void identity_digest(const struct identity *identity, const char *purpose, uint8_t ret_digest[SHA256_BYTES]) {
    const char *const parts[] = {"webops", identity->profile, identity->version, purpose};
    struct sha256 sha;
    sha256_init(&sha);
    for (unsigned i = 0; i < ARRAY_SIZE(parts); i++)
        sha256_update(&sha, parts[i], strlen(parts[i]) + 1); // the NUL keeps "ab","c" and "a","bc" apart
    sha256_final(&sha, ret_digest);
}

void identity_uuid(const struct identity *identity, const char *purpose, char ret_uuid[IDENTITY_UUID_BYTES]) {
    uint8_t d[SHA256_BYTES];
    identity_digest(identity, purpose, d);
    d[6] = (d[6] & 0x0f) | 0x40; // RFC 9562: version 4, variant 1
    d[8] = (d[8] & 0x3f) | 0x80;
    snprintf(ret_uuid, IDENTITY_UUID_BYTES, "%02X%02X%02X%02X-%02X%02X-%02X%02X-%02X%02X-%02X%02X%02X%02X%02X%02X", d[0], d[1], d[2], d[3],
             d[4], d[5], d[6], d[7], d[8], d[9], d[10], d[11], d[12], d[13], d[14], d[15]);
}

uint32_t identity_u32(const struct identity *identity, const char *purpose) {
    uint8_t d[SHA256_BYTES];
    identity_digest(identity, purpose, d);
    return d[0] | (uint32_t)d[1] << 8 | (uint32_t)d[2] << 16 | (uint32_t)d[3] << 24;
}
