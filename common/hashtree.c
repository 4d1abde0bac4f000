// SPDX-License-Identifier: Apache-2.0
// The dm-verity hash tree: leaves while the data streams by, the levels above them at the end. Stored root first (kernel:
// admin-guide/device-mapper/verity).
#include "common/hashtree.h"
#include "common/buf.h"
#include "common/slot.h"
#include <assert.h>
#include <errno.h>
#include <string.h>

#define HASH_BYTES DIGEST_BYTES
#define HASHES_PER_BLOCK (SLOT_BLOCK_BYTES / HASH_BYTES)

static uint64_t parents(uint64_t count) {
    return (count + HASHES_PER_BLOCK - 1) / HASHES_PER_BLOCK;
}

void hashtree_init(struct hashtree *tree, uint64_t data_blocks) {
    *tree = (struct hashtree){.data_blocks = data_blocks, .leaves = mem_array((size_t)data_blocks, HASH_BYTES)};
    digest_init(&tree->digest);
}

void hashtree_done(struct hashtree *tree) {
    free(tree->leaves);
    digest_done(&tree->digest);
    *tree = (struct hashtree){0};
}

void hashtree_add(struct hashtree *tree, const void *data, size_t size) {
    const uint8_t *block = data;
    assert(size % SLOT_BLOCK_BYTES == 0 && size / SLOT_BLOCK_BYTES <= tree->data_blocks - tree->done_blocks);
    for (const uint8_t *end = block + size; block < end; block += SLOT_BLOCK_BYTES)
        digest_hash(&tree->digest, block, SLOT_BLOCK_BYTES, tree->leaves + tree->done_blocks++ * HASH_BYTES);
}

void hashtree_replace(struct hashtree *tree, uint64_t block, const void *data) {
    assert(block < tree->done_blocks);
    digest_hash(&tree->digest, data, SLOT_BLOCK_BYTES, tree->leaves + block * HASH_BYTES);
}

// `count` hashes become the blocks of one level at `level`, which is zero so far, and their own hashes replace them.
static uint64_t make_level(struct hashtree *tree, uint8_t *hashes, uint64_t count, uint8_t *level) {
    uint64_t blocks = parents(count);
    memcpy(level, hashes, count * HASH_BYTES);
    for (uint64_t i = 0; i < blocks; i++)
        digest_hash(&tree->digest, level + i * SLOT_BLOCK_BYTES, SLOT_BLOCK_BYTES, hashes + i * HASH_BYTES);
    return blocks;
}

int hashtree_finish(struct hashtree *tree, uint8_t **ret_tree, size_t *ret_bytes, uint8_t ret_root[32], struct err *err) {
    uint64_t left = slot_tree_bytes(tree->data_blocks), count = tree->data_blocks;
    if (tree->done_blocks != tree->data_blocks || tree->data_blocks == 0)
        return err_set(err, -ENODATA, "hash tree: %llu of %llu blocks arrived", (unsigned long long)tree->done_blocks,
                       (unsigned long long)tree->data_blocks);
    *ret_bytes = (size_t)left;
    *ret_tree = left ? mem_array(*ret_bytes, 1) : NULL;
    while (count > 1) {
        left -= parents(count) * SLOT_BLOCK_BYTES;
        count = make_level(tree, tree->leaves, count, *ret_tree + left);
    }
    memcpy(ret_root, tree->leaves, HASH_BYTES);
    return 0;
}
