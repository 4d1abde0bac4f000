// SPDX-License-Identifier: Apache-2.0
// The whole disk, and grub/esp/state by themselves: fsck.vfat, e2fsck, sgdisk, mtools and veritysetup look at what was assembled.
#include "common/grubenv.h"
#include "builder/grub.h"
#include "builder/state.h"
#include "builder/test/support.h"
#include <inttypes.h>

#define CMDLINE "console=ttyS0 panic=10 webops.slot=00:1:22"
#define EPOCH 1700000000

struct fixture {
    struct scratch *scratch;
    char *slot, *uki, *linux_path, *initrd, *restart, *disk;
    struct slotimage image;
    struct disk_input input;
};

static void make_slot(struct fixture *fixture) {
    struct err err = {0};
    cleanup_free char *layer = scratch_file(fixture->scratch, "base.squashfs");
    put_random(layer, 600000, 9);
    struct slotimage_layer part = layer_of("base", layer);
    const struct slotimage_input input = {
        .profile = "test", .version = "1.0", .sequence = 3, .slot_bytes = 2 * MIB, .layers = &part, .layer_count = 1};
    assert_ok(slotimage_create(&input, AT_FDCWD, fixture->slot, &fixture->image, &err));
}

static int fixture_setup(void **state) {
    struct fixture *f = mem_array(1, sizeof(*f));
    struct err err = {0};
    scratch_setup((void **)&f->scratch);
    f->slot = scratch_file(f->scratch, "slot.img");
    f->uki = scratch_file(f->scratch, "a.efi");
    f->linux_path = scratch_file(f->scratch, "vmlinuz");
    f->initrd = scratch_file(f->scratch, "initrd");
    f->disk = scratch_file(f->scratch, "disk.raw");
    make_slot(f);
    put_random(f->uki, 300000, 4);
    put_random(f->linux_path, 200000, 5);
    put_random(f->initrd, 100000, 6);
    f->restart = scratch_file(f->scratch, "restart.efi");
    put_random(f->restart, 3000, 7);
    f->input = (struct disk_input){
        .esp = {.identity = {"test", "1.0"},
                .sequence = 3,
                .uki_path = f->uki,
                .linux_path = f->linux_path,
                .initrd_path = f->initrd,
                .cmdline = CMDLINE,
                .systemd_boot_path = SYSTEMD_BOOT_PATH,
                .restart_path = f->restart,
                .source_date_epoch = EPOCH},
        .sizes = {40 * MIB, 2 * MIB, 20 * MIB},
        .slot_path = f->slot,
        .grub_dir = GRUB_DIR,
        .temp_dir = f->scratch->path,
    };
    assert_ok(disk_create(&f->input, f->disk, &err));
    *state = f;
    return 0;
}

static int fixture_teardown(void **state) {
    struct fixture *f = *state;
    int r = scratch_teardown((void **)&f->scratch);
    free(f->slot);
    free(f->uki);
    free(f->linux_path);
    free(f->initrd);
    free(f->restart);
    free(f->disk);
    free(f);
    return r;
}

// The partition as a file of its own; the caller frees.
static char *cut_out(const struct fixture *f, enum disk_partition which) {
    struct gpt_partition plan[DISK_PARTITIONS];
    uint64_t bytes;
    struct err err = {0};
    assert_ok(disk_plan(&f->input.esp.identity, &f->input.sizes, plan, &bytes, &err));
    char *path = scratch_file(f->scratch, plan[which].name);
    cleanup_fd int from = open(f->disk, O_RDONLY | O_CLOEXEC);
    cleanup_fd int to = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_ok(digest_copy_plain(from, f->disk, plan[which].offset, plan[which].size, to, 0, &err));
    return path;
}

