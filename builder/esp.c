// SPDX-License-Identifier: Apache-2.0
// mkfs.vfat and mtools on a range of a disk image. The list of files is a table; their texts are made here.
#include "builder/esp.h"
#include "builder/fat.h"
#include "builder/grub.h"
#include "builder/secureboot.h"
#include "builder/tool_log.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/grubenv.h"
#include "common/run.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#define LOADER_CONF "timeout 0\neditor no\n"
#define FAT_EPOCH (uint64_t)315532800 // 1980-01-01, the first day FAT can name

// The tools' environment: fixed time, zone and language, no configuration of the host's.
struct environment {
    char *path, *epoch;
    const char *list[8];
};

static void environment_done(struct environment *environment) {
    free(environment->path);
    free(environment->epoch);
}

static void environment_init(struct environment *environment, uint64_t epoch) {
    const char *path = getenv("PATH");
    environment->path = str_printf("PATH=%s", path ? path : "/usr/sbin:/usr/bin:/sbin:/bin");
    environment->epoch = str_printf("SOURCE_DATE_EPOCH=%" PRIu64, epoch < FAT_EPOCH ? FAT_EPOCH : epoch);
    const char *list[] = {environment->path,     environment->epoch,   "TZ=UTC", "LC_ALL=C.UTF-8",
                          "MTOOLS_SKIP_CHECK=1", "MTOOLSRC=/dev/null", NULL};
    memcpy(environment->list, list, sizeof(list));
}

// mkfs.vfat's own choice for plain files (4096 bytes) gives a small partition fewer clusters than FAT32 must have, and firmware then takes
// it for FAT16.
static unsigned sectors_per_cluster(uint64_t size) {
    unsigned sectors = 8;
    while (sectors > 1 && size / 512 / sectors < 70000)
        sectors /= 2;
    return sectors;
}

static int make_file_system(const struct identity *identity, const struct environment *environment, const char *disk_path, uint64_t offset,
                            uint64_t size, struct err *err) {
    cleanup_free char *at = str_printf("--offset=%" PRIu64, offset / 512);
    cleanup_free char *hidden = str_printf("%" PRIu64, offset / 512);
    cleanup_free char *blocks = str_printf("%" PRIu64, size / 1024);
    cleanup_free char *cluster = str_printf("%u", sectors_per_cluster(size));
    cleanup_free char *serial = str_printf("%08x", identity_u32(identity, "esp serial")), *path = tool_path(disk_path);
    struct run mkfs = {
        .argv = RUN_ARGV("mkfs.vfat", "-F", "32", "-s", cluster, "--invariant", "-i", serial, "-n", "ESP", "-h", hidden, at, path, blocks),
        .env = environment->list,
    };
    return run_quiet(&mkfs, err);
}

static int text_fd(const char *text, size_t size, struct err *err) {
    cleanup_fd int fd = memfd_create("esp", MFD_CLOEXEC);
    if (fd < 0)
        return err_sys(err, -errno, "memfd_create");
    int r = file_write_all(fd, "memfd", text, size ? size : strlen(text), err);
    if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
        r = err_sys(err, -errno, "memfd");
    return r < 0 ? r : take_fd(&fd);
}

struct esp_file {
    const char *target; // mtools path
    const char *source; // NULL: `text`
    const char *text;
    size_t size; // of the text; 0: up to its NUL
};

static int add_file(const struct environment *environment, const char *image, const struct esp_file *file, struct err *err) {
    cleanup_fd int text = file->source ? -1 : text_fd(file->text, file->size, err);
    cleanup_free char *source = file->source ? tool_path(file->source) : str_dup("-");
    if (!file->source && text < 0)
        return text;
    struct run mcopy = {
        .argv = RUN_ARGV("mcopy", "-i", image, source, file->target),
        .env = environment->list,
        .in = file->source ? 0 : text,
    };
    int r = run_quiet(&mcopy, err);
    return r < 0 ? err_prefix(err, r, "ESP: writing %s", file->target + 2) : 0;
}

static char *entry_text(const struct esp_input *input) {
    return str_printf("title webops %s %s\nsort-key webops\nversion %" PRIu64 "\nefi /EFI/webops/a.efi\n", input->identity.profile,
                      input->identity.version, input->sequence);
}

// Where systemd-boot looks for them (loader.conf(5), secure-boot-enroll).
static int add_keys(const struct esp_input *input, const struct environment *environment, const char *image, struct err *err) {
    const struct run mmd = {.argv = RUN_ARGV("mmd", "-i", image, "::/loader/keys", "::/loader/keys/auto"), .env = environment->list};
    int r = run_quiet(&mmd, err);
    for (const char *const *file = secureboot_key_files; r == 0 && *file; file++) {
        cleanup_free char *target = str_printf("::/loader/keys/auto/%s", *file);
        cleanup_free char *source = str_printf("%s/%s", input->secure_boot_keys, *file);
        r = add_file(environment, image, &(struct esp_file){target, .source = source}, err);
    }
    return r;
}

