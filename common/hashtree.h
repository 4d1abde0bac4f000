// SPDX-License-Identifier: Apache-2.0
// The dm-verity hash tree (SHA-256, 4096/4096, no salt, no superblock), computed from the data while it streams by. Bundles do not carry
// it. The builder's trees come from libcryptsetup; a test holds the two against each other.
#pragma once
#include "common/digest.h"
#include "common/err.h"
#include <stddef.h>
#include <stdint.h>

struct hashtree {
    uint64_t data_blocks, done_blocks;
    uint8_t *tree; // as it lies on disk; its last level is filled first
    uint8_t *leaves; // that level: data_blocks × 32 bytes, in `tree`
    struct digest digest;
};

void hashtree_init(struct hashtree *tree, uint64_t data_blocks) nonnull(1);
void hashtree_done(struct hashtree *tree);
// The next whole blocks of 4096 bytes, in order; never more than data_blocks of them together.
void hashtree_add(struct hashtree *tree, const void *data, size_t size) nonnull(1);
// Another content for a block that was added before.
void hashtree_replace(struct hashtree *tree, uint64_t block, const void *data) nonnull(1, 3);
// After all blocks (fewer are -ENODATA), once: the tree as it lies on disk (*ret_tree of slot_tree_bytes() bytes, the caller frees; NULL for a
// single block) and the root.
int hashtree_finish(struct hashtree *tree, uint8_t **ret_tree, size_t *ret_bytes, uint8_t ret_root[32], struct err *err) must_check
    nonnull(1, 2, 3, 4, 5);

#define cleanup_hashtree cleanup(hashtree_done)
