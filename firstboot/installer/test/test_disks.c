// SPDX-License-Identifier: Apache-2.0
// What webops-flash prints becomes disks, and a disk is looked at for an installed machine: on a sysfs made of files.
#include "common/test/support.h"
#include "firstboot/installer/disks.h"
#include <errno.h>

static const char list[] =
    "[\n"
    "  {\"path\": \"/dev/vda\", \"model\": \"\", \"serial\": \"TARGET1\", \"transport\": \"virtio\", \"size_bytes\": 4294967296,\n"
    "   \"sector_bytes\": 512, \"read_only\": false, \"removable\": false, \"use\": null},\n"
    "  {\"path\": \"/dev/sdb\", \"model\": \"Stick\", \"serial\": \"\", \"transport\": \"usb\", \"size_bytes\": 1000,\n"
    "   \"sector_bytes\": 4096, \"read_only\": true, \"removable\": true, \"use\": \"/dev/sdb is mounted at /x\"}\n"
    "]\n";

static void test_list(void **state) {
    (void)state;
    cleanup_install_disks struct install_disks disks = {0};
    struct err err = {0};
    assert_int_equal(install_disks_parse(list, &disks, &err), 0);
    assert_int_equal(disks.count, 2);
    assert_string_equal(disks.items[0].serial, "TARGET1");
    assert_string_equal(disks.items[0].by, "virtio");
    assert_null(disks.items[0].use);
    assert_true(disks.items[0].bytes == 4294967296 && disks.items[0].sector_bytes == 512 && !disks.items[0].is_read_only);
    assert_string_equal(disks.items[1].use, "/dev/sdb is mounted at /x");
    assert_true(disks.items[1].is_removable && disks.items[1].is_read_only && disks.items[1].sector_bytes == 4096);
    cleanup_buf struct buf line = {0};
    disks.items[0].holds = INSTALL_HOLDS_OTHER;
    install_disk_format(&disks.items[0], &line);
    assert_contains(buf_str(&line), "/dev/vda");
    assert_contains(buf_str(&line), "4.0 GiB, by=virtio, serial=TARGET1, holds an installed machine");
    install_disk_format(&disks.items[1], &line);
    assert_contains(buf_str(&line), "no serial number, Stick, in use: /dev/sdb is mounted at /x");
}

static void test_wrong_lists(void **state) {
    (void)state;
    static const char *const texts[] = {
        "",
        "{}",
        "[",
        "[1]",
        "[{\"path\": \"/dev/vda\"}]",
        "null",
        "[{\"path\": \"vda\", \"model\": \"\", \"serial\": \"\", \"transport\": \"\", \"size_bytes\": 1, \"sector_bytes\": 512, "
        "\"read_only\": false, \"removable\": false, \"use\": null}]",
        "[{\"path\": \"/dev/vda\", \"model\": \"\", \"serial\": \"\", \"transport\": \"\", \"size_bytes\": -1, "
        "\"sector_bytes\": 512, \"read_only\": false, \"removable\": false, \"use\": null}]",
        "[{\"path\": \"/dev/vda\", \"model\": \"\", \"serial\": \"\", \"transport\": \"\", \"size_bytes\": 1, "
        "\"sector_bytes\": 512, \"read_only\": false, \"removable\": false, \"use\": 1}]"};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct install_disks disks = {0};
        struct err err = {0};
        assert_int_equal(install_disks_parse(texts[i], &disks, &err), -EINVAL);
        assert_int_equal(disks.count, 0);
    }
    struct install_disks none = {0};
    struct err err = {0};
    assert_int_equal(install_disks_parse("[]", &none, &err), 0);
    assert_int_equal(none.count, 0);
    install_disks_done(&none);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_list), cmocka_unit_test(test_wrong_lists)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
