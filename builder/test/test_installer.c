// SPDX-License-Identifier: Apache-2.0
// An installation medium of a build that is made of synthetic parts, read back by xorriso, mtools, sfdisk and cpio.
#include "builder/installer.h"
#include "builder/output.h"
#include "builder/test/support.h"

#define SLOT_BOOT "0123456789abcdef0123456789abcdef:2:" HASH
#define HASH "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define LABEL "WEBOPS_0123456789ABCDEF"
#define CMDLINE "console=ttyS0,115200n8 webops.medium=" LABEL " webops.slot=" SLOT_BOOT

struct place {
    struct scratch *scratch;
    struct recipe_profile profile;
    struct build build;
};

static void put_text(const char *path, const char *text) {
    put_file(path, text, strlen(text));
}

// A node as the cache keeps it, with random content in one file.
static struct node *add_node(struct place *place, const char *kind, const char *file, size_t size) {
    struct node *node = graph_add(&place->build.graph, kind, kind, (void *)put_text, 0);
    struct err err = {0};
    inputs_add(&node->inputs, "test", kind);
    graph_seal(node);
    cleanup_free char *dir = graph_path(&place->build.cache, node, ""), *path = graph_path(&place->build.cache, node, file);
    assert_ok(file_mkdirs(AT_FDCWD, dir, 0755, &err));
    put_random(path, size, (uint32_t)size);
    return node;
}

static void add_text(const struct place *place, const struct node *node, const char *file, const char *text) {
    cleanup_free char *path = graph_path(&place->build.cache, node, file);
    put_text(path, text);
}

static int set_up(void **state) {
    struct place *place = mem_array(1, sizeof(*place));
    struct build *build = &place->build;
    struct err err = {0};
    void *scratch = NULL;
    scratch_setup(&scratch);
    place->scratch = scratch;
    cleanup_free char *cache = scratch_file(place->scratch, "cache"), *raw = scratch_file(place->scratch, "p-1.0.raw"),
                      *bmap = scratch_file(place->scratch, "p-1.0.bmap");
    place->profile = (struct recipe_profile){.name = (char *)"p", .version = (char *)"1.0"};
    build->cache.dir_fd = -1;
    assert_ok(cache_open(cache, &build->cache, &err));
    build->recipe.profile = &place->profile;
    build->options.out_dir = place->scratch->path;
    build->options.is_installer = true;
    build->epoch = 1767225600;
    build->tools[TOOL_GRUB_BOOT].path = GRUB_DIR "/boot.img";
    build->layers[0] = add_node(place, "base", LAYER_KERNEL, 70000);
    build->installer_initramfs = add_node(place, "initramfs", "initrd", 30001);
    build->slot = add_node(place, "slot", "slot", 12288);
    build->installer_uki = add_node(place, "uki", "uki.efi", 110000);
    add_text(place, build->slot, "boot", SLOT_BOOT);
    add_text(place, build->installer_uki, "cmdline", CMDLINE);
    put_random(raw, 2 << 20, 7);
    assert_ok(output_bmap(raw, bmap, &err));
    *state = place;
    return 0;
}

static int tear_down(void **state) {
    struct place *place = *state;
    void *scratch = place->scratch;
    graph_done(&place->build.graph);
    cache_done(&place->build.cache);
    free(place);
    return scratch_teardown(&scratch);
}

static char *path_of(const struct place *place, const char *suffix) {
    return installer_path(&place->build, suffix);
}

// Extracts a file of the medium; the caller frees its path.
static char *extract(const struct place *place, const char *iso, const char *name) {
    static unsigned number;
    cleanup_free char *as = str_printf("extracted-%u", number++);
    char *to = scratch_file(place->scratch, as);
    free(tool(RUN_ARGV("xorriso", "-osirrox", "on", "-indev", iso, "-extract", name, to)));
    return to;
}

static void assert_holds(const struct place *place, const char *iso, const char *name, const struct node *node, const char *file) {
    cleanup_free char *found = extract(place, iso, name), *wanted = graph_path(&place->build.cache, node, file);
    assert_same_files(found, wanted);
}

static void medium_holds_everything(void **state) {
    struct place *place = *state;
    struct err err = {0};
    const struct seed none = {0};
    assert_ok(installer_save(&place->build, &none, &err));
    cleanup_free char *iso = path_of(place, ".iso");
    assert_holds(place, iso, "/boot/vmlinuz", place->build.layers[0], LAYER_KERNEL);
    assert_holds(place, iso, "/boot/initrd", place->build.installer_initramfs, "initrd");
    assert_holds(place, iso, "/webops/slot.img", place->build.slot, "slot");
    // The image is compressed here, because the profile does not ask for that; its block map is the build's.
    cleanup_free char *zst = extract(place, iso, "/webops/image.raw.zst"), *image = scratch_file(place->scratch, "image"),
                      *raw = scratch_file(place->scratch, "p-1.0.raw"), *bmap = extract(place, iso, "/webops/image.bmap"),
                      *built = scratch_file(place->scratch, "p-1.0.bmap");
    free(tool(RUN_ARGV("zstd", "-q", "-d", "-f", zst, "-o", image)));
    assert_same_files(image, raw);
    assert_same_files(bmap, built);
    cleanup_free char *script = extract(place, iso, "/boot/grub/grub.cfg"), *text = tool(RUN_ARGV("cat", script));
    assert_contains(text, CMDLINE);
    assert_contains(text, "linux /boot/vmlinuz $webops_cmdline");
    cleanup_free char *list = tool(RUN_ARGV("xorriso", "-indev", iso, "-find", "/"));
    assert_contains(list, LABEL);
    assert_null(strstr(list, "config.env"));
    struct stat st;
    assert_true(stat(iso, &st) == 0 && (st.st_mode & 07777) == 0644);
}

