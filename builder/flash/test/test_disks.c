// SPDX-License-Identifier: Apache-2.0
// Disks out of a tree that looks like /sys and /proc of a computer, and which of them may be written to.
#include "builder/flash/disks.h"
#include "builder/test/support.h"

#define PCI "sys/devices/pci0000:00"
#define USB_DEVICE PCI "/0000:00:14.0/usb2/2-1"

// "sys/block/sda/size" = "2000\n", with all directories.
static void put(const struct scratch *scratch, const char *dir, const char *name, const char *text) {
    struct err err = {0};
    cleanup_free char *path = str_printf("%s/%s/%s", scratch->path, dir, name), *parent = str_dup(path), *line = str_printf("%s\n", text);
    *strrchr(parent, '/') = 0;
    assert_ok(file_mkdirs(AT_FDCWD, parent, 0755, &err));
    put_file(path, line, strlen(line));
}

static void put_link(const struct scratch *scratch, const char *target, const char *path) {
    struct err err = {0};
    cleanup_free char *full = str_printf("%s/%s", scratch->path, path), *parent = str_dup(full);
    *strrchr(parent, '/') = 0;
    assert_ok(file_mkdirs(AT_FDCWD, parent, 0755, &err));
    assert_int_equal(symlink(target, full), 0);
}

struct hardware {
    const char *name, *device; // the directory of the hardware, below sys/
    const char *number, *sectors, *sector_bytes;
    const char *attribute, *serial; // "device/serial" = "SYSTEM"
    const char *model;
};

static const struct hardware hardware[] = {
    {"sda", PCI "/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0", "8:0", "2000", "512", NULL, NULL, "Model \aX  "},
    {"sdb", PCI "/0000:00:17.0/ata2/host1/target1:0:0/1:0:0:0", "8:16", "2000", "512", "device/serial", "SWAP", "B"},
    {"sdc", PCI "/0000:00:17.0/ata3/host2/target2:0:0/2:0:0:0", "8:32", "2000", "512", "device/serial", "RAID", "C"},
    {"sdd", USB_DEVICE "/2-1:1.0/host6/target6:0:0/6:0:0:0", "8:48", "2000", "512", NULL, NULL, "Flash Disk"},
    {"sde", PCI "/0000:00:17.0/ata5/host4/target4:0:0/4:0:0:0", "8:64", "1", "512", "device/serial", "SMALL", "E"},
    {"sdf", PCI "/0000:00:17.0/ata6/host5/target5:0:0/5:0:0:0", "8:80", "2000", "512", "device/serial", "  GOOD  ", "F"},
    {"sdg", PCI "/0000:00:17.0/ata7/host7/target7:0:0/7:0:0:0", "8:96", "2000", "512", "device/serial", "CRYPT", "G"},
    {"sdh", PCI "/0000:00:17.0/ata8/host8/target8:0:0/8:0:0:0", "8:112", "2000", "512", "device/serial", "BTRFS", "H"},
    {"vda", PCI "/0000:00:05.0/virtio2", "254:0", "2000", "512", "serial", "VIRTIO", NULL},
    {"nvme0n1", PCI "/0000:01:00.0/nvme/nvme0", "259:0", "2000", "4096", "device/serial", "LARGE", "NV"},
    {"cciss!c0d0", PCI "/0000:02:00.0/host9", "104:0", "2000", "512", NULL, NULL, NULL},
};

static void put_hardware(const struct scratch *scratch, const struct hardware *disk) {
    cleanup_free char *dir = str_printf("%s/block/%s", disk->device, disk->name), *link = str_printf("sys/block/%s", disk->name),
                      *target = str_printf("..%s", dir + strlen("sys")), *device = str_printf("%s/device", dir);
    put(scratch, dir, "size", disk->sectors);
    put(scratch, dir, "queue/logical_block_size", disk->sector_bytes);
    put(scratch, dir, "dev", disk->number);
    put(scratch, dir, "ro", "0");
    put(scratch, dir, "removable", "0");
    put_link(scratch, "../..", device);
    put_link(scratch, target, link);
    if (disk->attribute)
        put(scratch, dir, disk->attribute, disk->serial);
    if (disk->model)
        put(scratch, dir, "device/model", disk->model);
}

