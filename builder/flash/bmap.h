// SPDX-License-Identifier: Apache-2.0
// Block maps, format 2.0 as bmap-tools writes and reads it: which blocks of a disk image hold data, with a SHA-256 per range.
#pragma once
#include "common/digest.h"
#include "common/err.h"
#include <stddef.h>
#include <stdint.h>

#define BMAP_BLOCK_BYTES 4096
#define BMAP_MAX_FILE_BYTES (16 << 20)
#define BMAP_MAX_IMAGE_BYTES ((uint64_t)1 << 46)

struct bmap_range {
    uint64_t offset, size; // bytes, multiples of BMAP_BLOCK_BYTES
    uint8_t sha256[DIGEST_BYTES];
};

#define BMAP_WHOLE_BYTES ((uint64_t)64 << 20)

struct bmap {
    uint64_t image_bytes, mapped_bytes; // multiples of BMAP_BLOCK_BYTES
    struct bmap_range *ranges; // ascending, never overlapping
    size_t count;
};

// Of a raw image, by its holes: each data extent rounded outwards to whole blocks. Reads all the data for the hashes. -EINVAL: the size is no
// multiple of BMAP_BLOCK_BYTES.
int bmap_scan(int fd, const char *name, struct bmap *ret_bmap, struct err *err) must_check nonnull(2, 3, 4);
// Of a raw image whose holes tell nothing (a copy, or what a program unpacked): all of it, in ranges of BMAP_WHOLE_BYTES. Errors as above.
int bmap_whole(int fd, const char *name, struct bmap *ret_bmap, struct err *err) must_check nonnull(2, 3, 4);
struct buf;
void bmap_format(const struct bmap *bmap, struct buf *ret_xml) nonnull(1, 2);
// Reads what bmap_format() or bmaptool wrote, and checks the file's own checksum, bounds and order. Only SHA-256, blocks of 4096 bytes, and a
// checksum for every range are taken. -EINVAL says what is wrong.
int bmap_parse(const char *xml, size_t size, const char *name, struct bmap *ret_bmap, struct err *err) must_check nonnull(1, 3, 4, 5);
// SHA-256 over sizes, places and hashes: two images with the same are the same.
void bmap_identity(const struct bmap *bmap, uint8_t ret_sha256[DIGEST_BYTES]) nonnull(1);
// Holds a raw image against its map, all of it: what the map leaves out must read as zeros. -EBADMSG says where it differs.
int bmap_verify(const struct bmap *bmap, int fd, const char *name, struct err *err) must_check nonnull(1, 3, 4);
void bmap_done(struct bmap *bmap);

#define cleanup_bmap cleanup(bmap_done)
