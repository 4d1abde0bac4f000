// SPDX-License-Identifier: Apache-2.0
// inspect on disks, qcow2 and bare slots, whole and damaged in every way that matters; and the verb's exit status.
#include "common/grubenv.h"
#include "builder/inspect.h"
#include "builder/grub.h"
#include "builder/test/support.h"
#include "builder/verbs.h"
#include <jansson.h>

#define STATUS                                                                                                                             \
    "Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2.15-2\n\n"                                              \
    "Package: adduser\nStatus: install ok installed\nArchitecture: all\nVersion: 3.134\n\n"
#define ESP_OFFSET (2 * MIB)
#define SLOT_A_OFFSET (42 * MIB)
#define SLOT_B_OFFSET (44 * MIB)

struct fixture {
    struct scratch *scratch;
    char *layers[2], *slot, *uki, *kernel, *disk, *cmdline;
    struct slotimage image;
};

// A real squashfs with dpkg's database in it, or the list that is beside rpm's.
static void make_base(const struct fixture *f, const char *manager, const char *list, const char *path) {
    struct err err = {0};
    cleanup_free char *tree = str_printf("%s/tree-%s", f->scratch->path, manager);
    cleanup_free char *dir = str_printf("%s/usr/lib/sysimage/%s", tree, manager), *status = str_printf("%s/%s", dir, list);
    assert_ok(file_mkdirs(AT_FDCWD, dir, 0755, &err));
    put_file(status, STATUS, strlen(STATUS));
    free(tool(RUN_ARGV("mksquashfs", tree, path, "-quiet", "-no-progress", "-noappend")));
}

static void make_disk(struct fixture *f) {
    struct err err = {0};
    char boot[SLOT_BOOT_TEXT_BYTES];
    const struct slotimage_layer parts[] = {layer_of("base", f->layers[0]), layer_of("hardening", f->layers[1])};
    const struct slotimage_input slot = {
        .profile = "test", .version = "1.0", .sequence = 3, .slot_bytes = 2 * MIB, .layers = parts, .layer_count = 2};
    assert_ok(slotimage_create(&slot, AT_FDCWD, f->slot, &f->image, &err));
    slotimage_boot_text(&f->image, boot);
    f->cmdline = str_printf("console=ttyS0 webops.slot=%s", boot);
    const struct uki_input uki = {AT_FDCWD, STUB_PATH, "ID=test\n", f->cmdline, f->kernel, f->kernel};
    assert_ok(uki_create(&uki, AT_FDCWD, f->uki, NULL, &err));
    const struct disk_input disk = {
        .esp = {.identity = {"test", "1.0"},
                .sequence = 3,
                .uki_path = f->uki,
                .linux_path = f->kernel,
                .initrd_path = f->kernel,
                .cmdline = f->cmdline,
                .systemd_boot_path = SYSTEMD_BOOT_PATH,
                .restart_path = SYSTEMD_BOOT_PATH,
                .source_date_epoch = 1700000000},
        .sizes = {40 * MIB, 2 * MIB, 16 * MIB},
        .slot_path = f->slot,
        .grub_dir = GRUB_DIR,
        .temp_dir = f->scratch->path,
    };
    assert_ok(disk_create(&disk, f->disk, &err));
}

static int fixture_setup(void **state) {
    struct fixture *f = mem_array(1, sizeof(*f));
    scratch_setup((void **)&f->scratch);
    f->layers[0] = scratch_file(f->scratch, "base.squashfs");
    f->layers[1] = scratch_file(f->scratch, "top.squashfs");
    f->slot = scratch_file(f->scratch, "slot.img");
    f->uki = scratch_file(f->scratch, "a.efi");
    f->kernel = scratch_file(f->scratch, "vmlinuz");
    f->disk = scratch_file(f->scratch, "disk.raw");
    make_base(f, "dpkg", "status", f->layers[0]);
    put_random(f->layers[1], 300000, 1);
    put_random(f->kernel, 50000, 2);
    make_disk(f);
    setenv("TMPDIR", f->scratch->path, 1);
    *state = f;
    return 0;
}

