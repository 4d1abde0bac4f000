// SPDX-License-Identifier: Apache-2.0
// The slot image: header, padded layers, hash tree (docs/FORMATS.md "Slot"), made from layer files and verified against a root hash.
#pragma once
#include "common/err.h"
#include "common/slot.h"
#include <stdint.h>

struct slotimage_layer {
    const char *name, *version;
    int dir_fd; // AT_FDCWD or the cache's directory
    const char *path; // the squashfs, relative to dir_fd
    uint64_t length; // bytes; the file must have exactly these
    uint8_t sha256[32];
};

struct slotimage_input {
    const char *profile, *version;
    uint64_t sequence;
    uint64_t slot_bytes; // size of the partition; an image larger than that is -EFBIG
    const struct slotimage_layer *layers; // bottom to top
    unsigned layer_count;
};

struct slotimage {
    struct slot_header header;
    uint8_t root_hash[32];
    uint64_t size_bytes; // header, layers and tree
};

// Writes the image to dir_fd/path (replaced when it exists, removed on failure). Every layer is hashed while it is copied; one that is
// not what the input says is -EBADMSG and the message names its file.
int slotimage_create(const struct slotimage_input *input, int dir_fd, const char *path, struct slotimage *ret_image,
                     struct err *err) must_check nonnull(1, 3, 4, 5);
// What the kernel command line carries for this image, without "webops.slot=".
void slotimage_boot_text(const struct slotimage *image, char ret_text[SLOT_BOOT_TEXT_BYTES]) nonnull(1);
// Reads and checks the header at `offset`; the image must fit into `space_bytes`. -EBADMSG or -EINVAL when it is no slot header.
int slotimage_read_header(int fd, const char *name, uint64_t offset, uint64_t space_bytes, struct slot_header *ret_header,
                          struct err *err) must_check nonnull(2, 5, 6);
// Checks everything: the header against `boot` (id, data blocks), each layer's SHA-256, and the whole tree up to boot->root_hash.
int slotimage_verify(int fd, const char *name, uint64_t offset, uint64_t space_bytes, const struct slot_boot *boot,
                     struct slot_header *ret_header, struct err *err) must_check nonnull(2, 5, 6, 7);
