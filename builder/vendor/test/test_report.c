// SPDX-License-Identifier: Apache-2.0
// The report of a disk: what is taken from it, which disks make no base and why, the kernel, what is left out, and the packages as a set.
#include "builder/test/support.h"
#include "builder/vendor/report.h"

#define SYSTEM(more)                                                                                                                       \
    "{\"root\": \"/dev/sda1\", \"type\": \"linux\", \"distribution\": \"debian\", \"name\": \"12.5\", \"version\": \"12.5\", "             \
    "\"architecture\": \"x86_64\", \"packages_are\": \"deb\"" more "}"
#define REPORT(file_systems, systems)                                                                                                      \
    "{\"format\": 2, \"bytes\": 1048576, \"table\": \"gpt\", \"partitions\": [{\"device\": \"/dev/sda1\", \"offset\": 4096, \"bytes\": "   \
    "8192}], "                                                                                                                             \
    "\"file_systems\": [" file_systems "], \"systems\": [" systems "]}"
#define EXT4 "{\"device\": \"/dev/sda1\", \"type\": \"ext4\", \"label\": \"root\"}"

static char sha256[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

static struct recipe_image image_for(char *architecture) {
    return (struct recipe_image){.id = (char *)"d", .architecture = architecture, .manager = (char *)"apt"};
}

static void parse(const char *text, struct vendor_report *ret_report) {
    struct err err = {0};
    assert_ok(vendor_report_parse(text, strlen(text), ret_report, &err));
}

static void test_everything_is_taken(void **state) {
    (void)state;
    cleanup_vendor_report struct vendor_report report = {0};
    parse(REPORT(EXT4, SYSTEM(", \"kernels\": [\"6.1.0-9-amd64\"], \"modules\": [\"6.1.0-9-amd64\"], \"packages\": [{\"name\": \"bash\", "
                              "\"version\": \"1:5\", \"architecture\": \"amd64\"}]")),
          &report);
    assert_int_equal(report.bytes, 1048576);
    assert_string_equal(report.table, "gpt");
    assert_int_equal(report.partition_count, 1);
    assert_int_equal(report.partitions[0].offset, 4096);
    assert_string_equal(report.file_systems[0].label, "root");
    assert_string_equal(report.systems[0].distribution, "debian");
    assert_string_equal(report.systems[0].packages[0].version, "1:5");
    struct recipe_image image = image_for((char *)"amd64");
    struct err err = {0};
    assert_ok(vendor_report_check(&report, &image, "x.qcow2", &err));
}

static void test_malformed(void **state) {
    (void)state;
    static const char *const texts[] = {
        "",
        "[]",
        "{\"format\": 1, \"bytes\": 1, \"table\": \"\"}",
        "{\"format\": 2, \"bytes\": -1, \"table\": \"\"}",
        "{\"format\": 2, \"bytes\": 1}",
        REPORT("{\"device\": 1}", ""),
        REPORT(EXT4, "{\"root\": \"/dev/sda1\"}"),
        REPORT(EXT4, SYSTEM(", \"kernels\": \"x\"")),
        REPORT(EXT4, SYSTEM(", \"kernels\": [\"../x\"]")),
        REPORT(EXT4, SYSTEM(", \"modules\": [\"a\\nb\"]")), // would be a pattern of its own
        REPORT(EXT4, SYSTEM(", \"modules\": [\"*\"]")),
        REPORT(EXT4, SYSTEM(", \"module_kernels\": [\"a/b\"]")),
        REPORT(EXT4, SYSTEM(", \"packages\": [{\"name\": \"x\"}]")),
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct vendor_report report = {0};
        struct err err = {0};
        assert_int_equal(vendor_report_parse(texts[i], strlen(texts[i]), &report, &err), -EINVAL);
        assert_contains(err.text, "report of webops-guestfs: ");
        assert_null(report.systems);
    }
}

static void test_disks_that_make_no_base(void **state) {
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {REPORT("", ""), "x.qcow2: no operating system was found (file systems: none)"},
        {REPORT("{\"device\": \"/dev/sda1\", \"type\": \"zfs_member\", \"label\": \"\"}, {\"device\": \"/dev/sda2\", \"type\": "
                "\"unknown\", \"label\": \"\"}",
                ""),
         "(file systems: /dev/sda1 zfs_member, /dev/sda2 unknown)"},
        {REPORT("{\"device\": \"/dev/sda1\", \"type\": \"crypto_LUKS\", \"label\": \"\"}", ""), "/dev/sda1 is encrypted (LUKS)"},
        {REPORT(EXT4, SYSTEM("") ", " SYSTEM("")), "has 2 operating systems"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_vendor_report struct vendor_report report = {0};
        struct recipe_image image = image_for((char *)"amd64");
        struct err err = {0};
        parse(cases[i].text, &report);
        assert_int_equal(vendor_report_check(&report, &image, "x.qcow2", &err), -EINVAL);
        assert_contains(err.text, cases[i].says);
    }
}

static void test_other_systems(void **state) {
    (void)state;
    cleanup_vendor_report struct vendor_report report = {0};
    struct recipe_image image = image_for((char *)"arm64");
    struct err err = {0};
    parse(REPORT(EXT4, SYSTEM("")), &report);
    assert_int_equal(vendor_report_check(&report, &image, "x", &err), -EINVAL);
    assert_contains(err.text, "is for amd64, images/d.yaml for arm64");
    image.architecture = (char *)"amd64";
    char *was = report.systems[0].type;
    report.systems[0].type = (char *)"windows";
    assert_int_equal(vendor_report_check(&report, &image, "x", &err), -EINVAL);
    assert_contains(err.text, "holds windows");
    report.systems[0].type = was;
}

static void test_kinds_of_packages(void **state) {
    (void)state;
    cleanup_vendor_report struct vendor_report report = {0};
    parse(REPORT(EXT4, SYSTEM("")), &report);
    char *was = report.systems[0].packages_are;
    static const struct {
        const char *packages_are, *manager, *says; // NULL = fits
    } cases[] = {
        {"deb", "apt", NULL},
        {"rpm", "dnf", NULL},
        {"rpm", "apt", "packages of kind rpm; images/d.yaml says `manager: apt`, which is for deb: `manager: dnf` fits"},
        {"deb", "dnf", "packages of kind deb; images/d.yaml says `manager: dnf`, which is for rpm: `manager: apt` fits"},
        {"apk", "dnf", "packages of kind apk; a base can be made of deb and rpm"},
        {"", "dnf", "has no database of packages"},
        {"", "apt", "has no database of packages"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct recipe_image image = image_for((char *)"amd64");
        struct err err = {0};
        image.manager = (char *)cases[i].manager;
        report.systems[0].packages_are = (char *)cases[i].packages_are;
        int r = vendor_report_check(&report, &image, "x.qcow2", &err);
        assert_int_equal(r, cases[i].says ? -EINVAL : 0);
        assert_contains(err.text, cases[i].says ? cases[i].says : "");
    }
    report.systems[0].packages_are = was;
}

static void test_newest_kernel_with_modules(void **state) {
    (void)state;
    cleanup_vendor_report struct vendor_report report = {0};
    parse(
        REPORT(
            EXT4,
            SYSTEM(
                ", \"kernels\": [\"0-rescue-77\", \"6.1.0-10-amd64\", \"6.1.0-9-amd64\", \"7.0-gone\"], \"modules\": [\"6.1.0-10-amd64\", "
                "\"6.1.0-9-amd64\", \"5.9-left\"]")),
        &report);
    const struct vendor_system *system = &report.systems[0];
    const char *kernel = vendor_kernel_find(system);
    assert_string_equal(kernel, "6.1.0-10-amd64");
    char *remove[] = {(char *)"/etc/cloud"};
    struct recipe_image image = {.remove = {remove, 1}};
    cleanup_buf struct buf own = {0}, none = {0};
    vendor_exclude_format(&image, system, kernel, &own);
    assert_string_equal(buf_str(&own),
                        "/etc/cloud\n/boot/*-0-rescue-77\n"
                        "/boot/*-6.1.0-9-amd64\n/boot/*-7.0-gone\n/usr/lib/modules/6.1.0-9-amd64\n/lib/modules/6.1.0-9-amd64\n"
                        "/usr/lib/modules/5.9-left\n/lib/modules/5.9-left\n");
    vendor_exclude_format(&image, system, NULL, &none);
    assert_contains(buf_str(&none), "\n/boot/*\n/usr/lib/modules/*\n/lib/modules/*\n");
}

// As distributions with rpm have them: the kernel beside its modules, and a copy in /boot, which may lie on a file system that is missing.
static void test_kernel_beside_its_modules(void **state) {
    (void)state;
    cleanup_vendor_report struct vendor_report report = {0};
    parse(REPORT(EXT4, SYSTEM(", \"kernels\": [\"5.14.0-9.el9\"], \"modules\": [\"5.14.0-10.el9\", \"5.14.0-9.el9\"], "
                              "\"module_kernels\": [\"5.14.0-10.el9\", \"5.14.0-9.el9\"], \"used_bytes\": 77")),
          &report);
    struct vendor_system *system = &report.systems[0];
    char *was = system->packages_are, *remove[] = {(char *)"cloud-init", (char *)"/etc/cloud"};
    system->packages_are = (char *)"rpm";
    assert_int_equal(system->used_bytes, 77);
    const char *kernel = vendor_kernel_find(system);
    assert_string_equal(kernel, "5.14.0-10.el9");
    struct recipe_image image = {.remove = {remove, 2}};
    cleanup_buf struct buf text = {0};
    vendor_exclude_format(&image, system, kernel, &text);
    // Packages are no paths, and the database is put back elsewhere.
    assert_string_equal(buf_str(&text), "/boot/*\n/etc/cloud\n/usr/lib/sysimage/rpm\n/var/lib/rpm\n/usr/lib/modules/5.14.0-9.el9\n"
                                        "/lib/modules/5.14.0-9.el9\n");
    system->packages_are = was;
}

#define INSTALLED(name, version) "Package: " name "\nStatus: install ok installed\nArchitecture: x86_64\nVersion: " version "\n\n"

static void test_removed_packages(void **state) {
    (void)state;
    static const char status[] = INSTALLED("cloud-init", "1:24.1-1.el9") INSTALLED("kernel-core", "5.14.0-9.el9")
        INSTALLED("kernel-core", "5.14.0-10.el9") INSTALLED("kernel-tools", "5.14.0-9.el9") INSTALLED("systemd", "252-1");
    cleanup_vendor_report struct vendor_report report = {0};
    parse(REPORT(EXT4, SYSTEM(", \"modules\": [\"5.14.0-10.el9.x86_64\", \"5.14.0-9.el9.x86_64\"]")), &report);
    char *remove[] = {(char *)"cloud-init", (char *)"not-there", (char *)"/etc/cloud"};
    const struct recipe_image image = {.remove = {remove, 3}};
    const struct recipe_disk disk = {.sha256 = sha256};
    cleanup_strings struct strings own = {0}, all = {0};
    cleanup_package_set struct package_set set = {0};
    struct err err = {0};
    assert_ok(vendor_removed_packages(status, strlen(status), &image, &report.systems[0], "5.14.0-10.el9.x86_64", &own, &err));
    assert_int_equal(own.count, 2);
    assert_string_equal(own.items[0], "cloud-init-24.1-1.el9.x86_64");
    assert_string_equal(own.items[1], "kernel-core-5.14.0-9.el9.x86_64");
    assert_ok(vendor_removed_packages(status, strlen(status), &image, &report.systems[0], NULL, &all, &err));
    assert_int_equal(all.count, 3); // with a kernel as a package, none of the disk's
    assert_ok(vendor_package_set(status, strlen(status), &own, &disk, 4096, &set, &err));
    assert_int_equal(set.count, 3);
    assert_string_equal(set.packages[0].version, "5.14.0-10.el9");
    assert_null(package_set_find(&set, "cloud-init"));
    struct strings ignored = {0};
    static const char bad[] = "Package: x\n\n";
    assert_int_equal(vendor_removed_packages(bad, strlen(bad), &image, &report.systems[0], NULL, &ignored, &err), -EINVAL);
}

static void test_no_kernel(void **state) {
    (void)state;
    cleanup_vendor_report struct vendor_report report = {0};
    parse(REPORT(EXT4, SYSTEM(", \"kernels\": [\"6.1\"], \"modules\": [\"6.2\"]")), &report);
    assert_null(vendor_kernel_find(&report.systems[0]));
}

static void test_package_set_is_of_the_disk(void **state) {
    (void)state;
    static const char status[] = "Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2-1\n\n"
                                 "Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n\n"
                                 "Package: adduser\nStatus: install ok installed\nArchitecture: all\nVersion: 1:3.1\n\n";
    const struct recipe_disk disk = {.sha256 = sha256};
    cleanup_package_set struct package_set set = {0};
    struct err err = {0};
    assert_ok(vendor_package_set(status, strlen(status), NULL, &disk, 4096, &set, &err));
    assert_int_equal(set.count, 2);
    assert_string_equal(set.packages[0].name, "adduser");
    assert_string_equal(set.packages[1].sha256, sha256);
    assert_string_equal(set.packages[1].file, sha256);
    assert_int_equal(set.packages[1].size_bytes, 4096);
    assert_ok(package_set_verify_installed(&set, status, strlen(status), &err)); // what base.c holds it against
    struct package_set none = {0};
    assert_int_equal(vendor_package_set("", 0, NULL, &disk, 4096, &none, &err), -EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_is_taken),        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_disks_that_make_no_base),    cmocka_unit_test(test_other_systems),
        cmocka_unit_test(test_newest_kernel_with_modules), cmocka_unit_test(test_no_kernel),
        cmocka_unit_test(test_package_set_is_of_the_disk), cmocka_unit_test(test_kinds_of_packages),
        cmocka_unit_test(test_kernel_beside_its_modules),  cmocka_unit_test(test_removed_packages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
