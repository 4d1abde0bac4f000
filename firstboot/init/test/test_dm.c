// SPDX-License-Identifier: Apache-2.0
// Device-mapper tables as the kernel documents them, and the bounds.
#include "common/test/support.h"
#include "firstboot/init/dm.h"
#include <errno.h>
#include <sys/sysmacros.h>

static void test_verity_table(void **state) {
    (void)state;
    uint8_t hash[32];
    char params[DM_PARAMS_BYTES];
    for (int i = 0; i < 32; i++)
        hash[i] = (uint8_t)(i * 8);
    dm_format_verity(makedev(254, 3), 16297, hash, params);
    assert_string_equal(params,
                        "1 254:3 254:3 4096 4096 16297 16297 sha256 0008101820283038404850586068707880889098a0a8b0b8c0c8d0d8e0e8f0f8 -");
}

// The longest table there is must not be cut.
static void test_longest_tables_fit(void **state) {
    (void)state;
    uint8_t hash[32] = {0};
    char params[DM_PARAMS_BYTES];
    dm_format_verity(makedev(0xfff, 0xfffff), UINT64_MAX, hash, params);
    assert_true(strlen(params) < DM_PARAMS_BYTES - 1);
    assert_string_equal(params + strlen(params) - 3, "0 -");
    dm_format_linear(makedev(0xfff, 0xfffff), UINT64_MAX, params);
    assert_string_equal(params, "4095:1048575 18446744073709551615");
}

static void test_linear_table(void **state) {
    (void)state;
    char params[DM_PARAMS_BYTES];
    dm_format_linear(makedev(253, 0), 8, params);
    assert_string_equal(params, "253:0 8");
}

static void test_layer_sectors(void **state) {
    (void)state;
    static const struct {
        uint64_t bytes, sectors;
    } cases[] = {{1, 8}, {4095, 8}, {4096, 8}, {4097, 16}, {SLOT_MAX_BYTES, SLOT_MAX_BYTES / 512}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct slot_layer layer = {.length = cases[i].bytes};
        assert_int_equal(dm_layer_sectors(&layer), cases[i].sectors);
    }
}

// The smallest device that holds data and tree is accepted, one byte less is not. 128 hashes of 32 bytes per block of the tree.
static void test_size(void **state) {
    (void)state;
    static const struct {
        uint64_t data_blocks, tree_blocks;
    } cases[] = {
        {2, 1}, {128, 1}, {129, 2 + 1}, {16384, 128 + 1}, {16385, 129 + 2 + 1}, {SLOT_MAX_BYTES / 4096, (1 << 21) + (1 << 14) + 128 + 1}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err err = {0};
        uint64_t needed = (cases[i].data_blocks + cases[i].tree_blocks) * 4096;
        assert_int_equal(dm_check_size(cases[i].data_blocks, needed, &err), 0);
        assert_int_equal(dm_check_size(cases[i].data_blocks, UINT64_MAX, &err), 0);
        assert_int_equal(dm_check_size(cases[i].data_blocks, needed - 1, &err), -ENOSPC);
        assert_int_equal(dm_check_size(cases[i].data_blocks, 0, &err), -ENOSPC);
        cleanup_free char *expected = str_printf("take %llu bytes, the partition has 0", (unsigned long long)needed);
        assert_contains(err.text, expected);
    }
}

static void test_create_on_something_else(void **state) {
    (void)state;
    struct err err = {0};
    dev_t device = 4711;
    cleanup_fd int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    assert_int_equal(dm_create(fd, "webops", 8, "verity", "1", &device, &err), -ENOTTY);
    assert_contains(err.text, "device-mapper: creating webops");
    assert_int_equal(device, 4711);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verity_table), cmocka_unit_test(test_longest_tables_fit),
        cmocka_unit_test(test_linear_table), cmocka_unit_test(test_layer_sectors),
        cmocka_unit_test(test_size),         cmocka_unit_test(test_create_on_something_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