// Firmware counts tries by renaming an entry, and its FAT driver always appends the new name, so that loader/entries grows by two slots with each
// counted start. To make the directory longer firmware writes several sectors; a power cut between them leaves a directory that no firmware reads,
// and with it a machine without any entry (docs/RELIABILITY.md). So it is made long enough once.
static int reserve_entries(const char *disk_path, uint64_t offset, struct err *err) {
    struct fat *fat = NULL;
    cleanup_fd int fd = file_open(AT_FDCWD, disk_path, O_RDWR, 0, err);
    int r = fd < 0 ? fd : fat_open(fd, disk_path, offset, &fat, err);
    if (r >= 0)
        r = fat_reserve(fat, "loader/entries", ESP_ENTRIES_BYTES, err);
    if (r >= 0)
        r = fat_save(fat, err);
    fat_free(fat);
    return r < 0 ? err_prefix(err, r, "%s: making room for boot entries", disk_path) : 0;
}

// A range of a disk for mtools, by an open descriptor: its path may have an "@@", too.
static char *range_name(int fd, uint64_t offset) {
    cleanup_free char *path = tool_fd_path(fd);
    return str_printf("%s@@%" PRIu64, path, offset);
}

static int add_files(const struct esp_input *input, const struct environment *environment, const char *disk_path, uint64_t offset,
                     struct err *err) {
    cleanup_fd int fd = file_open(AT_FDCWD, disk_path, O_RDWR, 0, err);
    cleanup_free char *image = range_name(fd, offset);
    cleanup_free char *entry = entry_text(input);
    cleanup_buf struct buf grub = {0};
    uint8_t environment_block[GRUBENV_BYTES];
    grubenv_format(&(struct grubenv){.number = 1, .good = 'a'}, environment_block);
    int r = fd < 0 ? fd : grubenv_format_cmdline(input->cmdline, &grub, err);
    if (r < 0)
        return r;
    const struct esp_file files[] = {
        {"::/EFI/BOOT/BOOTX64.EFI", .source = input->restart_path},
        {"::/EFI/systemd/systemd-bootx64.efi", .source = input->systemd_boot_path},
        {"::/EFI/webops/a.efi", .source = input->uki_path},
        // systemd-boot enrols only when the firmware is in setup mode.
        {"::/loader/loader.conf", .text = input->secure_boot_keys ? LOADER_CONF "secure-boot-enroll force\n" : LOADER_CONF},
        {"::/loader/entries/a.conf", .text = entry},
        {"::/grub/grub.cfg", .text = grub_config},
        {"::/grub/env1", .text = (const char *)environment_block, .size = sizeof(environment_block)},
        {"::/grub/env2", .text = (const char *)environment_block, .size = sizeof(environment_block)},
        {"::/webops/a.cfg", .text = buf_str(&grub)},
        {"::/webops/a.linux", .source = input->linux_path},
        {"::/webops/a.initrd", .source = input->initrd_path},
    };
    struct run mmd = {
        .argv = RUN_ARGV("mmd", "-i", image, "::/EFI", "::/EFI/BOOT", "::/EFI/systemd", "::/EFI/webops", "::/loader", "::/loader/entries",
                         "::/grub", "::/webops"),
        .env = environment->list,
    };
    r = run_quiet(&mmd, err);
    if (r == 0)
        r = reserve_entries(disk_path, offset, err);
    for (unsigned i = 0; r == 0 && i < ARRAY_SIZE(files); i++)
        r = add_file(environment, image, &files[i], err);
    return r < 0 || !input->secure_boot_keys ? r : add_keys(input, environment, image, err);
}

int esp_create(const struct esp_input *input, const char *disk_path, uint64_t offset, uint64_t size, struct err *err) {
    cleanup(environment_done) struct environment environment = {0};
    if (size < ESP_MIN_BYTES)
        return err_set(err, -EINVAL, "ESP: %" PRIu64 " bytes are too few for FAT32, at least %" PRIu64 " are needed", size, ESP_MIN_BYTES);
    environment_init(&environment, input->source_date_epoch);
    int r = make_file_system(&input->identity, &environment, disk_path, offset, size, err);
    return r < 0 ? r : add_files(input, &environment, disk_path, offset, err);
}

int esp_read_file(const char *disk_path, uint64_t offset, const char *path, const char *to_path, struct err *err) {
    cleanup(environment_done) struct environment environment = {0};
    cleanup_fd int fd = file_open(AT_FDCWD, disk_path, O_RDONLY, 0, err);
    if (fd < 0)
        return fd;
    cleanup_free char *image = range_name(fd, offset), *source = str_printf("::%s", path), *to = tool_path(to_path);
    environment_init(&environment, 0);
    struct run mcopy = {.argv = RUN_ARGV("mcopy", "-n", "-i", image, source, to), .env = environment.list, .timeout_ms = 60000};
    int r = run_quiet(&mcopy, err);
    return r < 0 ? err_prefix(err, r, "%s: reading %s from the ESP", disk_path, path) : 0;
}
