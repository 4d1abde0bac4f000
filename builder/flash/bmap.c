// SPDX-License-Identifier: Apache-2.0
// Makes and writes block maps. Knows nothing of who flashes by them.
#include "builder/flash/bmap.h"
#include "common/buf.h"
#include "common/slot.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE_BYTES ((size_t)1 << 16)
#define NO_CHECKSUM "0000000000000000000000000000000000000000000000000000000000000000"

void bmap_done(struct bmap *bmap) {
    free(bmap->ranges);
    *bmap = (struct bmap){0};
}

static int add_range(int fd, const char *name, uint64_t first, uint64_t end, struct bmap *bmap, struct err *err) {
    struct bmap_range range = {first * BMAP_BLOCK_BYTES, (end - first) * BMAP_BLOCK_BYTES, {0}};
    int r = digest_range(fd, name, range.offset, range.size, range.sha256, err);
    if (r < 0)
        return r;
    bmap->ranges = mem_resize(bmap->ranges, bmap->count + 1, sizeof(range));
    bmap->ranges[bmap->count++] = range;
    bmap->mapped_bytes += range.size;
    return 0;
}

// Extents that meet in a block become one range.
static int add_ranges(int fd, const char *name, struct bmap *bmap, struct err *err) {
    uint64_t first = 0, end = 0;
    off_t data = 0;
    while ((data = lseek(fd, data, SEEK_DATA)) >= 0) {
        off_t hole = lseek(fd, data, SEEK_HOLE);
        if (hole < 0)
            return err_sys(err, -errno, "looking for holes in %s", name);
        uint64_t data_block = (uint64_t)data / BMAP_BLOCK_BYTES;
        if (data_block > end || end == 0) {
            int r = end ? add_range(fd, name, first, end, bmap, err) : 0;
            if (r < 0)
                return r;
            first = data_block;
        }
        end = ((uint64_t)hole + BMAP_BLOCK_BYTES - 1) / BMAP_BLOCK_BYTES;
        data = hole;
    }
    if (errno != ENXIO)
        return err_sys(err, -errno, "looking for data in %s", name);
    return end ? add_range(fd, name, first, end, bmap, err) : 0;
}

static int add_all(int fd, const char *name, struct bmap *bmap, struct err *err) {
    const uint64_t blocks = bmap->image_bytes / BMAP_BLOCK_BYTES, step = BMAP_WHOLE_BYTES / BMAP_BLOCK_BYTES;
    int r = 0;
    for (uint64_t first = 0; r >= 0 && first < blocks; first += step)
        r = add_range(fd, name, first, blocks - first < step ? blocks : first + step, bmap, err);
    return r;
}

static int make(int fd, const char *name, int (*add)(int fd, const char *name, struct bmap *bmap, struct err *err), struct bmap *ret_bmap,
                struct err *err) {
    cleanup_bmap struct bmap bmap = {0};
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_sys(err, -errno, "%s", name);
    if (st.st_size % BMAP_BLOCK_BYTES != 0)
        return err_set(err, -EINVAL, "%s: %lld bytes are not a multiple of %d", name, (long long)st.st_size, BMAP_BLOCK_BYTES);
    bmap.image_bytes = (uint64_t)st.st_size;
    int r = add(fd, name, &bmap, err);
    if (r < 0)
        return r;
    *ret_bmap = bmap;
    bmap = (struct bmap){0};
    return 0;
}

int bmap_scan(int fd, const char *name, struct bmap *ret_bmap, struct err *err) {
    return make(fd, name, add_ranges, ret_bmap, err);
}

int bmap_whole(int fd, const char *name, struct bmap *ret_bmap, struct err *err) {
    return make(fd, name, add_all, ret_bmap, err);
}

static void format_range(const struct bmap_range *range, struct buf *xml) {
    char hex[2 * DIGEST_BYTES + 1];
    uint64_t first = range->offset / BMAP_BLOCK_BYTES, blocks = range->size / BMAP_BLOCK_BYTES;
    hex_format(range->sha256, sizeof(range->sha256), hex);
    buf_printf(xml, "        <Range chksum=\"%s\"> %" PRIu64, hex, first);
    if (blocks > 1)
        buf_printf(xml, "-%" PRIu64, first + blocks - 1);
    buf_add_str(xml, " </Range>\n");
}

