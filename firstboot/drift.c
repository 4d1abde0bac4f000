// SPDX-License-Identifier: Apache-2.0
// Overlay rules (kernel: filesystems/overlayfs): a removed file is a character device 0/0 in the upper layer, an opaque directory hides
// what the image has below.
#include "firstboot/drift.h"
#include "common/file.h"
#include "firstboot/detached.h"
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <linux/mount.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#define MAX_DEPTH 32
#define MAX_FILE_BYTES (16 << 20)

const char *const drift_words[] = {[DRIFT_ADDED] = "added", [DRIFT_CHANGED] = "changed", [DRIFT_REMOVED] = "removed"};

static const char *const expected[] = {
    "etc/machine-id", "etc/adjtime", "etc/.pwd.lock", "etc/ld.so.cache", "etc/.updated", "etc/mtab", "etc/passwd-",
    "etc/group-",     "etc/shadow-", "etc/gshadow-",  "etc/subuid*",     "etc/subgid*",  "etc/.#*",  "etc/udev/hwdb.bin",
};

struct walk {
    const struct rendered *rendered;
    struct drift *drift;
    int lower_fd; // the image's own root, below the volatile /etc; -1 = unknown
};

void drift_done(struct drift *drift) {
    for (size_t i = 0; i < drift->count; i++)
        free(drift->items[i].path);
    free(drift->items);
    *drift = (struct drift){0};
}

bool drift_is_expected(const char *path) {
    for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
        if (fnmatch(expected[i], path, FNM_PATHNAME) == 0)
            return true;
    return false;
}

static void add(struct drift *drift, enum drift_kind kind, const char *path) {
    drift->items = mem_resize(drift->items, drift->count + 1, sizeof(*drift->items));
    drift->items[drift->count++] = (struct drift_item){kind, str_dup(path)};
}

static bool matches(const struct rendered_file *entry, int dir_fd, const char *name, const struct stat *st) {
    char target[4096], hash[2 * SHA256_BYTES + 1];
    struct err err;
    if (entry->is_link != S_ISLNK(st->st_mode) || (!entry->is_link && (st->st_mode & 07777) != entry->mode))
        return false;
    if (entry->is_link) {
        ssize_t size = readlinkat(dir_fd, name, target, sizeof(target));
        rendered_hash(target, size > 0 ? (size_t)size : 0, hash);
        return strcmp(hash, entry->sha256) == 0;
    }
    cleanup_free char *text = NULL;
    size_t size;
    if (file_read(dir_fd, name, MAX_FILE_BYTES, &text, &size, &err) < 0)
        return false;
    rendered_hash(text, size, hash);
    explicit_bzero(text, size);
    return strcmp(hash, entry->sha256) == 0;
}

static bool is_in_image(const struct walk *walk, const char *path) {
    return walk->lower_fd >= 0 && file_exists(walk->lower_fd, path);
}

static bool is_same_link(const struct walk *walk, int dir_fd, const char *name, const char *path) {
    char ours[4096], images[4096];
    ssize_t size = readlinkat(dir_fd, name, ours, sizeof(ours));
    return size > 0 && readlinkat(walk->lower_fd, path, images, sizeof(images)) == size && memcmp(ours, images, (size_t)size) == 0;
}

static bool is_same_file(const struct walk *walk, int dir_fd, const char *name, const char *path) {
    cleanup_free char *ours = NULL, *images = NULL;
    size_t size = 0, image_size = 0;
    struct err err;
    bool is_same = file_read(dir_fd, name, MAX_FILE_BYTES, &ours, &size, &err) >= 0 &&
                   file_read(walk->lower_fd, path, MAX_FILE_BYTES, &images, &image_size, &err) >= 0 && size == image_size &&
                   memcmp(ours, images, size) == 0;
    if (ours)
        explicit_bzero(ours, size);
    return is_same;
}