static void plan_is_gap_free(void **state) {
    (void)state;
    struct gpt_partition plan[DISK_PARTITIONS];
    uint64_t bytes = 0;
    struct err err = {0};
    const struct identity identity = {"quickstart", "1.0"};
    assert_ok(disk_plan(&identity, &(struct disk_sizes){512 * MIB, 2048 * MIB, 64 * MIB}, plan, &bytes, &err));
    uint64_t end = MIB;
    for (unsigned i = 0; i < DISK_PARTITIONS; i++) {
        assert_int_equal(plan[i].offset, end);
        end += plan[i].size;
    }
    assert_int_equal(bytes, end + MIB);
    assert_string_equal(plan[DISK_SLOT_B].name, "webops-b");
    assert_string_not_equal(plan[DISK_SLOT_A].uuid, plan[DISK_SLOT_B].uuid);
    static const struct disk_sizes bad[] = {{0, MIB, MIB},          {MIB, 0, MIB},          {MIB, MIB, MIB + 1},
                                            {MIB, MIB + 4096, MIB}, {UINT64_MAX, MIB, MIB}, {MIB, (uint64_t)1 << 62, MIB}};
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(disk_plan(&identity, &bad[i], plan, &bytes, &err), -EINVAL);
}

static void table_is_sound(void **state) {
    const struct fixture *f = *state;
    cleanup_free char *verdict = tool(RUN_ARGV("/sbin/sgdisk", "-v", f->disk));
    assert_contains(verdict, "No problems found");
    cleanup_free char *table = tool(RUN_ARGV("/sbin/sgdisk", "-p", f->disk));
    static const char *const names[] = {"EF02  bios", "EF00  esp", "8300  webops-a", "8300  webops-b", "8300  webops-state"};
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
        assert_contains(table, names[i]);
}

static void slot_a_verifies_in_place(void **state) {
    const struct fixture *f = *state;
    char root[65];
    cleanup_free char *slot = cut_out(f, DISK_SLOT_A);
    cleanup_free char *offset = str_printf("--hash-offset=%" PRIu64, f->image.header.data_bytes);
    cleanup_free char *blocks = str_printf("--data-blocks=%" PRIu64, f->image.header.data_bytes / 4096);
    hex_format(f->image.root_hash, 32, root);
    free(tool(RUN_ARGV("veritysetup", "verify", "--no-superblock", "--salt=-", offset, blocks, slot, slot, root)));
}

static void slot_b_is_zero(void **state) {
    cleanup_free char *slot = cut_out(*state, DISK_SLOT_B);
    uint8_t got[DIGEST_BYTES], wanted[DIGEST_BYTES];
    cleanup_free char *zeros = mem_array(2 * MIB, 1);
    hash_file(slot, got);
    digest_bytes(zeros, 2 * MIB, wanted);
    assert_memory_equal(got, wanted, sizeof(got));
}

// Zeros that must be zeros on a used disk are data in the file, not holes: bmap flashing skips holes.
static void meaningful_zeros_are_written(void **state) {
    const struct fixture *f = *state;
    struct gpt_partition plan[DISK_PARTITIONS];
    uint64_t bytes;
    struct err err = {0};
    assert_ok(disk_plan(&f->input.esp.identity, &f->input.sizes, plan, &bytes, &err));
    cleanup_fd int fd = open(f->disk, O_RDONLY | O_CLOEXEC);
    assert_true(lseek(fd, (off_t)plan[DISK_STATE].offset, SEEK_HOLE) >= (off_t)(plan[DISK_STATE].offset + plan[DISK_STATE].size));
    assert_true(lseek(fd, (off_t)plan[DISK_SLOT_B].offset, SEEK_HOLE) >= (off_t)(plan[DISK_SLOT_B].offset + MIB));
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    assert_true((uint64_t)st.st_blocks * 512 < bytes - 30 * MIB); // and the free part of the ESP is a hole
}

static void esp_is_sound(void **state) {
    const struct fixture *f = *state;
    cleanup_free char *esp = cut_out(f, DISK_ESP);
    free(tool(RUN_ARGV("/sbin/fsck.vfat", "-n", esp)));
    cleanup_free char *list = tool(RUN_ARGV("mdir", "-/", "-b", "-i", esp, "::"));
    static const char *const files[] = {
        "::/EFI/BOOT/BOOTX64.EFI",  "::/EFI/systemd/systemd-bootx64.efi",
        "::/EFI/webops/a.efi",      "::/loader/loader.conf",
        "::/loader/entries/a.conf", "::/grub/grub.cfg",
        "::/webops/a.cfg",          "::/webops/a.linux",
        "::/webops/a.initrd",
    };
    for (unsigned i = 0; i < ARRAY_SIZE(files); i++)
        assert_contains(list, files[i]);
    assert_null(strstr(list, "b.efi"));
    assert_null(strstr(list, "a+")); // the shipped slot is never counted
}

