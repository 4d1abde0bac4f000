// SPDX-License-Identifier: Apache-2.0
// A finished disk image on its way to a disk: its bytes and its block map.
#pragma once
#include "builder/flash/bmap.h"
#include "builder/flash/source.h"

struct flash_image {
    char *path; // of the raw image or its zstd stream
    struct bmap bmap;
    struct flash_source source;
};

// `path`: a raw image, a raw image compressed with zstd, a build.json, a directory with one build in it, or "-": standard input. The block map is
// `map`; if that is NULL, the .bmap file beside the image. Without one a raw file is read through for its holes, anything else is refused (-ENOENT).
int flash_image_open(const char *path, const char *map, struct flash_image *ret_image, struct err *err) must_check nonnull(1, 3, 4);
void flash_image_done(struct flash_image *image);

#define cleanup_flash_image cleanup(flash_image_done)