static void put_partition(const struct scratch *scratch, const char *disk, const char *name, const char *number) {
    cleanup_free char *dir = str_printf("sys/block/%s/%s", disk, name);
    put(scratch, dir, "partition", "1");
    put(scratch, dir, "dev", number);
}

static void put_holder(const struct scratch *scratch, const char *below, const char *name, const char *number) {
    cleanup_free char *dir = str_printf("sys/devices/virtual/block/%s", name), *target = str_printf("../devices/virtual/block/%s", name),
                      *link = str_printf("sys/block/%s", name), *holder = str_printf("sys/block/%s/holders/%s", below, name);
    put(scratch, dir, "size", "100");
    put(scratch, dir, "queue/logical_block_size", "512");
    put(scratch, dir, "dev", number);
    put_link(scratch, target, link);
    put_link(scratch, "anywhere", holder);
}

static void put_tables(const struct scratch *scratch) {
    put(scratch, "proc/self", "mountinfo",
        "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw\n"
        "23 22 0:22 / /proc rw - proc proc rw\n"
        "24 22 8:1 /sub /srv rw - ext4 /dev/root rw\n"
        "25 22 253:0 / /my\\040data rw - ext4 /dev/mapper/safe rw\n"
        "26 22 0:44 / /pool rw - btrfs /dev/sdh1 rw\n"
        "27 22 7:1 / /mnt rw - ext4 /dev/loop1 rw\n"
        "nonsense");
    put(scratch, "proc", "swaps", "Filename Type Size Used Priority\n/dev/sdb2 partition 1000 0 -2");
}

static int computer_setup(void **state) {
    static const char page[] = "\0\x80\0\x14"
                               "      SYSTEM        ";
    scratch_setup(state);
    const struct scratch *scratch = *state;
    for (size_t i = 0; i < ARRAY_SIZE(hardware); i++)
        put_hardware(scratch, &hardware[i]);
    cleanup_free char *page_path = scratch_file(scratch, "sys/block/sda/device/vpd_pg80");
    put_file(page_path, page, sizeof(page) - 1);
    put(scratch, USB_DEVICE, "idVendor", "0951");
    put(scratch, USB_DEVICE, "serial", "LOCKED");
    put(scratch, "sys/block/sdd", "ro", "1");
    put(scratch, "sys/block/sdd", "removable", "1");
    put_partition(scratch, "sda", "sda1", "8:1");
    put_partition(scratch, "sdb", "sdb1", "8:17");
    put_partition(scratch, "sdb", "sdb2", "8:18");
    put_partition(scratch, "sdc", "sdc1", "8:33");
    put_partition(scratch, "sdg", "sdg1", "8:97");
    put_partition(scratch, "sdh", "sdh1", "8:113");
    put_holder(scratch, "sdc/sdc1", "md0", "9:0");
    put(scratch, "sys/block/md0", "md/level", "raid1");
    put_holder(scratch, "sdg/sdg1", "dm-0", "253:0"); // encrypted, and mounted
    put(scratch, "sys/block/dm-0", "dm/name", "safe");
    put(scratch, "sys/block/dm-0", "dm/uuid", "CRYPT-LUKS2-0000");
    put_holder(scratch, "vda", "dm-1", "253:1");
    put(scratch, "sys/block/dm-1", "dm/name", "vg-root");
    put(scratch, "sys/block/dm-1", "dm/uuid", "LVM-0000");
    put_tables(scratch);
    // What is no disk: nothing behind it, a CD, the paths below a multipath disk, a boot area; and two files.
    put_hardware(scratch, &(struct hardware){"sr0", PCI "/ata9/9:0:0:0", "11:0", "2000", "2048", "device/type", "5", "DVD"});
    put_hardware(scratch, &(struct hardware){"nvme0c0n1", PCI "/nvme/nvme1", "259:9", "2000", "512", "hidden", "1", "NV"});
    put_hardware(scratch, &(struct hardware){"mmcblk0boot0", PCI "/mmc_host/mmc0/mmc0:1", "179:8", "2000", "512", NULL, NULL, NULL});
    put(scratch, "sys/block/zram0", "size", "2000");
    put(scratch, "sys/block/zram0", "queue/logical_block_size", "4096");
    put(scratch, "sys/block/loop0", "size", "2000");
    put(scratch, "sys/block/loop0", "queue/logical_block_size", "512");
    put(scratch, "sys/block/loop1", "size", "2000");
    put(scratch, "sys/block/loop1", "queue/logical_block_size", "512");
    put(scratch, "sys/block/loop1", "dev", "7:1");
    put(scratch, "sys/block/loop7", "size", "0");
    return 0;
}

