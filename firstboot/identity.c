// SPDX-License-Identifier: Apache-2.0
// ssh-keygen into a directory beside the final one, flushed, then renamed.
#include "firstboot/identity.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/run.h"
#include <errno.h>
#include <fcntl.h>

#define TEMPORARY IDENTITY_SSH ".new"

static const struct {
    const char *type, *name;
} keys[] = {{"ed25519", "ssh_host_ed25519_key"}, {"ecdsa", "ssh_host_ecdsa_key"}};

static bool has_keys(int root_fd) {
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        cleanup_free char *path = str_printf(IDENTITY_SSH "/%s", keys[i].name);
        struct stat st;
        if (fstatat(root_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0)
            return false;
    }
    return true;
}

static int flush(int root_fd, const char *path, int flags, struct err *err) {
    cleanup_fd int fd = file_open(root_fd, path, O_RDONLY | flags, 0, err);
    return fd < 0 ? fd : fsync(fd) < 0 ? err_sys(err, -errno, "cannot flush %s", path) : 0;
}

// ssh-keygen takes no descriptor; the directory is reached through ours, so --root works.
static int make_key(int root_fd, const char *type, const char *name, struct err *err) {
    cleanup_free char *path = str_printf("/proc/%d/fd/%d/" TEMPORARY "/%s", (int)getpid(), root_fd, name);
    const struct run keygen = {.argv = RUN_ARGV("ssh-keygen", "-q", "-t", type, "-N", "", "-C", "", "-f", path), .timeout_ms = 120000};
    cleanup_free char *relative = str_printf(TEMPORARY "/%s", name);
    int r = run_quiet(&keygen, err);
    return r < 0 ? err_prefix(err, r, "making the %s host key", type) : flush(root_fd, relative, 0, err);
}

int identity_make_host_keys(int root_fd, struct err *err) {
    if (has_keys(root_fd))
        return 0;
    int r = file_remove_tree(root_fd, TEMPORARY, err);
    if (r >= 0)
        r = file_mkdirs(root_fd, TEMPORARY, 0700, err);
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(keys); i++)
        r = make_key(root_fd, keys[i].type, keys[i].name, err);
    if (r >= 0)
        r = flush(root_fd, TEMPORARY, O_DIRECTORY, err);
    if (r >= 0)
        r = file_remove_tree(root_fd, IDENTITY_SSH, err); // incomplete, or has_keys() had been true
    if (r < 0)
        return r;
    if (renameat(root_fd, TEMPORARY, root_fd, IDENTITY_SSH) < 0)
        return err_sys(err, -errno, "cannot rename /" TEMPORARY);
    r = flush(root_fd, "var/lib/webops", O_DIRECTORY, err);
    return r < 0 ? r : 1;
}
