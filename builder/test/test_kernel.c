// SPDX-License-Identifier: Apache-2.0
// What kernels are refused for: options and modules that a distribution left out or put into another package.
#include "builder/kernel.h"
#include "builder/test/support.h"

static void say(const struct scratch *scratch, const char *config) {
    struct err err = {0};
    assert_ok(file_publish(scratch->fd, "config", config, strlen(config), 0644, &err));
}

static void test_options(void **state) {
    struct scratch *scratch = *state;
    assert_true(kernel_has_option(scratch->path, "CONFIG_RD_ZSTD")); // says nothing
    say(scratch, "#\nCONFIG_RD_ZSTD=y\n");
    assert_true(kernel_has_option(scratch->path, "CONFIG_RD_ZSTD"));
    assert_false(kernel_has_option(scratch->path, "CONFIG_RD"));
    say(scratch, "#\n# CONFIG_RD_ZSTD is not set\n");
    assert_false(kernel_has_option(scratch->path, "CONFIG_RD_ZSTD"));
}

// As Enterprise Linux 8 has it.
static void test_compression(void **state) {
    struct scratch *scratch = *state;
    const struct strings none = {0};
    struct err err = {0};
    say(scratch, "#\nCONFIG_SQUASHFS=m\nCONFIG_SQUASHFS_ZLIB=y\n# CONFIG_SQUASHFS_ZSTD is not set\n");
    assert_int_equal(kernel_verify(scratch->path, &none, false, &err), -ENOTSUP);
    assert_contains(err.text, "compression: gzip");
    assert_ok(kernel_verify(scratch->path, &none, true, &err));
    say(scratch, "#\nCONFIG_SQUASHFS_ZSTD=y\n");
    assert_ok(kernel_verify(scratch->path, &none, false, &err));
}

static void test_modules(void **state) {
    struct scratch *scratch = *state;
    cleanup_strings struct strings missing = {0};
    struct err err = {0};
    strings_add(&missing, "virtio_mmio");
    assert_ok(kernel_verify(scratch->path, &missing, false, &err));
    strings_add(&missing, "squashfs");
    assert_int_equal(kernel_verify(scratch->path, &missing, false, &err), -ENOENT);
    assert_contains(err.text, "no module squashfs");
    assert_contains(err.text, "`kernel:`");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_options, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_compression, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_modules, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
