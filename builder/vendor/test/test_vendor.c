// SPDX-License-Identifier: Apache-2.0
// The backend without an appliance. webops-guestfs is a double here: a script that answers from files, writes down what it was asked and knows no other
// options than the real one. The real one meets a real disk in qemu-tests/test_vendor.py.
#include "builder/backend.h"
#include "builder/build.h"
#include "builder/test/support.h"
#include "builder/vendor/foreign.h"
#include "builder/vendor/guest.h"
#include <grp.h>
#include <jansson.h>

static const char report_text[] = "{\"format\": 2, \"bytes\": 1048576, \"table\": \"gpt\", \"partitions\": [{\"device\": \"/dev/sda1\", "
                                  "\"offset\": 4096, \"bytes\": 8192}], "
                                  "\"file_systems\": [{\"device\": \"/dev/sda1\", \"type\": \"ext4\", \"label\": \"root\"}, {\"device\": "
                                  "\"/dev/vg/data\", \"type\": \"xfs\", "
                                  "\"label\": \"\"}], \"systems\": [{\"root\": \"/dev/sda1\", \"type\": \"linux\", \"distribution\": "
                                  "\"debian\", \"name\": \"12.5\", \"version\": "
                                  "\"12.5\", \"architecture\": \"x86_64\", \"packages_are\": \"deb\", \"kernels\": [\"6.1.0-9\"], "
                                  "\"modules\": [\"6.1.0-9\"], \"packages\": "
                                  "[{\"name\": \"bash\", \"version\": \"5.2\", \"architecture\": \"amd64\"}]}]}\n";
static const char status_text[] = "Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2\n\n";

static const char double_text[] = "#!/bin/sh\n"
                                  "# A double of webops-guestfs.\n"
                                  "set -eu\n"
                                  "dir=${0%/*}\n"
                                  "echo \"$*\" >>\"$dir/asked\"\n"
                                  "verb=$1; shift\n"
                                  "while [ \"$1\" != -- ]; do\n"
                                  "    case $verb:$1 in\n"
                                  "    *:--format=raw|*:--format=qcow2|*:--software) ;;\n"
                                  "    inspect:--status=*) cp \"$dir/status\" \"${1#*=}\" ;;\n"
                                  "    inspect:--database=*) if test -e \"$dir/rpmdb\"; then cp \"$dir/rpmdb\" \"${1#*=}\"; fi ;;\n"
                                  "    tar:--exclude-from=*) cp \"${1#*=}\" \"$dir/excluded\" ;;\n"
                                  "    *) echo \"webops-guestfs: unknown $1\" >&2; exit 2 ;;\n"
                                  "    esac\n"
                                  "    shift\n"
                                  "done\n"
                                  "test -e \"$2\"\n"
                                  "if test -e \"$dir/failure\"; then cat \"$dir/failure\" >&2; exit 1; fi\n"
                                  "case $verb in\n"
                                  "inspect) cat \"$dir/report\" ;;\n"
                                  "tar) tar -C \"$dir/tree\" --numeric-owner -cf - . ;;\n"
                                  "*) exit 2 ;;\n"
                                  "esac\n";

struct fixture {
    struct scratch *scratch;
    char *programs, *packages, *disk;
    struct recipe_disk recipe_disk;
    struct recipe_image image;
    struct package_dirs dirs;
    char sha256[65];
};

static void put_in(const char *dir, const char *name, const char *text, mode_t mode) {
    cleanup_free char *path = str_printf("%s/%s", dir, name);
    struct err err = {0};
    assert_ok(file_publish(AT_FDCWD, path, text, strlen(text), mode, &err));
}

static void make_tree(const char *programs) {
    static const char *const dirs[] = {"boot", "etc", "usr/lib/modules/6.1.0-9", "var/lib/dpkg"};
    cleanup_free char *tree = str_printf("%s/tree", programs);
    struct err err = {0};
    for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
        cleanup_free char *path = str_printf("%s/%s", tree, dirs[i]);
        assert_ok(file_mkdirs(AT_FDCWD, path, 0755, &err));
    }
    put_in(tree, "boot/vmlinuz-6.1.0-9", "kernel", 0644);
    put_in(tree, "etc/passwd", "root:x:0:0::/root:/bin/sh\n", 0644);
    put_in(tree, "etc/group", "root:x:0:\n", 0644);
    put_in(tree, "var/lib/dpkg/status", status_text, 0644);
}

