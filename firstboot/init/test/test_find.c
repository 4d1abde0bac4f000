// SPDX-License-Identifier: Apache-2.0
// Finding slot and state: the choice for every combination of partitions, and the scan over a sysfs made of files.
#include "common/test/slot_seed.h"
#include "common/test/support.h"
#include "firstboot/init/find.h"
#include <errno.h>

static void test_roles(void **state) {
    (void)state;
    assert_int_equal(find_role_of("webops-a"), FIND_SLOT_A);
    assert_int_equal(find_role_of("webops-b"), FIND_SLOT_B);
    assert_int_equal(find_role_of("webops-state"), FIND_STATE);
    static const char *const others[] = {"", "webops", "webops-", "webops-c", "webops-a ", "WEBOPS-A", "webops-states", "esp"};
    for (size_t i = 0; i < ARRAY_SIZE(others); i++)
        assert_int_equal(find_role_of(others[i]), FIND_ROLES);
}

// Two disks, each with up to three partitions; bits of `present` say which exist, bits of `wanted` which slots carry the id.
static const struct find_partition possible[6] = {
    {.role = FIND_STATE, .disk = "sda", .device = "sda5"},  {.role = FIND_SLOT_B, .disk = "sda", .device = "sda4"},
    {.role = FIND_SLOT_A, .disk = "sda", .device = "sda3"}, {.role = FIND_SLOT_A, .disk = "vda", .device = "vda3"},
    {.role = FIND_STATE, .disk = "vda", .device = "vda5"},  {.role = FIND_SLOT_B, .disk = "vda", .device = "vda4"},
};

static struct find_partitions make(unsigned present, unsigned wanted) {
    struct find_partitions partitions = {0};
    for (unsigned i = 0; i < ARRAY_SIZE(possible); i++)
        if (present & 1u << i) {
            struct find_partition *item = &partitions.items[partitions.count++];
            *item = possible[i];
            item->is_wanted = item->role != FIND_STATE && (wanted & 1u << i);
        }
    return partitions;
}

static bool has(const struct find_partitions *partitions, const char *disk, enum find_role role, bool only_wanted) {
    for (unsigned i = 0; i < partitions->count; i++)
        if (partitions->items[i].role == role && strcmp(partitions->items[i].disk, disk) == 0 &&
            (!only_wanted || partitions->items[i].is_wanted))
            return true;
    return false;
}

static void check(unsigned present, unsigned wanted) {
    struct find_partitions partitions = make(present, wanted);
    struct find_result result = {0};
    struct err err = {0};
    int r = find_choose(&partitions, &result, &err);
    bool on_sda = has(&partitions, "sda", FIND_SLOT_A, true) || has(&partitions, "sda", FIND_SLOT_B, true);
    bool on_vda = has(&partitions, "vda", FIND_SLOT_A, true) || has(&partitions, "vda", FIND_SLOT_B, true);
    const char *disk = on_sda ? "sda" : "vda";
    if (on_sda && on_vda) {
        assert_int_equal(r, -ENOTUNIQ);
        assert_contains(err.text, "/dev/sda");
        assert_contains(err.text, "/dev/vda");
        assert_string_equal(result.slot.device, "");
    } else if (!(on_sda || on_vda) || !has(&partitions, disk, FIND_STATE, false)) {
        assert_int_equal(r, 0);
        assert_string_equal(result.slot.device, "");
    } else {
        assert_int_equal(r, 1);
        assert_string_equal(result.slot.disk, disk);
        assert_string_equal(result.state.disk, disk);
        assert_int_equal(result.state.role, FIND_STATE);
        assert_int_equal(result.slot.role, has(&partitions, disk, FIND_SLOT_A, true) ? FIND_SLOT_A : FIND_SLOT_B);
    }
}

static void test_every_combination(void **state) {
    (void)state;
    for (unsigned present = 0; present < 64; present++)
        for (unsigned wanted = 0; wanted < 64; wanted++)
            check(present, wanted);
}