// mshowfat prints the clusters of a file as "<1,2,4-6>".
static void entries_have_room(void **state) {
    const struct fixture *f = *state;
    cleanup_free char *esp = cut_out(f, DISK_ESP);
    cleanup_free char *text = tool(RUN_ARGV("mshowfat", "-i", esp, "::/loader/entries"));
    unsigned clusters = 0, first, last;
    for (const char *range = strchr(text, '<'); range && range[1]; range = strpbrk(range + 1, ",<>")) {
        int found = sscanf(range + 1, "%u-%u", &first, &last);
        clusters += found == 2 ? last - first + 1 : found == 1 ? 1 : 0;
    }
    assert_int_equal(clusters * 512, ESP_ENTRIES_BYTES); // 40 MiB have clusters of one sector
    cleanup_free char *root = tool(RUN_ARGV("mshowfat", "-i", esp, "::/webops"));
    assert_null(strchr(root, '-')); // one cluster, and not one of those
    free(tool(RUN_ARGV("/sbin/fsck.vfat", "-n", esp)));
}

static char *esp_file(const struct fixture *f, const char *path) {
    char *copy = scratch_file(f->scratch, "esp-copy");
    struct err err = {0};
    assert_ok(esp_read_file(f->disk, 2 * MIB, path, copy, &err));
    return copy;
}

static void esp_files_are_ours(void **state) {
    const struct fixture *f = *state;
    const struct {
        const char *path, *source;
    } same[] = {
        {"/EFI/webops/a.efi", f->uki},         {"/webops/a.linux", f->linux_path},
        {"/webops/a.initrd", f->initrd},       {"/EFI/systemd/systemd-bootx64.efi", SYSTEMD_BOOT_PATH},
        {"/EFI/BOOT/BOOTX64.EFI", f->restart},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(same); i++) {
        cleanup_free char *copy = esp_file(f, same[i].path);
        assert_same_files(copy, same[i].source);
    }
    static const struct {
        const char *path, *text;
    } texts[] = {
        {"/loader/entries/a.conf", "title webops test 1.0\nsort-key webops\nversion 3\nefi /EFI/webops/a.efi\n"},
        {"/webops/a.cfg", "set webops_cmdline=\"" CMDLINE "\"\n"},
        {"/grub/grub.cfg", grub_config},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(texts); i++) {
        struct err err = {0};
        cleanup_free char *copy = esp_file(f, texts[i].path), *text = NULL;
        assert_ok(file_read(AT_FDCWD, copy, 65536, &text, NULL, &err));
        assert_string_equal(text, texts[i].text);
    }
    struct err err = {0};
    for (unsigned i = 1; i <= 2; i++) { // read by GRUB's own tool, too
        cleanup_free char *path = str_printf("/grub/env%u", i), *copy = esp_file(f, path), *bytes = NULL;
        struct grubenv env = {0};
        size_t size = 0;
        assert_ok(file_read(AT_FDCWD, copy, 4096, &bytes, &size, &err));
        assert_ok(grubenv_parse((uint8_t *)bytes, size, &env, &err));
        assert_int_equal(env.good, 'a');
        assert_int_equal(env.trial, 0);
        cleanup_free char *list = tool(RUN_ARGV("grub-editenv", copy, "list"));
        assert_contains(list, "webops_check=1:a:-:0:0\n");
    }
    cleanup_free char *odd = scratch_file(f->scratch, "odd@@1M.raw"), *out = scratch_file(f->scratch, "esp-copy"); // to mtools an offset
    assert_int_equal(link(f->disk, odd), 0);
    assert_ok(esp_read_file(odd, 2 * MIB, "/loader/loader.conf", out, &err));
    assert_int_equal(unlink(odd), 0);
    cleanup_free char *loader = esp_file(f, "/loader/loader.conf"), *text = NULL;
    assert_ok(file_read(AT_FDCWD, loader, 65536, &text, NULL, &err));
    assert_contains(text, "timeout 0\n");
    assert_null(strstr(text, "default")); // would override what the counters say
    assert_true(esp_read_file(f->disk, 2 * MIB, "/no/such", loader, &err) < 0);
    assert_contains(err.text, "\"::/no/such\" not found");
}