static int setup(void **state) {
    static char *remove[] = {(char *)"/etc/cloud"};
    struct fixture *f = mem_array(1, sizeof(*f));
    struct err err = {0};
    uint8_t sectors[1024] = {[510] = 0x55, [511] = 0xaa};
    scratch_setup((void **)&f->scratch);
    f->programs = scratch_file(f->scratch, "programs");
    f->packages = scratch_file(f->scratch, "packages");
    f->disk = scratch_file(f->scratch, "disk.raw");
    put_file(f->disk, sectors, sizeof(sectors));
    assert_ok(file_mkdirs(AT_FDCWD, f->programs, 0755, &err));
    assert_ok(file_mkdirs(AT_FDCWD, f->packages, 0755, &err));
    put_in(f->programs, "webops-guestfs", double_text, 0755);
    put_in(f->programs, "report", report_text, 0644);
    put_in(f->programs, "status", status_text, 0644);
    make_tree(f->programs);
    assert_ok(digest_file(AT_FDCWD, f->disk, f->sha256, NULL, &err));
    setenv("WEBOPS_PROGRAMS", f->programs, 1);
    setenv("WEBOPS_DATA", f->programs, 1);
    f->recipe_disk = (struct recipe_disk){.file = f->disk, .sha256 = f->sha256};
    f->image = (struct recipe_image){.id = (char *)"v",
                                     .family = (char *)"debian",
                                     .backend = (char *)"vendor",
                                     .manager = (char *)"apt",
                                     .architecture = (char *)"amd64",
                                     .disk = &f->recipe_disk,
                                     .remove = {remove, 1}};
    f->dirs = (struct package_dirs){.metadata = f->packages, .packages = f->packages};
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    free(f->programs);
    free(f->packages);
    free(f->disk);
    int r = scratch_teardown((void **)&f->scratch);
    free(f);
    return r;
}

static char *read_in(const char *dir, const char *name) {
    cleanup_free char *path = str_printf("%s/%s", dir, name);
    struct err err = {0};
    char *text = NULL;
    assert_ok(file_read(AT_FDCWD, path, 1 << 20, &text, NULL, &err));
    return text;
}

static int resolve_base(const struct fixture *f, struct package_set *ret_set, struct err *err) {
    static const struct strings none = {0};
    return backend_of(&f->image)->resolve(&f->image, &f->dirs, &none, NULL, 0, ret_set, err);
}

static void test_the_disk_is_looked_into_once(void **state) {
    const struct fixture *f = *state;
    struct err err = {0};
    for (int i = 0; i < 2; i++) {
        cleanup_package_set struct package_set set = {0};
        assert_ok(resolve_base(f, &set, &err));
        assert_int_equal(set.count, 1);
        assert_string_equal(set.packages[0].name, "bash");
        assert_string_equal(set.packages[0].sha256, f->sha256);
    }
    cleanup_free char *asked = read_in(f->programs, "asked");
    assert_contains(asked, "inspect --format=raw");
    assert_ptr_equal(strchr(asked, '\n') + 1, asked + strlen(asked)); // one line
}

// What an earlier webops-image knew of it is not enough.
static void test_report_of_another_version(void **state) {
    const struct fixture *f = *state;
    cleanup_package_set struct package_set set = {0};
    cleanup_free char *name = str_printf("%s.report", f->sha256);
    struct err err = {0};
    put_in(f->packages, name, "{\"format\": 1, \"bytes\": 1, \"table\": \"\"}\n", 0644);
    assert_ok(resolve_base(f, &set, &err));
    cleanup_free char *report = read_in(f->packages, name);
    assert_string_equal(report, report_text);
}

static void test_base(void **state) {
    const struct fixture *f = *state;
    cleanup_package_set struct package_set set = {0};
    cleanup_free char *out = scratch_file(f->scratch, "out");
    struct err err = {0};
    assert_ok(resolve_base(f, &set, &err));
    assert_ok(file_mkdirs(AT_FDCWD, out, 0755, &err));
    static const struct recipe_layer nothing = {.name = (char *)"v"};
    const struct layer_request request = {.image = &f->image,
                                          .is_base = true,
                                          .layer = &nothing,
                                          .set = &set,
                                          .packages_dir = f->packages,
                                          .out_dir = out,
                                          .format = {.epoch = 1767225600, .zstd_level = 1, .block_size = 131072}};
    assert_ok(layer_build(&request, &err));
    cleanup_free char *kernel = read_in(out, LAYER_KERNEL), *info = read_in(out, LAYER_INFO), *index = read_in(out, LAYER_INDEX);
    cleanup_free char *excluded = read_in(f->programs, "excluded");
    assert_string_equal(kernel, "kernel");
    assert_contains(info, "\"name\": \"bash\"");
    assert_contains(index, "usr/lib/sysimage/dpkg/status");
    assert_string_equal(excluded, "/etc/cloud\n");
    cleanup_free char *scratch = str_printf("%s/scratch", out);
    assert_false(file_exists(AT_FDCWD, scratch));
}

