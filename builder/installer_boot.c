// SPDX-License-Identifier: Apache-2.0
// What firmware starts from an installation medium: GRUB with kernel and initramfs under BIOS, the unified kernel image under UEFI.
#include "builder/installer.h"
#include "builder/identity.h"
#include "builder/tool_log.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/grubenv.h"
#include "common/run.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define MIB ((uint64_t)1 << 20)

int installer_save_grub(const struct installer *installer, const char *path, struct err *err) {
    // Read by GRUB's rescue parser, which knows no conditions; `normal` then reads grub.cfg below the prefix.
    cleanup_free char *text = str_printf("search.fs_label %s root\nset prefix=($root)/boot/grub\n", installer->label);
    cleanup_free char *script = str_printf("%s/early.cfg", installer->dir),
                      *grub_dir = str_dup(installer->build->tools[TOOL_GRUB_BOOT].path);
    *strrchr(grub_dir, '/') = 0;
    const struct run mkimage = {
        .argv = RUN_ARGV("grub-mkimage", "-O", "i386-pc-eltorito", "-d", grub_dir, "-o", path, "-p", "/boot/grub", "-c", script, "biosdisk",
                         "iso9660", "part_gpt", "part_msdos", "search", "search_label", "normal", "configfile", "linux", "test", "true",
                         "echo", "serial", "terminal", "reboot", "sleep"),
    };
    int r = file_publish(AT_FDCWD, script, text, strlen(text), 0644, err);
    return r < 0 ? r : run_quiet(&mkimage, err);
}

int installer_save_grub_config(const struct installer *installer, const char *path, struct err *err) {
    cleanup_buf struct buf text = {0};
    buf_add_str(&text, "# Written by webops-image. BIOS machines; under UEFI the firmware starts EFI/BOOT/BOOTX64.EFI.\n"
                       "if serial --unit=0 --speed=115200; then\n"
                       "  terminal_input console serial\n"
                       "  terminal_output console serial\n"
                       "fi\n");
    int r = grubenv_format_cmdline(installer->cmdline, &text, err);
    if (r < 0)
        return r;
    buf_add_str(&text, "echo 'webops: loading the installer'\n"
                       "if linux /boot/vmlinuz $webops_cmdline; then\n"
                       "  if initrd /boot/initrd; then boot; fi\n"
                       "fi\n"
                       "echo 'webops: the medium cannot be read; restarting in 10 seconds'\n"
                       "sleep 10\n"
                       "reboot\n");
    return file_publish(AT_FDCWD, path, text.data, text.size, 0644, err);
}

static int efi_bytes(const char *uki, uint64_t *ret_bytes, struct err *err) {
    struct stat st;
    if (stat(uki, &st) < 0)
        return err_sys(err, -errno, "cannot look at %s", uki);
    *ret_bytes = ((uint64_t)st.st_size + 2 * MIB) / MIB * MIB; // the file system itself takes some ten KiB
    return 0;
}

int installer_save_efi(const struct installer *installer, const char *path, struct err *err) {
    const struct build *build = installer->build;
    const struct identity identity = {build->recipe.profile->name, build->recipe.profile->version};
    cleanup_free char *epoch = str_printf("SOURCE_DATE_EPOCH=%lld", (long long)build->epoch);
    cleanup_tool_env char **env = tool_env((const char *const[]){epoch, "TZ=UTC", "MTOOLS_SKIP_CHECK=1", "MTOOLSRC=/dev/null", NULL});
    cleanup_free char *uki = graph_path(&build->cache, build->installer_uki, "uki.efi"),
                      *serial = str_printf("%08x", identity_u32(&identity, "installer serial"));
    const char *const *tools_env = (const char *const *)env;
    uint64_t bytes = 0;
    int r = efi_bytes(uki, &bytes, err);
    cleanup_free char *blocks = str_printf("%llu", (unsigned long long)bytes / 1024);
    if (r >= 0)
        r = run_quiet(&(struct run){.argv = RUN_ARGV("mkfs.vfat", "-C", "--invariant", "-i", serial, "-n", "INSTALLER", path, blocks),
                                    .env = tools_env},
                      err);
    cleanup_fd int fd = r < 0 ? r : file_open(AT_FDCWD, path, O_RDWR, 0, err);
    cleanup_free char *image = tool_fd_path(fd), *source = tool_path(uki);
    if (fd < 0)
        return fd;
    r = run_quiet(&(struct run){.argv = RUN_ARGV("mmd", "-i", image, "::/EFI", "::/EFI/BOOT"), .env = tools_env}, err);
    return r < 0
               ? r
               : run_quiet(&(struct run){.argv = RUN_ARGV("mcopy", "-i", image, source, "::/EFI/BOOT/BOOTX64.EFI"), .env = tools_env}, err);
}
