// SPDX-License-Identifier: Apache-2.0
// Images as byte streams: raw and zstd give the same, and what ends early or is damaged is said.
#include "builder/flash/source.h"
#include "builder/test/support.h"

#define SIZE ((size_t)5 << 20)

static int open_source(const char *path, struct flash_source *source, struct err *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    return flash_source_open(fd, NULL, path, source, err);
}

static void raw_and_zstd_are_the_same(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    cleanup_free char *raw = scratch_file(scratch, "disk.raw"), *zst = scratch_file(scratch, "disk.raw.zst"), *all = NULL;
    cleanup_free char *data = mem_array(SIZE, 1);
    put_random(raw, SIZE, 1);
    assert_ok(file_read(AT_FDCWD, raw, SIZE, &all, NULL, &err));
    free(tool(RUN_ARGV("zstd", "-q", "-3", "-o", zst, raw)));
    const char *const paths[] = {raw, zst};
    static const struct {
        size_t offset, size;
    } reads[] = {{0, 1}, {1, 4095}, {4096, 1 << 20}, {(2 << 20) + 7, 100}, {(3 << 20), (2 << 20) - 1}, {SIZE - 1, 1}};
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        cleanup_flash_source struct flash_source source;
        assert_ok(open_source(paths[i], &source, &err));
        for (size_t k = 0; k < ARRAY_SIZE(reads); k++) {
            assert_ok(flash_source_read(&source, reads[k].offset, data, reads[k].size, &err));
            assert_memory_equal(data, all + reads[k].offset, reads[k].size);
        }
        assert_int_equal(flash_source_read(&source, SIZE, data, 1, &err), -ENODATA);
        assert_contains(err.text, paths[i]);
    }
}

// As `cat one.zst two.zst` makes them, and pzstd.
static void frames_follow_each_other(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    cleanup_free char *raw = scratch_file(scratch, "part"), *zst = scratch_file(scratch, "part.zst"),
                      *twice = scratch_file(scratch, "twice.zst");
    cleanup_free char *frame = NULL, *all = NULL, *data = mem_array(2 * 70000, 1);
    cleanup_buf struct buf frames = {0};
    size_t size;
    put_random(raw, 70000, 2);
    free(tool(RUN_ARGV("zstd", "-q", "-o", zst, raw)));
    assert_ok(file_read(AT_FDCWD, raw, SIZE, &all, NULL, &err));
    assert_ok(file_read(AT_FDCWD, zst, SIZE, &frame, &size, &err));
    buf_add(&frames, frame, size);
    buf_add(&frames, frame, size);
    put_file(twice, frames.data, frames.size);
    cleanup_flash_source struct flash_source source;
    assert_ok(open_source(twice, &source, &err));
    assert_ok(flash_source_read(&source, 0, data, 140000, &err));
    assert_memory_equal(data, all, 70000);
    assert_memory_equal(data + 70000, all, 70000);
}

static void cut_and_damaged(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    cleanup_free char *raw = scratch_file(scratch, "disk.raw"), *zst = scratch_file(scratch, "disk.raw.zst"), *whole = NULL;
    cleanup_free char *data = mem_array(SIZE, 1);
    size_t size;
    put_random(raw, 1 << 20, 3);
    free(tool(RUN_ARGV("zstd", "-q", "-o", zst, raw)));
    assert_ok(file_read(AT_FDCWD, zst, SIZE, &whole, &size, &err));
    static const size_t cuts[] = {4, 5, 17, 1000, 1 << 19, 0}; // 0: one byte is missing
    for (size_t i = 0; i < ARRAY_SIZE(cuts); i++) {
        cleanup_flash_source struct flash_source source;
        put_file(zst, whole, cuts[i] ? cuts[i] : size - 4 - 1); // its last four are a checksum, which nobody has to wait for
        assert_ok(open_source(zst, &source, &err));
        assert_int_equal(flash_source_read(&source, 0, data, 1 << 20, &err), -EBADMSG);
        assert_contains(err.text, "is cut off");
    }
    cleanup_flash_source struct flash_source source;
    whole[4] = (char)(whole[4] ^ 0x18); // the frame's own flags
    put_file(zst, whole, size);
    assert_ok(open_source(zst, &source, &err));
    assert_int_equal(flash_source_read(&source, 0, data, 1 << 20, &err), -EBADMSG);
    assert_contains(err.text, "is damaged");
}

static void others_are_named(void **state) {
    struct scratch *scratch = *state;
    static const struct {
        const char *start;
        size_t size;
        const char *says;
    } rows[] = {{"\x1f\x8b\x08", 3, "gzip -d"},
                {"\xfd\x37zXZ", 6, "xz -d"},
                {"BZh9", 4, "bzip2 -d"},
                {"QFI\xfb", 4, "qemu-img convert"},
                {"", 0, "is empty"}};
    cleanup_free char *path = scratch_file(scratch, "image");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct err err = {0};
        struct flash_source source;
        put_file(path, rows[i].start, rows[i].size);
        assert_int_equal(open_source(path, &source, &err), -EINVAL);
        assert_contains(err.text, rows[i].says);
        assert_contains(err.text, path);
    }
}

#define WITH_SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_SCRATCH(raw_and_zstd_are_the_same),
        WITH_SCRATCH(frames_follow_each_other),
        WITH_SCRATCH(cut_and_damaged),
        WITH_SCRATCH(others_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