static int fixture_teardown(void **state) {
    struct fixture *f = *state;
    int r = scratch_teardown((void **)&f->scratch);
    free(f->layers[0]);
    free(f->layers[1]);
    free(f->slot);
    free(f->uki);
    free(f->kernel);
    free(f->disk);
    free(f->cmdline);
    free(f);
    return r;
}

// No directory of inspect's own is left in TMPDIR.
static void assert_tidy(const struct fixture *f) {
    cleanup_free char *listing = tool(RUN_ARGV("ls", f->scratch->path));
    assert_null(strstr(listing, "webops-inspect"));
}

static void assert_good_disk(const struct fixture *f, const struct inspect *inspect) {
    char root[65], shown[65];
    assert_true(inspect_is_good(inspect));
    assert_int_equal(inspect->partition_count, 5);
    assert_int_equal(inspect->slot_count, 2);
    assert_int_equal(inspect->slots[0].state, INSPECT_GOOD);
    assert_int_equal(inspect->slots[0].offset, SLOT_A_OFFSET);
    assert_int_equal(inspect->slots[1].state, INSPECT_EMPTY);
    assert_string_equal(inspect->slots[0].cmdline, f->cmdline);
    hex_format(f->image.root_hash, 32, root);
    hex_format(inspect->slots[0].boot.root_hash, 32, shown);
    assert_string_equal(root, shown);
    assert_int_equal(inspect->packages.count, 2);
    assert_string_equal(inspect->packages.packages[0].name, "adduser");
    assert_string_equal(inspect->packages.packages[1].version, "5.2.15-2");
}

static void raw_disk(void **state) {
    const struct fixture *f = *state;
    cleanup_inspect struct inspect inspect = {0};
    struct err err = {0};
    assert_ok(inspect_load(f->disk, &inspect, &err));
    assert_string_equal(inspect.format, "raw");
    assert_good_disk(f, &inspect);
    assert_tidy(f);
}

static void qcow2_disk(void **state) {
    const struct fixture *f = *state;
    cleanup_inspect struct inspect inspect = {0};
    struct err err = {0};
    cleanup_free char *qcow2 = scratch_file(f->scratch, "disk.qcow2"), *overlay = scratch_file(f->scratch, "overlay.qcow2");
    free(tool(RUN_ARGV("qemu-img", "convert", "-O", "qcow2", "-c", f->disk, qcow2)));
    assert_ok(inspect_load(qcow2, &inspect, &err));
    assert_string_equal(inspect.format, "qcow2");
    assert_good_disk(f, &inspect);
    cleanup_free char *here = getcwd(NULL, 0), *odd = scratch_file(f->scratch, "img-10:00.qcow2"); // to qemu-img the protocol "img-10"
    assert_int_equal(link(qcow2, odd), 0);
    assert_int_equal(chdir(f->scratch->path), 0);
    inspect_done(&inspect);
    assert_ok(inspect_load("img-10:00.qcow2", &inspect, &err));
    assert_int_equal(unlink(odd), 0);
    assert_int_equal(chdir(here), 0);
    assert_good_disk(f, &inspect);
    free(tool(RUN_ARGV("qemu-img", "create", "-q", "-f", "qcow2", "-b", qcow2, "-F", "qcow2", overlay)));
    struct inspect none = {0};
    assert_int_equal(inspect_load(overlay, &none, &err), -EINVAL);
    assert_contains(err.text, "another file");
    free(tool(RUN_ARGV("qemu-img", "create", "-q", "-f", "qcow2", overlay, "5T")));
    assert_int_equal(inspect_load(overlay, &none, &err), -EINVAL);
    assert_contains(err.text, "claims");
    flip_bit(qcow2, 8); // a backing file's name, far away
    assert_true(inspect_load(qcow2, &none, &err) < 0);
    assert_tidy(f);
}