// What was written anew as the image has it, as systemd-tmpfiles does with some links at every boot.
static bool is_as_in_image(const struct walk *walk, int dir_fd, const char *name, const char *path, const struct stat *st) {
    struct stat image;
    if (walk->lower_fd < 0 || fstatat(walk->lower_fd, path, &image, AT_SYMLINK_NOFOLLOW) < 0 || image.st_mode != st->st_mode ||
        image.st_uid != st->st_uid || image.st_gid != st->st_gid)
        return false;
    return S_ISLNK(st->st_mode) ? is_same_link(walk, dir_fd, name, path) : S_ISREG(st->st_mode) && is_same_file(walk, dir_fd, name, path);
}

static void judge(struct walk *walk, int dir_fd, const char *name, const char *path, const struct stat *st) {
    const struct rendered_file *entry = rendered_find(walk->rendered, path);
    if (S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0)) {
        if (!drift_is_expected(path))
            add(walk->drift, DRIFT_REMOVED, path);
    } else if (entry) {
        if (!matches(entry, dir_fd, name, st))
            add(walk->drift, DRIFT_CHANGED, path);
    } else if (!drift_is_expected(path) && !is_as_in_image(walk, dir_fd, name, path, st))
        add(walk->drift, is_in_image(walk, path) ? DRIFT_CHANGED : DRIFT_ADDED, path);
}

// Directories are not judged themselves: one that is in the way of nothing is no drift.
static int walk_directory(struct walk *walk, int fd, const char *path, int depth, struct err *err) {
    cleanup_dir DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return err_sys(err, -errno, "cannot list /%s", path);
    }
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        cleanup_free char *child = str_printf("%s/%s", path, entry->d_name);
        struct stat st;
        if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue; // gone meanwhile
        if (!S_ISDIR(st.st_mode)) {
            judge(walk, dirfd(dir), entry->d_name, child, &st);
            continue;
        }
        int child_fd = depth < MAX_DEPTH ? file_open(dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, err)
                                         : err_set(err, -ELOOP, "/%s is nested too deeply", child);
        int r = child_fd < 0 ? child_fd : walk_directory(walk, child_fd, child, depth + 1, err);
        if (r < 0)
            return r;
    }
    return 0;
}

// A rendered file that nobody finds in the upper layer any more was moved away or never written.
static void find_missing(int root_fd, struct walk *walk) {
    for (size_t i = 0; i < walk->rendered->count; i++) {
        const char *path = walk->rendered->entries[i].path;
        cleanup_free char *upper = strncmp(path, "etc/", 4) == 0 ? str_printf(DRIFT_UPPER "/%s", path + 4) : str_dup(path);
        if (!file_exists(root_fd, upper) && !is_in_image(walk, path))
            add(walk->drift, DRIFT_REMOVED, path);
    }
}

static int compare(const void *left, const void *right) {
    return strcmp(((const struct drift_item *)left)->path, ((const struct drift_item *)right)->path);
}

// A copy of the root mount without what is mounted on top of it shows the image's own /etc. -1 = there is none to be had.
static int open_image(int root_fd) {
    struct err ignored;
    int fd = (int)syscall(SYS_open_tree, root_fd, ".", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (fd >= 0 || errno != ENOSYS)
        return fd;
    cleanup_free char *root = str_printf("/proc/self/fd/%d", root_fd);
    return detached_mount(root_fd, root, NULL, MS_BIND, NULL, &ignored); // before Linux 5.2
}

int drift_find(int root_fd, const struct rendered *rendered, struct drift *ret_drift, struct err *err) {
    cleanup_drift struct drift drift = {0};
    cleanup_fd int lower_fd = open_image(root_fd);
    struct walk walk = {rendered, &drift, lower_fd};
    int fd = file_open(root_fd, DRIFT_UPPER, O_RDONLY | O_DIRECTORY, 0, err);
    int r = fd < 0 ? fd : walk_directory(&walk, fd, "etc", 0, err);
    if (r < 0)
        return r;
    find_missing(root_fd, &walk);
    if (drift.count > 0)
        qsort(drift.items, drift.count, sizeof(*drift.items), compare);
    *ret_drift = drift;
    drift = (struct drift){0};
    return 0;
}
