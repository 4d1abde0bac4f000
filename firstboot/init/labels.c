// SPDX-License-Identifier: Apache-2.0
// SELinux: no policy is loaded yet, so labels can be copied and not looked up. The rest is /usr/lib/webops/label's, right after systemd has loaded one.
#include "firstboot/init/labels.h"
#include "firstboot/init/boot.h"
#include "firstboot/init/console.h"
#include <errno.h>
#include <string.h>
#include <sys/xattr.h>

#define LABEL "security.selinux"
#define MAX_LABEL_BYTES 512

int labels_copy(int from_fd, const char *from, int to_fd, const char *to) {
    char from_path[LABELS_PATH_BYTES], to_path[LABELS_PATH_BYTES], label[MAX_LABEL_BYTES];
    snprintf(from_path, sizeof(from_path), "/proc/self/fd/%d/%s", from_fd, from);
    snprintf(to_path, sizeof(to_path), "/proc/self/fd/%d/%s", to_fd, to);
    ssize_t size = lgetxattr(from_path, LABEL, label, sizeof(label));
    if (size < 0)
        return errno == ENODATA || errno == EOPNOTSUPP ? 0 : -errno;
    return lsetxattr(to_path, LABEL, label, (size_t)size, 0) == 0 || errno == EOPNOTSUPP ? 0 : -errno;
}

// What a generation without labels writes has none: the next one with labels must look at all of state again.
int labels_apply(struct boot *boot, struct err *err) {
    if (boot->is_state_read_only || getxattr(BOOT_ROOT "/usr", LABEL, NULL, 0) > 0)
        return 0;
    (void)err; // no reason to keep a machine from starting
    if (unlink(LABELS_STAMP) < 0 && errno != ENOENT)
        console_log(CONSOLE_ERROR, "removing " LABELS_STAMP ": %s", strerror(errno));
    return 0;
}