static void bare_slot(void **state) {
    const struct fixture *f = *state;
    cleanup_inspect struct inspect inspect = {0};
    struct err err = {0};
    assert_ok(inspect_load(f->slot, &inspect, &err));
    assert_string_equal(inspect.format, "slot");
    assert_true(inspect_is_good(&inspect));
    assert_memory_equal(inspect.slots[0].boot.root_hash, f->image.root_hash, 32); // found in the tree itself
    assert_int_equal(inspect.slots[0].header.layer_count, 2);
    assert_int_equal(inspect.packages.count, 2);
    assert_null(inspect.slots[0].cmdline);
    inspect_done(&inspect);
    flip_bit(f->slot, 9000);
    assert_ok(inspect_load(f->slot, &inspect, &err));
    assert_false(inspect_is_good(&inspect));
    assert_int_equal(inspect.packages.count, 0); // nothing is read from a slot that does not verify
    flip_bit(f->slot, 9000);
}

// Edits of the disk after which slot A must be reported as bad, with a reason.
static void damaged_disks(void **state) {
    const struct fixture *f = *state;
    const struct {
        uint64_t offset;
        const char *reason;
    } cases[] = {
        {SLOT_A_OFFSET + 3, "webops-a"}, // header
        {SLOT_A_OFFSET + 100, "webops-a"},
        {SLOT_A_OFFSET + 4096 + 1000, "block 1 "},
        {SLOT_A_OFFSET + f->image.header.layers[1].offset + 12345, "block"},
        {SLOT_A_OFFSET + f->image.header.data_bytes + 17, "root hash"}, // tree
        {SLOT_B_OFFSET + 200, "webops-b"}, // slot B is neither empty nor a slot
    };
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_inspect struct inspect inspect = {0};
        struct err err = {0};
        flip_bit(f->disk, cases[i].offset);
        assert_ok(inspect_load(f->disk, &inspect, &err));
        flip_bit(f->disk, cases[i].offset);
        assert_false(inspect_is_good(&inspect));
        unsigned slot = cases[i].offset >= SLOT_B_OFFSET;
        assert_int_equal(inspect.slots[slot].state, INSPECT_BAD);
        assert_contains(inspect.slots[slot].problem.text, cases[i].reason);
        assert_tidy(f);
    }
}

static void replace_on_esp(const struct fixture *f, const char *source, const char *target) {
    cleanup_free char *image = str_printf("%s@@%llu", f->disk, (unsigned long long)ESP_OFFSET);
    setenv("MTOOLS_SKIP_CHECK", "1", 1);
    free(tool(RUN_ARGV("mcopy", "-o", "-i", image, source, target)));
}

static void assert_bad(const struct fixture *f, const char *reason) {
    cleanup_inspect struct inspect inspect = {0};
    struct err err = {0};
    assert_ok(inspect_load(f->disk, &inspect, &err));
    assert_int_equal(inspect.slots[0].state, INSPECT_BAD);
    assert_contains(inspect.slots[0].problem.text, reason);
}