static void test_base_fails_with_what_the_program_says(void **state) {
    const struct fixture *f = *state;
    cleanup_package_set struct package_set set = {0};
    cleanup_free char *out = scratch_file(f->scratch, "out");
    struct err err = {0};
    assert_ok(resolve_base(f, &set, &err));
    assert_ok(file_mkdirs(AT_FDCWD, out, 0755, &err));
    put_in(f->programs, "failure", "webops-guestfs: error: reading the tree: Input/output error\n", 0644);
    static const struct recipe_layer nothing = {.name = (char *)"v"};
    const struct layer_request request = {.image = &f->image,
                                          .is_base = true,
                                          .layer = &nothing,
                                          .set = &set,
                                          .packages_dir = f->packages,
                                          .out_dir = out,
                                          .format = {.epoch = 1767225600, .zstd_level = 1, .block_size = 131072}};
    assert_true(layer_build(&request, &err) < 0);
    assert_contains(err.text, "layer v: ");
    assert_contains(err.text, "reading the tree: Input/output error");
}

static void test_resolve_fails(void **state) {
    struct fixture *f = *state;
    struct package_set set = {0};
    struct err err = {0};
    put_in(f->programs, "failure", "webops-guestfs: error: the appliance of libguestfs does not start\n", 0644);
    assert_true(resolve_base(f, &set, &err) < 0);
    assert_contains(err.text, "the appliance of libguestfs does not start");
    cleanup_free char *program = str_printf("%s/webops-guestfs", f->programs);
    assert_int_equal(unlink(program), 0);
    assert_int_equal(resolve_base(f, &set, &err), -ENOENT);
    assert_contains(err.text, "disks of others are read by webops-guestfs");
    assert_null(set.packages);
}

static void test_fingerprint_is_of_the_disk(void **state) {
    struct fixture *f = *state;
    char one[FINGERPRINT_HEX_BYTES], two[FINGERPRINT_HEX_BYTES];
    struct err err = {0};
    assert_ok(backend_of(&f->image)->fingerprint(&f->image, &f->dirs, -1, one, &err));
    f->sha256[0] = f->sha256[0] == '0' ? '1' : '0';
    assert_ok(backend_of(&f->image)->fingerprint(&f->image, &f->dirs, -1, two, &err));
    assert_string_not_equal(one, two);
}

static void test_layers_want_sources(void **state) {
    const struct fixture *f = *state;
    cleanup_package_set struct package_set set = {0};
    struct package_set none = {0};
    const struct package_set *parents[] = {&set};
    char *names[] = {(char *)"vim"};
    const struct strings packages = {names, 1};
    struct err err = {0};
    assert_ok(resolve_base(f, &set, &err));
    assert_int_equal(backend_of(&f->image)->resolve(&f->image, &f->dirs, &packages, parents, 1, &none, &err), -EINVAL);
    assert_contains(err.text, "names no `sources`");
}

static void test_kernel_is_of_the_layer_that_brings_it(void **state) {
    const struct fixture *f = *state;
    struct node base = {0}, system = {0};
    struct recipe_layer layer = {.name = (char *)RECIPE_SYSTEM_LAYER};
    struct build build = {.recipe = {.layers = {&layer}, .layer_count = 1}, .layers = {&base, &system}};
    assert_ptr_equal(build_kernel_node(&build), &base);
    layer.has_kernel = true;
    assert_ptr_equal(build_kernel_node(&build), &system);
    // And a layer that brings none says so: the named package may be part of the disk.
    cleanup_free char *out = scratch_file(f->scratch, "out");
    struct err err = {0};
    assert_ok(file_mkdirs(AT_FDCWD, out, 0755, &err));
    const struct layer_request request = {
        .image = &f->image, .layer = &layer, .out_dir = out, .format = {.epoch = 1767225600, .zstd_level = 1, .block_size = 131072}};
    assert_int_equal(layer_build(&request, &err), -ENOENT);
    assert_contains(err.text, "layer system: no kernel came");
}

