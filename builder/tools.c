// SPDX-License-Identifier: Apache-2.0
// The Debian packages of what the builder starts or reads, by name. Where those are is found elsewhere (build.c, PATH).
#include "builder/tools.h"
#include "common/run.h"
#include <string.h>

static const struct {
    const char *name, *package;
} tools[] = {
    {"apt-cache", "apt"},
    {"apt-config", "apt"},
    {"apt-get", "apt"},
    {"cert-to-efi-sig-list", "efitools"},
    {"dpkg-deb", "dpkg"},
    {"gpg", "gnupg"},
    {"grub boot.img", "grub-pc-bin"},
    {"grub-mkimage", "grub-common"},
    {"mcopy", "mtools"},
    {"mkfs.ext4", "e2fsprogs"},
    {"mkfs.vfat", "dosfstools"},
    {"mksquashfs", "squashfs-tools"},
    {"mmd", "mtools"},
    {"mmdebstrap", "mmdebstrap"},
    {"qemu-img", "qemu-utils"},
    {"qemu-io", "qemu-utils"},
    {"qemu-system-x86_64", "qemu-system-x86"},
    {"rpm", "rpm"},
    {"rpmdb", "rpm"},
    {"rpmkeys", "rpm"},
    {"sbsign", "sbsigntool"},
    {"setpriv", "util-linux"},
    {"sign-efi-sig-list", "efitools"},
    {"ssh", "openssh-client"},
    {"ssh-keygen", "openssh-client"},
    {"ssh-keyscan", "openssh-client"},
    {"systemd-boot", "systemd-boot-efi"},
    {"systemd-stub", "systemd-boot-efi"},
    {"tar", "tar"},
    {"unshare", "util-linux"},
    {"unsquashfs", "squashfs-tools"},
    {"xorriso", "xorriso"},
    {"zstd", "zstd"},
};

const char *tools_package(const char *name) {
    for (size_t i = 0; i < ARRAY_SIZE(tools); i++)
        if (strcmp(tools[i].name, name) == 0)
            return tools[i].package;
    return NULL;
}

// common/run.h declares it for programs that know packages, of which this is one.
const char *run_package(const char *program) {
    return tools_package(program);
}
