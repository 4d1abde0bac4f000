// SPDX-License-Identifier: Apache-2.0
// The partition table: sgdisk finds nothing to complain about, and what is read back is what was written.
#include "builder/gpt.h"
#include "builder/test/support.h"

#define DISK_UUID "6B1C5C0E-5F0A-4B1D-9A3E-0123456789AB"

static const struct gpt_partition plan[] = {
    {"bios", GPT_TYPE_BIOS, "11111111-5F0A-4B1D-9A3E-0123456789AB", MIB, MIB},
    {"esp", GPT_TYPE_ESP, "22222222-5F0A-4B1D-9A3E-0123456789AB", 2 * MIB, 3 * MIB},
    {"webops-a", GPT_TYPE_LINUX, "33333333-5F0A-4B1D-9A3E-0123456789AB", 5 * MIB, 2 * MIB},
};

static char *make_disk(const struct scratch *scratch, const char *name) {
    char *path = scratch_file(scratch, name);
    struct err err = {0};
    cleanup_fd int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(ftruncate(fd, 8 * MIB), 0);
    assert_ok(gpt_write(fd, path, DISK_UUID, plan, ARRAY_SIZE(plan), &err));
    return path;
}

static void sgdisk_agrees(void **state) {
    cleanup_free char *path = make_disk(*state, "disk");
    cleanup_free char *verdict = tool(RUN_ARGV("/sbin/sgdisk", "-v", path));
    assert_contains(verdict, "No problems found");
    cleanup_free char *table = tool(RUN_ARGV("/sbin/sgdisk", "-p", path));
    assert_contains(table, DISK_UUID);
    assert_contains(table, "EF02  bios");
    assert_contains(table, "EF00  esp");
    cleanup_free char *third = tool(RUN_ARGV("/sbin/sgdisk", "-i", "3", path));
    assert_contains(third, "First sector: 10240 ");
    assert_contains(third, "Last sector: 14335 ");
    assert_contains(third, plan[2].uuid);
    assert_contains(third, "'webops-a'");
}

static void reads_back(void **state) {
    cleanup_free char *path = make_disk(*state, "disk");
    struct gpt_partition got[8];
    unsigned count = 0;
    struct err err = {0};
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_ok(gpt_read(fd, path, got, ARRAY_SIZE(got), &count, &err));
    assert_int_equal(count, ARRAY_SIZE(plan));
    for (unsigned i = 0; i < count; i++) {
        assert_string_equal(got[i].name, plan[i].name);
        assert_string_equal(got[i].uuid, plan[i].uuid);
        assert_string_equal(got[i].type, plan[i].type);
        assert_int_equal(got[i].offset, plan[i].offset);
        assert_int_equal(got[i].size, plan[i].size);
    }
    assert_ptr_equal(gpt_find(got, count, "esp"), &got[1]);
    assert_null(gpt_find(got, count, "webops-b"));
    assert_int_equal(gpt_read(fd, path, got, 2, &count, &err), -E2BIG);
}

static void same_inputs_same_bytes(void **state) {
    cleanup_free char *one = make_disk(*state, "one"), *two = make_disk(*state, "two");
    assert_same_files(one, two);
}

static void damaged_tables(void **state) {
    struct scratch *scratch = *state;
    struct gpt_partition got[8];
    unsigned count = 77;
    struct err err = {0};
    cleanup_free char *empty = scratch_file(scratch, "empty"), *path = make_disk(scratch, "disk");
    put_file(empty, "", 0);
    cleanup_fd int none = open(empty, O_RDONLY | O_CLOEXEC);
    assert_true(gpt_read(none, empty, got, 8, &count, &err) < 0);
    assert_int_equal(ftruncate(open(empty, O_RDWR | O_CLOEXEC), MIB), 0);
    assert_int_equal(gpt_read(none, empty, got, 8, &count, &err), -ENOENT);
    assert_contains(err.text, empty);
    flip_bit(path, 512 + 40); // the first header's checksum fails; libfdisk takes the second copy
    cleanup_fd int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_ok(gpt_read(fd, path, got, 8, &count, &err));
    assert_int_equal(count, 3);
    flip_bit(path, 512 + 40);
    assert_int_equal(ftruncate(fd, 6 * MIB), 0); // cut off inside webops-a
    assert_true(gpt_read(fd, path, got, 8, &count, &err) < 0);
    assert_true(err.text[0]);
}

// Names are printed on terminals: escape sequences from a foreign image must not get there.
static void names_are_made_printable(void **state) {
    cleanup_free char *path = make_disk(*state, "disk");
    struct gpt_partition got[8];
    unsigned count = 0;
    struct err err = {0};
    free(tool(RUN_ARGV("/sbin/sgdisk", "-c", "2:\033[2Jevil", path)));
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_ok(gpt_read(fd, path, got, 8, &count, &err));
    assert_string_equal(got[1].name, "?[2Jevil");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sgdisk_agrees),
        cmocka_unit_test(reads_back),
        cmocka_unit_test(same_inputs_same_bytes),
        cmocka_unit_test(damaged_tables),
        cmocka_unit_test(names_are_made_printable),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
