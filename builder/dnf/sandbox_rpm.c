// SPDX-License-Identifier: Apache-2.0
// rpm's part inside the sandbox. What dnf resolved is installed by rpm itself in one transaction: the same files, without repositories or the network.
#include "builder/dnf/rpm_database.h"
#include "builder/dnf/sandbox_rpm.h"
#include "builder/labels.h"
#include "builder/sandbox_jobs.h"
#include "common/file.h"
#include "common/run.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// kernel-install(8): a hook of this name in /etc takes the place of the one in /usr. The initramfs and the boot entry are ours.
static const char *const kernel_hooks[] = {"20-grub.install", "50-dracut.install", "51-dracut-rescue.install", "90-loaderentry.install",
                                           "99-grub-mkconfig.install"};
#define HOOKS "root/etc/kernel/install.d"

int sandbox_rpm_mask_hooks(struct err *err) {
    int r = sandbox_make_dir(HOOKS, err);
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(kernel_hooks); i++) {
        cleanup_free char *path = str_printf(HOOKS "/%s", kernel_hooks[i]);
        if (symlink("/dev/null", path) < 0 && errno != EEXIST)
            r = err_sys(err, -errno, "cannot mask %s", path);
    }
    return r;
}

int sandbox_rpm_unmask_hooks(struct err *err) {
    for (size_t i = 0; i < ARRAY_SIZE(kernel_hooks); i++) {
        cleanup_free char *path = str_printf(HOOKS "/%s", kernel_hooks[i]);
        if (unlink(path) < 0)
            return err_sys(err, -errno, "cannot remove %s", path);
    }
    // Empty directories that only this brought; a package's own stay.
    return (rmdir(HOOKS) == 0 && rmdir("root/etc/kernel") == 0) || errno == ENOTEMPTY ? 0 : err_sys(err, -errno, "cannot remove " HOOKS);
}

// The signatures were checked in the package cache, with the image's keys; the tree has none. A file there has the name of its hash, so no other build
// can have put something else in its place.
static int transaction(const char *root, const char *packages_dir, char **files, size_t count, struct err *err) {
    const char *const start[] = {"rpm", "--root", root, "--dbpath", RPM_DATABASE, "--nosignature", "-i"};
    cleanup_free const char **argv = mem_array(ARRAY_SIZE(start) + count + 1, sizeof(*argv));
    cleanup_free char *here = get_current_dir_name();
    memcpy(argv, start, sizeof(start));
    for (size_t i = 0; i < count; i++)
        argv[ARRAY_SIZE(start) + i] = files[i];
    if (!here || chdir(packages_dir) < 0)
        return err_sys(err, -errno, "cannot enter %s", packages_dir);
    const struct run command = {.argv = argv};
    int r = run(&command, err);
    return r >= 0 && chdir(here) < 0 ? err_sys(err, -errno, "cannot enter %s", here) : r;
}

// rpm's own database is for rpm; the list beside it, in dpkg's format, is what the builder and webops read.
static int write_list(const char *root, struct err *err) {
    cleanup_free char *text = NULL;
    size_t size = 0;
    int r = rpm_database_list(root, RPM_DATABASE, &text, &size, err);
    return r < 0 ? r : file_publish(AT_FDCWD, "root" RPM_DATABASE "/packages", text, size, 0644, err);
}

// rpm leaves its database in write-ahead mode, in which SQLite cannot open it on a read-only file system. With 1 for both versions in its header it has a
// plain rollback journal (sqlite.org/fileformat2.html, 1.3.3); there must be no log of an unfinished transaction for that.
static int make_readable(struct err *err) {
    static const char path[] = "root" RPM_DATABASE "/rpmdb.sqlite", log[] = "root" RPM_DATABASE "/rpmdb.sqlite-wal";
    static const uint8_t rollback_journal[2] = {1, 1};
    struct stat info;
    if (stat(log, &info) == 0 && info.st_size)
        return err_set(err, -EBUSY, "rpm left its database open: %s is not empty", log + 4);
    if (!file_exists(AT_FDCWD, path)) // a build host whose rpm is set to another format
        return 0;
    cleanup_fd int fd = file_open(AT_FDCWD, path, O_WRONLY, 0, err);
    if (fd < 0)
        return fd;
    return pwrite(fd, rollback_journal, sizeof(rollback_journal), 18) == sizeof(rollback_journal)
               ? 0
               : err_sys(err, -errno, "cannot write %s", path);
}

int sandbox_rpm_finish(const char *root, const char *policy, const char *labels_dir, struct err *err) {
    int r = write_list(root, err);
    if (r >= 0)
        r = make_readable(err);
    if (r < 0 || strcmp(policy, "-") == 0)
        return r;
    cleanup_free char *contexts = str_printf(LABELS_IN_IMAGE, policy);
    r = sandbox_check_directory(contexts, err);
    return r < 0 ? r : labels_keep(root, policy, labels_dir, err);
}

static int install(const char *root, const char *packages_dir, bool has_lower, char **files, size_t count, struct err *err) {
    int r = sandbox_make_dir("root", err);
    if (r >= 0)
        r = sandbox_check_tree(err);
    if (r >= 0)
        r = sandbox_mount_inside(has_lower, err);
    if (r >= 0)
        r = sandbox_rpm_mask_hooks(err);
    if (r >= 0)
        r = transaction(root, packages_dir, files, count, err);
    if (r >= 0)
        r = sandbox_rpm_unmask_hooks(err);
    // The package rpm brings an empty directory where the image has a link to the database.
    if (r >= 0 && !has_lower && rmdir("root/var/lib/rpm") < 0 && errno != ENOENT)
        r = err_sys(err, -errno, "cannot remove /var/lib/rpm");
    return r;
}

int sandbox_job_rpm(int argc, char **argv, struct err *err) {
    cleanup_buf struct buf lowerdir = {0};
    cleanup_free char *here = get_current_dir_name(), *root = str_printf("%s/root", here);
    int at = 4, r = argc > 4 ? sandbox_make_dir("lower", err) : err_set(err, -EINVAL, "rpm: arguments are missing");
    for (; r >= 0 && at < argc && strcmp(argv[at], "--") != 0; at++)
        r = sandbox_unpack_lower((unsigned)(at - 4), argv[at], &lowerdir, err);
    if (r >= 0 && (at + 1 >= argc || setenv("SOURCE_DATE_EPOCH", argv[0], 1) < 0))
        r = err_set(err, -EINVAL, "rpm: nothing to install");
    bool has_lower = at > 4;
    if (r >= 0 && has_lower)
        r = sandbox_mount_overlay(buf_str(&lowerdir), err);
    if (r >= 0)
        r = install(root, argv[3], has_lower, argv + at + 1, (size_t)(argc - at - 1), err);
    if (r >= 0)
        r = sandbox_rpm_finish(root, argv[1], argv[2], err);
    return r < 0 ? r : sandbox_stream(has_lower ? "upper" : "root", err);
}
