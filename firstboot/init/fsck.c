// SPDX-License-Identifier: Apache-2.0
// e2fsck is dynamically linked and lives in the image, so it runs with the image as its root.
#include "firstboot/init/fsck.h"
#include "firstboot/init/ext4.h"
#include "firstboot/init/sys.h"
#include <errno.h>
#include <sys/mount.h>
#include <sys/wait.h>

#define EXEC_FAILED 127 // no exit status of e2fsck: its highest bit is 128 and it never sets the seven below together

static const char *const lent[] = {"/dev", "/proc"};

static _Noreturn void run_child(const char *root, const char *device) {
    static const char *const programs[] = {"/sbin/e2fsck", "/usr/sbin/e2fsck"};
    const char *const arguments[] = {"e2fsck", "-p", device, NULL};
    static const char *const environment[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", NULL};
    if (chroot(root) == 0 && chdir("/") == 0)
        for (size_t i = 0; i < ARRAY_SIZE(programs); i++)
            execve(programs[i], (char *const *)arguments, (char *const *)environment);
    _exit(EXEC_FAILED);
}

static int wait_child(pid_t child) {
    int status = 0;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return EXT4_CHECK_NOT_RUN;
    if (!WIFEXITED(status) || WEXITSTATUS(status) == EXEC_FAILED)
        return EXT4_CHECK_NOT_RUN;
    return WEXITSTATUS(status);
}

int fsck_run(const char *root, const char *device, int *ret_status, struct err *err) {
    char path[SYS_PATH_BYTES];
    for (size_t i = 0; i < ARRAY_SIZE(lent); i++) {
        snprintf(path, sizeof(path), "%s%s", root, lent[i]);
        int r = sys_mount(lent[i], path, NULL, MS_BIND, NULL, err);
        if (r < 0)
            return r;
    }
    pid_t child = fork();
    if (child == 0)
        run_child(root, device);
    int status = child < 0 ? EXT4_CHECK_NOT_RUN : wait_child(child);
    for (size_t i = ARRAY_SIZE(lent); i-- > 0;) {
        snprintf(path, sizeof(path), "%s%s", root, lent[i]);
        if (umount2(path, MNT_DETACH) < 0)
            return err_sys(err, -errno, "taking %s back from e2fsck", path);
    }
    *ret_status = status;
    return 0;
}
