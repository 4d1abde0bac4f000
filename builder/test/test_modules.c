// SPDX-License-Identifier: Apache-2.0
// Module closure and plan over a synthetic tree: tiny ELF modules, indexed by the real depmod, plain, .xz and .zst.
#include "builder/modules.h"
#include "builder/initramfs.h"
#include "builder/test/support.h"
#include <sys/wait.h>

// Source of a module: the .modinfo strings are all that depmod and libkmod look at, and the symbols it needs and offers.
struct source {
    const char *path; // under kernel/, without .ko
    const char *info; // NUL-separated strings as C text
    const char *exports, *needs; // one symbol each, or NULL
    const char *packer; // program that compresses it, or NULL
};

static const struct source sources[] = {
    {"drivers/virtio/virtio_ring", "license=GPL", "vring_new", NULL, NULL},
    {"drivers/virtio/virtio", "license=GPL", "virtio_register", "vring_new", "xz"},
    {"drivers/virtio/virtio_pci", "alias=pci:v00001AF4d*sv*sd*bc*sc*i*\\0license=GPL", NULL, "virtio_register", "zstd"},
    {"drivers/block/virtio_blk", "alias=virtio:d00000002v*\\0license=GPL", NULL, "virtio_register", NULL},
    {"crypto/crc32c_generic", "alias=crypto-crc32c\\0license=GPL", NULL, NULL, NULL},
    {"arch/x86/crypto/crc32c-intel", "alias=crypto-crc32c\\0alias=cpu:type:x86,ven*fam*mod*:feature:*0094*\\0license=GPL", NULL, NULL,
     "xz"},
    {"fs/jbd2/jbd2", "license=GPL", "jbd2_start", NULL, NULL},
    {"fs/ext4/ext4", "alias=fs-ext4\\0softdep=pre: crypto-crc32c\\0license=GPL", NULL, "jbd2_start", NULL},
    {"drivers/ata/libata", "softdep=post: late_helper\\0license=GPL", "ata_start", NULL, NULL},
    {"drivers/ata/ahci", "alias=pci:v*d*sv*sd*bc01sc06i01*\\0license=GPL", NULL, "ata_start", NULL},
    {"drivers/ata/sub/odd_one", "license=GPL", NULL, NULL, NULL},
    {"lib/late_helper", "license=GPL", NULL, NULL, NULL},
    {"lib/ring_a", "softdep=pre: ring_b\\0license=GPL", NULL, NULL, NULL},
    {"lib/ring_b", "softdep=pre: ring_a\\0license=GPL", NULL, NULL, NULL},
    {"net/unwanted", "alias=net:x*\\0license=GPL", NULL, NULL, NULL},
};

static char *c_source(const struct source *source) {
    const char *base = strrchr(source->path, '/') + 1;
    cleanup_buf struct buf text = {0};
    buf_printf(&text, "__attribute__((used,section(\".modinfo\"))) static const char info[] = \"name=%s\\0%s\";\n", base, source->info);
    if (source->exports) // what EXPORT_SYMBOL leaves behind for depmod
        buf_printf(&text,
                   "int %s(void) { return 1; }\n__attribute__((used,section(\"__ksymtab_strings\"))) static const char name[] = \"%s\";\n"
                   "int __ksymtab_%s __attribute__((used,section(\"__ksymtab\"))) = 1;\n",
                   source->exports, source->exports, source->exports);
    if (source->needs)
        buf_printf(&text, "int %s(void);\nint init_module(void) { return %s(); }\n", source->needs, source->needs);
    return buf_take(&text);
}

static void make_module(const char *tree, const struct source *source) {
    cleanup_free char *text = c_source(source), *c = str_printf("%s/m.c", tree), *ko = str_printf("%s/kernel/%s.ko", tree, source->path);
    cleanup_free char *dir = str_printf("%.*s", (int)(strrchr(ko, '/') - ko), ko);
    struct err err = {0};
    put_file(c, text, strlen(text));
    assert_ok(file_mkdirs(AT_FDCWD, dir, 0755, &err));
    free(tool(RUN_ARGV("gcc", "-c", "-O1", "-o", ko, c)));
    unlink(c);
    if (source->packer && strcmp(source->packer, "zstd") == 0)
        free(tool(RUN_ARGV("zstd", "-q", "--rm", ko)));
    else if (source->packer)
        free(tool(RUN_ARGV(source->packer, ko)));
}

struct fixture {
    struct scratch *scratch;
    char *tree, *list;
};

