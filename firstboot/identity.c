// SPDX-License-Identifier: Apache-2.0
// ssh-keygen into a directory beside the final one, flushed, then renamed.
#include "firstboot/identity.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/run.h"
#include <errno.h>
#include <fcntl.h>

#define TEMPORARY IDENTITY_SSH ".new"

static const struct { const char *type, *name; } keys[] = {{"ed25519", "ssh_host_ed25519_key"}, {"ecdsa", "ssh_host_ecdsa_key"}};

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

// ssh-keygen takes no descriptor; the directory is reached through ours, so --root works. The keys are made side by side.
static int make_keys(int root_fd, struct err *err) {
    pid_t pids[ARRAY_SIZE(keys)];
    struct run keygen = {.timeout_ms = 120000};
    size_t started = 0;
    int r = 0;
    for (; r >= 0 && started < ARRAY_SIZE(keys); started += r >= 0) {
        cleanup_free char *path = str_printf("/proc/%d/fd/%d/" TEMPORARY "/%s", (int)getpid(), root_fd, keys[started].name);
        keygen.argv = RUN_ARGV("ssh-keygen", "-q", "-t", keys[started].type, "-N", "", "-C", "", "-f", path);
        r = run_start(&keygen, &pids[started], err);
    }
    for (size_t i = 0; i < started; i++) {
        struct err failure;
        keygen.argv = RUN_ARGV("ssh-keygen");
        if (run_wait(&keygen, pids[i], &failure) < 0 && r >= 0) {
            *err = failure;
            r = err_prefix(err, -EIO, "making the %s host key", keys[i].type);
        }
    }
    return r;
}

static int flush_keys(int root_fd, struct err *err) {
    int r = 0;
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(keys); i++) {
        cleanup_free char *path = str_printf(TEMPORARY "/%s", keys[i].name);
        r = flush(root_fd, path, 0, err);
    }
    return r < 0 ? r : flush(root_fd, TEMPORARY, O_DIRECTORY, err);
}

int identity_make_host_keys(int root_fd, struct err *err) {
    if (has_keys(root_fd))
        return 0;
    int r = file_remove_tree(root_fd, TEMPORARY, err);
    if (r >= 0)
        r = file_mkdirs(root_fd, TEMPORARY, 0700, err);
    if (r >= 0)
        r = make_keys(root_fd, err);
    if (r >= 0)
        r = flush_keys(root_fd, err);
    if (r >= 0)
        r = file_remove_tree(root_fd, IDENTITY_SSH, err); // incomplete, or has_keys() had been true
    if (r < 0)
        return r;
    if (renameat(root_fd, TEMPORARY, root_fd, IDENTITY_SSH) < 0)
        return err_sys(err, -errno, "cannot rename /" TEMPORARY);
    r = flush(root_fd, "var/lib/webops", O_DIRECTORY, err);
    return r < 0 ? r : 1;
}
