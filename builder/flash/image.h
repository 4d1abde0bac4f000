// SPDX-License-Identifier: Apache-2.0
// A finished disk image on its way to a disk: its bytes and its block map.
#pragma once
#include "builder/flash/bmap.h"
#include "builder/flash/source.h"
#include "builder/flash/stream.h"

// Where image and block map come from.
struct flash_origin {
    // A raw image, a raw image compressed with zstd, a build.json, a directory with one build in it, an address of one of the first two, or "-": standard input.
    const char *image;
    const char *map; // path or address; NULL: the .bmap file beside the image
    const char *map_sha256; // hex; NULL: not told
    struct http_options http;
    bool wants_table; // it is for a disk of ours: a raw file without our partition table is refused (-EINVAL)
};

struct flash_image {
    char *path; // or address, of the raw image or its zstd stream
    struct bmap bmap;
    struct flash_source source;
};

// Without a block map a raw file is read through for its holes, anything else is refused (-ENOENT). A map that comes by http is refused (-EPERM) unless its
// hash was told: the map is what the image is held against. -EBADMSG: it has another hash.
int flash_image_open(const struct flash_origin *origin, struct flash_image *ret_image, struct err *err) must_check nonnull(1, 2, 3);
void flash_image_done(struct flash_image *image);

#define cleanup_flash_image cleanup(flash_image_done)