static int fixture_setup(void **state) {
    struct fixture *fixture = mem_array(1, sizeof(*fixture));
    struct err err = {0};
    scratch_setup((void **)&fixture->scratch);
    fixture->tree = scratch_file(fixture->scratch, "lib/modules/6.1.0-test");
    fixture->list = scratch_file(fixture->scratch, "test.list");
    assert_ok(file_mkdirs(AT_FDCWD, fixture->tree, 0755, &err));
    for (unsigned i = 0; i < ARRAY_SIZE(sources); i++)
        make_module(fixture->tree, &sources[i]);
    cleanup_free char *builtin = str_printf("%s/modules.builtin", fixture->tree);
    put_file(builtin, "kernel/fs/squashfs/squashfs.ko\n", 31);
    free(tool(RUN_ARGV("/sbin/depmod", "-b", fixture->scratch->path, "6.1.0-test")));
    *state = fixture;
    return 0;
}

static int fixture_teardown(void **state) {
    struct fixture *fixture = *state;
    int r = scratch_teardown((void **)&fixture->scratch);
    free(fixture->tree);
    free(fixture->list);
    free(fixture);
    return r;
}

static int load(const struct fixture *fixture, const char *list, struct modules *modules, struct err *err) {
    put_file(fixture->list, list, strlen(list));
    return modules_load(fixture->tree, fixture->list, modules, err);
}

static int index_of(const struct modules *modules, const char *name) {
    for (unsigned i = 0; i < modules->count; i++)
        if (strcmp(modules->items[i].name, name) == 0)
            return (int)i;
    return -1;
}

static bool closure_has(const struct modules *modules, const char *name, const char *needed) {
    const struct module *module = &modules->items[index_of(modules, name)];
    for (unsigned i = 0; i < module->closure_count; i++)
        if ((int)module->closure[i] == index_of(modules, needed))
            return true;
    return false;
}

static void dependencies_first(void **state) {
    cleanup_modules struct modules modules = {0};
    struct err err = {0};
    assert_ok(load(*state, "virtio_blk\nvirtio-pci # a comment\n\n# nothing\n", &modules, &err));
    assert_int_equal(modules.count, 4);
    assert_string_equal(modules.items[0].name, "virtio_ring");
    assert_string_equal(modules.items[1].name, "virtio");
    assert_string_equal(modules.items[2].name, "virtio_blk");
    assert_string_equal(modules.items[3].name, "virtio_pci");
    assert_string_equal(modules.items[1].path, "kernel/drivers/virtio/virtio.ko.xz");
    assert_true(closure_has(&modules, "virtio_pci", "virtio_ring"));
    assert_false(closure_has(&modules, "virtio_pci", "virtio_blk"));
    assert_int_equal(modules.missing.count + modules.builtin.count, 0);
}

static void soft_dependencies(void **state) {
    cleanup_modules struct modules modules = {0};
    struct err err = {0};
    assert_ok(load(*state, "load ext4\nahci\nring_a\n", &modules, &err));
    assert_true(closure_has(&modules, "ext4", "crc32c_generic"));
    assert_true(closure_has(&modules, "ext4", "crc32c_intel"));
    assert_true(index_of(&modules, "crc32c_generic") < index_of(&modules, "ext4"));
    assert_true(index_of(&modules, "jbd2") < index_of(&modules, "ext4"));
    assert_true(closure_has(&modules, "ahci", "late_helper")); // libata wants it after itself
    assert_true(index_of(&modules, "ring_b") >= 0); // a circle ends
    assert_false(closure_has(&modules, "ahci", "ext4"));
}

static void builtin_and_missing_are_reported(void **state) {
    cleanup_modules struct modules modules = {0};
    struct err err = {0};
    assert_ok(load(*state, "load squashfs\nmegaraid_sas\nkernel/drivers/scsi/*\nvirtio_ring\n", &modules, &err));
    assert_int_equal(modules.count, 1);
    assert_int_equal(modules.builtin.count, 1);
    assert_string_equal(modules.builtin.items[0], "squashfs");
    assert_int_equal(modules.missing.count, 2);
    assert_string_equal(modules.missing.items[0], "megaraid_sas");
    assert_string_equal(modules.missing.items[1], "kernel/drivers/scsi/*");
}

static void globs_stay_in_their_directory(void **state) {
    cleanup_modules struct modules modules = {0};
    struct err err = {0};
    assert_ok(load(*state, "kernel/drivers/ata/*\n", &modules, &err));
    assert_true(index_of(&modules, "ahci") >= 0 && index_of(&modules, "libata") >= 0);
    assert_int_equal(index_of(&modules, "odd_one"), -1);
}

