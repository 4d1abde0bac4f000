// SPDX-License-Identifier: Apache-2.0
// Outputs: qemu-img, zstd and bmaptool themselves read back what was written.
#include "builder/output.h"
#include "builder/test/support.h"

struct fixture {
    struct scratch *scratch;
    char *raw;
};

static int fixture_setup(void **state) {
    struct fixture *f = mem_array(1, sizeof(*f));
    struct err err = {0};
    cleanup_free char *data = mem_array(300000, 1);
    scratch_setup((void **)&f->scratch);
    f->raw = scratch_file(f->scratch, "disk.raw");
    cleanup_fd int fd = open(f->raw, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(ftruncate(fd, 16 * MIB), 0);
    memset(data, 'x', 300000);
    assert_ok(pwrite_all(fd, f->raw, data, 4096, 0, &err));
    assert_ok(pwrite_all(fd, f->raw, data, 300000, 3 * MIB, &err)); // ends inside a block
    assert_ok(pwrite_all(fd, f->raw, data, 1, 16 * MIB - 1, &err));
    *state = f;
    return 0;
}

static int fixture_teardown(void **state) {
    struct fixture *f = *state;
    int r = scratch_teardown((void **)&f->scratch);
    free(f->raw);
    free(f);
    return r;
}

static void qcow2_converts_back(void **state) {
    const struct fixture *f = *state;
    struct err err = {0};
    cleanup_free char *qcow2 = scratch_file(f->scratch, "disk.qcow2"), *back = scratch_file(f->scratch, "back.raw");
    for (int compress = 0; compress < 2; compress++) {
        assert_ok(output_qcow2(f->raw, qcow2, compress, &err));
        cleanup_free char *info = tool(RUN_ARGV("qemu-img", "info", qcow2));
        assert_contains(info, "file format: qcow2");
        assert_contains(info, compress ? "compression type: zstd" : "compression type: zlib");
        free(tool(RUN_ARGV("qemu-img", "convert", "-O", "raw", qcow2, back)));
        assert_same_files(f->raw, back);
    }
    assert_true(output_qcow2("/nonexistent.raw", qcow2, false, &err) < 0);
    assert_contains(err.text, "/nonexistent.raw");
    assert_int_equal(access(qcow2, F_OK), -1);
}

static void zst_decompresses(void **state) {
    const struct fixture *f = *state;
    struct err err = {0};
    cleanup_free char *zst = scratch_file(f->scratch, "disk.raw.zst"), *back = scratch_file(f->scratch, "back.raw");
    assert_ok(output_zst(f->raw, zst, 3, &err));
    free(tool(RUN_ARGV("zstd", "-q", "-d", "-f", "-o", back, zst)));
    assert_same_files(f->raw, back);
    assert_int_equal(output_zst(f->raw, zst, 0, &err), -EINVAL);
    assert_int_equal(output_zst(f->raw, zst, 20, &err), -EINVAL);
    assert_true(output_zst("/nonexistent.raw", zst, 3, &err) < 0);
}

static void bmaptool_flashes(void **state) {
    const struct fixture *f = *state;
    struct err err = {0};
    cleanup_free char *bmap = scratch_file(f->scratch, "disk.bmap"), *target = scratch_file(f->scratch, "target.raw");
    cleanup_free char *zst = scratch_file(f->scratch, "disk.raw.zst"), *text = NULL;
    assert_ok(output_bmap(f->raw, bmap, &err));
    free(tool(RUN_ARGV("bmaptool", "copy", "--bmap", bmap, f->raw, target)));
    assert_same_files(f->raw, target);
    assert_ok(output_zst(f->raw, zst, 1, &err));
    unlink(target);
    free(tool(RUN_ARGV("bmaptool", "copy", "--bmap", bmap, zst, target)));
    assert_same_files(f->raw, target);
    assert_ok(file_read(AT_FDCWD, bmap, 1 << 20, &text, NULL, &err));
    assert_contains(text, "<ImageSize> 16777216 </ImageSize>");
    assert_contains(text, "<BlocksCount> 4096 </BlocksCount>");
    assert_contains(text, "<MappedBlocksCount> 76 </MappedBlocksCount>"); // 1 + 74 + 1
    assert_contains(text, "> 0 </Range>");
    assert_contains(text, "> 768-841 </Range>");
    assert_contains(text, "> 4095 </Range>");
}

// bmaptool refuses a map that was changed, and data that is not what the map says: so the checksums are the right ones.
static void bmaptool_sees_damage(void **state) {
    const struct fixture *f = *state;
    struct err err = {0};
    cleanup_free char *bmap = scratch_file(f->scratch, "disk.bmap"), *target = scratch_file(f->scratch, "target.raw"), *text = NULL;
    size_t size = 0;
    assert_ok(output_bmap(f->raw, bmap, &err));
    flip_bit(f->raw, 3 * MIB + 5);
    struct run copy = {.argv = RUN_ARGV("bmaptool", "copy", "--bmap", bmap, f->raw, target)};
    assert_int_equal(run_quiet(&copy, &err), -EIO);
    flip_bit(f->raw, 3 * MIB + 5);
    assert_int_equal(run_quiet(&copy, &err), 0);
    assert_ok(file_read(AT_FDCWD, bmap, 1 << 20, &text, &size, &err));
    memcpy(strstr(text, "768-841"), "768-840", 7);
    put_file(bmap, text, size);
    assert_int_equal(run_quiet(&copy, &err), -EIO);
}

static void odd_images(void **state) {
    const struct fixture *f = *state;
    struct err err = {0};
    cleanup_free char *odd = scratch_file(f->scratch, "odd"), *bmap = scratch_file(f->scratch, "odd.bmap"), *text = NULL;
    put_file(odd, "x", 1);
    assert_int_equal(output_bmap(odd, bmap, &err), -EINVAL);
    assert_int_equal(output_bmap("/nonexistent", bmap, &err), -ENOENT);
    assert_int_equal(access(bmap, F_OK), -1);
    assert_int_equal(truncate(odd, 0), 0);
    assert_int_equal(truncate(odd, 8192), 0);
    assert_ok(output_bmap(odd, bmap, &err)); // one hole
    assert_ok(file_read(AT_FDCWD, bmap, 1 << 20, &text, NULL, &err));
    assert_contains(text, "<MappedBlocksCount> 0 </MappedBlocksCount>");
    assert_null(strstr(text, "<Range"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(qcow2_converts_back),  cmocka_unit_test(zst_decompresses), cmocka_unit_test(bmaptool_flashes),
        cmocka_unit_test(bmaptool_sees_damage), cmocka_unit_test(odd_images),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
