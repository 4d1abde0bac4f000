// SPDX-License-Identifier: Apache-2.0
// The vendor backend: a base is the tree of an official cloud image; what comes on top of it is resolved and installed by the package manager of that
// image. What is known of a disk is kept beside it in the package cache, under its hash: the appliance starts once for plan and once for the build.
// A tree with dpkg is streamed as it is. One with rpm goes through a sandbox on the way (dnf/sandbox_disk.c): packages are removed, and files labelled.
#include "builder/apt.h"
#include "builder/backend.h"
#include "builder/dnf/dnf.h"
#include "builder/dnf/rpm_database.h"
#include "builder/tempdir.h"
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
#define TREE_MIN_BYTES (UINT64_C(256) << 20)

struct known { // of one disk
    char *disk; // its path
    struct vendor_report report; // checked
    char *status; // dpkg's, or a list in its format
    size_t status_size;
    uint64_t disk_bytes; // of the file
    char *database; // the path of rpm's; NULL with dpkg
    const char *kernel; // of the disk, for the base; NULL when a package is named, or there is none
    struct strings removed; // packages that the base does not have
};

static void known_done(struct known *known) {
    free(known->disk);
    vendor_report_done(&known->report);
    free(known->status);
    free(known->database);
    strings_done(&known->removed);
}
#define cleanup_known cleanup(known_done)

static char *beside(const struct recipe_image *image, const char *packages_dir, const char *suffix) {
    return str_printf("%s/%s.%s", packages_dir, image->disk->sha256, suffix);
}

// It must be on the disk before the report, which says that it is.
static int move(const char *dir, const char *name, const struct recipe_image *image, const char *packages_dir, struct err *err) {
    cleanup_free char *from = str_printf("%s/%s", dir, name), *to = beside(image, packages_dir, name);
    if (!file_exists(AT_FDCWD, from))
        return 0;
    cleanup_fd int fd = file_open(AT_FDCWD, from, O_RDONLY, 0, err);
    if (fd < 0)
        return fd;
    return fsync(fd) < 0 || rename(from, to) < 0 ? err_sys(err, -errno, "cannot write %s", to) : 0;
}

static int inspect_into(const struct recipe_image *image, const char *packages_dir, const char *disk, const char *dir, struct err *err) {
    cleanup_free char *status = str_printf("%s/status", dir), *database = str_printf("%s/rpmdb", dir), *text = NULL;
    cleanup_free char *report = beside(image, packages_dir, "report");
    struct guest_request request = {.verb = "inspect", .disk = disk, .dir = dir, .status = status, .database = database};
    size_t size = 0;
    int r = vendor_disk_format(disk, &request.format, err);
    if (r >= 0)
        log_info("looking into %s (libguestfs starts a small virtual machine; kept for the next time)", disk);
    if (r >= 0)
        r = guest_inspect(&request, &text, &size, err);
    if (r >= 0)
        r = move(dir, "status", image, packages_dir, err);
    if (r >= 0)
        r = move(dir, "rpmdb", image, packages_dir, err);
    // Last: a report means that all is there.
    return r < 0 ? r : file_publish(AT_FDCWD, report, text, size, 0644, err);
}

static int look_into(const struct recipe_image *image, const struct package_dirs *dirs, struct err *err) {
    cleanup_free char *disk = vendor_disk_path(image->disk, dirs->packages), *base = str_printf("%s/new", dirs->packages);
    cleanup_tempdir char *dir = NULL;
    int r = vendor_disk_ensure(image->disk, dirs, NULL, err);
    if (r >= 0)
        r = tempdir_make_beside(base, &dir, err);
    return r < 0 ? r : inspect_into(image, dirs->packages, disk, dir, err);
}

static int read_report(const char *path, struct vendor_report *ret_report, struct err *err) {
    cleanup_free char *text = NULL;
    size_t size;
    int r = file_read(AT_FDCWD, path, VENDOR_REPORT_MAX_BYTES, &text, &size, err);
    return r < 0 ? r : vendor_report_parse(text, size, ret_report, err);
}

// What follows from the definition: the kernel, and with rpm what is removed.
static int choose(const struct recipe_image *image, const char *packages_dir, struct known *known, struct err *err) {
    const struct vendor_system *system = &known->report.systems[0];
    known->kernel = image->kernel ? NULL : vendor_kernel_find(system);
    if (strcmp(image->manager, "dnf") != 0)
        return 0;
    known->database = beside(image, packages_dir, "rpmdb");
    return vendor_removed_packages(known->status, known->status_size, image, system, known->kernel, &known->removed, err);
}

