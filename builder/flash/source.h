// SPDX-License-Identifier: Apache-2.0
// A disk image as bytes at ascending offsets, from a raw file, a zstd stream, or either of them through a pipe or by HTTP(S).
#pragma once
#include "common/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct flash_source {
    const char *name; // for messages; the caller's
    int fd;
    struct stream *stream; // what fills the pipe; NULL: nobody of ours
    struct ZSTD_DCtx_s *zstd; // NULL: raw
    bool is_seekable; // a raw file, whose bytes are where they are
    uint8_t *in; // bytes that were read and not yet used
    size_t in_size, in_at;
    uint64_t at; // next offset that the stream gives
    bool is_frame_open; // the stream must not end here
};

// Takes over `fd` and `stream` (NULL: there is none), of which nothing is left after flash_source_done() or a failure; `name` must live as long. The kind is
// told by the first bytes; other compressions are refused by name (-EINVAL).
int flash_source_open(int fd, struct stream *stream, const char *name, struct flash_source *ret_source, struct err *err) must_check
    nonnull(3, 4, 5);
// Exactly `size` bytes from `offset`, which never goes back behind what was read of an image that is no raw file. -ENODATA: the image ends before;
// -EBADMSG: the stream is damaged.
int flash_source_read(struct flash_source *source, uint64_t offset, void *data, size_t size, struct err *err) must_check nonnull(1, 3, 5);
void flash_source_done(struct flash_source *source);

#define cleanup_flash_source cleanup(flash_source_done)
