// SPDX-License-Identifier: Apache-2.0
// Installation media: the word of the command line, the volume descriptor, and the scan over a sysfs made of files.
#include "common/test/support.h"
#include "firstboot/init/medium.h"
#include <errno.h>

#define LABEL "WEBOPS_0123456789ABCDEF"

static void test_word(void **state) {
    (void)state;
    static const struct {
        const char *line;
        int found;
        const char *label;
    } cases[] = {
        {"quiet webops.medium=" LABEL " webops.slot=x", 1, LABEL},
        {"webops.medium=A", 1, "A"},
        {"webops.medium=01234567890123456789012345678901\n", 1, "01234567890123456789012345678901"},
        {"", 0, ""},
        {"quiet xwebops.medium=A webops.mediums=B", 0, ""},
        {"webops.medium=", -EINVAL, NULL},
        {"webops.medium=a", -EINVAL, NULL},
        {"webops.medium=../A", -EINVAL, NULL},
        {"webops.medium=012345678901234567890123456789012", -EINVAL, NULL}, // 33
        {"webops.medium=A webops.medium=A", -EINVAL, NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char label[MEDIUM_LABEL_BYTES] = "";
        struct err err = {0};
        assert_int_equal(medium_word_find(cases[i].line, label, &err), cases[i].found);
        assert_string_equal(label, cases[i].label ? cases[i].label : "");
    }
}

static void make_descriptor(const char *label, uint8_t ret_descriptor[MEDIUM_DESCRIPTOR_BYTES]) {
    memset(ret_descriptor, 0, MEDIUM_DESCRIPTOR_BYTES);
    memcpy(ret_descriptor, "\1CD001\1", 7);
    memset(ret_descriptor + 40, ' ', 32);
    memcpy(ret_descriptor + 40, label, strlen(label));
}

static void test_descriptor(void **state) {
    (void)state;
    uint8_t descriptor[MEDIUM_DESCRIPTOR_BYTES];
    make_descriptor(LABEL, descriptor);
    assert_true(medium_has_label(descriptor, LABEL));
    assert_false(medium_has_label(descriptor, "WEBOPS_0123456789ABCDE"));
    assert_false(medium_has_label(descriptor, "WEBOPS_0123456789ABCDEFA"));
    for (size_t i = 0; i < 7; i++) { // another kind of descriptor, or none
        make_descriptor(LABEL, descriptor);
        descriptor[i] ^= 1;
        assert_false(medium_has_label(descriptor, LABEL));
    }
    make_descriptor("01234567890123456789012345678901", descriptor); // no space is left behind it
    assert_true(medium_has_label(descriptor, "01234567890123456789012345678901"));
}

static void add_block(const struct scratch *scratch, const char *name, const char *type, const char *label, size_t size) {
    struct err err = {0};
    cleanup_free char *uevent = str_printf("block/%s/uevent", name), *device = str_printf("dev/%s", name),
                      *dir = str_printf("block/%s", name);
    cleanup_free char *text = str_printf("MAJOR=11\nMINOR=0\nDEVNAME=%s\nDEVTYPE=%s\n", name, type);
    cleanup_free uint8_t *content = mem_array(MEDIUM_DESCRIPTOR_OFFSET + MEDIUM_DESCRIPTOR_BYTES, 1);
    make_descriptor(label, content + MEDIUM_DESCRIPTOR_OFFSET);
    assert_int_equal(file_mkdirs(scratch->fd, dir, 0755, &err), 0);
    assert_int_equal(file_mkdirs(scratch->fd, "dev", 0755, &err), 0);
    assert_int_equal(file_publish(scratch->fd, uevent, text, strlen(text), 0644, &err), 0);
    assert_int_equal(file_publish(scratch->fd, device, content, size, 0644, &err), 0);
}

static int scan(const struct scratch *scratch, char ret_device[FIND_NAME_BYTES], struct err *err) {
    cleanup_fd int block_fd = openat(scratch->fd, "block", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                   dev_fd = openat(scratch->fd, "dev", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    strcpy(ret_device, "");
    return medium_scan(block_fd, dev_fd, LABEL, ret_device, err);
}

static void test_scan(void **state) {
    const struct scratch *scratch = *state;
    const size_t whole = MEDIUM_DESCRIPTOR_OFFSET + MEDIUM_DESCRIPTOR_BYTES;
    char device[FIND_NAME_BYTES];
    struct err err = {0};
    add_block(scratch, "sda", "disk", "OTHER", whole);
    add_block(scratch, "sdb", "disk", LABEL, whole - 1); // too small to hold one
    add_block(scratch, "sdc1", "partition", LABEL, whole); // the same file system seen through a partition
    assert_int_equal(scan(scratch, device, &err), 0);
    assert_string_equal(device, "");
    add_block(scratch, "sdc", "disk", LABEL, whole);
    assert_int_equal(scan(scratch, device, &err), 1);
    assert_string_equal(device, "sdc");
    add_block(scratch, "sr0", "disk", LABEL, whole);
    assert_int_equal(scan(scratch, device, &err), -ENOTUNIQ);
    assert_contains(err.text, "/dev/sdc");
    assert_contains(err.text, "/dev/sr0");
    assert_string_equal(device, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_word), cmocka_unit_test(test_descriptor),
                                       cmocka_unit_test_setup_teardown(test_scan, scratch_setup, scratch_teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