static void aliases_by_name(void **state) {
    cleanup_modules struct modules modules = {0};
    struct err err = {0};
    assert_ok(load(*state, "load crypto-crc32c\n", &modules, &err));
    assert_int_equal(modules.count, 2);
    assert_true(modules.items[0].load && modules.items[1].load);
}

static void plan_text(void **state) {
    cleanup_modules struct modules modules = {0};
    cleanup_buf struct buf plan = {0};
    struct err err = {0};
    assert_ok(load(*state, "load ext4\nvirtio_blk\nvirtio_pci\nload jbd2\n", &modules, &err));
    assert_ok(modules_plan_format(&modules, 30, &plan, &err));
    const char *text = buf_str(&plan);
    assert_int_equal(strncmp(text, "webops-plan 1\nmodule /modules/000-", 34), 0);
    assert_non_null(strstr(text, "\ntimeout 30\n"));
    assert_string_equal(strstr(text, "timeout 30\n"), "timeout 30\n"); // the last line
    assert_null(strstr(text, "alias fs-ext4")); // asked for by name, not by a device
    assert_null(strstr(text, "unwanted"));
    cleanup_free char *blk = str_printf("\nalias virtio:d00000002v* %d %d %d\n", index_of(&modules, "virtio_ring"),
                                        index_of(&modules, "virtio"), index_of(&modules, "virtio_blk"));
    assert_contains(text, blk);
    cleanup_free char *module = str_printf("\nmodule /modules/%03d-virtio_pci.ko\n", index_of(&modules, "virtio_pci"));
    assert_contains(text, module);
    const char *load_line = strstr(text, "\nload ");
    assert_non_null(load_line);
    assert_null(strstr(load_line + 1, "\nload "));
    assert_int_equal(index_of(&modules, "jbd2"), 2);
    assert_int_equal(strncmp(load_line, "\nload 2 0 1 3\n", 14), 0); // jbd2, then the rest of ext4's closure: each once
}

static void plan_without_load(void **state) {
    cleanup_modules struct modules modules = {0};
    cleanup_buf struct buf plan = {0};
    struct err err = {0};
    assert_ok(load(*state, "virtio_ring\n", &modules, &err));
    assert_ok(modules_plan_format(&modules, 600, &plan, &err));
    assert_string_equal(buf_str(&plan), "webops-plan 1\nmodule /modules/000-virtio_ring.ko\ntimeout 600\n");
    assert_int_equal(modules_plan_format(&modules, 0, &plan, &err), -EINVAL);
    assert_int_equal(modules_plan_format(&modules, 601, &plan, &err), -EINVAL);
}

static void bad_lists(void **state) {
    cleanup_modules struct modules modules = {0};
    struct fixture *fixture = *state;
    struct err err = {0};
    assert_int_equal(load(fixture, "virtio\nload\n", &modules, &err), -EINVAL);
    assert_contains(err.text, "test.list:2");
    assert_int_equal(load(fixture, "virtio virtio_blk\n", &modules, &err), -EINVAL);
    assert_int_equal(modules_load(fixture->tree, "/nonexistent.list", &modules, &err), -ENOENT);
    assert_int_equal(modules_load("/nonexistent-tree", fixture->list, &modules, &err), -ENOENT);
    assert_contains(err.text, "/nonexistent-tree");
    assert_int_equal(modules.count, 0);
}

static void tree_without_index(void **state) {
    cleanup_modules struct modules modules = {0};
    struct fixture *fixture = *state;
    struct err err = {0};
    cleanup_free char *index = str_printf("%s/modules.dep.bin", fixture->tree), *away = str_printf("%s/away", fixture->tree);
    assert_int_equal(rename(index, away), 0);
    assert_int_equal(load(fixture, "virtio\n", &modules, &err), -ENOENT);
    assert_contains(err.text, "depmod");
    assert_int_equal(rename(away, index), 0);
}

static void modules_are_decompressed(void **state) {
    cleanup_modules struct modules modules = {0};
    struct err err = {0};
    assert_ok(load(*state, "virtio_pci\nload ext4\n", &modules, &err));
    for (unsigned i = 0; i < modules.count; i++) {
        cleanup_buf struct buf data = {0};
        assert_ok(modules_read(&modules, i, &data, &err));
        assert_true(data.size > 64 && memcmp(data.data,
                                             "\x7f"
                                             "ELF",
                                             4) == 0);
        cleanup_free char *name = str_printf("name=%s", modules.items[i].name);
        if (strcmp(name, "name=crc32c_intel") != 0) // written with '-' in the file
            assert_non_null(memmem(data.data, data.size, name, strlen(name) + 1));
    }
}

