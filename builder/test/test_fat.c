// SPDX-License-Identifier: Apache-2.0
// Files for the boot partition, judged by fsck.vfat and read back with mtools.
#include "builder/fat.h"
#include "builder/test/support.h"

#define OFFSET ((uint64_t)3 << 20)

struct volume {
    struct scratch *scratch;
    char *disk, *part; // "disk@@OFFSET", as mtools has it
    int fd;
};

// With `cluster` sectors per cluster, and what mtools puts there before.
static void make_volume(struct scratch *scratch, const char *cluster, const char *kib, struct volume *ret_volume) {
    struct volume v = {.scratch = scratch, .disk = scratch_file(scratch, "disk")};
    cleanup_free char *sectors = str_printf("%u", (unsigned)(OFFSET / 512));
    v.part = str_printf("%s@@%u", v.disk, (unsigned)OFFSET);
    put_file(v.disk, "", 0);
    assert_int_equal(truncate(v.disk, (off_t)OFFSET + strtol(kib, NULL, 10) * 1024 + 4096), 0);
    free(tool(RUN_ARGV("mkfs.vfat", "-F", "32", "-s", cluster, "--invariant", "-n", "ESP", "--offset", sectors, v.disk, kib)));
    free(tool(RUN_ARGV("mmd", "-i", v.part, "::/EFI", "::/EFI/systemd")));
    v.fd = open(v.disk, O_RDWR | O_CLOEXEC);
    assert_true(v.fd >= 0);
    *ret_volume = v;
}

static void end_volume(struct volume *v) {
    struct err err = {0};
    cleanup_free char *alone = scratch_file(v->scratch, "volume"), *data = NULL, *from = str_printf("skip=%u", (unsigned)(OFFSET >> 20)),
                      *in = str_printf("if=%s", v->disk), *out = str_printf("of=%s", alone);
    assert_ok(close(v->fd));
    free(tool(RUN_ARGV("dd", in, out, "bs=1M", from, "status=none")));
    cleanup_free char *said = tool(RUN_ARGV("fsck.vfat", "-n", alone));
    assert_null(strstr(said, "rong")); // "Free cluster summary wrong", "wrong checksum"
    assert_null(strstr(said, "Orphan"));
    free(v->disk);
    free(v->part);
}

static void assert_file(const struct volume *v, const char *path, const char *wanted, size_t size) {
    cleanup_free char *name = str_printf("::/%s", path), *copy = scratch_file(v->scratch, "copy"), *found = NULL;
    struct err err = {0};
    size_t found_size = 0;
    free(tool(RUN_ARGV("mcopy", "-n", "-o", "-i", v->part, name, copy)));
    assert_ok(file_read(AT_FDCWD, copy, 1 << 24, &found, &found_size, &err));
    assert_int_equal(found_size, size);
    assert_memory_equal(found, wanted, size);
}

static void files_are_there(void **state) {
    static const char *const clusters[] = {"1", "2", "8"}, *const sizes[] = {"40000", "80000", "300000"};
    static const size_t lengths[] = {1, 511, 512, 513, 4096, 64000};
    for (size_t i = 0; i < ARRAY_SIZE(clusters); i++) {
        struct err err = {0};
        struct volume v;
        struct fat *fat;
        cleanup_free char *path = scratch_file(*state, "data"), *data = NULL;
        put_random(path, 64000, (uint32_t)i);
        assert_ok(file_read(AT_FDCWD, path, 64000, &data, NULL, &err));
        make_volume(*state, clusters[i], sizes[i], &v);
        assert_ok(fat_open(v.fd, v.disk, OFFSET, &fat, &err));
        assert_ok(fat_put(fat, "config.env", data, 1000, &err));
        for (size_t k = 0; k < 60; k++) { // more than fit into one cluster of a directory
            cleanup_free char *name = str_printf("secrets/a-rather-long-name-of-number-%zu.secret", k);
            assert_ok(fat_put(fat, name, data + k, lengths[k % ARRAY_SIZE(lengths)] - (k % ARRAY_SIZE(lengths) == 5 ? k : 0), &err));
        }
        assert_ok(fat_put(fat, "config.env", data + 7, 2000, &err));
        assert_ok(fat_save(fat, &err));
        fat_free(fat);
        assert_file(&v, "config.env", data + 7, 2000);
        for (size_t k = 0; k < 60; k++) {
            cleanup_free char *name = str_printf("secrets/a-rather-long-name-of-number-%zu.secret", k);
            assert_file(&v, name, data + k, lengths[k % ARRAY_SIZE(lengths)] - (k % ARRAY_SIZE(lengths) == 5 ? k : 0));
        }
        end_volume(&v);
    }
}