static void both_firmwares_find_their_program(void **state) {
    struct place *place = *state;
    struct err err = {0};
    const struct seed none = {0};
    assert_ok(installer_save(&place->build, &none, &err));
    cleanup_free char *iso = path_of(place, ".iso"),
                      *report = tool(RUN_ARGV("xorriso", "-indev", iso, "-report_el_torito", "plain", "-report_system_area", "plain"));
    assert_contains(report, "El Torito boot img :   1  BIOS  y");
    assert_contains(report, "El Torito boot img :   2  UEFI  y");
    assert_contains(report, "grub2-mbr");
    // The partition that UEFI looks for on a stick holds the kernel image.
    cleanup_free char *table = tool(RUN_ARGV("sfdisk", "--json", iso));
    const char *esp = strstr(table, "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"), *start = strstr(table, "\"start\": ");
    assert_non_null(esp);
    for (const char *next = start; next && next < esp; next = strstr(next + 1, "\"start\": "))
        start = next;
    cleanup_free char *volume = str_printf("%s@@%lld", iso, strtoll(start + strlen("\"start\": "), NULL, 10) * 512);
    cleanup_free char *found = scratch_file(place->scratch, "found.efi"),
                      *uki = graph_path(&place->build.cache, place->build.installer_uki, "uki.efi");
    free(tool(RUN_ARGV("mcopy", "-n", "-i", volume, "::/EFI/BOOT/BOOTX64.EFI", found)));
    assert_same_files(found, uki);
    struct stat st;
    cleanup_fd int fd = open(iso, O_RDONLY | O_CLOEXEC);
    uint8_t sector[512];
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    assert_ok(pread_all(fd, iso, sector, sizeof(sector), 0, &err));
    assert_int_equal(sector[510] << 8 | sector[511], 0x55aa);
    bool is_active = false; // some BIOSes start only from a disk with an active partition
    for (int i = 0; i < 4; i++)
        is_active = is_active || sector[446 + 16 * i] == 0x80;
    assert_true(is_active);
}

static void same_inputs_same_bytes(void **state) {
    struct place *place = *state;
    struct err err = {0};
    const struct seed none = {0};
    static const char *const suffixes[] = {".iso", ".initrd", ".vmlinuz", ".cmdline"};
    for (int round = 0; round < 2; round++) {
        assert_ok(installer_save(&place->build, &none, &err));
        for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
            cleanup_free char *path = path_of(place, suffixes[i]), *kept = str_printf("%s.kept", path);
            if (round == 0)
                assert_int_equal(rename(path, kept), 0);
            else
                assert_same_files(path, kept);
        }
        sleep(round == 0 ? 1 : 0); // whatever is dated by the clock now gets another date
    }
}