void bmap_format(const struct bmap *bmap, struct buf *ret_xml) {
    uint8_t sha256[DIGEST_BYTES];
    char hex[2 * DIGEST_BYTES + 1];
    buf_printf(ret_xml,
               "<?xml version=\"1.0\" ?>\n"
               "<bmap version=\"2.0\">\n"
               "    <ImageSize> %" PRIu64 " </ImageSize>\n"
               "    <BlockSize> %d </BlockSize>\n"
               "    <BlocksCount> %" PRIu64 " </BlocksCount>\n"
               "    <MappedBlocksCount> %" PRIu64 " </MappedBlocksCount>\n"
               "    <ChecksumType> sha256 </ChecksumType>\n"
               "    <BmapFileChecksum> " NO_CHECKSUM " </BmapFileChecksum>\n"
               "    <BlockMap>\n",
               bmap->image_bytes, BMAP_BLOCK_BYTES, bmap->image_bytes / BMAP_BLOCK_BYTES, bmap->mapped_bytes / BMAP_BLOCK_BYTES);
    for (size_t i = 0; i < bmap->count; i++)
        format_range(&bmap->ranges[i], ret_xml);
    buf_add_str(ret_xml, "    </BlockMap>\n</bmap>\n");
    // The file's own checksum is taken with zeros in its place.
    digest_bytes(ret_xml->data, ret_xml->size, sha256);
    hex_format(sha256, sizeof(sha256), hex);
    memcpy(strstr(ret_xml->data, NO_CHECKSUM), hex, sizeof(hex) - 1);
}

static void add_number(struct digest *digest, uint64_t number) {
    uint8_t bytes[8];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(number >> (8 * i));
    digest_add(digest, bytes, sizeof(bytes));
}

static int differs(const char *name, uint64_t offset, struct err *err) {
    return err_set(err, -EBADMSG, "%s: at offset %" PRIu64 " it is not what its block map says", name, offset);
}

static int verify_zeros(int fd, const char *name, uint64_t from, uint64_t to, struct err *err) {
    cleanup_free char *piece = mem_array(PIECE_BYTES, 1);
    while (from < to) {
        off_t data = lseek(fd, (off_t)from, SEEK_DATA);
        if (data < 0 && errno == ENXIO)
            return 0;
        if (data < 0)
            return err_sys(err, -errno, "looking for data in %s", name);
        from = (uint64_t)data;
        size_t size = to <= from ? 0 : to - from < PIECE_BYTES ? (size_t)(to - from) : PIECE_BYTES;
        int r = size ? pread_all(fd, name, piece, size, from, err) : 0;
        if (r < 0)
            return r;
        for (size_t i = 0; i < size; i++)
            if (piece[i])
                return differs(name, from + i, err);
        from += size;
    }
    return 0;
}

int bmap_verify(const struct bmap *bmap, int fd, const char *name, struct err *err) {
    uint64_t at = 0;
    for (size_t i = 0; i < bmap->count; i++) {
        const struct bmap_range *range = &bmap->ranges[i];
        uint8_t found[DIGEST_BYTES];
        int r = verify_zeros(fd, name, at, range->offset, err);
        if (r >= 0)
            r = digest_range(fd, name, range->offset, range->size, found, err);
        if (r < 0)
            return r;
        if (memcmp(found, range->sha256, sizeof(found)) != 0)
            return differs(name, range->offset, err);
        at = range->offset + range->size;
    }
    return verify_zeros(fd, name, at, bmap->image_bytes, err);
}

void bmap_identity(const struct bmap *bmap, uint8_t ret_sha256[DIGEST_BYTES]) {
    cleanup_digest struct digest digest;
    digest_init(&digest);
    digest_start(&digest);
    add_number(&digest, bmap->image_bytes);
    for (size_t i = 0; i < bmap->count; i++) {
        add_number(&digest, bmap->ranges[i].offset);
        add_number(&digest, bmap->ranges[i].size);
        digest_add(&digest, bmap->ranges[i].sha256, DIGEST_BYTES);
    }
    digest_end(&digest, ret_sha256);
}