static void test_cage(void **state) {
    (void)state;
    const struct guest_request request = {.verb = "tar", .disk = "/d/-x.qcow2", .format = "qcow2", .dir = "/t", .exclude = "/t/exclude"};
    cleanup(guest_argv_done) char **root = guest_plan(&request, "/p/webops-guestfs", GUEST_ROOT, true);
    cleanup(guest_argv_done) char **user = guest_plan(&request, "/p/webops-guestfs", GUEST_USER, false);
    cleanup(guest_argv_done) char **open = guest_plan(&request, "/p/webops-guestfs", GUEST_OPEN, false);
    cleanup_buf struct buf text = {0};
    for (char **word = root; *word; word++)
        buf_printf(&text, "%s ", *word);
    assert_string_equal(buf_str(&text),
                        "unshare --net -- setpriv --pdeathsig KILL --no-new-privs --inh-caps=-all "
                        "--bounding-set=-all,+chown,+dac_read_search,+fowner -- /p/webops-guestfs tar --format=qcow2 --software "
                        "--exclude-from=/t/exclude -- /d/-x.qcow2 ");
    buf_done(&text);
    for (char **word = user; *word; word++)
        buf_printf(&text, "%s ", *word);
    assert_string_equal(buf_str(&text),
                        "unshare --map-current-user --net -- setpriv --pdeathsig KILL --no-new-privs -- /p/webops-guestfs tar "
                        "--format=qcow2 --exclude-from=/t/exclude -- /d/-x.qcow2 ");
    assert_string_equal(open[0], "setpriv");
    assert_string_equal(open[3], "--no-new-privs");
}

// The program tells which interfaces it has, also to a user: none but a loopback that is down.
static void look_as_a_user(void *data) {
    const struct fixture *f = data;
    struct err err = {0};
    char *text = NULL;
    size_t size;
    if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setgid(65534) < 0 || setuid(65534) < 0))
        _exit(2);
    const struct run namespaces = {.argv = RUN_ARGV("unshare", "--map-current-user", "--net", "--", "true")};
    if (run_quiet(&namespaces, &err) < 0) // a machine that gives none
        _exit(0);
    const struct guest_request request = {.verb = "inspect", .disk = f->disk, .format = "raw", .dir = "/tmp"};
    if (guest_inspect(&request, &text, &size, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        _exit(3);
    }
    if (strcmp(text, "lo:\n") != 0)
        fprintf(stderr, "%s", text);
    _exit(strcmp(text, "lo:\n") != 0);
}

static void test_a_user_has_no_network(void **state) {
    struct fixture *f = *state;
    put_in(f->programs, "webops-guestfs", "#!/bin/sh\ntail -n +3 /proc/net/dev | awk '{print $1}'\n", 0755);
    assert_int_equal(chmod(f->scratch->path, 0755), 0);
    assert_int_equal(chmod(f->programs, 0755), 0);
    assert_int_equal(in_child(look_as_a_user, f), 0);
}

static void test_inspecting_a_foreign_disk(void **state) {
    const struct fixture *f = *state;
    cleanup_foreign struct foreign foreign = {0};
    cleanup_buf struct buf text = {0}, json = {0};
    struct err err = {0};
    assert_ok(foreign_load(f->disk, &foreign, &err));
    foreign_format_text(&foreign, "x.raw", true, &text);
    assert_contains(buf_str(&text), "x.raw: raw, ");
    assert_contains(buf_str(&text), "not made by webops-image");
    assert_contains(buf_str(&text), "ext4, label root");
    assert_contains(buf_str(&text), "/dev/vg/data     xfs\n");
    assert_contains(buf_str(&text), "system        debian 12.5, x86_64 (linux)");
    assert_contains(buf_str(&text), "packages      1 (deb)\n  bash 5.2 amd64\n");
    foreign_format_json(&foreign, &json);
    json_t *root = json_loads(buf_str(&json), JSON_REJECT_DUPLICATES, NULL);
    assert_true(json_is_true(json_object_get(root, "foreign")));
    assert_int_equal(json_array_size(json_object_get(json_array_get(json_object_get(root, "systems"), 0), "packages")), 1);
    json_decref(root);
    put_file(f->disk, "no disk", 7);
    struct foreign none = {0};
    assert_int_equal(foreign_load(f->disk, &none, &err), -EMEDIUMTYPE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_disk_is_looked_into_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_report_of_another_version, setup, teardown),
        cmocka_unit_test_setup_teardown(test_base, setup, teardown),
        cmocka_unit_test_setup_teardown(test_base_fails_with_what_the_program_says, setup, teardown),
        cmocka_unit_test_setup_teardown(test_resolve_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fingerprint_is_of_the_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_layers_want_sources, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kernel_is_of_the_layer_that_brings_it, setup, teardown),
        cmocka_unit_test(test_cage),
        cmocka_unit_test_setup_teardown(test_a_user_has_no_network, setup, teardown),
        cmocka_unit_test_setup_teardown(test_inspecting_a_foreign_disk, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