static int load_tree(const struct scratch *scratch, struct disks *disks, struct err *err) {
    cleanup_fd int root = open(scratch->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return disks_load(root, disks, err);
}

static void load(const struct scratch *scratch, struct disks *disks) {
    struct err err = {0};
    assert_ok(load_tree(scratch, disks, &err));
}

static void whole_disks_are_found(void **state) {
    cleanup_disks struct disks disks = {0};
    cleanup_buf struct buf table = {0}, json = {0}, words = {0};
    load(*state, &disks);
    assert_int_equal(disks.count, ARRAY_SIZE(hardware) + 2);
    disks_format(&disks, &table);
    assert_contains(buf_str(&table), "/dev/sda");
    assert_contains(buf_str(&table), "/dev/cciss/c0d0");
    assert_contains(buf_str(&table), "Model ?X");
    assert_contains(buf_str(&table), "/dev/sda1 is mounted at /\n");
    static const char *const absent[] = {"/dev/loop", "/dev/sr0", "zram", "nvme0c0", "boot0", "\n/dev/md0 ", "/dev/dm-"};
    for (size_t i = 0; i < ARRAY_SIZE(absent); i++)
        assert_null(strstr(buf_str(&table), absent[i]));
    disks_format_json(&disks, &json);
    assert_contains(buf_str(&json), "\"serial\": \"SMALL\"");
    assert_contains(buf_str(&json), "\"use\": null");
    assert_null(strstr(buf_str(&json), "/dev/loop0"));
    for (size_t i = 0; i < disks.count; i++)
        if (strcmp(disks.items[i].path, "/dev/sdd") == 0)
            disk_describe(&disks.items[i], &words);
    assert_string_equal(buf_str(&words), "Flash Disk, 1000.0 KiB, usb, serial LOCKED");
}

static void what_speaks_against_it(void **state) {
    static const struct {
        const char *serial;
        int code;
        const char *transport, *says;
    } rows[] = {
        {"SYSTEM", -EPERM, "sata", "/dev/sda is in use: /dev/sda1 is mounted at /"},
        {"SWAP", -EPERM, "sata", "/dev/sdb2 is swap"},
        {"RAID", -EPERM, "sata", "/dev/sdc1 is part of /dev/md0 (raid1)"},
        {"CRYPT", -EPERM, "sata", "/dev/sdg is in use: /dev/mapper/safe is mounted at /my data"},
        {"BTRFS", -EPERM, "sata", "/dev/sdh1 is mounted at /pool"},
        {"VIRTIO", -EPERM, "virtio", "/dev/vda is part of /dev/mapper/vg-root (lvm)"},
        {"LOCKED", -EROFS, "usb", "/dev/sdd is read-only"},
        {"SMALL", -ENOSPC, "sata", "/dev/sde is too small: it has 512 bytes"},
        {"LARGE", -EINVAL, "nvme", "sectors of 4096 bytes"},
        {"GOOD", 0, "sata", ""},
    };
    cleanup_disks struct disks disks = {0};
    load(*state, &disks);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct err err = {0};
        const struct disk *disk = NULL;
        assert_ok(disks_choose(&disks, NULL, rows[i].serial, &disk, &err));
        assert_int_equal(disk_check(disk, 1000, &err), rows[i].code);
        assert_contains(err.text, rows[i].says);
        assert_string_equal(disk->transport, rows[i].transport);
    }
}

