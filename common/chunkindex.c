// SPDX-License-Identifier: Apache-2.0
// Chunk index ↔ bytes, and making one from a file. docs/FORMATS.md, "Chunk index".
#include "common/chunkindex.h"
#include "common/buf.h"
#include "common/digest.h"
#include "common/le.h"
#include <errno.h>
#include <string.h>

#define READ_BYTES (1 << 20)

static const char magic[8] = {'W', 'E', 'B', 'O', 'P', 'S', 'I', 'X'};

enum { // byte offsets, docs/FORMATS.md
    AT_VERSION = 8,
    AT_COUNT = 12,
    AT_BYTES = 16,
    AT_RESERVED = 24,
    RECORD_AT_SHA256 = 2,
    VERSION = 1,
};

void chunkindex_done(struct chunkindex *index) {
    free(index->chunks);
    *index = (struct chunkindex){0};
}

static struct chunkindex_chunk *add(struct chunkindex *index, size_t *capacity) {
    if (index->count == *capacity) {
        *capacity = *capacity ? *capacity + *capacity / 2 : 64;
        index->chunks = mem_resize(index->chunks, *capacity, sizeof(*index->chunks));
    }
    return &index->chunks[index->count++];
}

// Cuts what can be cut of `size` bytes; returns how many were used.
static size_t cut_window(struct chunkindex *index, size_t *capacity, struct digest *digest, const uint8_t *data, size_t size, bool is_end) {
    size_t used = 0, length;
    while (used < size && (length = chunk_cut(data + used, size - used, is_end)) > 0) {
        struct chunkindex_chunk *chunk = add(index, capacity);
        chunk->offset = index->bytes;
        chunk->bytes = (uint32_t)length;
        digest_hash(digest, data + used, length, chunk->sha256);
        index->bytes += length;
        used += length;
    }
    return used;
}

int chunkindex_make(int fd, const char *name, uint64_t offset, uint64_t length, struct chunkindex *ret_index, struct err *err) {
    cleanup_chunkindex struct chunkindex index = {0};
    cleanup_free uint8_t *window = mem_array(READ_BYTES, 1);
    cleanup_digest struct digest digest = {0};
    size_t held = 0, capacity = 0;
    digest_init(&digest);
    for (uint64_t done = 0; done < length;) {
        size_t size = length - done < READ_BYTES - held ? (size_t)(length - done) : READ_BYTES - held;
        int r = pread_all(fd, name, window + held, size, offset + done, err);
        if (r < 0)
            return r;
        done += size;
        held += size;
        size_t used = cut_window(&index, &capacity, &digest, window, held, done == length);
        memmove(window, window + used, held - used);
        held -= used;
    }
    if ((uint64_t)index.count * CHUNKINDEX_RECORD_BYTES + CHUNKINDEX_FIXED_BYTES > CHUNKINDEX_MAX_BYTES)
        return err_set(err, -EFBIG, "%s is too large for a chunk index", name);
    *ret_index = index;
    index.chunks = NULL;
    return 0;
}

static int check_head(const uint8_t *data, size_t size, uint64_t object_bytes, struct err *err) {
    if (size < CHUNKINDEX_FIXED_BYTES || memcmp(data, magic, sizeof(magic)) != 0)
        return err_set(err, -EINVAL, "chunk index: no magic");
    if (size > CHUNKINDEX_MAX_BYTES)
        return err_set(err, -EFBIG, "chunk index: %zu bytes, at most %d are possible", size, CHUNKINDEX_MAX_BYTES);
    if (le_get(data + AT_VERSION, 4) != VERSION)
        return err_set(err, -EINVAL, "chunk index: version %u, this program reads version %d", (unsigned)le_get(data + AT_VERSION, 4),
                       VERSION);
    if (le_get(data + AT_RESERVED, 8) != 0)
        return err_set(err, -EINVAL, "chunk index: unused bytes are not zero");
    if (le_get(data + AT_BYTES, 8) != object_bytes)
        return err_set(err, -EINVAL, "chunk index: it is of an object of %llu bytes, the object has %llu",
                       (unsigned long long)le_get(data + AT_BYTES, 8), (unsigned long long)object_bytes);
    uint64_t records = le_get(data + AT_COUNT, 4) * CHUNKINDEX_RECORD_BYTES;
    if (records == 0 || records != size - CHUNKINDEX_FIXED_BYTES)
        return err_set(err, -EINVAL, "chunk index: %u chunks do not make %zu bytes", (unsigned)le_get(data + AT_COUNT, 4), size);
    return 0;
}

int chunkindex_parse(const uint8_t *data, size_t size, uint64_t object_bytes, struct chunkindex *ret_index, struct err *err) {
    int r = check_head(data, size, object_bytes, err);
    if (r < 0)
        return r;
    size_t count = (size_t)le_get(data + AT_COUNT, 4);
    cleanup_chunkindex struct chunkindex index = {.chunks = mem_array(count, sizeof(*index.chunks))};
    for (const uint8_t *record = data + CHUNKINDEX_FIXED_BYTES; index.count < count; record += CHUNKINDEX_RECORD_BYTES) {
        struct chunkindex_chunk *chunk = &index.chunks[index.count++];
        chunk->offset = index.bytes;
        chunk->bytes = (uint32_t)le_get(record, 2) + 1;
        memcpy(chunk->sha256, record + RECORD_AT_SHA256, sizeof(chunk->sha256));
        index.bytes += chunk->bytes;
        if (chunk->bytes < CHUNK_MIN_BYTES && index.count < count)
            return err_set(err, -EINVAL, "chunk index: chunk %zu has %u bytes, only the last may have fewer than %d", index.count - 1,
                           chunk->bytes, CHUNK_MIN_BYTES);
    }
    if (index.bytes != object_bytes)
        return err_set(err, -EINVAL, "chunk index: the chunks have %llu bytes together, the object %llu", (unsigned long long)index.bytes,
                       (unsigned long long)object_bytes);
    *ret_index = index;
    index.chunks = NULL;
    return 0;
}

void chunkindex_format(const struct chunkindex *index, struct buf *text) {
    uint8_t head[CHUNKINDEX_FIXED_BYTES] = {0}, record[CHUNKINDEX_RECORD_BYTES];
    memcpy(head, magic, sizeof(magic));
    le_put(head + AT_VERSION, 4, VERSION);
    le_put(head + AT_COUNT, 4, index->count);
    le_put(head + AT_BYTES, 8, index->bytes);
    buf_add(text, head, sizeof(head));
    for (size_t i = 0; i < index->count; i++) {
        le_put(record, 2, index->chunks[i].bytes - 1);
        memcpy(record + RECORD_AT_SHA256, index->chunks[i].sha256, sizeof(index->chunks[i].sha256));
        buf_add(text, record, sizeof(record));
    }
}
