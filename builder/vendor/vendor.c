// SPDX-License-Identifier: Apache-2.0
// The vendor backend: a base is the tree of an official cloud image; what comes on top of it is resolved and installed by the package manager of that
// image. What is known of a disk is kept beside it in the package cache, under its hash: the appliance starts once for plan and once for the build.
#include "builder/apt.h"
#include "builder/backend.h"
#include "builder/vendor/disk.h"
#include "builder/vendor/guest.h"
#include "builder/vendor/report.h"
#include "common/digest.h"
#include "common/file.h"
#include "common/log.h"
#include "common/slot.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define MAX_STATUS_BYTES (32 << 20)

struct known { // of one disk
    char *disk; // its path
    struct vendor_report report; // checked
    char *status; // dpkg's
    size_t status_size;
    uint64_t disk_bytes; // of the file
};

static void known_done(struct known *known) {
    free(known->disk);
    vendor_report_done(&known->report);
    free(known->status);
}
#define cleanup_known cleanup(known_done)

static char *beside(const struct recipe_image *image, const char *packages_dir, const char *suffix) {
    return str_printf("%s/%s.%s", packages_dir, image->disk->sha256, suffix);
}

static int inspect_into(const char *disk, const char *dir, const char *report_path, const char *status_path, struct err *err) {
    cleanup_free char *status = str_printf("%s/status", dir), *text = NULL;
    struct guest_request request = {.verb = "inspect", .disk = disk, .dir = dir, .status = status};
    size_t size = 0;
    int r = vendor_disk_format(disk, &request.format, err);
    if (r >= 0)
        log_info("looking into %s (libguestfs starts a small virtual machine; kept for the next time)", disk);
    if (r >= 0)
        r = guest_inspect(&request, &text, &size, err);
    if (r >= 0 && file_exists(AT_FDCWD, status) && rename(status, status_path) < 0)
        r = err_sys(err, -errno, "cannot write %s", status_path);
    // Last: a report means that all is there.
    return r < 0 ? r : file_publish(AT_FDCWD, report_path, text, size, 0644, err);
}

static int look_into(const struct recipe_image *image, const char *packages_dir, const char *report_path, struct err *err) {
    cleanup_free char *disk = vendor_disk_path(image->disk, packages_dir), *dir = str_printf("%s/new-XXXXXX", packages_dir);
    cleanup_free char *status_path = beside(image, packages_dir, "status");
    int r = vendor_disk_ensure(image->disk, packages_dir, NULL, err);
    if (r < 0)
        return r;
    if (!mkdtemp(dir))
        return err_sys(err, -errno, "cannot make a directory in %s", packages_dir);
    r = inspect_into(disk, dir, report_path, status_path, err);
    struct err ignored;
    (void)!file_remove_tree(AT_FDCWD, dir, &ignored);
    return r;
}

static int know(const struct recipe_image *image, const char *packages_dir, struct known *known, struct err *err) {
    cleanup_free char *path = beside(image, packages_dir, "report"), *status = beside(image, packages_dir, "status"), *text = NULL;
    size_t size;
    struct stat st;
    int r = file_exists(AT_FDCWD, path) ? 0 : look_into(image, packages_dir, path, err);
    if (r >= 0)
        r = file_read(AT_FDCWD, path, VENDOR_REPORT_MAX_BYTES, &text, &size, err);
    known->disk = vendor_disk_path(image->disk, packages_dir);
    if (r >= 0)
        r = vendor_report_parse(text, size, &known->report, err);
    if (r >= 0)
        r = vendor_report_check(&known->report, image, known->disk, err);
    if (r >= 0)
        r = file_read(AT_FDCWD, status, MAX_STATUS_BYTES, &known->status, &known->status_size, err);
    if (r >= 0 && stat(known->disk, &st) < 0)
        r = err_sys(err, -errno, "%s", known->disk);
    if (r >= 0)
        known->disk_bytes = (uint64_t)st.st_size;
    return r;
}

