// SPDX-License-Identifier: Apache-2.0
// Directories and mounts. Deleting is purge.c's.
#include "firstboot/stack/prepare.h"
#include "common/file.h"
#include "common/run.h"
#include "firstboot/stack/render.h"
#include "firstboot/stack/state.h"
#include "firstboot/stack/systemd.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define ACCOUNTS_MAX_BYTES (4 << 20)
#define COPY_TIMEOUT_MS 600000

// For programs, which do not have our descriptor: "/var/lib/x", or below a test's root.
static char *full_path(int root_fd, const char *path) {
    char link[32], root[4096];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", root_fd);
    ssize_t size = readlink(link, root, sizeof(root));
    return str_printf("%.*s/%s", size > 1 ? (int)size : 0, root, path);
}

static int find_owner(int root_fd, const char *owner, uid_t *ret_uid, gid_t *ret_gid, struct err *err) {
    cleanup_free char *passwd = NULL, *group = NULL;
    int r = file_read(root_fd, "etc/passwd", ACCOUNTS_MAX_BYTES, &passwd, NULL, err);
    if (r >= 0)
        r = file_read(root_fd, "etc/group", ACCOUNTS_MAX_BYTES, &group, NULL, err);
    return r < 0 ? r : stack_owner_find(owner, passwd, group, ret_uid, ret_gid, err);
}

// From the top, so that a crash in between is repeated: chown --from skips what is right already.
static int give_tree(int root_fd, const char *path, const struct stat *old, uid_t uid, gid_t gid, struct err *err) {
    cleanup_free char *from = str_printf("--from=%u:%u", (unsigned)old->st_uid, (unsigned)old->st_gid),
                      *to = str_printf("%u:%u", (unsigned)uid, (unsigned)gid), *place = full_path(root_fd, path);
    const struct run chown = {.argv = RUN_ARGV("chown", "-Rh", "--preserve-root", from, to, "--", place), .timeout_ms = COPY_TIMEOUT_MS};
    return run_quiet(&chown, err);
}

static int prepare_one(int root_fd, const struct stack_data *data, struct err *err) {
    const char *path = data->path + 1;
    uid_t uid;
    gid_t gid;
    struct stat st;
    int r = find_owner(root_fd, data->owner, &uid, &gid, err);
    if (r < 0)
        return r;
    if (fstatat(root_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        if (!S_ISDIR(st.st_mode))
            return err_set(err, -ENOTDIR, "%s is no directory", data->path);
        // Only root can give files away; a test on a temporary root keeps its own.
        bool is_right = geteuid() != 0 || (st.st_uid == uid && st.st_gid == gid);
        return is_right ? 0 : give_tree(root_fd, path, &st, uid, gid, err);
    }
    r = file_mkdirs(root_fd, path, 0755, err);
    if (r < 0)
        return r;
    cleanup_fd int fd = file_open(root_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, err);
    if (fd < 0)
        return fd;
    if ((geteuid() == 0 && fchown(fd, uid, gid) < 0) || fchmod(fd, data->mode) < 0)
        return err_sys(err, -errno, "cannot set owner and mode of %s", data->path);
    return 0;
}

int stack_prepare_data(int root_fd, const struct stack *stack, struct err *err) {
    for (size_t i = 0; i < stack->data_count; i++) {
        int r = prepare_one(root_fd, &stack->data[i], err);
        if (r < 0)
            return r;
    }
    return 0;
}

// Complete under another name first: what is there under its own name is whole.
static int copy_factory(int root_fd, const char *path, const char *kept, struct err *err) {
    cleanup_free char *parent = str_printf("%.*s", (int)(strrchr(kept, '/') - kept), kept), *new = str_printf("%s.new", kept);
    int r = file_mkdirs(root_fd, parent, 0755, err);
    if (r >= 0)
        r = file_remove_tree(root_fd, new, err);
    if (r >= 0 && !file_exists(root_fd, path + 1)) {
        r = file_mkdirs(root_fd, new, 0755, err);
    } else if (r >= 0) {
        cleanup_free char *from = full_path(root_fd, path + 1), *to = full_path(root_fd, new);
        const struct run copy = {.argv = RUN_ARGV("cp", "--archive", "--no-target-directory", "--", from, to),
                                 .timeout_ms = COPY_TIMEOUT_MS};
        r = run_quiet(&copy, err);
    }
    if (r >= 0 && renameat(root_fd, new, root_fd, kept) < 0)
        r = err_sys(err, -errno, "cannot rename /%s", new);
    return r;
}

static bool is_mounted(int root_fd, const char *path, const char *kept) {
    struct stat there, here;
    return fstatat(root_fd, path + 1, &there, AT_SYMLINK_NOFOLLOW) == 0 && fstatat(root_fd, kept, &here, AT_SYMLINK_NOFOLLOW) == 0 &&
           there.st_dev == here.st_dev && there.st_ino == here.st_ino;
}

int stack_prepare_persist(int root_fd, const struct stack *stack, struct err *err) {
    for (size_t i = 0; i < stack->persist.count; i++) {
        const char *path = stack->persist.items[i];
        cleanup_free char *kept = str_printf(STACK_PERSIST_DIR "%s", path), *unit = stack_mount_unit(path);
        if (is_mounted(root_fd, path, kept))
            continue;
        int r = file_exists(root_fd, kept) ? 0 : copy_factory(root_fd, path, kept, err);
        if (r >= 0)
            r = systemd_act("start", unit, true, err);
        if (r < 0)
            return err_prefix(err, r, "%s", path);
    }
    return 0;
}

int stack_release_persist(const struct stack *stack, struct err *err) {
    for (size_t i = stack->persist.count; i-- > 0;) {
        cleanup_free char *unit = stack_mount_unit(stack->persist.items[i]);
        int r = systemd_act("stop", unit, true, err);
        if (r < 0)
            return r;
    }
    return 0;
}