static void test_same_names_on_one_disk(void **state) {
    (void)state;
    struct find_partitions partitions = make(0b000111, 0b000100);
    struct find_result result;
    struct err err = {0};
    partitions.items[partitions.count] = possible[0];
    strcpy(partitions.items[partitions.count++].device, "sda7");
    assert_int_equal(find_choose(&partitions, &result, &err), -ENOTUNIQ);
    assert_string_equal(err.text, "/dev/sda5 and /dev/sda7 on one disk are both named webops-state");
    partitions = make(0b000111, 0b000100);
    partitions.items[partitions.count] = partitions.items[2];
    strcpy(partitions.items[partitions.count++].device, "sda8");
    assert_int_equal(find_choose(&partitions, &result, &err), -ENOTUNIQ);
    assert_contains(err.text, "/dev/sda3 and /dev/sda8 both hold");
}

static void test_explain(void **state) {
    (void)state;
    static const uint8_t id[SLOT_ID_BYTES] = {0xab, 0xcd};
    struct err err = {0};
    struct find_partitions partitions = {0};
    assert_int_equal(find_explain(&partitions, id, 30, &err), -ETIMEDOUT);
    assert_string_equal(err.text,
                        "waited 30 s: no partition named webops-a or webops-b holds generation abcd0000000000000000000000000000; no such "
                        "partition was seen at all");
    partitions = make(0b000110, 0);
    strcpy(partitions.rejected, "; sda3: another generation");
    assert_int_equal(find_explain(&partitions, id, 30, &err), -ETIMEDOUT);
    assert_contains(err.text, "abcd0000000000000000000000000000; sda3: another generation");
    partitions = make(0b000110, 0b000100);
    assert_int_equal(find_explain(&partitions, id, 1, &err), -ETIMEDOUT);
    assert_string_equal(err.text, "waited 1 s: /dev/sda3 holds the generation, but /dev/sda has no partition named webops-state");
}

struct machine {
    struct scratch *scratch;
    uint8_t header[SLOT_HEADER_BYTES];
    uint8_t id[SLOT_ID_BYTES];
    int block_fd, dev_fd;
};

// /sys/class/block/<name> → ../../devices/<disk>/<name>, as the kernel lays it out.
static void add_block(struct machine *machine, const char *disk, const char *name, const char *uevent) {
    struct err err = {0};
    cleanup_free char *directory = str_printf("devices/virtio0/block/%s/%s", disk, name);
    cleanup_free char *file = str_printf("%s/uevent", directory);
    cleanup_free char *target = str_printf("../../%s", directory);
    cleanup_free char *link = str_printf("class/block/%s", name);
    assert_int_equal(file_mkdirs(machine->scratch->fd, directory, 0755, &err), 0);
    assert_int_equal(file_publish(machine->scratch->fd, file, uevent, strlen(uevent), 0644, &err), 0);
    assert_int_equal(symlinkat(target, machine->scratch->fd, link), 0);
}

static void add_partition(struct machine *machine, const char *disk, const char *name, const char *label, const void *content,
                          size_t size) {
    struct err err = {0};
    cleanup_free char *uevent = str_printf("MAJOR=254\nMINOR=3\nDEVNAME=%s\nDEVTYPE=partition\nPARTN=3\nPARTNAME=%s\n", name, label);
    add_block(machine, disk, name, uevent);
    if (content)
        assert_int_equal(file_publish(machine->dev_fd, name, content, size, 0644, &err), 0);
}

