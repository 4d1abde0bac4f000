// SPDX-License-Identifier: Apache-2.0
// The dm-verity hash tree: leaves while the data streams by, the levels above them at the end. Stored root first (kernel:
// admin-guide/device-mapper/verity).
#include "common/hashtree.h"
#include "common/buf.h"
#include "common/slot.h"
#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define HASH_BYTES DIGEST_BYTES
#define HASHES_PER_BLOCK (SLOT_BLOCK_BYTES / HASH_BYTES)

static uint64_t parents(uint64_t count) {
    return (count + HASHES_PER_BLOCK - 1) / HASHES_PER_BLOCK;
}

void hashtree_init(struct hashtree *tree, uint64_t data_blocks) {
    uint64_t bytes = slot_tree_bytes(data_blocks), level = parents(data_blocks) * SLOT_BLOCK_BYTES;
    bool is_single = data_blocks <= 1; // its own root: its hash is no part of a tree
    *tree = (struct hashtree){.data_blocks = data_blocks, .tree = mem_array(is_single ? HASH_BYTES : (size_t)bytes, 1)};
    tree->leaves = tree->tree + (is_single ? 0 : bytes - level);
    digest_init(&tree->digest);
}

void hashtree_done(struct hashtree *tree) {
    free(tree->tree);
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

int hashtree_finish(struct hashtree *tree, uint8_t **ret_tree, size_t *ret_bytes, uint8_t ret_root[32], struct err *err) {
    const uint8_t *level = tree->leaves;
    if (tree->done_blocks != tree->data_blocks || tree->data_blocks == 0)
        return err_set(err, -ENODATA, "hash tree: %llu of %llu blocks arrived", (unsigned long long)tree->done_blocks,
                       (unsigned long long)tree->data_blocks);
    for (uint64_t blocks = parents(tree->data_blocks); tree->data_blocks > 1 && blocks > 1; blocks = parents(blocks)) {
        uint8_t *above = tree->tree + (level - tree->tree) - parents(blocks) * SLOT_BLOCK_BYTES;
        for (uint64_t i = 0; i < blocks; i++)
            digest_hash(&tree->digest, level + i * SLOT_BLOCK_BYTES, SLOT_BLOCK_BYTES, above + i * HASH_BYTES);
        level = above;
    }
    if (tree->data_blocks == 1)
        memcpy(ret_root, level, HASH_BYTES);
    else
        digest_hash(&tree->digest, level, SLOT_BLOCK_BYTES, ret_root);
    *ret_bytes = (size_t)slot_tree_bytes(tree->data_blocks);
    *ret_tree = *ret_bytes ? take_ptr(tree->tree) : NULL;
    return 0;
}
