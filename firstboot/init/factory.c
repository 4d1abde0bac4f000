// SPDX-License-Identifier: Apache-2.0
// Copies missing parts of a tree, each entry under a temporary name first. Only adds.
#include "firstboot/init/factory.h"
#include "firstboot/init/boot.h"
#include "firstboot/init/console.h"
#include "firstboot/init/sys.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#define SOURCE BOOT_ROOT "/usr/share/factory/var"
#define TARGET BOOT_STATE "/var"
#define TEMPORARY ".webops-factory"

struct copy {
    struct factory_counts counts;
    unsigned depth;
    struct err *err;
};

static int copy_tree(struct copy *copy, int from_fd, int to_fd);

static int set_times(int dir_fd, const char *name, const struct stat *st) {
    const struct timespec times[2] = {st->st_mtim, st->st_mtim};
    return utimensat(dir_fd, name, times, AT_SYMLINK_NOFOLLOW) == 0 ? 0 : -errno;
}

static int copy_bytes(int from, int to) {
    char bytes[16384];
    for (ssize_t n; (n = read(from, bytes, sizeof(bytes))) != 0;) {
        if (n < 0)
            return -errno;
        int r = sys_write_all(to, bytes, (size_t)n);
        if (r < 0)
            return r;
    }
    return 0;
}

static int make_file(int from_fd, int to_fd, const char *name, const struct stat *st) {
    cleanup_fd int from = openat(from_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (from < 0)
        return -errno;
    cleanup_fd int to = openat(to_fd, TEMPORARY, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (to < 0)
        return -errno;
    int r = copy_bytes(from, to);
    if (r < 0)
        return r;
    // Owner before mode: a change of owner clears the set-user-ID bit. The data must be on disk before the name is: a rename alone may
    // survive a power cut that its file's content does not.
    if (fchown(to, st->st_uid, st->st_gid) < 0 || fchmod(to, st->st_mode & 07777) < 0)
        return -errno;
    r = set_times(to_fd, TEMPORARY, st);
    return r < 0 ? r : fsync(to) == 0 ? 0 : -errno;
}

static int make_directory(int from_fd, int to_fd, const char *name, const struct stat *st) {
    (void)from_fd, (void)name;
    if (mkdirat(to_fd, TEMPORARY, 0700) < 0 || fchownat(to_fd, TEMPORARY, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 ||
        fchmodat(to_fd, TEMPORARY, st->st_mode & 07777, 0) < 0)
        return -errno;
    return 0;
}

static int make_link(int from_fd, int to_fd, const char *name, const struct stat *st) {
    char target[PATH_MAX];
    ssize_t size = readlinkat(from_fd, name, target, sizeof(target));
    if (size < 0 || size == (ssize_t)sizeof(target))
        return size < 0 ? -errno : -ENAMETOOLONG;
    target[size] = '\0';
    if (symlinkat(target, to_fd, TEMPORARY) < 0 || fchownat(to_fd, TEMPORARY, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    return set_times(to_fd, TEMPORARY, st);
}

// What an earlier boot left behind when the power went. Nothing else is ever named so.
static void remove_temporary(int to_fd) {
    if (unlinkat(to_fd, TEMPORARY, 0) < 0 && errno == EISDIR)
        unlinkat(to_fd, TEMPORARY, AT_REMOVEDIR);
}

static const struct {
    mode_t type;
    int (*make)(int from_fd, int to_fd, const char *name, const struct stat *st);
} kinds[] = {{S_IFREG, make_file}, {S_IFDIR, make_directory}, {S_IFLNK, make_link}};

static int create(struct copy *copy, int from_fd, int to_fd, const char *name, const struct stat *st) {
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        if ((st->st_mode & S_IFMT) != kinds[i].type)
            continue;
        int r = kinds[i].make(from_fd, to_fd, name, st);
        if (r == 0 && renameat(to_fd, TEMPORARY, to_fd, name) < 0)
            r = -errno;
        if (r < 0) {
            remove_temporary(to_fd);
            return err_sys(copy->err, r, "creating %s", name);
        }
        copy->counts.copied++;
        return 1;
    }
    copy->counts.skipped++;
    return 0;
}

static int descend(struct copy *copy, int from_fd, int to_fd, const char *name) {
    if (copy->depth == FACTORY_MAX_DEPTH)
        return err_set(copy->err, -ELOOP, "%s: more than %d directories deep", name, FACTORY_MAX_DEPTH);
    cleanup_fd int from = openat(from_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    cleanup_fd int to = openat(to_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (from < 0 || to < 0)
        return err_sys(copy->err, -errno, "opening %s", name);
    copy->depth++;
    int r = copy_tree(copy, from, to);
    copy->depth--;
    return r < 0 ? err_prefix(copy->err, r, "%s", name) : 0;
}

static int copy_entry(struct copy *copy, int from_fd, int to_fd, const char *name) {
    struct stat from, to;
    if (fstatat(from_fd, name, &from, AT_SYMLINK_NOFOLLOW) < 0)
        return err_sys(copy->err, -errno, "looking at the image's %s", name);
    bool is_new = fstatat(to_fd, name, &to, AT_SYMLINK_NOFOLLOW) < 0;
    if (is_new && errno != ENOENT)
        return err_sys(copy->err, -errno, "looking at the present %s", name);
    int r = is_new ? create(copy, from_fd, to_fd, name, &from) : 0;
    if (r < 0)
        return r;
    if (!S_ISDIR(from.st_mode) || (!is_new && !S_ISDIR(to.st_mode)))
        return 0;
    r = descend(copy, from_fd, to_fd, name);
    if (r == 0 && is_new && set_times(to_fd, name, &from) < 0)
        return err_sys(copy->err, -errno, "setting the time of %s", name);
    return r;
}

static int copy_tree(struct copy *copy, int from_fd, int to_fd) {
    int fd = openat(from_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_dir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir)
        return err_sys(copy->err, -errno, "reading the image's directory");
    remove_temporary(to_fd);
    unsigned before = copy->counts.copied;
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        int r = copy_entry(copy, from_fd, to_fd, entry->d_name);
        if (r < 0)
            return r;
    }
    if (copy->counts.copied != before && fsync(to_fd) < 0)
        return err_sys(copy->err, -errno, "writing the directory to disk");
    return 0;
}

int factory_copy(int from_fd, int to_fd, struct factory_counts *ret_counts, struct err *err) {
    struct copy copy = {.err = err};
    int r = copy_tree(&copy, from_fd, to_fd);
    if (r == 0)
        *ret_counts = copy.counts;
    return r;
}

int factory_apply(struct boot *boot, struct err *err) {
    if (boot->is_state_read_only)
        return 0;
    cleanup_fd int from = open(SOURCE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (from < 0 && errno == ENOENT)
        return 0;
    cleanup_fd int to = open(TARGET, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (from < 0 || to < 0)
        return err_sys(err, -errno, "opening %s", from < 0 ? SOURCE : TARGET);
    int r = factory_copy(from, to, &boot->factory, err);
    if (r < 0)
        return err_prefix(err, r, "copying what is missing from %s to /var", SOURCE + strlen(BOOT_ROOT));
    if (boot->factory.copied || boot->factory.skipped)
        console_log(CONSOLE_INFO, "/var: %u missing entries created from the image, %u of special types left out", boot->factory.copied,
                    boot->factory.skipped);
    return 0;
}
