// SPDX-License-Identifier: Apache-2.0
// The index of one object (a layer, a UKI): the length and SHA-256 of each of its chunks, in order. docs/FORMATS.md, "Chunk index".
#pragma once
#include "common/chunk.h"
#include "common/err.h"
#include <stdint.h>

#define CHUNKINDEX_FIXED_BYTES 32 // magic "WEBOPSIX", u32 version 1, u32 chunks, u64 bytes of the object, zero
#define CHUNKINDEX_RECORD_BYTES 34 // u16 length - 1, SHA-256
#define CHUNKINDEX_MAX_BYTES (64 << 20)

struct chunkindex_chunk {
    uint64_t offset; // in the object
    uint32_t bytes; // 1 … CHUNK_MAX_BYTES
    uint8_t sha256[32];
};
struct chunkindex {
    struct chunkindex_chunk *chunks;
    size_t count;
    uint64_t bytes; // of the object = sum over the chunks
};

void chunkindex_done(struct chunkindex *index);
// Cuts and hashes `length` bytes of `fd` from `offset`.
int chunkindex_make(int fd, const char *name, uint64_t offset, uint64_t length, struct chunkindex *ret_index, struct err *err) must_check
    nonnull(2, 5, 6);
// Strict; the sum of lengths must be the size the manifest gives for the object.
int chunkindex_parse(const uint8_t *data, size_t size, uint64_t object_bytes, struct chunkindex *ret_index, struct err *err) must_check
    nonnull(1, 4, 5);
struct buf;
void chunkindex_format(const struct chunkindex *index, struct buf *text) nonnull(1, 2);

#define cleanup_chunkindex cleanup(chunkindex_done)
