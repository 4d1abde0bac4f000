// SPDX-License-Identifier: Apache-2.0
// The disk in front of the firmware's boot order: a table made by sgdisk, a load option byte by byte, and variables that are plain files.
#include "common/run.h"
#include "common/test/support.h"
#include "firstboot/installer/bootorder.h"
#include "firstboot/update/efivar.h"
#include <errno.h>

#define VARIABLE(name) EFIVAR_DIR "/" name "-" EFIVAR_GLOBAL
#define GUID "01234567-89AB-CDEF-0123-456789ABCDEF"
static const uint8_t guid[16] = {0x67, 0x45, 0x23, 0x01, 0xab, 0x89, 0xef, 0xcd, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef};

static void make_disk(const struct scratch *scratch) {
    struct err err = {0};
    cleanup_free char *path = str_printf("%s/dev/vda", scratch->path);
    assert_int_equal(file_mkdirs(scratch->fd, "dev", 0755, &err), 0);
    cleanup_fd int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && ftruncate(fd, 64 << 20) == 0);
    const char *const argv[] = {
        "sgdisk", "--new=1:2048:+1M", "--change-name=1:bios", "--new=2:4096:+32M", "--change-name=2:esp", "--partition-guid=2:" GUID, path,
        NULL};
    assert_int_equal(run_quiet(&(struct run){.argv = argv}, &err), 0);
}

static void test_esp(void **state) {
    const struct scratch *scratch = *state;
    uint8_t table[BOOTORDER_TABLE_BYTES];
    struct bootorder_partition partition = {0};
    struct err err = {0};
    make_disk(scratch);
    cleanup_fd int fd = openat(scratch->fd, "dev/vda", O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(fd, table, sizeof(table), 0), sizeof(table));
    assert_int_equal(bootorder_find_esp(table, sizeof(table), &partition, &err), 0);
    assert_true(partition.number == 2 && partition.first == 4096 && partition.sectors == 65536);
    assert_memory_equal(partition.guid, guid, sizeof(guid));
    assert_int_equal(bootorder_find_esp(table, sizeof(table) - 1, &partition, &err), -EINVAL);
    table[2 * 512 + 128 + 56] = 'E'; // "Esp"
    assert_int_equal(bootorder_find_esp(table, sizeof(table), &partition, &err), -ENOENT);
    table[512] = 0;
    assert_int_equal(bootorder_find_esp(table, sizeof(table), &partition, &err), -EINVAL);
}

static void test_option(void **state) {
    (void)state;
    struct bootorder_partition partition = {.number = 2, .first = 4096, .sectors = 65536};
    memcpy(partition.guid, guid, sizeof(guid));
    uint8_t bytes[BOOTORDER_OPTION_BYTES];
    static const uint8_t head[] = {7, 0, 0, 0, 1, 0, 0, 0, 94, 0, 'w', 0, 'e', 0, 'b', 0, 'o', 0, 'p', 0, 's', 0, 0, 0};
    static const uint8_t drive[] = {4, 1, 42, 0, 2, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0};
    static const uint8_t file[] = {2, 2, 4, 4, 48, 0, '\\', 0, 'E', 0, 'F', 0, 'I', 0, '\\', 0};
    static const uint8_t end[] = {'F', 0, 'I', 0, 0, 0, 0x7f, 0xff, 4, 0};
    size_t size = bootorder_format_option(&partition, bytes);
    assert_int_equal(size, sizeof(head) + 94);
    assert_memory_equal(bytes, head, sizeof(head));
    assert_memory_equal(bytes + sizeof(head), drive, sizeof(drive));
    assert_memory_equal(bytes + sizeof(head) + sizeof(drive), guid, sizeof(guid));
    assert_memory_equal(bytes + sizeof(head) + sizeof(drive) + sizeof(guid), file, sizeof(file));
    assert_memory_equal(bytes + size - sizeof(end), end, sizeof(end));
    assert_true(bootorder_is_ours(bytes, size));
    assert_false(bootorder_is_ours(bytes, 20));
    bytes[20] = 'x';
    assert_false(bootorder_is_ours(bytes, size));
}

