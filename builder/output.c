// SPDX-License-Identifier: Apache-2.0
// Conversions of the raw disk by other programs, and the block map by ourselves.
#include "builder/output.h"
#include "common/digest.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/run.h"
#include "common/slot.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

static int run_or_remove(const char *const *argv, const char *path, struct err *err) {
    int r = run_quiet(&(struct run){.argv = argv}, err);
    if (r < 0)
        unlink(path);
    return r;
}

int output_qcow2(const char *raw_path, const char *path, bool compress, struct err *err) {
    if (compress)
        return run_or_remove(
            RUN_ARGV("qemu-img", "convert", "-q", "-f", "raw", "-O", "qcow2", "-c", "-o", "compression_type=zstd", raw_path, path), path,
            err);
    return run_or_remove(RUN_ARGV("qemu-img", "convert", "-q", "-f", "raw", "-O", "qcow2", raw_path, path), path, err);
}

int output_zst(const char *raw_path, const char *path, int level, struct err *err) {
    char option[16];
    if (level < 1 || level > 19)
        return err_set(err, -EINVAL, "%s: zstd level %d is not 1 to 19", path, level);
    snprintf(option, sizeof(option), "-%d", level);
    // With worker threads the result does not depend on their number.
    return run_or_remove(RUN_ARGV("zstd", "-q", "-f", "-T0", option, "-o", path, raw_path), path, err);
}

struct ranges {
    struct buf xml;
    uint64_t mapped_blocks;
};

static int add_range(int fd, const char *name, uint64_t first, uint64_t end, struct ranges *ranges, struct err *err) {
    uint8_t sha256[DIGEST_BYTES];
    char hex[2 * DIGEST_BYTES + 1];
    int r = digest_range(fd, name, first * BMAP_BLOCK_BYTES, (end - first) * BMAP_BLOCK_BYTES, sha256, err);
    if (r < 0)
        return r;
    hex_format(sha256, sizeof(sha256), hex);
    buf_printf(&ranges->xml, "        <Range chksum=\"%s\"> %" PRIu64, hex, first);
    if (end - first > 1)
        buf_printf(&ranges->xml, "-%" PRIu64, end - 1);
    buf_add_str(&ranges->xml, " </Range>\n");
    ranges->mapped_blocks += end - first;
    return 0;
}

// Data extents rounded outwards to whole blocks; extents that meet in a block become one range.
static int add_ranges(int fd, const char *name, struct ranges *ranges, struct err *err) {
    uint64_t first = 0, end = 0;
    off_t data = 0;
    while ((data = lseek(fd, data, SEEK_DATA)) >= 0) {
        off_t hole = lseek(fd, data, SEEK_HOLE);
        if (hole < 0)
            return err_sys(err, -errno, "looking for holes in %s", name);
        uint64_t data_block = (uint64_t)data / BMAP_BLOCK_BYTES;
        if (data_block > end || end == 0) {
            int r = end ? add_range(fd, name, first, end, ranges, err) : 0;
            if (r < 0)
                return r;
            first = data_block;
        }
        end = ((uint64_t)hole + BMAP_BLOCK_BYTES - 1) / BMAP_BLOCK_BYTES;
        data = hole;
    }
    if (errno != ENXIO)
        return err_sys(err, -errno, "looking for data in %s", name);
    return end ? add_range(fd, name, first, end, ranges, err) : 0;
}

#define NO_CHECKSUM "0000000000000000000000000000000000000000000000000000000000000000"

static void format_bmap(uint64_t image_bytes, const struct ranges *ranges, struct buf *xml) {
    uint8_t sha256[DIGEST_BYTES];
    char hex[2 * DIGEST_BYTES + 1];
    buf_printf(xml,
               "<?xml version=\"1.0\" ?>\n"
               "<bmap version=\"2.0\">\n"
               "    <ImageSize> %" PRIu64 " </ImageSize>\n"
               "    <BlockSize> %d </BlockSize>\n"
               "    <BlocksCount> %" PRIu64 " </BlocksCount>\n"
               "    <MappedBlocksCount> %" PRIu64 " </MappedBlocksCount>\n"
               "    <ChecksumType> sha256 </ChecksumType>\n"
               "    <BmapFileChecksum> " NO_CHECKSUM " </BmapFileChecksum>\n"
               "    <BlockMap>\n%s    </BlockMap>\n</bmap>\n",
               image_bytes, BMAP_BLOCK_BYTES, image_bytes / BMAP_BLOCK_BYTES, ranges->mapped_blocks, buf_str(&ranges->xml));
    // The file's own checksum is taken with zeros in its place.
    digest_bytes(xml->data, xml->size, sha256);
    hex_format(sha256, sizeof(sha256), hex);
    memcpy(strstr(xml->data, NO_CHECKSUM), hex, sizeof(hex) - 1);
}

static void ranges_done(struct ranges *ranges) {
    buf_done(&ranges->xml);
}

int output_bmap(const char *raw_path, const char *path, struct err *err) {
    cleanup(ranges_done) struct ranges ranges = {0};
    cleanup_buf struct buf xml = {0};
    struct stat st;
    cleanup_fd int fd = file_open(AT_FDCWD, raw_path, O_RDONLY, 0, err);
    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0)
        return err_sys(err, -errno, "%s", raw_path);
    if (st.st_size % BMAP_BLOCK_BYTES != 0)
        return err_set(err, -EINVAL, "%s: %lld bytes are not a multiple of %d", raw_path, (long long)st.st_size, BMAP_BLOCK_BYTES);
    int r = add_ranges(fd, raw_path, &ranges, err);
    if (r < 0)
        return r;
    format_bmap((uint64_t)st.st_size, &ranges, &xml);
    return file_publish(AT_FDCWD, path, xml.data, xml.size, 0644, err);
}