// What mtools put there, with its own kind of short names, is replaced and not doubled; its directory is used.
static void what_is_there_is_replaced(void **state) {
    struct err err = {0};
    struct volume v;
    struct fat *fat;
    cleanup_free char *old = scratch_file(*state, "old"), *listed = NULL;
    make_volume(*state, "1", "40000", &v);
    put_random(old, 5000, 3);
    free(tool(RUN_ARGV("mmd", "-i", v.part, "::/secrets")));
    free(tool(RUN_ARGV("mcopy", "-i", v.part, old, "::/config.env")));
    free(tool(RUN_ARGV("mcopy", "-i", v.part, old, "::/secrets/operator.secret")));
    free(tool(RUN_ARGV("mcopy", "-i", v.part, old, "::/secrets/other.secret")));
    assert_ok(fat_open(v.fd, v.disk, OFFSET, &fat, &err));
    assert_ok(fat_put(fat, "config.env", "A=b\n", 4, &err));
    assert_ok(fat_put(fat, "secrets/operator.secret", "new", 3, &err));
    assert_int_equal(fat_put(fat, "EFI", "x", 1, &err), -EISDIR);
    assert_int_equal(fat_put(fat, "config.env/x", "x", 1, &err), -ENOTDIR);
    assert_ok(fat_save(fat, &err));
    fat_free(fat);
    assert_file(&v, "config.env", "A=b\n", 4);
    assert_file(&v, "secrets/operator.secret", "new", 3);
    listed = tool(RUN_ARGV("mdir", "-b", "-i", v.part, "::/", "::/secrets"));
    assert_string_equal(listed, "::/EFI/\n::/secrets/\n::/config.env\n::/secrets/other.secret\n::/secrets/operator.secret\n");
    end_volume(&v);
}

// Whichever part of it a bad disk loses: the file, its directory, the tables.
static void what_was_lost_is_noticed(void **state) {
    struct err err = {0};
    struct volume v;
    struct fat *fat;
    uint64_t noticed = 0;
    make_volume(*state, "1", "40000", &v);
    cleanup_free char *before = scratch_file(*state, "before"), *was = NULL, *is = NULL;
    free(tool(RUN_ARGV("cp", v.disk, before)));
    assert_ok(fat_open(v.fd, v.disk, OFFSET, &fat, &err));
    assert_ok(fat_put(fat, "secrets/first.secret", "one", 3, &err));
    assert_ok(fat_put(fat, "secrets/first.secret", "two", 3, &err));
    assert_ok(fat_put(fat, "config.env", "A=b\n", 4, &err));
    assert_ok(fat_save(fat, &err));
    assert_ok(fat_read_back(fat, &err));
    size_t size, same;
    assert_ok(file_read(AT_FDCWD, before, 64 << 20, &was, &same, &err));
    assert_ok(file_read(AT_FDCWD, v.disk, 64 << 20, &is, &size, &err));
    assert_int_equal(size, same);
    for (uint64_t at = 0; at < size; at++)
        if (was[at] != is[at]) {
            flip_bit(v.disk, at);
            assert_int_equal(fat_read_back(fat, &err), -EIO);
            flip_bit(v.disk, at);
            assert_contains(err.text, "were read back otherwise than they were written");
            noticed++;
        }
    assert_true(noticed > 100);
    assert_ok(fat_read_back(fat, &err));
    fat_free(fat);
    end_volume(&v);
}

