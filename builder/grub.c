// SPDX-License-Identifier: Apache-2.0
// The BIOS boot path. All logic is in grub.cfg on the ESP (grub_script.c); the core image only finds it there.
#include "builder/grub.h"
#include "common/digest.h"
#include "common/file.h"
#include "common/le.h"
#include "common/run.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define SECTOR_BYTES 512
#define BOOT_CODE_BYTES 440 // of the MBR; the disk signature and the protective partition stand behind it
#define BOOT_KERNEL_SECTOR 0x5c // u64: where the core image starts
#define BOOT_DRIVE_CHECK 0x66 // two bytes: NOPs make boot.img trust the drive number the BIOS gives
#define CORE_BLOCK_LIST 500 // in the core's first sector: u64 sector, u16 count, u16 segment
#define CORE_SEGMENT 0x820 // 0x8200: where diskboot.S loads the rest to
#define CORE_MAX_BYTES (1 << 20)

// The prefix without a disk means: partition 2 of the disk the BIOS booted from.
#define PREFIX "(,gpt2)/grub"

int grub_core_create(const char *grub_dir, const char *core_path, struct err *err) {
    struct run mkimage = {
        .argv = RUN_ARGV("grub-mkimage", "-O", "i386-pc", "-d", grub_dir, "-o", core_path, "-p", PREFIX, "biosdisk", "part_gpt", "fat",
                         "normal", "configfile", "linux", "loadenv", "test", "true", "echo", "serial", "terminal", "reboot", "sleep"),
    };
    return run_quiet(&mkimage, err);
}

static int write_core(int disk, const char *disk_name, const char *core_path, uint64_t offset, uint64_t size, struct err *err) {
    cleanup_free char *core = NULL;
    size_t core_size = 0;
    int r = file_read(AT_FDCWD, core_path, CORE_MAX_BYTES, &core, &core_size, err);
    if (r < 0)
        return r;
    uint64_t sectors = (core_size + SECTOR_BYTES - 1) / SECTOR_BYTES;
    if (core_size < 2 * SECTOR_BYTES || core_size > size)
        return err_set(err, -EFBIG, "GRUB's core image has %zu bytes, its partition %llu", core_size, (unsigned long long)size);
    uint8_t *list = (uint8_t *)core + CORE_BLOCK_LIST;
    le_put(list, 8, offset / SECTOR_BYTES + 1);
    le_put(list + 8, 2, sectors - 1);
    le_put(list + 10, 2, CORE_SEGMENT);
    return pwrite_all(disk, disk_name, core, core_size, offset, err);
}

int grub_install(int disk, const char *disk_name, const char *grub_dir, const char *core_path, uint64_t offset, uint64_t size,
                 struct err *err) {
    cleanup_free char *boot_path = str_printf("%s/boot.img", grub_dir);
    cleanup_free char *boot = NULL;
    size_t boot_size = 0;
    int r = file_read(AT_FDCWD, boot_path, SECTOR_BYTES, &boot, &boot_size, err);
    if (r < 0)
        return r;
    if (boot_size != SECTOR_BYTES)
        return err_set(err, -EINVAL, "%s has %zu bytes instead of %d", boot_path, boot_size, SECTOR_BYTES);
    le_put((uint8_t *)boot + BOOT_KERNEL_SECTOR, 8, offset / SECTOR_BYTES);
    memset(boot + BOOT_DRIVE_CHECK, 0x90, 2);
    r = write_core(disk, disk_name, core_path, offset, size, err);
    return r < 0 ? r : pwrite_all(disk, disk_name, boot, BOOT_CODE_BYTES, 0, err);
}
