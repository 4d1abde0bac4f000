// SPDX-License-Identifier: Apache-2.0
// Little-endian numbers at any place, as disks hold them.
#pragma once
#include <stddef.h>
#include <stdint.h>

static inline uint64_t le_get(const uint8_t *at, size_t bytes) {
    uint64_t value = 0;
    while (bytes > 0)
        value = value << 8 | at[--bytes];
    return value;
}

static inline void le_put(uint8_t *at, size_t bytes, uint64_t value) {
    for (size_t i = 0; i < bytes; i++, value >>= 8)
        at[i] = (uint8_t)value;
}