static void network_files(void **state) {
    struct place *place = *state;
    struct err err = {0};
    cleanup_free char *config = scratch_file(place->scratch, "config.env"), *secrets = scratch_file(place->scratch, "secrets"),
                      *secret = scratch_file(place->scratch, "secrets/a.secret"), *dir = scratch_file(place->scratch, "unpacked");
    put_text(config, "INSTALL_DISK=smallest\n");
    assert_int_equal(mkdir(secrets, 0700), 0);
    assert_int_equal(mkdir(dir, 0700), 0);
    assert_ok(file_publish(AT_FDCWD, secret, "hidden", 6, 0600, &err));
    const struct seed seed = {.config = config, .secrets = secrets};
    assert_ok(installer_save(&place->build, &seed, &err));
    cleanup_free char *initrd = path_of(place, ".initrd"), *iso = path_of(place, ".iso"), *line = path_of(place, ".cmdline"),
                      *text = tool(RUN_ARGV("cat", line));
    assert_string_equal(text, CMDLINE "\n");
    // The first archive, which GNU cpio reads and the kernel unpacks.
    free(tool(RUN_ARGV("sh", "-c", "cd \"$0\" && cpio -i --quiet < \"$1\"", dir, initrd)));
    cleanup_free char *slot = str_printf("%s/medium/webops/slot.img", dir),
                      *wanted = graph_path(&place->build.cache, place->build.slot, "slot"),
                      *copied = str_printf("%s/medium/webops/secrets/a.secret", dir),
                      *copied_config = str_printf("%s/medium/webops/config.env", dir);
    assert_same_files(slot, wanted);
    assert_same_files(copied, secret);
    assert_same_files(copied_config, config);
    struct stat st;
    assert_true(stat(copied, &st) == 0 && (st.st_mode & 07777) == 0600);
    // The second one begins on a multiple of four and is the medium's own.
    cleanup_free char *own = graph_path(&place->build.cache, place->build.installer_initramfs, "initrd"),
                      *tail = scratch_file(place->scratch, "tail");
    struct stat whole, part;
    assert_true(stat(initrd, &whole) == 0 && stat(own, &part) == 0);
    assert_int_equal((whole.st_size - part.st_size) % 4, 0);
    cleanup_free char *bytes = str_printf("%lld", (long long)part.st_size);
    free(tool(RUN_ARGV("sh", "-c", "tail -c \"$0\" \"$1\" > \"$2\"", bytes, initrd, tail)));
    assert_same_files(tail, own);
    // And the medium has the same configuration; both are for nobody else to read.
    cleanup_free char *on_iso = extract(place, iso, "/webops/config.env"), *secret_on_iso = extract(place, iso, "/webops/secrets/a.secret");
    assert_same_files(on_iso, config);
    assert_same_files(secret_on_iso, secret);
    assert_true(stat(iso, &st) == 0 && (st.st_mode & 07777) == 0600);
    assert_true(stat(initrd, &st) == 0 && (st.st_mode & 07777) == 0600);
    cleanup_free char *list = tool(RUN_ARGV("xorriso", "-indev", iso, "-lsdl", "/webops/secrets", "/webops/secrets/a.secret"));
    assert_contains(list, "drwx------");
    assert_contains(list, "-rw-------");
}

static void failure_leaves_nothing(void **state) {
    struct place *place = *state;
    struct err err = {0};
    const struct seed none = {0};
    cleanup_free char *bmap = scratch_file(place->scratch, "p-1.0.bmap");
    assert_int_equal(unlink(bmap), 0);
    assert_true(installer_save(&place->build, &none, &err) < 0);
    assert_contains(err.text, "making the installation medium");
    cleanup_free char *list = tool(RUN_ARGV("ls", "-A", place->scratch->path));
    assert_null(strstr(list, "installer"));
}

// As after `mcopy -i p-1.0.raw@@2M secrets …`: the build's files are still of the right size.
static void changed_images_are_refused(void **state) {
    struct place *place = *state;
    struct err err = {0};
    const struct seed none = {0};
    cleanup_free char *raw = scratch_file(place->scratch, "p-1.0.raw");
    flip_bit(raw, 1500000);
    assert_int_equal(installer_save(&place->build, &none, &err), -EBADMSG);
    assert_contains(err.text, raw);
    assert_contains(err.text, "changed after it was built");
    assert_contains(err.text, "Remove it: the same command makes it anew");
    cleanup_free char *list = tool(RUN_ARGV("ls", "-A", place->scratch->path));
    assert_null(strstr(list, "installer"));
    flip_bit(raw, 1500000);
    assert_ok(installer_save(&place->build, &none, &err));
}

// A zstd that looks around before it works.
static void secrets_come_after_the_compression(void **state) {
    struct place *place = *state;
    struct err err = {0};
    cleanup_free char *config = scratch_file(place->scratch, "config.env"), *bin = scratch_file(place->scratch, "bin"),
                      *zstd = scratch_file(place->scratch, "bin/zstd"), *seen = scratch_file(place->scratch, "seen"),
                      *path = str_printf("%s:%s", bin, getenv("PATH")), *kept = str_dup(getenv("PATH")),
                      *script = str_printf("#!/bin/sh\nfind '%s'/.p-1.0-installer.* >'%s'\nexec /usr/bin/zstd \"$@\"\n",
                                           place->scratch->path, seen);
    assert_int_equal(mkdir(bin, 0700), 0);
    assert_ok(file_publish(AT_FDCWD, zstd, script, strlen(script), 0755, &err));
    put_text(config, "INSTALL_DISK=smallest\n");
    const struct seed seed = {.config = config};
    setenv("PATH", path, 1);
    assert_ok(installer_save(&place->build, &seed, &err));
    setenv("PATH", kept, 1);
    cleanup_free char *list = tool(RUN_ARGV("cat", seen));
    assert_contains(list, ".p-1.0-installer.webops-");
    assert_null(strstr(list, "user-data"));
}

static void label_of_a_slot(void **state) {
    (void)state;
    cleanup_free char *label = build_medium_label(SLOT_BOOT);
    assert_string_equal(label, LABEL);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(medium_holds_everything),
        TEST(both_firmwares_find_their_program),
        TEST(same_inputs_same_bytes),
        TEST(network_files),
        TEST(failure_leaves_nothing),
        TEST(changed_images_are_refused),
        TEST(secrets_come_after_the_compression),
        cmocka_unit_test(label_of_a_slot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
