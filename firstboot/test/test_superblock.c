// SPDX-License-Identifier: Apache-2.0
// Labels as the tools that make file systems write them, then every hostile byte at the places that are read.
#include "common/buf.h"
#include "common/file.h"
#include "common/run.h"
#include "firstboot/superblock.h"
#include "firstboot/volumes.h"
// cmocka.h wants these first.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

static char directory[64];

static int set_up(void **state) {
    (void)state;
    strcpy(directory, "/tmp/webops-superblock-XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    struct err err;
    return file_remove_tree(AT_FDCWD, directory, &err);
}

// An image of `size` bytes made by `argv`, whose last word is replaced by the image's path.
static char *make_image(const char *name, off_t size, const char **argv) {
    struct err err = {0};
    char *path = str_printf("%s/%s", directory, name);
    cleanup_fd int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, size), 0);
    size_t last = 0;
    while (argv[last + 1])
        last++;
    argv[last] = path;
    const struct run command = {.argv = argv, .timeout_ms = 30000};
    if (run_quiet(&command, &err) < 0)
        fail_msg("%s", err.text);
    return path;
}

// What volumes.c does: superblock, then the FAT directory.
static bool parse_file(const char *path, struct superblock *ret) {
    cleanup_free uint8_t *bytes = mem_array(SUPERBLOCK_READ_BYTES, 1);
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t size = pread(fd, bytes, SUPERBLOCK_READ_BYTES, 0);
    if (!superblock_parse(bytes, (size_t)size, ret))
        return false;
    if (ret->directory_offset) {
        size = pread(fd, bytes, SUPERBLOCK_DIRECTORY_BYTES, (off_t)ret->directory_offset);
        superblock_parse_directory(bytes, (size_t)size, ret);
    }
    return true;
}

