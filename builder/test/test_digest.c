// SPDX-License-Identifier: Apache-2.0
// Bulk hashes against known values, copies with holes, and files that end too early.
#include "builder/test/support.h"
#include "common/slot.h"

static void known_hash(void **state) {
    struct scratch *scratch = *state;
    cleanup_free char *path = scratch_file(scratch, "abc");
    uint8_t sha256[DIGEST_BYTES], again[DIGEST_BYTES];
    char hex[2 * DIGEST_BYTES + 1];
    put_file(path, "xxabcyy", 7);
    struct err err = {0};
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_ok(digest_range(fd, path, 2, 3, sha256, &err));
    hex_format(sha256, sizeof(sha256), hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"); // FIPS 180-4, "abc"
    digest_bytes("abc", 3, again);
    assert_memory_equal(sha256, again, sizeof(again));
}

static void short_file_is_named(void **state) {
    struct scratch *scratch = *state;
    cleanup_free char *path = scratch_file(scratch, "short");
    uint8_t sha256[DIGEST_BYTES], data[8];
    struct err err = {0};
    put_file(path, "12345", 5);
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(digest_range(fd, path, 0, 6, sha256, &err), -ENODATA);
    assert_contains(err.text, path);
    assert_int_equal(pread_all(fd, path, data, 5, 1, &err), -ENODATA);
    assert_ok(pread_all(fd, path, data, 4, 1, &err));
    assert_memory_equal(data, "2345", 4);
}

static void copy_hashes_and_copies(void **state) {
    struct scratch *scratch = *state;
    cleanup_free char *from = scratch_file(scratch, "from"), *to = scratch_file(scratch, "to");
    uint8_t wanted[DIGEST_BYTES], got[DIGEST_BYTES];
    struct err err = {0};
    put_random(from, 3 * MIB + 77, 5); // more than one chunk, and a remainder
    hash_file(from, wanted);
    cleanup_fd int in = open(from, O_RDONLY | O_CLOEXEC);
    cleanup_fd int out = open(to, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_ok(digest_copy(in, from, 0, 3 * MIB + 77, out, 4096, got, &err));
    assert_memory_equal(wanted, got, sizeof(got));
    assert_ok(digest_range(out, to, 4096, 3 * MIB + 77, got, &err));
    assert_memory_equal(wanted, got, sizeof(got));
    assert_ok(digest_copy_plain(in, from, 100, 5000, out, 0, &err));
    uint8_t a[5000], b[5000];
    assert_ok(pread_all(in, from, a, sizeof(a), 100, &err));
    assert_ok(pread_all(out, to, b, sizeof(b), 0, &err));
    assert_memory_equal(a, b, sizeof(a));
    assert_int_equal(digest_copy_plain(in, from, 3 * MIB, 5000, out, 0, &err), -ENODATA);
}

static uint64_t blocks_of(const char *path) {
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return (uint64_t)st.st_blocks * 512;
}

static void dense_copies_write_zeros(void **state) {
    struct scratch *scratch = *state;
    cleanup_free char *from = scratch_file(scratch, "holes"), *dense = scratch_file(scratch, "dense");
    struct err err = {0};
    cleanup_fd int in = open(from, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(ftruncate(in, 16 * MIB), 0);
    assert_ok(pwrite_all(in, from, "data", 4, 8 * MIB, &err));
    cleanup_fd int full = open(dense, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_ok(digest_copy_dense(in, from, 0, 16 * MIB, full, 0, &err));
    assert_same_files(from, dense);
    assert_true(blocks_of(from) < MIB);
    assert_true(blocks_of(dense) >= 16 * MIB);
}

static void one_context_hashes_many_messages(void **state) {
    (void)state;
    uint8_t alone[DIGEST_BYTES], got[DIGEST_BYTES];
    cleanup_digest struct digest digest;
    digest_init(&digest);
    for (size_t size = 0; size < 300; size += 7) {
        char text[300];
        memset(text, (int)size, sizeof(text));
        digest_bytes(text, size, alone);
        digest_hash(&digest, text, size, got);
        assert_memory_equal(got, alone, sizeof(got));
        digest_start(&digest);
        for (size_t i = 0; i < size; i++)
            digest_add(&digest, text + i, 1);
        digest_end(&digest, got);
        assert_memory_equal(got, alone, sizeof(got));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_hash),
        cmocka_unit_test(short_file_is_named),
        cmocka_unit_test(copy_hashes_and_copies),
        cmocka_unit_test(dense_copies_write_zeros),
        cmocka_unit_test(one_context_hashes_many_messages),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
