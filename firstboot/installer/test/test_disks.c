// SPDX-License-Identifier: Apache-2.0
// What webops-flash prints becomes disks, and a disk is looked at for what it holds: on a sysfs made of files.
#include "common/flashmark.h"
#include "common/test/support.h"
#include "firstboot/installer/disks.h"
#include "firstboot/test/discover.h"

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
    disks.items[1].is_seed = true;
    install_disk_format(&disks.items[1], &line);
    assert_contains(buf_str(&line), "Stick, with a volume for a configuration, in use: ");
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

static void add_udev(const char *disk, const char *number, const char *record) {
    cleanup_free char *dev = str_printf("sys/class/block/%s/dev", disk), *path = str_printf("run/udev/data/b%s", number);
    cleanup_free char *line = str_printf("%s\n", number);
    put(dev, line);
    put(path, record);
}

// By their labels: of a partition, and of a whole disk; by partitions, and by what udev says. What a machine's own partitions are called does not count.
static void test_look(void **state) {
    (void)state;
    static const struct {
        const char *path;
        bool is_medium, is_seed;
        enum install_holds holds;
    } rows[] = {
        {"/dev/sda", false, false, INSTALL_HOLDS_OTHER},   {"/dev/sdb", false, true, INSTALL_HOLDS_DATA},
        {"/dev/sdc", true, false, INSTALL_HOLDS_NOTHING},  {"/dev/vda", false, true, INSTALL_HOLDS_NOTHING},
        {"/dev/vdb", false, false, INSTALL_HOLDS_DATA},    {"/dev/vdc", false, false, INSTALL_HOLDS_NOTHING},
        {"/dev/vdd", false, false, INSTALL_HOLDS_NOTHING},
    };
    static const char slot_id[] = "00112233445566778899aabbccddeeff";
    struct install_disk items[ARRAY_SIZE(rows)] = {0};
    struct install_disks disks = {items, ARRAY_SIZE(items)};
    struct err err = {0};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        items[i].path = (char *)rows[i].path;
    add_device("sda", "", "", "");
    add_device("sda2", "esp", "vfat", "ESP");
    add_device("sda5", "webops-state", "ext4", "");
    add_device("sdb", "", "", "");
    add_device("sdb1", "", "vfat", "WEBOPS");
    add_device("sdc", "", "iso9660", "WEBOPS_1");
    add_device("vda", "", "iso9660", "cidata");
    add_device("vdb", "", "vfat", "DATA");
    add_device("vdc", "", "", ""); // with an empty partition table
    add_device("vdd", "", "", ""); // an installation was cut off; a pool's labels are still at its end
    add_udev("vdb", "254:16", "S:disk/by-id/x\nE:ID_FS_LABEL=DATA\nE:ID_FS_TYPE=vfat\n");
    add_udev("vdc", "254:32", "S:disk/by-id/y\nE:ID_PART_TABLE_TYPE=gpt\n");
    add_udev("vdd", "254:48", "S:disk/by-id/z\nE:ID_FS_TYPE=zfs_member\n");
    put("dev/vdd", FLASH_MARK "image 00\nnext 4096\n");
    assert_int_equal(install_disks_look(tree.fd, "/dev/sdc", slot_id, &disks, &err), 0);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (items[i].is_medium != rows[i].is_medium || items[i].is_seed != rows[i].is_seed || items[i].holds != rows[i].holds)
            fail_msg("%s: %d, %d, %d", rows[i].path, items[i].is_medium, items[i].is_seed, items[i].holds);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_list), cmocka_unit_test(test_wrong_lists), TEST(test_look)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