static void labels_made_by_real_tools(void **state) {
    (void)state;
    static const struct {
        const char *const argv[10];
        off_t size;
        const char *type, *label;
    } cases[] = {
        {{"mkfs.vfat", "-F", "12", "-n", "CIDATA", "IMAGE"}, 1 << 20, "vfat", "CIDATA"},
        {{"mkfs.vfat", "-F", "12", "-n", "cidata", "IMAGE"}, 1 << 20, "vfat", "cidata"},
        {{"mkfs.vfat", "-F", "16", "-n", "WEBOPS", "IMAGE"}, 20 << 20, "vfat", "WEBOPS"},
        {{"mkfs.vfat", "-F", "32", "-n", "WEBOPS", "IMAGE"}, 64 << 20, "vfat", "WEBOPS"},
        {{"mkfs.vfat", "-F", "32", "-S", "4096", "-n", "WEBOPS", "IMAGE"}, 300 << 20, "vfat", "WEBOPS"},
        {{"mkfs.vfat", "IMAGE"}, 1 << 20, "vfat", ""},
        {{"mkfs.ext4", "-q", "-L", "WEBOPS", "IMAGE"}, 4 << 20, "ext4", "WEBOPS"},
        {{"mkfs.ext2", "-q", "-L", "sixteen-letters!", "IMAGE"}, 1 << 20, "ext4", "sixteen-letters!"},
        {{"mkfs.ext4", "-q", "IMAGE"}, 4 << 20, "ext4", ""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *argv[10];
        memcpy(argv, cases[i].argv, sizeof(argv));
        cleanup_free char *name = str_printf("%zu.img", i), *path = make_image(name, cases[i].size, argv);
        struct superblock found = {0};
        if (!parse_file(path, &found))
            fail_msg("case %zu is not recognised", i);
        assert_string_equal(found.type, cases[i].type);
        assert_string_equal(found.label, cases[i].label);
    }
}

// A stick that was renamed later has its label in the root directory only.
static void label_in_the_root_directory_outranks(void **state) {
    (void)state;
    static const char *const widths[] = {"12", "32"};
    for (size_t i = 0; i < ARRAY_SIZE(widths); i++) {
        const char *argv[] = {"mkfs.vfat", "-F", widths[i], "-n", "OLD", "IMAGE", NULL};
        cleanup_free char *path = make_image("renamed.img", i ? 64 << 20 : 1 << 20, argv);
        struct superblock found = {0};
        assert_true(parse_file(path, &found));
        cleanup_fd int fd = open(path, O_RDWR | O_CLOEXEC);
        assert_int_equal(pwrite(fd, "WEBOPS     ", 11, (off_t)found.directory_offset), 11);
        assert_true(parse_file(path, &found));
        assert_string_equal(found.label, "WEBOPS");
        assert_int_equal(unlink(path), 0);
    }
}

static void seed_made_by_cloud_localds(void **state) {
    (void)state;
    struct err err = {0};
    static const struct { const char *filesystem, *type; } cases[] = {{"iso9660", "iso9660"}, {"vfat", "vfat"}};
    cleanup_free char *user_data = str_printf("%s/user-data", directory);
    assert_int_equal(file_publish(AT_FDCWD, user_data, "HOSTNAME=a\n", 11, 0600, &err), 0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_free char *path = str_printf("%s/%s.img", directory, cases[i].type);
        const struct run command = {.argv = RUN_ARGV("cloud-localds", "--filesystem", cases[i].filesystem, path, user_data),
                                    .timeout_ms = 30000};
        if (run_quiet(&command, &err) < 0)
            fail_msg("%s", err.text);
        struct superblock found = {0};
        assert_true(parse_file(path, &found));
        assert_string_equal(found.type, cases[i].type);
        assert_string_equal(found.label, "cidata");
    }
}

static void directory_entries(void **state) {
    (void)state;
    static const struct {
        const char *entries; // 11 bytes of name and the attribute, each filled to 32 bytes
        const char *label;
    } cases[] = {
        {"WEBOPS     \x08", "WEBOPS"},
        {"CONFIG  ENV\x20WEBOPS     \x08", "WEBOPS"},
        {"\xe5"
         "LD        \x08WEBOPS     \x28",
         "WEBOPS"}, // a deleted label, then one with the archive bit
        {"AW.e.b.o.p.\x0fWEBOPS     \x08", "WEBOPS"}, // part of a long name has the label's bit too
        {"SECRETS    \x10", "BEFORE"},
        {"", "BEFORE"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint8_t bytes[128] = {0};
        struct superblock superblock = {.type = "vfat", .label = "BEFORE"};
        for (size_t j = 0; cases[i].entries[12 * j]; j++)
            memcpy(bytes + 32 * j, cases[i].entries + 12 * j, 12);
        superblock_parse_directory(bytes, sizeof(bytes), &superblock);
        assert_string_equal(superblock.label, cases[i].label);
    }
    uint8_t full[64];
    struct superblock superblock = {.type = "vfat", .label = "BEFORE"};
    memset(full, 'A', sizeof(full)); // no entry that ends it
    for (size_t size = 0; size <= sizeof(full); size++) {
        cleanup_free uint8_t *exact = mem_array(size, 1);
        memcpy(exact, full, size);
        superblock_parse_directory(exact, size, &superblock);
        assert_string_equal(superblock.label, "BEFORE");
    }
}

static void other_things_are_not_recognised(void **state) {
    (void)state;
    uint8_t *bytes = mem_array(SUPERBLOCK_READ_BYTES, 1);
    struct superblock found = {.type = "untouched"};
    assert_false(superblock_parse(bytes, SUPERBLOCK_READ_BYTES, &found));
    memset(bytes, 0xff, SUPERBLOCK_READ_BYTES);
    assert_false(superblock_parse(bytes, SUPERBLOCK_READ_BYTES, &found));
    memset(bytes, 0, SUPERBLOCK_READ_BYTES);
    memcpy(bytes + 510, "\x55\xaa", 2); // a partition table
    assert_false(superblock_parse(bytes, SUPERBLOCK_READ_BYTES, &found));
    memcpy(bytes + 32768, "\2CD001\1", 7); // a supplementary descriptor
    assert_false(superblock_parse(bytes, SUPERBLOCK_READ_BYTES, &found));
    assert_string_equal(found.type, "untouched");
    free(bytes);
}

// Every value at every byte that is read, and every length: nothing is read past the end, labels stay printable.
static void hostile_bytes(void **state) {
    (void)state;
    static const struct { size_t start, size; } regions[] = {{0, 96}, {510, 2}, {1024 + 56, 2}, {1024 + 120, 16}, {32768, 80}};
    const char *argv[] = {"mkfs.vfat", "-F", "12", "-n", "CIDATA", "IMAGE", NULL};
    cleanup_free char *path = make_image("hostile.img", 1 << 20, argv);
    cleanup_free uint8_t *bytes = mem_array(SUPERBLOCK_READ_BYTES, 1);
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(fd, bytes, SUPERBLOCK_READ_BYTES, 0), SUPERBLOCK_READ_BYTES);
    for (size_t r = 0; r < ARRAY_SIZE(regions); r++)
        for (size_t at = regions[r].start; at < regions[r].start + regions[r].size; at++)
            for (unsigned value = 0; value < 256; value++) {
                uint8_t kept = bytes[at];
                struct superblock found = {0};
                bytes[at] = (uint8_t)value;
                if (superblock_parse(bytes, SUPERBLOCK_READ_BYTES, &found))
                    for (const char *c = found.label; *c; c++)
                        assert_true(*c >= ' ' && *c <= '~');
                bytes[at] = kept;
            }
    static const size_t lengths[] = {0, 1, 3, 62, 90, 509, 511, 512, 1023, 1024, 1081, 2047, 2048, 32767, 32768, 32775, 34815, 34816};
    for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
        cleanup_free uint8_t *exact = mem_array(lengths[i], 1); // ASan watches its end
        struct superblock found = {0};
        memcpy(exact, bytes, lengths[i]);
        assert_int_equal(superblock_parse(exact, lengths[i], &found), lengths[i] >= 512);
    }
}

static void devices_that_cannot_be_opened(void **state) {
    (void)state;
    struct err err = {0};
    assert_true(volume_open(AT_FDCWD, "/nonexistent/device", "vfat", &err) < 0);
    assert_non_null(strstr(err.text, "/nonexistent/device"));
    cleanup_free char *path = str_printf("%s/plain", directory);
    assert_int_equal(file_publish(AT_FDCWD, path, "x", 1, 0600, &err), 0);
    assert_true(volume_open(AT_FDCWD, path, "nosuchfs", &err) < 0); // without the right, or without the file system: an error with a text
    assert_non_null(strstr(err.text, path));
    struct volumes volumes = {0};
    cleanup_fd int empty = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(volumes_find(empty, &volumes, &err) < 0); // no sysfs there
    assert_int_equal(volumes.count, 0);
}

int main(void) {
#define test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        test(labels_made_by_real_tools),       test(label_in_the_root_directory_outranks),
        test(seed_made_by_cloud_localds),      test(directory_entries),
        test(other_things_are_not_recognised), test(hostile_bytes),
        test(devices_that_cannot_be_opened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
