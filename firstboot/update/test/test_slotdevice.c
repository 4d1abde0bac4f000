// SPDX-License-Identifier: Apache-2.0
// The guard in front of the writer: one device is the right one, everything else is refused by name, and nothing was opened for writing.
#include "firstboot/update/slotdevice.h"
#include "firstboot/update/test/machine.h"
#include <sys/sysmacros.h>

#define VDA4 "sys/class/block/vda/vda4"

static int setup(void **state) {
    *state = machine_start(1 << 20);
    return 0;
}

static int teardown(void **state) {
    machine_stop(*state);
    return 0;
}

static void refused(const struct machine *machine, enum boot_slot slot, int code, const char *part_of_text) {
    struct slotdevice device = {.fd = -77};
    struct err err = {0};
    assert_int_equal(slotdevice_open(machine->root_fd, &machine->record, slot, &device, &err), code);
    assert_contains(err.text, part_of_text);
    assert_int_equal(slotdevice_open_read(machine->root_fd, &machine->record, slot, &device, &err), code);
    assert_int_equal(device.fd, -77);
}

static void the_other_slot_is_opened(void **state) {
    struct machine *machine = *state;
    struct slotdevice device;
    struct stat opened, wanted;
    struct err err = {0};
    assert_ok(slotdevice_open(machine->root_fd, &machine->record, BOOT_SLOT_B, &device, &err));
    assert_string_equal(device.name, "/dev/vda4");
    assert_int_equal(device.bytes, 1 << 20);
    assert_int_equal(fstat(device.fd, &opened), 0);
    assert_int_equal(fstatat(machine->root_fd, SLOT_B_DEVICE, &wanted, 0), 0);
    assert_int_equal(opened.st_ino, wanted.st_ino);
    assert_int_equal(fcntl(device.fd, F_GETFL) & O_ACCMODE, O_RDWR);
    assert_ok(slotdevice_drop_cache(device.fd, device.name, &err));
    close(device.fd);
    assert_ok(slotdevice_open_read(machine->root_fd, &machine->record, BOOT_SLOT_B, &device, &err));
    assert_int_equal(fcntl(device.fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    close(device.fd);
}

static void roles_change_with_the_running_slot(void **state) {
    struct machine *machine = *state;
    struct slotdevice device;
    struct err err = {0};
    refused(machine, BOOT_SLOT_A, -EBUSY, "running");
    config_set(&machine->record, "SLOT", "b", 0);
    config_set(&machine->record, "SLOT_DEVICE", "/dev/vda4", 0);
    refused(machine, BOOT_SLOT_A, -ENODEV, "dm-0"); // dm-verity still lies on vda3
    put_text(machine->root_fd, "sys/class/block/dm-0/slaves/vda4", "");
    refused(machine, BOOT_SLOT_B, -EBUSY, "running");
    assert_ok(slotdevice_open(machine->root_fd, &machine->record, BOOT_SLOT_A, &device, &err));
    assert_string_equal(device.name, "/dev/vda3");
    close(device.fd);
}

// The record, swapped disks, clones: what does not fit together is refused.
static void records_that_do_not_fit(void **state) {
    struct machine *machine = *state;
    static const struct {
        const char *key, *value;
        int code;
        const char *text;
    } cases[] = {
        {"SLOT", "c", -ENODEV, "boot record"},
        {"SLOT", "", -ENODEV, "boot record"},
        {"DISK", "", -ENODEV, "boot record"},
        {"DISK", "/dev/../vda", -ENODEV, "boot record"},
        {"DISK", "/dev/..", -ENODEV, "boot record"},
        {"DISK", "vda", -ENODEV, "boot record"},
        {"DISK", "/dev/vdb", -ENODEV, "vdb"},
        {"SLOT", "b", -ENODEV, "started from"}, // says b, was started from a's partition
        {"SLOT_DEVICE", "/dev/vdb3", -ENODEV, "started from"},
        {"SLOT_DEVICE", "/dev/vda4", -ENODEV, "started from"},
        {"SLOT_DEVICE", "", -ENODEV, "started from"},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_free char *kept = str_dup(config_find(&machine->record, cases[i].key)->value);
        enum boot_slot slot = strcmp(cases[i].value, "b") == 0 ? BOOT_SLOT_A : BOOT_SLOT_B;
        config_set(&machine->record, cases[i].key, cases[i].value, 0);
        refused(machine, slot, cases[i].code, cases[i].text);
        config_set(&machine->record, cases[i].key, kept, 0);
    }
    struct config empty = {0};
    struct slotdevice device;
    struct err err = {0};
    assert_int_equal(slotdevice_open(machine->root_fd, &empty, BOOT_SLOT_B, &device, &err), -ENODEV);
}

static void another_disk_does_not_help(void **state) {
    struct machine *machine = *state;
    struct err err = {0};
    put_partition(machine, "vdb", "vdb4", "webops-b", "254:20\n"); // a clone is there, the own slot is gone
    put_sparse(machine, "dev/vdb4", 1 << 20);
    assert_ok(file_remove_tree(machine->root_fd, VDA4, &err));
    refused(machine, BOOT_SLOT_B, -ENODEV, "no partition named webops-b");
}

static void two_of_one_name(void **state) {
    struct machine *machine = *state;
    put_partition(machine, "vda", "vda6", "webops-b", "254:6\n");
    refused(machine, BOOT_SLOT_B, -ENOTUNIQ, "2 partitions named webops-b");
    put_partition(machine, "vda", "vda6", "webops-a", "254:6\n");
    refused(machine, BOOT_SLOT_B, -ENOTUNIQ, "webops-a");
    put_partition(machine, "vda", "vda6", "webops-bb", "254:6\n");
    struct slotdevice device;
    struct err err = {0};
    assert_ok(slotdevice_open(machine->root_fd, &machine->record, BOOT_SLOT_B, &device, &err));
    close(device.fd);
}

static void devices_in_use(void **state) {
    struct machine *machine = *state;
    struct err err = {0};
    put_text(machine->root_fd, VDA4 "/ro", "1\n");
    refused(machine, BOOT_SLOT_B, -EROFS, "/dev/vda4");
    put_text(machine->root_fd, VDA4 "/ro", "0\n");
    put_text(machine->root_fd, VDA4 "/holders/dm-7", "");
    refused(machine, BOOT_SLOT_B, -EBUSY, "dm-7");
    assert_int_equal(unlinkat(machine->root_fd, VDA4 "/holders/dm-7", 0), 0);
    put_text(machine->root_fd, "proc/self/mountinfo", "21 1 254:44 / /x rw - ext4 /dev/x rw\n22 1 254:4 / /mnt rw - ext4 /dev/vda4 rw\n");
    refused(machine, BOOT_SLOT_B, -EBUSY, "mounted");
    put_text(machine->root_fd, "proc/self/mountinfo", "21 1 254:44 / /x rw - ext4 /dev/x rw\n");
    struct slotdevice device;
    assert_ok(slotdevice_open(machine->root_fd, &machine->record, BOOT_SLOT_B, &device, &err));
    close(device.fd);
    assert_ok(file_remove_tree(machine->root_fd, VDA4 "/holders", &err));
    refused(machine, BOOT_SLOT_B, -ENODEV, "lies on");
}

static void nodes_that_are_something_else(void **state) {
    struct machine *machine = *state;
    assert_int_equal(unlinkat(machine->root_fd, SLOT_B_DEVICE, 0), 0);
    refused(machine, BOOT_SLOT_B, -ENOENT, "vda4");
    assert_int_equal(symlinkat("vda3", machine->root_fd, SLOT_B_DEVICE), 0); // would lead to the running slot
    refused(machine, BOOT_SLOT_B, -ELOOP, "vda4");
    assert_int_equal(unlinkat(machine->root_fd, SLOT_B_DEVICE, 0), 0);
    assert_int_equal(mkfifoat(machine->root_fd, SLOT_B_DEVICE, 0600), 0);
    refused(machine, BOOT_SLOT_B, -ENODEV, "254:4");
    if (geteuid() != 0)
        return;
    assert_int_equal(unlinkat(machine->root_fd, SLOT_B_DEVICE, 0), 0);
    assert_int_equal(mknodat(machine->root_fd, SLOT_B_DEVICE, S_IFCHR | 0600, makedev(1, 3)), 0); // /dev/null
    refused(machine, BOOT_SLOT_B, -ENODEV, "254:4");
}

// A plain file is no device where "/" is the machine's own: this program never writes to one there.
static void plain_files_only_in_a_test_tree(void **state) {
    struct machine *machine = *state;
    cleanup_fd int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct slotdevice device;
    struct err err = {0};
    assert_true(slotdevice_open(root, &machine->record, BOOT_SLOT_B, &device, &err) < 0);
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(the_other_slot_is_opened),
        CASE(roles_change_with_the_running_slot),
        CASE(records_that_do_not_fit),
        CASE(another_disk_does_not_help),
        CASE(two_of_one_name),
        CASE(devices_in_use),
        CASE(nodes_that_are_something_else),
        CASE(plain_files_only_in_a_test_tree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
