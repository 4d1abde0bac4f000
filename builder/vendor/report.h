// SPDX-License-Identifier: Apache-2.0
// What webops-guestfs tells of a disk (docs/FORMATS.md "Report of webops-guestfs"), and what follows from it for a base. Pure, no I/O.
#pragma once
#include "builder/package_set.h"
#include "builder/recipe.h"

#define VENDOR_REPORT_MAX_BYTES (16 << 20)

struct vendor_partition {
    char *device;
    uint64_t offset, bytes;
};
struct vendor_file_system {
    char *device, *type, *label; // type: "ext4", "unknown", "crypto_LUKS", …
};
struct vendor_package {
    char *name, *version, *architecture;
};
struct vendor_system { // an operating system
    char *root, *type, *distribution, *name, *version, *architecture, *packages_are; // "linux", "debian", …; "x86_64"; "deb", "rpm"
    struct strings kernels, modules; // releases: of /boot/vmlinuz-*, and of the trees in /lib/modules
    struct strings module_kernels; // those of the trees that have a vmlinuz of their own
    uint64_t used_bytes; // of its file systems
    struct vendor_package *packages;
    size_t package_count;
};
struct vendor_report {
    uint64_t bytes; // of the disk
    char *table; // "gpt", …; "" = none
    struct vendor_partition *partitions;
    size_t partition_count;
    struct vendor_file_system *file_systems;
    size_t file_system_count;
    struct vendor_system *systems; // kernels, modules and packages only when there is one
    size_t system_count;
};

int vendor_report_parse(const char *text, size_t size, struct vendor_report *ret_report, struct err *err) must_check nonnull(1, 3, 4);
void vendor_report_done(struct vendor_report *report);

// Whether a base of this image can be made of the disk: one Linux, of the definition's architecture and package manager. `disk` is for messages.
int vendor_report_check(const struct vendor_report *report, const struct recipe_image *image, const char *disk, struct err *err) must_check
    nonnull(1, 2, 3, 4);
// The newest of the kernels, of /boot or beside their modules, that have modules; NULL = none. Owned by `system`.
const char *vendor_kernel_find(const struct vendor_system *system) nonnull(1);
// What the stream leaves out, one pattern a line: the definition's `remove`, every kernel but `kernel` (NULL = all of them), and rpm's database, which
// is put back in another place.
void vendor_exclude_format(const struct recipe_image *image, const struct vendor_system *system, const char *kernel, struct buf *ret_text)
    nonnull(1, 2, 4);
// The packages of a dpkg status as a set, without those of `removed` (may be NULL). The file that each of them comes in is the disk: so the set stands
// for the disk's bytes, too.
int vendor_package_set(const char *status, size_t size, const struct strings *removed, const struct recipe_disk *disk, uint64_t disk_bytes,
                       struct package_set *ret_set, struct err *err) must_check nonnull(1, 4, 6, 7);
// Which rpm packages of the status are to be removed, as NAME-VERSION.ARCHITECTURE: those that `remove` names and are there, and those of every kernel
// but `kernel` (NULL = all of them).
int vendor_removed_packages(const char *status, size_t size, const struct recipe_image *image, const struct vendor_system *system,
                            const char *kernel, struct strings *ret_removed, struct err *err) must_check nonnull(1, 3, 4, 6, 7);

#define cleanup_vendor_report cleanup(vendor_report_done)