static void one_disk_is_meant(void **state) {
    struct scratch *scratch = *state;
    cleanup_free char *link = scratch_file(scratch, "by-id"), *real = scratch_file(scratch, "sdx"), *gone = scratch_file(scratch, "gone");
    char one[] = "ONE", twin[] = "TWIN", of_loop[] = "LOOP", sdy[] = "/dev/sdy", sdz[] = "/dev/sdz", loop[] = "/dev/loop0";
    struct disk items[] = {{.path = real, .serial = one},
                           {.path = sdy, .serial = twin},
                           {.path = sdz, .serial = twin},
                           {.path = loop, .serial = of_loop, .is_loop = true}};
    const struct disks disks = {items, ARRAY_SIZE(items)};
    const struct {
        const char *path, *serial;
        int code;
        const char *says;
    } rows[] = {
        {real, NULL, 0, ""},
        {link, NULL, 0, ""},
        {link, "ONE", 0, ""},
        {NULL, "ONE", 0, ""},
        {link, "TWO", -ENOENT, "has the serial number ONE, and not TWO"},
        {gone, NULL, -ENOENT, "gone"},
        {"/dev/null", NULL, -ENOENT, "/dev/null is no whole disk"},
        {NULL, "NONE", -ENOENT, "no disk has the serial number NONE; there are: ONE ("},
        {NULL, "TWIN", -ENOTUNIQ, "/dev/sdy and /dev/sdz both have the serial number TWIN"},
        {NULL, "LOOP", -ENOENT, "no disk has"},
    };
    put_file(real, "", 0);
    assert_int_equal(symlink(real, link), 0);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct err err = {0};
        const struct disk *disk = NULL;
        int r = disks_choose(&disks, rows[i].path, rows[i].serial, &disk, &err);
        if (r != rows[i].code || !strstr(err.text, rows[i].says) || (r == 0 && strcmp(disk->path, real) != 0))
            fail_msg("row %zu: %d, %s", i, r, err.text);
    }
}

// Without a table of mounts nothing may be written; without one of swap nothing is swap.
static void what_is_missing_is_said(void **state) {
    const struct scratch *scratch = *state;
    struct disks disks = {0};
    struct err err = {0};
    assert_int_equal(load_tree(scratch, &disks, &err), -ENOENT);
    assert_contains(err.text, "listing the disks: /sys/block (is /sys there?)");
    put(scratch, "sys/block/loop0", "size", "0");
    assert_int_equal(load_tree(scratch, &disks, &err), -ENOENT);
    assert_contains(err.text, "what is mounted (is /proc there?)");
    put(scratch, "proc/self", "mountinfo", "");
    assert_ok(load_tree(scratch, &disks, &err));
    assert_int_equal(disks.count, 0);
    disks_done(&disks);
}

// A loop of holders ends.
static void nonsense_ends(void **state) {
    const struct scratch *scratch = *state;
    cleanup_disks struct disks disks = {0};
    put_hardware(scratch, &hardware[0]);
    put(scratch, "proc/self", "mountinfo", "");
    put_link(scratch, "anywhere", "sys/block/sda/holders/sda");
    load(scratch, &disks);
    assert_int_equal(disks.count, 1);
    assert_string_equal(disks.items[0].use, "/dev/sda is part of something");
}

// The kernel does not call SD cards removable, and tells them from soldered flash by their type.
static void sd_cards_are_removable(void **state) {
    static const struct {
        const char *type;
        bool is_removable;
    } rows[] = {{"MMC", false}, {"SD", true}, {"SDcombo", true}, {"0", false}};
    const struct scratch *scratch = *state;
    struct err err = {0};
    cleanup_free char *sys = scratch_file(scratch, "sys");
    put(scratch, "proc/self", "mountinfo", "");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_disks struct disks disks = {0};
        put_hardware(scratch,
                     &(struct hardware){"mmcblk0", PCI "/mmc_host/mmc0/mmc0:1", "179:0", "2000", "512", "device/serial", "0x1", NULL});
        put(scratch, "sys/block/mmcblk0", "device/type", rows[i].type);
        load(scratch, &disks);
        assert_int_equal(disks.count, 1);
        assert_int_equal(disks.items[0].is_removable, rows[i].is_removable);
        assert_string_equal(disks.items[0].transport, "mmc");
        assert_ok(file_remove_tree(AT_FDCWD, sys, &err));
    }
}

// This computer's.
static void the_kernel_is_asked(void **state) {
    (void)state;
    cleanup_disks struct disks disks = {0};
    struct err err = {0};
    cleanup_fd int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_ok(disks_load(root, &disks, &err));
    for (size_t i = 0; i < disks.count; i++)
        assert_true(strncmp(disks.items[i].path, "/dev/", 5) == 0 && disks.items[i].size > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(whole_disks_are_found, computer_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(what_speaks_against_it, computer_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(one_disk_is_meant, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(what_is_missing_is_said, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(nonsense_ends, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(sd_cards_are_removable, scratch_setup, scratch_teardown),
        cmocka_unit_test(the_kernel_is_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
