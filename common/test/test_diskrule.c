// SPDX-License-Identifier: Apache-2.0
// Disk rules: every word, what is refused as a rule, and the choice among machines with several disks.
#include "common/diskrule.h"
#include "common/test/support.h"
#include <errno.h>

static struct diskrule parse(const char *text) {
    struct diskrule rule;
    struct err err = {0};
    assert_int_equal(diskrule_parse(text, &rule, &err), 0);
    return rule;
}

static void test_words(void **state) {
    (void)state;
    struct diskrule rule = parse(" size<=2T by=nvme  serial=S1 path=/dev/sdb size>=100G largest");
    assert_string_equal(rule.serial, "S1");
    assert_string_equal(rule.path, "/dev/sdb");
    assert_string_equal(rule.by, "nvme");
    assert_true(rule.min_bytes == 100ULL << 30 && rule.max_bytes == 2ULL << 40);
    assert_int_equal(rule.pick, DISKRULE_LARGEST);
    rule = parse("smallest");
    assert_true(rule.min_bytes == 0 && rule.max_bytes == UINT64_MAX && rule.pick == DISKRULE_SMALLEST);
}

static void test_wrong_words(void **state) {
    (void)state;
    static const char *const texts[] = {"",
                                        " ",
                                        "/dev/sda",
                                        "serial",
                                        "serial=",
                                        "path=sda",
                                        "path=/dev/",
                                        "first",
                                        "smallest1",
                                        "largest=1",
                                        "smallest largest",
                                        "smallest smallest",
                                        "size>100G",
                                        "size>=",
                                        "size>=x",
                                        "size>=-1",
                                        "size>=0",
                                        "serial=A serial=B",
                                        "size>=1 size>=2",
                                        "size>=1.5T",
                                        "by=",
                                        "path=/dev/../etc/passwd",
                                        "path=/dev/disk/../../x"};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct diskrule rule = {.min_bytes = 97};
        struct err err = {0};
        assert_int_equal(diskrule_parse(texts[i], &rule, &err), -EINVAL);
        assert_true(rule.min_bytes == 97);
    }
}

#define GIB (1ULL << 30)
static const struct diskrule_disk machine[] = {
    {"/dev/sda", "DATA1", "sata", 4000 * GIB, .excluded = NULL},
    {"/dev/sdb", "DATA2", "sata", 4000 * GIB, .excluded = NULL},
    {"/dev/nvme0n1", "FAST", "nvme", 480 * GIB, .excluded = NULL},
    {"/dev/sdc", "STICK", "usb", 8 * GIB, .is_removable = true},
    {"/dev/sdd", "MEDIUM", "usb", 4 * GIB, .is_removable = true, .is_medium = true, .excluded = "it is the installation medium"},
    {"/dev/sde", "", "sata", 200 * GIB, .excluded = "it is read-only"},
    {"/dev/sdf", "SEED", "usb", 1 * GIB, .is_removable = true, .is_seed = true},
    {"/dev/vda", "VSEED", "virtio", 1 * GIB, .is_seed = true},
};