static void wrong_boot_files(void **state) {
    const struct fixture *f = *state;
    struct err err = {0};
    cleanup_free char *other = scratch_file(f->scratch, "other"), *text = NULL;
    put_file(other, "set webops_cmdline=\"init=/bin/sh\"\n", 34);
    replace_on_esp(f, other, "::/webops/a.cfg");
    assert_bad(f, "BIOS");
    cleanup_buf struct buf good = {0};
    assert_ok(grubenv_format_cmdline(f->cmdline, &good, &err));
    put_file(other, good.data, good.size);
    replace_on_esp(f, other, "::/webops/a.cfg");
    replace_on_esp(f, f->kernel, "::/EFI/webops/a.efi");
    assert_bad(f, "not a PE image");
    text = str_dup(f->cmdline);
    char *last = &text[strlen(text) - 1];
    *last = *last == '0' ? '1' : '0'; // another root hash
    const struct uki_input uki = {AT_FDCWD, STUB_PATH, "ID=test\n", text, f->kernel, f->kernel};
    assert_ok(uki_create(&uki, AT_FDCWD, other, NULL, &err));
    replace_on_esp(f, other, "::/EFI/webops/a.efi");
    assert_bad(f, "BIOS"); // the two command lines differ now
    const struct uki_input escape = {AT_FDCWD, STUB_PATH, "ID=test\n", "quiet \033[2J", f->kernel, f->kernel};
    assert_ok(uki_create(&escape, AT_FDCWD, other, NULL, &err));
    replace_on_esp(f, other, "::/EFI/webops/a.efi");
    assert_bad(f, "printable");
    replace_on_esp(f, f->uki, "::/EFI/webops/a.efi");
    static const char *const copies[] = {"::/webops/a.linux", "::/webops/a.initrd"};
    for (unsigned i = 0; i < ARRAY_SIZE(copies); i++) {
        put_random(other, 50000, 77);
        replace_on_esp(f, other, copies[i]);
        assert_bad(f, copies[i] + 2);
        replace_on_esp(f, f->kernel, copies[i]);
    }
    cleanup_inspect struct inspect inspect = {0};
    assert_ok(inspect_load(f->disk, &inspect, &err));
    assert_true(inspect_is_good(&inspect));
}

static void not_images(void **state) {
    const struct fixture *f = *state;
    cleanup_free char *path = scratch_file(f->scratch, "thing");
    struct inspect inspect = {0};
    struct err err = {0};
    assert_int_equal(inspect_load("/nonexistent.raw", &inspect, &err), -ENOENT);
    assert_true(inspect_load("/dev/null", &inspect, &err) < 0);
    assert_true(inspect_load(f->scratch->path, &inspect, &err) < 0);
    static const char *const texts[] = {"", "short", "QFI\xfb and nothing more", "WEBOPSSL and nothing more"};
    for (unsigned i = 0; i < 3; i++) {
        err = (struct err){0};
        put_file(path, texts[i], strlen(texts[i]));
        assert_true(inspect_load(path, &inspect, &err) < 0);
        assert_true(err.text[0]);
    }
    put_file(path, texts[3], strlen(texts[3]));
    assert_ok(inspect_load(path, &inspect, &err));
    assert_false(inspect_is_good(&inspect));
    inspect_done(&inspect);
    put_random(path, 3 * MIB, 7);
    assert_int_equal(inspect_load(path, &inspect, &err), -EMEDIUMTYPE); // no partition table
    struct gpt_partition many[INSPECT_MAX_PARTITIONS + 1];
    for (unsigned i = 0; i < ARRAY_SIZE(many); i++) {
        many[i] = (struct gpt_partition){.type = GPT_TYPE_LINUX, .offset = (1 + i) * 64 * 1024, .size = 64 * 1024};
        snprintf(many[i].name, sizeof(many[i].name), "p%u", i);
        snprintf(many[i].uuid, sizeof(many[i].uuid), "6B29FC40-CA47-1067-B31D-00DD010662%02X", i);
    }
    cleanup_fd int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_ok(gpt_write(fd, path, "6B29FC40-CA47-1067-B31D-00DD01066200", many, ARRAY_SIZE(many), &err));
    assert_int_equal(inspect_load(path, &inspect, &err), -EMEDIUMTYPE); // somebody else's
    assert_tidy(f);
}

