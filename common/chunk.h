// SPDX-License-Identifier: Apache-2.0
// Content-defined chunks: cuts a stream where its content says so, so that an insertion moves cuts but does not change the chunks behind it.
// Squashfs layers are cut where their blocks begin, because a block that changes does so as a whole; anything else by a gear hash (Xia et
// al., Ddelta, 2014) over a table made by a fixed generator: docs/FORMATS.md, "Chunks". Pure, no I/O.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHUNK_MIN_BYTES 4096
#define CHUNK_MAX_BYTES 65536

// Length of the first chunk of `data`; 0 when `size` is too small to decide and more may follow (never when size ≥ CHUNK_MAX_BYTES or is_end).
size_t chunk_cut(const uint8_t *data, size_t size, bool is_end);
