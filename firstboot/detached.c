// SPDX-License-Identifier: Apache-2.0
// mount(2), a descriptor, and umount2(2) with MNT_DETACH: what is open stays until it is closed.
#include "firstboot/detached.h"
#include "common/buf.h"
#include "common/file.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

static char *path_of(int fd) {
    return str_printf("/proc/self/fd/%d", fd);
}

static int mount_at(int root_fd, const char *place, const char *source, const char *type, unsigned long flags, const char *options,
                    struct err *err) {
    cleanup_fd int below = file_open(root_fd, place, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0, err);
    if (below < 0)
        return below;
    cleanup_free char *target = path_of(below);
    if (mount(source, target, type, flags, options) < 0)
        return err_sys(err, -errno, "cannot mount %s", source);
    cleanup_fd int fd = file_open(root_fd, place, O_RDONLY | O_DIRECTORY, 0, err);
    cleanup_free char *mounted = path_of(fd);
    if (fd >= 0 && umount2(mounted, MNT_DETACH) < 0)
        return err_sys(err, -errno, "cannot take %s away from its place, %s", source, place);
    return fd < 0 ? fd : take_fd(&fd);
}

int detached_mount(int root_fd, const char *source, const char *type, unsigned long flags, const char *options, struct err *err) {
    cleanup_free char *place = str_printf("run/webops/mount.%d", (int)getpid());
    if (mkdirat(root_fd, place, 0700) < 0 && errno != EEXIST)
        return err_sys(err, -errno, "cannot make %s", place);
    int fd = mount_at(root_fd, place, source, type, flags, options, err);
    unlinkat(root_fd, place, AT_REMOVEDIR);
    return fd;
}
