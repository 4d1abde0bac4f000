// SPDX-License-Identifier: Apache-2.0
// A valid slot header and the means to damage one and make its id right again. Shared by the unit tests and the fuzz entry.
#pragma once
#include "common/sha256.h"
#include "common/slot.h"
#include <string.h>

static inline void slot_seed(struct slot_header *ret_header, uint32_t layer_count) {
    *ret_header = (struct slot_header){
        .sequence = 0x0102030405060708, .profile = "edge-web.1", .version = "2026.11+r4~rc1", .layer_count = layer_count};
    for (uint32_t i = 0; i < layer_count && i < SLOT_MAX_LAYERS; i++) {
        struct slot_layer *layer = &ret_header->layers[i];
        snprintf(layer->name, sizeof(layer->name), "layer-%u.x", i);
        snprintf(layer->version, sizeof(layer->version), "1:%u.0-2", i);
        layer->length = 4096 * (uint64_t)(i + 1) + (i % 3) * 1000; // both with and without padding
        memset(layer->sha256, (int)(0xa0 + i), sizeof(layer->sha256));
    }
}

// Writes the id that belongs to the present bytes, as an attacker (or a buggy writer) would.
static inline void slot_reseal(uint8_t bytes[SLOT_HEADER_BYTES]) {
    uint8_t digest[SHA256_BYTES];
    memset(bytes + 16, 0, SLOT_ID_BYTES);
    sha256_hash(bytes, SLOT_HEADER_BYTES, digest);
    memcpy(bytes + 16, digest, SLOT_ID_BYTES);
}