// GNU cpio reads what libarchive wrote.
static void initramfs_lists_what_it_holds(void **state) {
    struct fixture *fixture = *state;
    cleanup_modules struct modules modules = {0};
    cleanup_free char *init = scratch_file(fixture->scratch, "init"), *first = scratch_file(fixture->scratch, "a.img");
    cleanup_free char *second = scratch_file(fixture->scratch, "b.img");
    struct err err = {0};
    uint64_t size = 0;
    struct stat st;
    put_file(init, "#!init\n", 7);
    assert_ok(load(fixture, "virtio_blk\nload ext4\n", &modules, &err));
    const struct initramfs_input input = {.init_path = init, .plan = "webops-plan 1\n", .modules = &modules, .zstd_level = 3};
    assert_ok(initramfs_create(&input, AT_FDCWD, first, &size, &err));
    assert_int_equal(stat(first, &st), 0);
    assert_int_equal(size, st.st_size);
    mode_t old = umask(077);
    chmod(init, 0600);
    setenv("TZ", "Asia/Tokyo", 1);
    assert_ok(initramfs_create(&input, AT_FDCWD, second, NULL, &err));
    unsetenv("TZ");
    umask(old);
    assert_same_files(first, second);
    free(tool(RUN_ARGV("zstd", "-q", "-d", "-f", "-o", second, first)));
    cleanup_free char *members = tool(RUN_ARGV("cpio", "-itv", "--quiet", "--numeric-uid-gid", "-F", second));
    assert_int_equal(strncmp(members, "-rwxr-xr-x   1 0        0               7 Jan  1  1970 init\n", 57), 0);
    assert_contains(members, " modules\n");
    assert_contains(members, " modules/000-virtio_ring.ko\n");
    assert_contains(members, " plan\n");
    assert_true(strstr(members, " modules\n") < strstr(members, "/000-") && strstr(members, "/000-") < strstr(members, " plan\n"));
}

static void initramfs_failures_leave_nothing(void **state) {
    struct fixture *fixture = *state;
    cleanup_modules struct modules modules = {0};
    cleanup_free char *path = scratch_file(fixture->scratch, "never.img");
    struct err err = {0};
    assert_ok(load(fixture, "virtio_ring\n", &modules, &err));
    struct initramfs_input input = {.init_path = "/nonexistent/init", .plan = "", .modules = &modules, .zstd_level = 3};
    assert_int_equal(initramfs_create(&input, AT_FDCWD, path, NULL, &err), -ENOENT);
    assert_contains(err.text, "/nonexistent/init");
    assert_int_equal(access(path, F_OK), -1);
    input.zstd_level = 20;
    assert_int_equal(initramfs_create(&input, AT_FDCWD, path, NULL, &err), -EINVAL);
    input.zstd_level = 3;
    input.init_path = fixture->list;
    free(modules.items[0].path);
    modules.items[0].path = str_dup("kernel/gone.ko");
    assert_int_equal(initramfs_create(&input, AT_FDCWD, path, NULL, &err), -EIO);
    assert_contains(err.text, "kernel/gone.ko");
    assert_int_equal(access(path, F_OK), -1);
}

static void test_initramfs_for_an_older_kernel(void **state) {
    struct scratch *scratch = *state;
    cleanup_free char *target = scratch_file(scratch, "initrd"), *init = scratch_file(scratch, "init");
    struct err err = {0};
    const struct modules none = {0};
    assert_ok(file_publish(scratch->fd, "init", "x", 1, 0755, &err));
    const struct initramfs_input input = {.init_path = init, .plan = "wait 1\n", .modules = &none, .zstd_level = 3, .is_gzip = true};
    assert_ok(initramfs_create(&input, AT_FDCWD, target, NULL, &err));
    const struct run unpack = {.argv = RUN_ARGV("gzip", "--test", "--stdout", target)};
    assert_ok(run_quiet(&unpack, &err));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_initramfs_for_an_older_kernel, scratch_setup, scratch_teardown),
        cmocka_unit_test(dependencies_first),
        cmocka_unit_test(soft_dependencies),
        cmocka_unit_test(builtin_and_missing_are_reported),
        cmocka_unit_test(globs_stay_in_their_directory),
        cmocka_unit_test(aliases_by_name),
        cmocka_unit_test(plan_text),
        cmocka_unit_test(plan_without_load),
        cmocka_unit_test(bad_lists),
        cmocka_unit_test(tree_without_index),
        cmocka_unit_test(modules_are_decompressed),
        cmocka_unit_test(initramfs_lists_what_it_holds),
        cmocka_unit_test(initramfs_failures_leave_nothing),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