static int setup(void **state) {
    struct machine *machine = mem_array(1, sizeof(*machine));
    struct slot_header header;
    struct err err = {0};
    void *scratch = NULL;
    scratch_setup(&scratch);
    machine->scratch = scratch;
    assert_int_equal(file_mkdirs(machine->scratch->fd, "class/block", 0755, &err), 0);
    assert_int_equal(file_mkdirs(machine->scratch->fd, "dev", 0755, &err), 0);
    machine->block_fd = openat(machine->scratch->fd, "class/block", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    machine->dev_fd = openat(machine->scratch->fd, "dev", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    slot_seed(&header, 3);
    assert_int_equal(slot_header_format(&header, machine->header, &err), 0);
    memcpy(machine->id, header.id, sizeof(machine->id));
    *state = machine;
    return 0;
}

static int teardown(void **state) {
    struct machine *machine = *state;
    void *scratch = machine->scratch;
    close(machine->block_fd);
    close(machine->dev_fd);
    free(machine);
    return scratch_teardown(&scratch);
}

static void test_scan_finds(void **state) {
    struct machine *machine = *state;
    uint8_t other[SLOT_HEADER_BYTES];
    memcpy(other, machine->header, sizeof(other));
    other[32] ^= 1; // another sequence number
    slot_reseal(other);
    add_block(machine, "vda", "vda", "MAJOR=254\nMINOR=0\nDEVNAME=vda\nDEVTYPE=disk\n");
    add_partition(machine, "vda", "vda1", "bios", "", 0);
    add_partition(machine, "vda", "vda3", "webops-a", other, sizeof(other));
    add_partition(machine, "vda", "vda4", "webops-b", machine->header, sizeof(machine->header));
    add_partition(machine, "vda", "vda5", "webops-state", "", 0);
    add_partition(machine, "sdb", "sdb5", "webops-state", "", 0);
    struct find_partitions partitions;
    struct find_result result;
    struct err err = {0};
    assert_int_equal(find_scan(machine->block_fd, machine->dev_fd, machine->id, &partitions, &err), 0);
    assert_int_equal(partitions.count, 4);
    assert_string_equal(partitions.rejected, "; vda3: another generation");
    assert_int_equal(find_choose(&partitions, &result, &err), 1);
    assert_string_equal(result.slot.device, "vda4");
    assert_string_equal(result.slot.disk, "vda");
    assert_string_equal(result.state.device, "vda5");
}

// Whatever a slot holds instead, the scan goes on and says why this one is not it.
static void test_scan_rejects(void **state) {
    struct machine *machine = *state;
    uint8_t zero[SLOT_HEADER_BYTES] = {0}, damaged[SLOT_HEADER_BYTES];
    memcpy(damaged, machine->header, sizeof(damaged));
    damaged[3000] ^= 0x10;
    add_partition(machine, "sda", "sda3", "webops-a", zero, sizeof(zero));
    add_partition(machine, "sdb", "sdb3", "webops-a", damaged, sizeof(damaged));
    add_partition(machine, "sdc", "sdc3", "webops-a", machine->header, SLOT_HEADER_BYTES - 1);
    add_partition(machine, "sdd", "sdd3", "webops-a", NULL, 0); // no device node
    struct find_partitions partitions;
    struct find_result result;
    struct err err = {0};
    assert_int_equal(find_scan(machine->block_fd, machine->dev_fd, machine->id, &partitions, &err), 0);
    assert_int_equal(partitions.count, 4);
    assert_contains(partitions.rejected, "sda3: slot header: no magic");
    assert_contains(partitions.rejected, "sdb3: slot header: the id does not match");
    assert_contains(partitions.rejected, "sdc3: No data available");
    assert_contains(partitions.rejected, "sdd3: No such file or directory");
    assert_int_equal(find_choose(&partitions, &result, &err), 0);
}

static void test_scan_odd_uevents(void **state) {
    struct machine *machine = *state;
    static const char *const odd[] = {"", "PARTNAME=webops-a\n", "DEVNAME=x\n", "DEVNAME=x\nPARTNAME=\n",
                                      "DEVNAME=x\nPARTNAME=webops-ab\n"};
    for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
        char name[8];
        snprintf(name, sizeof(name), "x%zu", i);
        add_block(machine, "x", name, odd[i]);
    }
    struct find_partitions partitions;
    struct err err = {0};
    assert_int_equal(find_scan(machine->block_fd, machine->dev_fd, machine->id, &partitions, &err), 0);
    assert_int_equal(partitions.count, 0);
}

static void test_scan_limit(void **state) {
    struct machine *machine = *state;
    for (unsigned i = 0; i <= FIND_MAX_PARTITIONS; i++) {
        char name[8];
        snprintf(name, sizeof(name), "x%u", i);
        add_partition(machine, "x", name, "webops-state", "", 0);
    }
    struct find_partitions partitions;
    struct err err = {0};
    assert_int_equal(find_scan(machine->block_fd, machine->dev_fd, machine->id, &partitions, &err), -E2BIG);
    assert_contains(err.text, "more than 64 partitions");
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_roles),
        cmocka_unit_test(test_every_combination),
        cmocka_unit_test(test_same_names_on_one_disk),
        cmocka_unit_test(test_explain),
        CASE(test_scan_finds),
        CASE(test_scan_rejects),
        CASE(test_scan_odd_uevents),
        CASE(test_scan_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
