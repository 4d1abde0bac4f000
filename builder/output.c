// SPDX-License-Identifier: Apache-2.0
// Conversions of the raw disk by other programs, and its block map.
#include "builder/output.h"
#include "builder/flash/bmap.h"
#include "builder/tool_log.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/run.h"
#include <errno.h>
#include <fcntl.h>

#define ZEROS_BYTES (256 << 10)

static int run_or_remove(const char *const *argv, const char *path, struct err *err) {
    int r = run_quiet(&(struct run){.argv = argv}, err);
    if (r < 0)
        unlink(path);
    return r;
}

int output_qcow2(const char *raw_path, const char *path, bool compress, struct err *err) {
    cleanup_free char *from = tool_path(raw_path), *to = tool_path(path);
    if (compress)
        return run_or_remove(
            RUN_ARGV("qemu-img", "convert", "-q", "-f", "raw", "-O", "qcow2", "-c", "-o", "compression_type=zstd", from, to), path, err);
    return run_or_remove(RUN_ARGV("qemu-img", "convert", "-q", "-f", "raw", "-O", "qcow2", from, to), path, err);
}

int output_zst(const char *raw_path, const char *path, int level, struct err *err) {
    char option[16];
    cleanup_free char *from = tool_path(raw_path), *to = tool_path(path);
    if (level < 1 || level > 19)
        return err_set(err, -EINVAL, "%s: zstd level %d is not 1 to 19", path, level);
    snprintf(option, sizeof(option), "-%d", level);
    // With worker threads the result does not depend on their number.
    return run_or_remove(RUN_ARGV("zstd", "-q", "-f", "-T0", option, "-o", to, from), path, err);
}

// Whether the file system keeps zeros that were written as data: by the holes of one that does not, a map would leave out what must be zero.
static int keeps_zeros(const char *beside, struct err *err) {
    cleanup_free char *path = str_printf("%s.zeros", beside), *zeros = mem_array(ZEROS_BYTES, 1);
    cleanup_fd int fd = file_open(AT_FDCWD, path, O_RDWR | O_CREAT | O_TRUNC, 0600, err);
    if (fd < 0)
        return fd;
    unlink(path);
    int r = pwrite_all(fd, path, zeros, ZEROS_BYTES, 0, err);
    if (r >= 0 && fsync(fd) < 0)
        r = err_sys(err, -errno, "flushing %s", path);
    return r < 0 ? r : lseek(fd, 0, SEEK_HOLE) == ZEROS_BYTES;
}

int output_bmap(const char *raw_path, const char *path, struct err *err) {
    cleanup_bmap struct bmap bmap = {0};
    cleanup_buf struct buf xml = {0};
    cleanup_fd int fd = file_open(AT_FDCWD, raw_path, O_RDONLY, 0, err);
    int r = fd < 0 ? fd : keeps_zeros(path, err);
    if (r >= 0)
        r = (r ? bmap_scan : bmap_whole)(fd, raw_path, &bmap, err);
    if (r < 0)
        return r;
    bmap_format(&bmap, &xml);
    return file_publish(AT_FDCWD, path, xml.data, xml.size, 0644, err);
}