// The mirrors matter for what comes on top; the base is the disk.
static int fingerprint(const struct recipe_image *image, const struct package_dirs *dirs, long max_age_s,
                       char ret_hex[FINGERPRINT_HEX_BYTES], struct err *err) {
    char mirrors[FINGERPRINT_HEX_BYTES] = "";
    int r = image->source_count ? backend_find(image->manager)->fingerprint(image, dirs, max_age_s, mirrors, err) : 0;
    if (r < 0)
        return r;
    uint8_t sha256[DIGEST_BYTES];
    cleanup_free char *text = str_printf("%s %s", mirrors, image->disk->sha256);
    digest_bytes(text, strlen(text), sha256);
    hex_format(sha256, sizeof(sha256), ret_hex);
    return 0;
}

static int resolve(const struct recipe_image *image, const struct package_dirs *dirs, const struct strings *packages,
                   const struct package_set *const *parents, size_t parent_count, struct package_set *ret_set, struct err *err) {
    cleanup_known struct known known = {0};
    int r = know(image, dirs->packages, &known, err);
    if (r < 0)
        return r;
    if (parent_count == 0)
        return vendor_package_set(known.status, known.status_size, image->disk, known.disk_bytes, ret_set, err);
    if (!image->source_count)
        return err_set(err, -EINVAL, "image %s: layers want packages, and the definition names no `sources` to take them from", image->id);
    return apt_resolve_over(image, dirs, packages, known.status, parents, parent_count, ret_set, err);
}

static bool is_of_disk(const struct recipe_image *image, const struct package_set *set) {
    return set->count && strcmp(set->packages[0].file, image->disk->sha256) == 0;
}

static int download(const struct recipe_image *image, const struct package_dirs *dirs, const struct package_set *set, unsigned *ret_fetched,
                    struct err *err) {
    if (is_of_disk(image, set))
        return vendor_disk_ensure(image->disk, dirs->packages, ret_fetched, err);
    return backend_find(image->manager)->download(image, dirs, set, ret_fetched, err);
}

// The kernel of the base: NULL when the definition or the profile names a package.
static int choose_kernel(const struct recipe_image *image, const struct known *known, const char **ret_kernel, struct err *err) {
    *ret_kernel = image->kernel ? NULL : vendor_kernel_find(&known->report.systems[0]);
    return image->kernel || *ret_kernel
               ? 0
               : err_set(err, -ENOENT, "%s: has no kernel in /boot with modules; name a package in `kernel:` of images/%s.yaml",
                         known->disk, image->id);
}

static int bootstrap(const struct layer_request *request, const char *work, const char *scratch, struct sandbox *ret_sandbox,
                     struct err *err) {
    cleanup_known struct known known = {0};
    cleanup_buf struct buf exclude = {0};
    cleanup_free char *list = str_printf("%s/exclude", scratch);
    struct guest_request guest = {.verb = "tar", .dir = scratch, .exclude = list};
    const char *kernel;
    (void)work;
    int r = know(request->image, request->packages_dir, &known, err);
    if (r >= 0)
        r = vendor_disk_format(known.disk, &guest.format, err);
    if (r >= 0)
        r = choose_kernel(request->image, &known, &kernel, err);
    if (r >= 0)
        r = file_mkdirs(AT_FDCWD, scratch, 0700, err);
    if (r < 0)
        return r;
    vendor_exclude_format(request->image, &known.report.systems[0], kernel, &exclude);
    r = file_publish(AT_FDCWD, list, buf_str(&exclude), exclude.size, 0600, err);
    guest.disk = known.disk;
    return r < 0 ? r : guest_start(&guest, ret_sandbox, err);
}

static int install(const struct layer_request *request, const char *work, const char *scratch, struct sandbox *ret_sandbox,
                   struct err *err) {
    return backend_find(request->image->manager)->install(request, work, scratch, ret_sandbox, err);
}

const struct backend vendor_backend = {
    .name = "vendor", .fingerprint = fingerprint, .resolve = resolve, .download = download, .bootstrap = bootstrap, .install = install};