static void test_order(void **state) {
    (void)state;
    static const struct {
        size_t size;
        uint8_t old[10];
        uint16_t number;
        size_t new_size;
        uint8_t new[10];
    } cases[] = {
        {0, {0}, 3, 6, {7, 0, 0, 0, 3, 0}},
        {8, {7, 0, 0, 0, 1, 0, 2, 0}, 3, 10, {7, 0, 0, 0, 3, 0, 1, 0, 2, 0}},
        {8, {7, 0, 0, 0, 1, 0, 3, 0}, 3, 8, {7, 0, 0, 0, 3, 0, 1, 0}}, // it stands there once
        {7, {7, 0, 0, 0, 1, 0, 9}, 0x1234, 8, {7, 0, 0, 0, 0x34, 0x12, 1, 0}}, // a torn end
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint8_t bytes[4 + 2 * BOOTORDER_MAX_ENTRIES];
        assert_int_equal(bootorder_format(cases[i].old, cases[i].size, cases[i].number, bytes), cases[i].new_size);
        assert_memory_equal(bytes, cases[i].new, cases[i].new_size);
    }
    static uint8_t full[4 + 2 * BOOTORDER_MAX_ENTRIES + 100];
    uint8_t bytes[4 + 2 * BOOTORDER_MAX_ENTRIES];
    assert_int_equal(bootorder_format(full, sizeof(full), 1, bytes), sizeof(bytes));
}

static void put_variable(const struct scratch *scratch, const char *path, const void *bytes, size_t size) {
    struct err err = {0};
    assert_int_equal(file_publish(scratch->fd, path, bytes, size, 0644, &err), 0);
}

static void assert_order(const struct scratch *scratch, const void *bytes, size_t size) {
    struct err err = {0};
    cleanup_free char *found = NULL;
    size_t found_size = 0;
    assert_int_equal(file_read(scratch->fd, VARIABLE("BootOrder"), 4096, &found, &found_size, &err), 0);
    assert_int_equal(found_size, size);
    assert_memory_equal(found, bytes, size);
}

static void test_apply(void **state) {
    const struct scratch *scratch = *state;
    struct err err = {0};
    make_disk(scratch);
    assert_int_equal(bootorder_apply(scratch->fd, "/dev/vda", &err), 0); // BIOS
    assert_int_equal(file_mkdirs(scratch->fd, EFIVAR_DIR, 0755, &err), 0);
    put_variable(scratch, VARIABLE("Boot0000"), "\7\0\0\0\1\0\0\0\4\0D\0V\0D\0\0\0\x7f\xff\4\0", 22);
    put_variable(scratch, VARIABLE("BootOrder"), "\7\0\0\0\0\0", 6);
    for (int round = 0; round < 2; round++) { // the second time its own entry is there
        assert_int_equal(bootorder_apply(scratch->fd, "/dev/vda", &err), 1);
        assert_order(scratch, "\7\0\0\0\1\0\0\0", 8);
        assert_true(file_exists(scratch->fd, VARIABLE("Boot0001")));
        assert_false(file_exists(scratch->fd, VARIABLE("Boot0002")));
    }
    static const uint8_t large[5000]; // somebody's entry, though nobody reads so much
    assert_int_equal(unlinkat(scratch->fd, VARIABLE("Boot0001"), 0), 0);
    put_variable(scratch, VARIABLE("Boot0001"), large, sizeof(large));
    assert_int_equal(bootorder_apply(scratch->fd, "/dev/vda", &err), 1);
    assert_order(scratch, "\7\0\0\0\2\0\1\0\0\0", 10);
    put_variable(scratch, VARIABLE("BootOrder"), large, sizeof(large)); // an order that cannot be read is not replaced
    assert_int_equal(bootorder_apply(scratch->fd, "/dev/vda", &err), -EFBIG);
    assert_int_equal(bootorder_apply(scratch->fd, "/dev/vdb", &err), -ENOENT);
    assert_contains(err.text, "boot order");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_esp, scratch_setup, scratch_teardown),
        cmocka_unit_test(test_option),
        cmocka_unit_test(test_order),
        cmocka_unit_test_setup_teardown(test_apply, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