static void grub_is_in_place(void **state) {
    const struct fixture *f = *state;
    uint8_t mbr[512], core[512], boot[512];
    struct err err = {0};
    cleanup_fd int fd = open(f->disk, O_RDONLY | O_CLOEXEC);
    cleanup_fd int image = open(GRUB_DIR "/boot.img", O_RDONLY | O_CLOEXEC);
    assert_ok(pread_all(fd, f->disk, mbr, sizeof(mbr), 0, &err));
    assert_ok(pread_all(fd, f->disk, core, sizeof(core), MIB, &err));
    assert_ok(pread_all(image, "boot.img", boot, sizeof(boot), 0, &err));
    static const uint8_t at_2048[8] = {0, 8}, at_2049[8] = {1, 8};
    assert_memory_equal(mbr + 0x5c, at_2048, 8);
    assert_memory_equal(mbr + 0x66, "\x90\x90", 2);
    assert_memory_equal(mbr, boot, 0x5c);
    assert_memory_equal(mbr + 0x68, boot + 0x68, 440 - 0x68);
    assert_memory_equal(mbr + 510, "\x55\xaa", 2);
    assert_int_equal(mbr[446 + 4], 0xee); // the protective partition is still there
    assert_memory_equal(core + 500, at_2049, 8);
    unsigned sectors = core[508] | core[509] << 8;
    assert_in_range(sectors, 100, 1000);
    assert_memory_equal(core + 510, "\x20\x08", 2);
    cleanup_free char *syntax = scratch_file(f->scratch, "grub.cfg");
    put_file(syntax, grub_config, strlen(grub_config));
    free(tool(RUN_ARGV("grub-script-check", syntax)));
}

static void grub_command_lines(void **state) {
    (void)state;
    cleanup_buf struct buf text = {0};
    struct err err = {0};
    assert_ok(grubenv_format_cmdline("a=b c.d=e:f,g/h+i", &text, &err));
    assert_string_equal(buf_str(&text), "set webops_cmdline=\"a=b c.d=e:f,g/h+i\"\n");
    static const char *const bad[] = {"a\"b", "a$b", "a\\b", "a\nb", "a*b", "caf\xc3\xa9", "a`b"};
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(grubenv_format_cmdline(bad[i], &text, &err), -EINVAL);
}

