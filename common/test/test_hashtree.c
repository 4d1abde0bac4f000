// SPDX-License-Identifier: Apache-2.0
// Our hash tree is the one that veritysetup verifies. (builder/test/test_slotimage.c holds it against libcryptsetup's.)
#include "common/hashtree.h"
#include "common/run.h"
#include "common/slot.h"
#include "common/test/support.h"
#include <errno.h>

static uint8_t *sample(uint64_t blocks) {
    uint8_t *data = mem_array(blocks, SLOT_BLOCK_BYTES);
    uint32_t seed = 5;
    for (uint64_t i = 0; i < blocks * SLOT_BLOCK_BYTES; i++) {
        seed = seed * 1664525u + 1013904223u;
        data[i] = (uint8_t)(seed >> 24);
    }
    return data;
}

// Adds in uneven portions, as a stream would.
static void compute(const uint8_t *data, uint64_t blocks, uint8_t **ret_tree, size_t *ret_bytes, uint8_t ret_root[32]) {
    cleanup_hashtree struct hashtree tree;
    struct err err = {0};
    hashtree_init(&tree, blocks);
    for (uint64_t at = 0, step = 1; at < blocks; at += step, step = step % 300 + 7) {
        step = step < blocks - at ? step : blocks - at;
        hashtree_add(&tree, data + at * SLOT_BLOCK_BYTES, step * SLOT_BLOCK_BYTES);
    }
    assert_int_equal(hashtree_finish(&tree, ret_tree, ret_bytes, ret_root, &err), 0);
    assert_int_equal(*ret_bytes, slot_tree_bytes(blocks));
}

static void veritysetup_agrees(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    // One block of hashes, exactly one full, one more, two full levels, one more.
    static const uint64_t counts[] = {2, 127, 128, 129, 128 * 128, 128 * 128 + 1};
    for (unsigned i = 0; i < ARRAY_SIZE(counts); i++) {
        cleanup_free uint8_t *data = sample(counts[i]), *tree = NULL;
        size_t bytes = 0;
        uint8_t root[32];
        char hex[65], blocks[64], offset[64];
        cleanup_free char *path = str_printf("%s/slot", scratch->path);
        compute(data, counts[i], &tree, &bytes, root);
        cleanup_fd int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_int_equal(file_write_all(fd, path, data, counts[i] * SLOT_BLOCK_BYTES, &err), 0);
        assert_int_equal(file_write_all(fd, path, tree, bytes, &err), 0);
        hex_format(root, 32, hex);
        snprintf(blocks, sizeof(blocks), "--data-blocks=%llu", (unsigned long long)counts[i]);
        snprintf(offset, sizeof(offset), "--hash-offset=%llu", (unsigned long long)counts[i] * SLOT_BLOCK_BYTES);
        const char *const argv[] = {"/sbin/veritysetup", "verify", "--no-superblock", "--salt=-", blocks, offset, path, path, hex, NULL};
        if (run_quiet(&(struct run){.argv = argv}, &err) < 0)
            fail_msg("%llu blocks: %s", (unsigned long long)counts[i], err.text);
        hex[0] = hex[0] == '0' ? '1' : '0';
        assert_true(run_quiet(&(struct run){.argv = argv}, &err) < 0); // the witness does look
    }
}

static void a_single_block_is_its_own_root(void **state) {
    (void)state;
    cleanup_free uint8_t *data = sample(1), *tree = NULL;
    size_t bytes = 1;
    uint8_t root[32], sha256[32];
    compute(data, 1, &tree, &bytes, root);
    assert_null(tree);
    digest_bytes(data, SLOT_BLOCK_BYTES, sha256);
    assert_memory_equal(root, sha256, 32);
}

static void every_block_shapes_the_root(void **state) {
    (void)state;
    cleanup_free uint8_t *data = sample(300);
    uint8_t root[32], other[32];
    cleanup_free uint8_t *tree = NULL;
    size_t bytes = 0;
    compute(data, 300, &tree, &bytes, root);
    for (uint64_t i = 0; i < 300; i++) {
        cleanup_free uint8_t *changed = NULL;
        data[i * SLOT_BLOCK_BYTES + i] ^= 1;
        compute(data, 300, &changed, &bytes, other);
        assert_memory_not_equal(root, other, 32);
        data[i * SLOT_BLOCK_BYTES + i] ^= 1;
    }
}

static void missing_blocks(void **state) {
    (void)state;
    cleanup_hashtree struct hashtree tree;
    cleanup_free uint8_t *data = sample(3);
    uint8_t *ret_tree = (uint8_t *)&tree, root[32] = {1};
    size_t bytes = 77;
    struct err err = {0};
    hashtree_init(&tree, 4);
    hashtree_add(&tree, data, (size_t)3 * SLOT_BLOCK_BYTES);
    assert_int_equal(hashtree_finish(&tree, &ret_tree, &bytes, root, &err), -ENODATA);
    assert_contains(err.text, "3 of 4");
    assert_true(ret_tree == (uint8_t *)&tree && bytes == 77 && root[0] == 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(veritysetup_agrees),
        cmocka_unit_test(a_single_block_is_its_own_root),
        cmocka_unit_test(every_block_shapes_the_root),
        cmocka_unit_test(missing_blocks),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
