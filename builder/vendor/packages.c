// SPDX-License-Identifier: Apache-2.0
// The packages of a disk: as a set, and which of them an image does not take over. Pure, no I/O.
#include "builder/dpkg_status.h"
#include "builder/vendor/report.h"
#include <errno.h>
#include <string.h>

static const char *without_epoch(const char *version) {
    const char *colon = strchr(version, ':');
    return colon ? colon + 1 : version;
}

// As rpm is told which one of several versions is meant.
static char *specification(const struct dpkg_package *p) {
    return str_printf("%s-%s.%s", p->name, without_epoch(p->version), p->architecture);
}

int vendor_package_set(const char *status, size_t size, const struct strings *removed, const struct recipe_disk *disk, uint64_t disk_bytes,
                       struct package_set *ret_set, struct err *err) {
    cleanup_dpkg_status struct dpkg_status list = {0};
    cleanup_buf struct buf lines = {0};
    int r = dpkg_status_parse(status, size, &list, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < list.count; i++) {
        const struct dpkg_package *p = &list.packages[i];
        cleanup_free char *name = specification(p);
        if (p->installed && (!removed || !strings_has(removed, name)))
            buf_printf(&lines, "%s\t%s\t%s\t%s\t%llu\t%s\tdisk:%s\n", p->name, p->version, p->architecture, disk->sha256,
                       (unsigned long long)disk_bytes, disk->sha256, disk->sha256);
    }
    if (!lines.size)
        return err_set(err, -EINVAL, "the list of packages names no installed package");
    return package_set_parse(buf_str(&lines), lines.size, ret_set, err);
}

// Packages that stand for a release of the kernel: each is there once for every kernel.
static bool is_kernel_part(const char *name) {
    static const char *const names[] = {"kernel", "kernel-core", "kernel-modules", "kernel-modules-core", "kernel-modules-extra"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

// A package of another kernel on the disk; without `kernel`, which a package on top brings then, of any.
static bool is_of_other_kernel(const struct dpkg_package *p, const struct vendor_system *system, const char *kernel) {
    if (!is_kernel_part(p->name))
        return false;
    cleanup_free char *release = str_printf("%s.%s", without_epoch(p->version), p->architecture);
    return !kernel || (strcmp(release, kernel) != 0 && (strings_has(&system->modules, release) || strings_has(&system->kernels, release)));
}

int vendor_removed_packages(const char *status, size_t size, const struct recipe_image *image, const struct vendor_system *system,
                            const char *kernel, struct strings *ret_removed, struct err *err) {
    cleanup_dpkg_status struct dpkg_status list = {0};
    int r = dpkg_status_parse(status, size, &list, err);
    for (size_t i = 0; r >= 0 && i < list.count; i++) {
        const struct dpkg_package *p = &list.packages[i];
        cleanup_free char *name = specification(p);
        if (strings_has(&image->remove, p->name) || is_of_other_kernel(p, system, kernel))
            strings_add(ret_removed, name);
    }
    return r;
}