static void test_choice(void **state) {
    (void)state;
    static const struct {
        const char *rule;
        int code;
        const char *path, *text;
    } cases[] = {
        {"serial=FAST", 0, "/dev/nvme0n1", NULL},
        {"path=/dev/sdb", 0, "/dev/sdb", NULL},
        {"path=/dev/sdb serial=DATA1", -ENOENT, NULL, "no disk fits"},
        {"by=nvme", 0, "/dev/nvme0n1", NULL},
        {"by=sata", -ENOTUNIQ, NULL, "/dev/sda and /dev/sdb"},
        {"smallest", -EPERM, NULL, "/dev/sde: it is read-only"}, // not the sticks, and no other one in its place
        {"by=nvme smallest", 0, "/dev/nvme0n1", NULL},
        {"size>=300G smallest", 0, "/dev/nvme0n1", NULL},
        {"largest", -ENOTUNIQ, NULL, "serial="},
        {"size<=1T", -ENOTUNIQ, NULL, "/dev/nvme0n1 and /dev/sde"},
        {"size<=1T size>=300G", 0, "/dev/nvme0n1", NULL},
        {"size>=1T smallest", -ENOTUNIQ, NULL, "/dev/sda and /dev/sdb"},
        {"size>=5000G", -ENOENT, NULL, "no disk fits"},
        {"by=usb", 0, "/dev/sdc", NULL},
        {"serial=STICK", 0, "/dev/sdc", NULL},
        {"by=virtio", -ENOENT, NULL, "no disk fits"}, // a hypervisor's seed
        {"serial=VSEED", 0, "/dev/vda", NULL},
        {"path=/dev/sdf", 0, "/dev/sdf", NULL},
        {"serial=MEDIUM", -EPERM, NULL, "it is the installation medium"},
        {"path=/dev/sde", -EPERM, NULL, "read-only"},
        {"serial=DATA", -ENOENT, NULL, "no disk fits"}, // the whole number, not its beginning
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct diskrule rule = parse(cases[i].rule);
        struct err err = {0};
        size_t index = 97;
        assert_int_equal(diskrule_choose(&rule, machine, ARRAY_SIZE(machine), &index, &err), cases[i].code);
        if (cases[i].path)
            assert_string_equal(machine[index].path, cases[i].path);
        else
            assert_int_equal(index, 97);
        if (cases[i].text)
            assert_contains(err.text, cases[i].text);
    }
}

// Whatever the order of the disks, the choice is the same.
static void test_order_does_not_matter(void **state) {
    (void)state;
    static const char *const rules[] = {"smallest", "largest", "by=sata", "serial=FAST", "size>=1G smallest"};
    struct diskrule_disk turned[ARRAY_SIZE(machine)];
    for (size_t r = 0; r < ARRAY_SIZE(rules); r++) {
        struct diskrule rule = parse(rules[r]);
        struct err err = {0};
        size_t first = 97;
        int code = diskrule_choose(&rule, machine, ARRAY_SIZE(machine), &first, &err);
        for (size_t shift = 1; shift < ARRAY_SIZE(machine); shift++) {
            size_t index = 97;
            for (size_t i = 0; i < ARRAY_SIZE(machine); i++)
                turned[i] = machine[(i + shift) % ARRAY_SIZE(machine)];
            assert_int_equal(diskrule_choose(&rule, turned, ARRAY_SIZE(turned), &index, &err), code);
            if (code == 0)
                assert_string_equal(turned[index].path, machine[first].path);
        }
    }
}

// Three of one size: the third is no reason to forget that the first two were equal.
static void test_three_alike(void **state) {
    (void)state;
    const struct diskrule_disk alike[] = {{"/dev/a", "", "sata", GIB, .excluded = NULL},
                                          {"/dev/b", "", "sata", GIB, .excluded = NULL},
                                          {"/dev/c", "", "sata", GIB, .excluded = NULL}};
    struct diskrule rule = parse("smallest");
    struct err err = {0};
    size_t index;
    assert_int_equal(diskrule_choose(&rule, alike, ARRAY_SIZE(alike), &index, &err), -ENOTUNIQ);
    assert_int_equal(diskrule_choose(&rule, alike, 0, &index, &err), -ENOENT);
    const struct diskrule_disk paths[] = {{"/dev/a", "S", "sas", GIB, .excluded = NULL}, {"/dev/b", "S", "sas", GIB, .excluded = NULL}};
    rule = parse("serial=S");
    assert_int_equal(diskrule_choose(&rule, paths, ARRAY_SIZE(paths), &index, &err), -ENOTUNIQ);
    assert_contains(err.text, "best by path=/dev/disk/by-path/");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),       cmocka_unit_test(test_wrong_words),
        cmocka_unit_test(test_choice),      cmocka_unit_test(test_order_does_not_matter),
        cmocka_unit_test(test_three_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