static int know(const struct recipe_image *image, const struct package_dirs *dirs, struct known *known, struct err *err) {
    cleanup_free char *path = beside(image, dirs->packages, "report"), *status = beside(image, dirs->packages, "status");
    struct err unusable; // none yet, or that of an earlier webops-image
    struct stat st;
    int r = read_report(path, &known->report, &unusable);
    if (r < 0)
        r = look_into(image, dirs, err);
    if (r >= 0 && !known->report.table)
        r = read_report(path, &known->report, err);
    known->disk = vendor_disk_path(image->disk, dirs->packages);
    if (r >= 0)
        r = vendor_report_check(&known->report, image, known->disk, err);
    if (r >= 0)
        r = file_read(AT_FDCWD, status, MAX_STATUS_BYTES, &known->status, &known->status_size, err);
    if (r >= 0 && stat(known->disk, &st) < 0)
        r = err_sys(err, -errno, "%s", known->disk);
    if (r >= 0)
        known->disk_bytes = (uint64_t)st.st_size;
    return r < 0 ? r : choose(image, dirs->packages, known, err);
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

// The base: what the disk has. That rpm removes from it what is to be removed is tried here, on a copy of its database.
static int resolve_base(const struct recipe_image *image, const struct package_dirs *dirs, const struct known *known,
                        struct package_set *ret_set, struct err *err) {
    cleanup_free char *base = str_printf("%s/rpm", dirs->metadata);
    cleanup_tempdir char *trial = NULL;
    int r = known->database ? tempdir_make_beside(base, &trial, err) : 0;
    if (r >= 0 && trial)
        r = rpm_database_without(known->database, &known->removed, trial, err);
    return r < 0 ? r : vendor_package_set(known->status, known->status_size, &known->removed, image->disk, known->disk_bytes, ret_set, err);
}

static int resolve(const struct recipe_image *image, const struct package_dirs *dirs, const struct strings *packages,
                   const struct package_set *const *parents, size_t parent_count, struct package_set *ret_set, struct err *err) {
    cleanup_known struct known known = {0};
    int r = know(image, dirs, &known, err);
    if (r < 0)
        return r;
    if (parent_count == 0)
        return resolve_base(image, dirs, &known, ret_set, err);
    if (!image->source_count)
        return err_set(err, -EINVAL, "image %s: layers want packages, and the definition names no `sources` to take them from", image->id);
    const struct dnf_disk disk = {known.database, &known.removed};
    return known.database ? dnf_resolve_over(image, dirs, packages, &disk, parents, parent_count, ret_set, err)
                          : apt_resolve_over(image, dirs, packages, known.status, parents, parent_count, ret_set, err);
}

static bool is_of_disk(const struct recipe_image *image, const struct package_set *set) {
    return set->count && strcmp(set->packages[0].file, image->disk->sha256) == 0;
}

static int download(const struct recipe_image *image, const struct package_dirs *dirs, const struct package_set *set, unsigned *ret_fetched,
                    struct err *err) {
    if (is_of_disk(image, set))
        return vendor_disk_ensure(image->disk, dirs, ret_fetched, err);
    return backend_find(image->manager)->download(image, dirs, set, ret_fetched, err);
}

static int start_stream(const struct layer_request *request, const struct known *known, const char *scratch, struct sandbox *ret_sandbox,
                        struct err *err) {
    cleanup_buf struct buf exclude = {0};
    cleanup_free char *list = str_printf("%s/exclude", scratch);
    struct guest_request guest = {.verb = "tar", .disk = known->disk, .dir = scratch, .exclude = list};
    int r = vendor_disk_format(known->disk, &guest.format, err);
    if (r >= 0 && !request->image->kernel && !known->kernel)
        r = err_set(err, -ENOENT, "%s: has no kernel in /boot with modules; name a package in `kernel:` of images/%s.yaml", known->disk,
                    request->image->id);
    if (r >= 0)
        r = file_mkdirs(AT_FDCWD, scratch, 0700, err);
    if (r < 0)
        return r;
    vendor_exclude_format(request->image, &known->report.systems[0], known->kernel, &exclude);
    r = file_publish(AT_FDCWD, list, buf_str(&exclude), exclude.size, 0600, err);
    return r < 0 ? r : guest_start(&guest, ret_sandbox, err);
}

// The job that the stream goes through.
static int start_sandbox(const struct layer_request *request, const struct known *known, struct sandbox *stream, const char *work,
                         struct sandbox *ret_sandbox, struct err *err) {
    cleanup_strings struct strings words = {0};
    cleanup_free char *epoch = str_printf("%lld", (long long)request->format.epoch);
    const char *const head[] = {"disk", epoch, request->image->selinux ?: "-", request->out_dir, known->database};
    for (size_t i = 0; i < ARRAY_SIZE(head); i++)
        strings_add(&words, head[i]);
    for (unsigned i = 0; i < known->removed.count; i++)
        strings_add(&words, known->removed.items[i]);
    words.items = mem_resize(words.items, words.count + 1, sizeof(*words.items));
    words.items[words.count] = NULL;
    return sandbox_start_behind(stream, work, known->report.systems[0].used_bytes * 2 + TREE_MIN_BYTES, (const char *const *)words.items,
                                ret_sandbox, err);
}

static int bootstrap(const struct layer_request *request, const char *work, const char *scratch, struct sandbox *ret_sandbox,
                     struct err *err) {
    cleanup_known struct known known = {0};
    struct sandbox stream;
    const struct package_dirs dirs = {.packages = request->packages_dir, .is_offline = true}; // downloaded it has been
    int r = know(request->image, &dirs, &known, err);
    if (r >= 0)
        r = start_stream(request, &known, scratch, &stream, err);
    if (r < 0)
        return r;
    if (known.database)
        return start_sandbox(request, &known, &stream, work, ret_sandbox, err);
    *ret_sandbox = stream;
    return 0;
}

static int install(const struct layer_request *request, const char *work, const char *scratch, struct sandbox *ret_sandbox,
                   struct err *err) {
    return backend_find(request->image->manager)->install(request, work, scratch, ret_sandbox, err);
}

const struct backend vendor_backend = {
    .name = "vendor", .fingerprint = fingerprint, .resolve = resolve, .download = download, .bootstrap = bootstrap, .install = install};
