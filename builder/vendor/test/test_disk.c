// SPDX-License-Identifier: Apache-2.0
// Disk images as files: what is one, what is refused before any appliance starts, and that a pinned disk is the pinned one. qemu-img makes the good ones.
#include "builder/test/support.h"
#include "builder/vendor/disk.h"

static char *make_qcow2(const struct scratch *scratch, const char *name) {
    char *path = scratch_file(scratch, name);
    cleanup_free char *raw = scratch_file(scratch, "raw");
    put_random(raw, 2 * MIB, 3);
    free(tool(RUN_ARGV("qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, path)));
    return path;
}

static void test_qcow2(void **state) {
    const struct scratch *scratch = *state;
    cleanup_free char *path = make_qcow2(scratch, "disk.qcow2");
    const char *format = NULL;
    struct err err = {0};
    assert_ok(vendor_disk_format(path, &format, &err));
    assert_string_equal(format, "qcow2");
    assert_int_equal(truncate(path, MIB), 0);
    format = NULL;
    assert_int_equal(vendor_disk_format(path, &format, &err), -EINVAL);
    assert_contains(err.text, "damaged or cut off");
    assert_null(format);
}

static void test_qcow2_that_names_another_file(void **state) {
    const struct scratch *scratch = *state;
    cleanup_free char *backing = make_qcow2(scratch, "below.qcow2"), *path = scratch_file(scratch, "above.qcow2");
    free(tool(RUN_ARGV("qemu-img", "create", "-q", "-f", "qcow2", "-b", backing, "-F", "qcow2", path)));
    const char *format = NULL;
    struct err err = {0};
    assert_int_equal(vendor_disk_format(path, &format, &err), -EINVAL);
    assert_contains(err.text, "depends on another file");
}

static void test_raw(void **state) {
    const struct scratch *scratch = *state;
    cleanup_free char *path = scratch_file(scratch, "disk.raw");
    uint8_t sectors[1024] = {[510] = 0x55, [511] = 0xaa};
    const char *format = NULL;
    struct err err = {0};
    put_file(path, sectors, sizeof(sectors));
    assert_ok(vendor_disk_format(path, &format, &err));
    assert_string_equal(format, "raw");
    put_file(path, sectors, 1000);
    assert_int_equal(vendor_disk_format(path, &format, &err), -EINVAL);
    assert_contains(err.text, "not a multiple of 512");
    sectors[510] = 0;
    put_file(path, sectors, sizeof(sectors));
    assert_int_equal(vendor_disk_format(path, &format, &err), -EINVAL);
    assert_contains(err.text, "neither a qcow2 nor a raw disk");
    static const char *const packed[][2] = {{"\x28\xb5\x2f\xfd", "zstd -d "},
                                            {"\x1f\x8b", "gzip -dk "},
                                            {"\xfd"
                                             "7zXZ",
                                             "xz -dk "}};
    for (size_t i = 0; i < ARRAY_SIZE(packed); i++) {
        memcpy(sectors, packed[i][0], strlen(packed[i][0]));
        put_file(path, sectors, 1001);
        assert_int_equal(vendor_disk_format(path, &format, &err), -EINVAL);
        assert_contains(err.text, "is compressed; unpack it first: ");
        assert_contains(err.text, packed[i][1]);
    }
    put_file(path, sectors, 100);
    assert_int_equal(vendor_disk_format(path, &format, &err), -EINVAL);
    assert_contains(err.text, "is no disk image");
    assert_int_equal(vendor_disk_format(scratch->path, &format, &err), -EINVAL); // a directory
}

static void test_the_pinned_disk(void **state) {
    const struct scratch *scratch = *state;
    cleanup_free char *path = scratch_file(scratch, "vendor.raw"), *url = str_printf("file://%s", path);
    char sha256[65];
    unsigned fetched = 7;
    struct err err = {0};
    struct package_dirs dirs = {.packages = scratch->path, .is_offline = true};
    put_random(path, 4096, 1);
    assert_ok(digest_file(AT_FDCWD, path, sha256, NULL, &err));
    const struct recipe_disk by_file = {.file = path, .sha256 = sha256}, by_url = {.url = url, .sha256 = sha256};
    cleanup_free char *cached = vendor_disk_path(&by_url, scratch->path), *direct = vendor_disk_path(&by_file, scratch->path);
    assert_string_equal(direct, path);
    assert_string_equal(strrchr(cached, '/') + 1, sha256);
    assert_ok(vendor_disk_ensure(&by_file, &dirs, &fetched, &err));
    assert_int_equal(fetched, 0);
    assert_int_equal(vendor_disk_ensure(&by_url, &dirs, &fetched, &err), -EAGAIN);
    assert_contains(err.text, "vendor.raw is not in the cache: an offline build needs one online build before it");
    dirs.is_offline = false;
    assert_ok(vendor_disk_ensure(&by_url, &dirs, &fetched, &err));
    assert_int_equal(fetched, 1);
    assert_true(file_exists(AT_FDCWD, cached));
    put_random(path, 4096, 2);
    assert_int_equal(vendor_disk_ensure(&by_file, &dirs, &fetched, &err), -EBADMSG);
    assert_contains(err.text, "was changed during the build");
    assert_ok(vendor_disk_ensure(&by_url, &dirs, &fetched, &err)); // from the cache
    assert_int_equal(unlink(cached), 0);
    assert_int_equal(vendor_disk_ensure(&by_url, &dirs, &fetched, &err), -EBADMSG);
    assert_false(file_exists(AT_FDCWD, cached));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_qcow2, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_qcow2_that_names_another_file, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_raw, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_the_pinned_disk, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
