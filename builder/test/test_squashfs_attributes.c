// SPDX-License-Identifier: Apache-2.0
// Extended attributes of a squashfs that mksquashfs made of a tar: every one is found again, in both compressions, and damage is only ever an error.
#include "builder/squashfs.h"
#include "builder/squashfs_attributes.h"
#include "builder/test/support.h"
#include <archive.h>
#include <archive_entry.h>

#define FILES 1000 // more than one block of everything
#define OFFSET 4096 // as in a slot
#define CAPABILITY "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
#define LABEL "system_u:object_r:bin_t:s0"

// libsquashfs asks for the memory that a size speaks of before it reads: ASan would end the program, where malloc() says no.
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "allocator_may_return_null=1:max_allocation_size_mb=1024";
}

static char repeated[500]; // mksquashfs writes such a value once, and refers to it

static void add(struct archive *archive, const char *path, mode_t mode, unsigned number) {
    struct archive_entry *entry = archive_entry_new();
    cleanup_free char *own = str_printf("value of %u", number);
    archive_entry_set_pathname(entry, path);
    archive_entry_set_mode(entry, mode);
    archive_entry_set_size(entry, 0);
    if (S_ISLNK(mode))
        archive_entry_set_symlink(entry, "a target");
    archive_entry_xattr_add_entry(entry, "security.selinux", LABEL, sizeof(LABEL));
    if (S_ISREG(mode) && number % 3 == 0)
        archive_entry_xattr_add_entry(entry, "security.capability", CAPABILITY, sizeof(CAPABILITY) - 1);
    if (number % 2 == 0)
        archive_entry_xattr_add_entry(entry, "user.repeated", repeated, sizeof(repeated));
    archive_entry_xattr_add_entry(entry, "user.own", own, strlen(own));
    assert_int_equal(archive_write_header(archive, entry), ARCHIVE_OK);
    archive_entry_free(entry);
}

static char *path_of(unsigned number) {
    return number % 100 ? str_printf("dir%u/deeper/file%u", number / 100, number) : str_printf("dir%u", number / 100);
}

static mode_t mode_of(unsigned number) {
    return number % 100 == 0 ? S_IFDIR | 0755 : number % 7 == 0 ? S_IFLNK | 0777 : number % 11 == 0 ? S_IFIFO | 0644 : S_IFREG | 0755;
}

// Returns a descriptor of a file with the squashfs at OFFSET, and its size.
static int build(const struct scratch *scratch, bool is_gzip, uint64_t *ret_size) {
    const struct layer_format format = {.epoch = 1, .zstd_level = 3, .is_gzip = is_gzip, .block_size = 131072};
    struct err err = {0};
    struct squashfs squashfs;
    char sha256[65];
    cleanup_free char *path = scratch_file(scratch, "squashfs"), *slot = scratch_file(scratch, "slot"), *bytes = NULL;
    size_t size;
    memset(repeated, 'r', sizeof(repeated));
    assert_ok(squashfs_start(path, &format, &squashfs, &err));
    struct archive *archive = archive_write_new();
    archive_write_set_format_pax(archive);
    assert_int_equal(archive_write_open_fd(archive, squashfs.in_fd), ARCHIVE_OK);
    for (unsigned i = 0; i < FILES; i++) {
        cleanup_free char *name = path_of(i);
        add(archive, name, mode_of(i), i);
    }
    assert_int_equal(archive_write_free(archive), ARCHIVE_OK);
    assert_ok(squashfs_finish(&squashfs, ret_size, sha256, &err));
    assert_ok(file_read(AT_FDCWD, path, 64 << 20, &bytes, &size, &err));
    int fd = open(slot, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(pwrite(fd, bytes, size, OFFSET), size);
    return fd;
}

struct found {
    unsigned labels, capabilities, repeated, own;
};

static void count(void *context, const char *path, const char *name, const uint8_t *value, size_t size) {
    struct found *found = context;
    if (strcmp(name, "security.selinux") == 0) {
        assert_int_equal(size, sizeof(LABEL));
        assert_memory_equal(value, LABEL, size);
        found->labels++;
    } else if (strcmp(name, "security.capability") == 0) {
        assert_memory_equal(value, CAPABILITY, size);
        found->capabilities++;
    } else if (strcmp(name, "user.repeated") == 0) {
        assert_int_equal(size, sizeof(repeated));
        assert_memory_equal(value, repeated, size);
        found->repeated++;
    } else {
        unsigned number;
        cleanup_free char *text = str_printf("%.*s", (int)size, (const char *)value);
        assert_string_equal(name, "user.own");
        assert_int_equal(sscanf(text, "value of %u", &number), 1);
        cleanup_free char *wanted = path_of(number);
        assert_string_equal(path, wanted);
        found->own++;
    }
}

static void every_attribute_is_found(void **state) {
    for (int is_gzip = 0; is_gzip < 2; is_gzip++) {
        uint64_t size;
        struct err err = {0};
        struct found found = {0};
        unsigned capabilities = 0;
        for (unsigned i = 0; i < FILES; i++)
            capabilities += S_ISREG(mode_of(i)) && i % 3 == 0;
        cleanup_fd int fd = build(*state, is_gzip, &size);
        assert_ok(squashfs_attributes(fd, "layer", OFFSET, size, count, &found, &err));
        assert_int_equal(found.labels, FILES);
        assert_int_equal(found.own, FILES);
        assert_int_equal(found.repeated, FILES / 2);
        assert_int_equal(found.capabilities, capabilities);
    }
}

static void ignore(void *context, const char *path, const char *name, const uint8_t *value, size_t size) {
    (void)context;
    (void)path;
    (void)name;
    (void)value;
    (void)size;
}

// A byte of the superblock or of a table: what is found may differ, but it ends, and inside of the squashfs.
static void damage_is_an_error(void **state) {
    uint64_t size;
    unsigned errors = 0;
    cleanup_fd int fd = build(*state, false, &size);
    const uint64_t tables = size > 40000 ? size - 40000 : 0;
    for (unsigned i = 0; i < 150; i++) {
        struct err err = {0};
        const uint64_t at = OFFSET + (i < 96 ? i : tables + (size - tables) * (i - 96) / 54);
        uint8_t kept, changed;
        assert_int_equal(pread(fd, &kept, 1, (off_t)at), 1);
        changed = (uint8_t)(kept ^ (i % 2 ? 0x80 : 0x01));
        assert_int_equal(pwrite(fd, &changed, 1, (off_t)at), 1);
        int r = squashfs_attributes(fd, "layer", OFFSET, size, ignore, NULL, &err);
        if (r < 0 && r != -EBADMSG && r != -ENOTSUP)
            fail_msg("byte %llu: %d, %s", (unsigned long long)at, r, err.text);
        errors += r < 0;
        assert_int_equal(pwrite(fd, &kept, 1, (off_t)at), 1);
    }
    assert_true(errors > 20);
    struct err err = {0};
    assert_int_equal(squashfs_attributes(fd, "layer", OFFSET, 95, ignore, NULL, &err), -EBADMSG);
    assert_int_equal(squashfs_attributes(fd, "layer", 0, size, ignore, NULL, &err), -ENOTSUP);
    assert_contains(err.text, "is no squashfs of version 4");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_attribute_is_found, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(damage_is_an_error, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