static void grub_that_does_not_fit(void **state) {
    const struct fixture *f = *state;
    struct err err = {0};
    cleanup_free char *core = scratch_file(f->scratch, "core.img"), *disk = scratch_file(f->scratch, "small-disk");
    assert_ok(grub_core_create(GRUB_DIR, core, &err));
    cleanup_fd int fd = open(disk, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(grub_install(fd, disk, GRUB_DIR, core, MIB, 65536, &err), -EFBIG);
    assert_int_equal(grub_install(fd, disk, "/nonexistent", core, MIB, MIB, &err), -ENOENT);
    assert_true(grub_core_create("/nonexistent", core, &err) < 0);
    assert_contains(err.text, "/nonexistent");
}

static void state_is_sound(void **state) {
    cleanup_free char *path = cut_out(*state, DISK_STATE);
    free(tool(RUN_ARGV("/sbin/e2fsck", "-fn", path)));
    cleanup_free char *info = tool(RUN_ARGV("/sbin/dumpe2fs", "-h", path));
    assert_contains(info, "webops-state");
    assert_contains(info, "resize_inode");
    assert_contains(info, "64bit");
    assert_contains(info, "metadata_csum");
    assert_null(strstr(info, "orphan_file")); // not known to the e2fsck of older distributions
    assert_contains(info, "Tue Nov 14 22:13:20 2023"); // EPOCH
}

static void state_grows(void **state) {
    const struct fixture *f = *state;
    cleanup_free char *path = scratch_file(f->scratch, "grow.ext4");
    uint64_t size = 0;
    struct err err = {0};
    assert_ok(state_create(&f->input.esp.identity, 1024 * MIB, EPOCH, path, &size, &err));
    assert_int_equal(size, 64 * MIB); // a larger partition gets a small file system, which grows on the machine
    assert_int_equal(truncate(path, (off_t)1 << 40), 0);
    free(tool(RUN_ARGV("/sbin/resize2fs", path)));
    cleanup_free char *info = tool(RUN_ARGV("/sbin/dumpe2fs", "-h", path));
    assert_contains(info, "Block count:              268435456");
    assert_contains(info, "Inodes per group:         8192");
    assert_int_equal(state_create(&f->input.esp.identity, 8 * MIB, EPOCH, path, &size, &err), -EINVAL);
}

static void same_inputs_same_bytes(void **state) {
    const struct fixture *f = *state;
    cleanup_free char *second = scratch_file(f->scratch, "second.raw"), *temp = scratch_file(f->scratch, "elsewhere");
    struct err err = {0};
    struct disk_input input = f->input;
    input.temp_dir = temp;
    assert_ok(file_mkdirs(AT_FDCWD, temp, 0700, &err));
    mode_t old = umask(077);
    setenv("TZ", "Asia/Tokyo", 1);
    setenv("LC_ALL", "C", 1);
    sleep(2); // FAT times have two seconds' resolution
    int r = disk_create(&input, second, &err);
    umask(old);
    unsetenv("TZ");
    unsetenv("LC_ALL");
    assert_ok(r);
    assert_same_files(f->disk, second);
    assert_int_equal(rmdir(temp), 0); // and nothing is left behind
}

static void failures_leave_nothing(void **state) {
    const struct fixture *f = *state;
    cleanup_free char *path = scratch_file(f->scratch, "never.raw");
    struct err err = {0};
    struct disk_input input = f->input;
    input.sizes.slot = MIB / 2;
    assert_int_equal(disk_create(&input, path, &err), -EINVAL);
    input = f->input;
    input.slot_path = f->disk; // larger than the slot
    assert_int_equal(disk_create(&input, path, &err), -EFBIG);
    input = f->input;
    input.esp.uki_path = "/nonexistent.efi";
    assert_true(disk_create(&input, path, &err) < 0);
    assert_contains(err.text, "a.efi");
    input = f->input;
    input.sizes.esp = 33 * MIB;
    assert_int_equal(disk_create(&input, path, &err), -EINVAL);
    input = f->input;
    input.sizes.state = 8 * MIB;
    assert_int_equal(disk_create(&input, path, &err), -EINVAL);
    assert_contains(err.text, "state");
    assert_int_equal(access(path, F_OK), -1);
}

// An ESP too full for its files is an error with the tool's words, not a short file.
static void full_esp(void **state) {
    const struct fixture *f = *state;
    cleanup_free char *large = scratch_file(f->scratch, "large.efi"), *path = scratch_file(f->scratch, "full.raw");
    struct err err = {0};
    struct disk_input input = f->input;
    put_file(large, "", 0);
    assert_int_equal(truncate(large, 41 * MIB), 0);
    input.esp.uki_path = large;
    assert_true(disk_create(&input, path, &err) < 0);
    assert_contains(err.text, "/EFI/webops/a.efi");
    assert_contains(err.text, "ull"); // "Disk full"
    assert_int_equal(access(path, F_OK), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plan_is_gap_free),
        cmocka_unit_test(table_is_sound),
        cmocka_unit_test(slot_a_verifies_in_place),
        cmocka_unit_test(slot_b_is_zero),
        cmocka_unit_test(meaningful_zeros_are_written),
        cmocka_unit_test(entries_have_room),
        cmocka_unit_test(esp_is_sound),
        cmocka_unit_test(esp_files_are_ours),
        cmocka_unit_test(grub_is_in_place),
        cmocka_unit_test(grub_command_lines),
        cmocka_unit_test(grub_that_does_not_fit),
        cmocka_unit_test(state_is_sound),
        cmocka_unit_test(state_grows),
        cmocka_unit_test(same_inputs_same_bytes),
        cmocka_unit_test(failures_leave_nothing),
        cmocka_unit_test(full_esp),
    };
    setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
    setenv("TZ", "UTC", 1);
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