static void reports(void **state) {
    const struct fixture *f = *state;
    cleanup_inspect struct inspect inspect = {0};
    cleanup_buf struct buf text = {0}, json = {0}, brief = {0};
    struct err err = {0};
    assert_ok(inspect_load(f->disk, &inspect, &err));
    inspect_format_text(&inspect, f->disk, true, &text);
    static const char *const parts[] = {"webops-a: verified\n", "webops-b: empty\n",      "test 1.0 (sequence 3)", "hardening", "|####",
                                        "2 packages\n",         "  bash 5.2.15-2 amd64\n"};
    for (unsigned i = 0; i < ARRAY_SIZE(parts); i++)
        assert_contains(buf_str(&text), parts[i]);
    assert_contains(buf_str(&text), f->cmdline);
    inspect_format_text(&inspect, f->disk, false, &brief);
    assert_null(strstr(buf_str(&brief), "bash"));
    inspect_format_json(&inspect, &json);
    json_t *root = json_loads(buf_str(&json), JSON_REJECT_DUPLICATES, NULL);
    const char *state_name, *cmdline, *layer;
    int verified;
    assert_int_equal(json_unpack(root, "{s:b, s:[{s:s, s:s, s:[{}, {s:s}]}, {}]}", "verified", &verified, "slots", "state", &state_name,
                                 "cmdline", &cmdline, "layers", "name", &layer),
                     0);
    assert_true(verified);
    assert_string_equal(state_name, "verified");
    assert_string_equal(cmdline, f->cmdline);
    assert_string_equal(layer, "hardening");
    assert_int_equal(json_array_size(json_object_get(root, "packages")), 2);
    assert_int_equal(json_array_size(json_object_get(root, "partitions")), 5);
    json_decref(root);
}

static int call_verb(const char *option, const char *path, char **ret_out) {
    static const struct verb verb = {"inspect", "IMAGE", 1, 1, "", verb_inspect};
    struct redirect redirect;
    cleanup_free char *error = NULL;
    char *argv[] = {(char *)"inspect", (char *)option, (char *)path, NULL};
    redirect_begin(&redirect);
    int code = verb_inspect(&verb, 3, argv);
    redirect_end(&redirect, ret_out, &error);
    return code;
}

static void exit_status(void **state) {
    const struct fixture *f = *state;
    cleanup_free char *good = NULL, *bad = NULL, *none = NULL;
    assert_int_equal(call_verb("--json", f->disk, &good), EXIT_OK);
    assert_contains(good, "\"verified\": true");
    flip_bit(f->disk, SLOT_A_OFFSET + 5000);
    assert_int_equal(call_verb("--json", f->disk, &bad), EXIT_PERMANENT);
    flip_bit(f->disk, SLOT_A_OFFSET + 5000);
    assert_contains(bad, "\"verified\": false");
    assert_contains(bad, "\"problem\": ");
    assert_int_equal(call_verb("--packages", "/nonexistent", &none), EXIT_PERMANENT);
    assert_string_equal(none, "");
}

static void packages_beside_rpms_database(void **state) {
    const struct fixture *f = *state;
    cleanup_inspect struct inspect inspect = {0};
    cleanup_free char *base = scratch_file(f->scratch, "rpm.squashfs"), *path = scratch_file(f->scratch, "rpm.slot");
    struct slotimage image;
    struct err err = {0};
    make_base(f, "rpm", "packages", base);
    const struct slotimage_layer part = layer_of("base", base);
    const struct slotimage_input slot = {
        .profile = "test", .version = "1.0", .sequence = 3, .slot_bytes = 2 * MIB, .layers = &part, .layer_count = 1};
    assert_ok(slotimage_create(&slot, AT_FDCWD, path, &image, &err));
    assert_ok(inspect_load(path, &inspect, &err));
    assert_int_equal(inspect.packages.count, 2);
    assert_string_equal(inspect.packages.packages[0].name, "adduser");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(raw_disk),
        cmocka_unit_test(qcow2_disk),
        cmocka_unit_test(bare_slot),
        cmocka_unit_test(damaged_disks),
        cmocka_unit_test(packages_beside_rpms_database),
        cmocka_unit_test(wrong_boot_files),
        cmocka_unit_test(not_images),
        cmocka_unit_test(reports),
        cmocka_unit_test(exit_status),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