static void a_directory_is_made_longer_once(void **state) {
    struct err err = {0};
    struct volume v;
    struct fat *fat;
    make_volume(*state, "2", "80000", &v);
    assert_ok(fat_open(v.fd, v.disk, OFFSET, &fat, &err));
    for (int i = 0; i < 2; i++)
        assert_ok(fat_reserve(fat, "EFI/systemd", 5000, &err));
    assert_ok(fat_reserve(fat, "efi", 1, &err));
    assert_int_equal(fat_reserve(fat, "EFI/missing", 5000, &err), -ENOENT);
    assert_contains(err.text, "no directory missing");
    assert_ok(fat_put(fat, "EFI/config.env", "A=b\n", 4, &err));
    assert_int_equal(fat_reserve(fat, "EFI/config.env", 5000, &err), -ENOENT);
    assert_int_equal(fat_reserve(fat, "EFI", FAT_MAX_DIRECTORY_BYTES + 1, &err), -EINVAL);
    assert_ok(fat_save(fat, &err));
    fat_free(fat);
    cleanup_free char *shown = tool(RUN_ARGV("mshowfat", "-i", v.part, "::/EFI/systemd"));
    assert_contains(shown, "<4-8>"); // 5 of 1,024 bytes, behind those of EFI and its own
    end_volume(&v);
}

static void what_cannot_be_is_refused(void **state) {
    struct err err = {0};
    struct volume v;
    struct fat *fat;
    static const char *const names[] = {"", "/x", "x/", "a/b/c", ".hidden", "dot.", "a b", "a:b", "\xc3\xa4"};
    cleanup_free char *large = mem_array(FAT_MAX_FILE_BYTES + 1, 1);
    make_volume(*state, "1", "36000", &v);
    assert_ok(fat_open(v.fd, v.disk, OFFSET, &fat, &err));
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        assert_int_equal(fat_put(fat, names[i], "x", 1, &err), -EINVAL);
    assert_int_equal(fat_put(fat, "large", large, FAT_MAX_FILE_BYTES + 1, &err), -EINVAL);
    for (int i = 0; i < 2; i++) {
        cleanup_free char *name = str_printf("file-%d", i);
        assert_ok(fat_put(fat, name, large, FAT_MAX_FILE_BYTES, &err));
    }
    assert_int_equal(fat_put(fat, "one-more", large, FAT_MAX_FILE_BYTES, &err), -ENOSPC);
    assert_contains(err.text, "is full");
    assert_int_equal(fat_reserve(fat, "EFI/systemd", 64000, &err), -ENOSPC);
    fat_free(fat); // not saved, so nothing of it is there
    assert_int_equal(fat_open(v.fd, v.disk, OFFSET + 4096, &fat, &err), -EINVAL);
    assert_contains(err.text, "is no FAT32 file system");
    for (uint64_t at = 11; at < 52; at++) { // nothing in the boot sector leads astray
        flip_bit(v.disk, OFFSET + at);
        if (fat_open(v.fd, v.disk, OFFSET, &fat, &err) >= 0) {
            (void)!fat_put(fat, "config.env", "x", 1, &err);
            fat_free(fat);
        }
        flip_bit(v.disk, OFFSET + at);
    }
    close(v.fd);
    free(v.disk);
    free(v.part);
}

#define WITH_SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_SCRATCH(files_are_there),          WITH_SCRATCH(what_is_there_is_replaced), WITH_SCRATCH(a_directory_is_made_longer_once),
        WITH_SCRATCH(what_was_lost_is_noticed), WITH_SCRATCH(what_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
