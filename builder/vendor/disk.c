// SPDX-License-Identifier: Apache-2.0
#include "builder/vendor/disk.h"
#include "builder/download.h"
#include "builder/qcow2.h"
#include "builder/tool_log.h"
#include "common/buf.h"
#include "common/digest.h"
#include "common/file.h"
#include "common/run.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>

#define SECTOR_BYTES 512
#define MAX_DISK_BYTES (UINT64_C(1) << 42) // of what a qcow2 may claim

char *vendor_disk_path(const struct recipe_disk *disk, const char *packages_dir) {
    return disk->file ? str_dup(disk->file) : str_printf("%s/%s", packages_dir, disk->sha256);
}

int vendor_disk_ensure(const struct recipe_disk *disk, const struct package_dirs *dirs, unsigned *ret_fetched, struct err *err) {
    cleanup_free char *path = vendor_disk_path(disk, dirs->packages);
    const bool is_there = file_exists(AT_FDCWD, path);
    if (ret_fetched)
        *ret_fetched = !is_there;
    if (disk->url)
        return download_ensure(dirs->packages, &(struct recipe_fetch){.url = disk->url, .sha256 = disk->sha256}, dirs->is_offline, err);
    char sha256[65];
    int r = digest_file(AT_FDCWD, path, sha256, NULL, err);
    if (r >= 0 && strcmp(sha256, disk->sha256) != 0)
        r = err_set(err, -EBADMSG, "%s: was changed during the build", path);
    return r;
}

// What the tables of a qcow2 point to must lie inside of the file: a cut-off download would show up as damage of whatever file is missing.
static int check_tables(const char *path, struct err *err) {
    cleanup_fd int log = tool_log_open(err);
    cleanup_free char *file = tool_path(path);
    pid_t pid;
    int status = 0;
    struct run check = {.argv = RUN_ARGV("qemu-img", "check", "-U", "-f", "qcow2", file), .out = log, .error = log};
    int r = log < 0 ? log : run_start(&check, &pid, err);
    if (r < 0)
        return r;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    // qemu-img(1): 3 = only space that nothing uses.
    if (WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 3))
        return 0;
    return err_set(err, -EINVAL, "%s: the qcow2 is damaged or cut off (qemu-img check tells where)", path);
}

static int check_qcow2(const char *path, struct err *err) {
    struct qcow2_info info;
    int r = qcow2_info(path, &info, err);
    if (r < 0)
        return err_prefix(err, r, "%s", path);
    if (info.needs_others)
        return err_set(err, -EINVAL, "%s: the qcow2 depends on another file; convert it to one that stands alone", path);
    if (info.bytes > MAX_DISK_BYTES)
        return err_set(err, -EINVAL, "%s: the qcow2 claims a disk of %llu bytes", path, (unsigned long long)info.bytes);
    return check_tables(path, err);
}

static int check_packed(const char *path, const uint8_t *first, struct err *err) {
    static const struct {
        const char *magic, *command;
    } packers[] = {{"\x28\xb5\x2f\xfd", "zstd -d"},
                   {"\x1f\x8b", "gzip -dk"},
                   {"\xfd"
                    "7zXZ",
                    "xz -dk"},
                   {"BZh", "bzip2 -dk"}};
    for (size_t i = 0; i < ARRAY_SIZE(packers); i++)
        if (memcmp(first, packers[i].magic, strlen(packers[i].magic)) == 0)
            return err_set(err, -EINVAL, "%s: is compressed; unpack it first: %s %s", path, packers[i].command, path);
    return 0;
}

static int check_raw(const char *path, const uint8_t *first, uint64_t size, struct err *err) {
    int r = check_packed(path, first, err);
    if (r < 0)
        return r;
    if (size % SECTOR_BYTES)
        return err_set(err, -EINVAL, "%s: is neither a qcow2 nor a whole raw disk: its size is not a multiple of %d", path, SECTOR_BYTES);
    // A GPT has a protective MBR in front.
    if (first[510] != 0x55 || first[511] != 0xaa)
        return err_set(err, -EINVAL, "%s: is neither a qcow2 nor a raw disk with a partition table", path);
    return 0;
}

int vendor_disk_format(const char *path, const char **ret_format, struct err *err) {
    uint8_t first[SECTOR_BYTES] = {0};
    struct stat st;
    cleanup_fd int fd = file_open(AT_FDCWD, path, O_RDONLY, 0, err);
    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0)
        return err_sys(err, -errno, "%s", path);
    if (!S_ISREG(st.st_mode) || st.st_size < SECTOR_BYTES)
        return err_set(err, -EINVAL, "%s: is no disk image", path);
    int r = pread_all(fd, path, first, sizeof(first), 0, err);
    if (r < 0)
        return r;
    const bool is_qcow2 = memcmp(first, "QFI\xfb", 4) == 0;
    r = is_qcow2 ? check_qcow2(path, err) : check_raw(path, first, (uint64_t)st.st_size, err);
    if (r >= 0)
        *ret_format = is_qcow2 ? "qcow2" : "raw";
    return r;
}
