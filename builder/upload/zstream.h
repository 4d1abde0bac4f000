// SPDX-License-Identifier: Apache-2.0
// A disk image as the zstd stream that goes over the wire: a compressed image as it is, a raw one compressed on the way. Nothing is kept.
#pragma once
#include "builder/flash/image.h"
#include "builder/upload/stop.h"
#include "common/digest.h"

struct zstream {
    const char *name; // for messages; the image's
    int fd; // of the compressed file; -1 = raw
    struct flash_image image;
    struct ZSTD_CCtx_s *zstd;
    uint8_t *in, *out;
    size_t in_size, in_at;
    uint64_t read_bytes, total_bytes; // of the file that is read: progress
    bool is_done;
};

// `path` as for flash_image_open(), but neither an address nor standard input: it is read more than once. Beside a compressed image its block map is expected.
int zstream_open(const char *path, struct zstream *ret_stream, struct err *err) must_check nonnull(1, 2, 3);
void zstream_done(struct zstream *stream);
// The next piece; *ret_size 0 = the end. The memory is the stream's, until the next call.
int zstream_next(struct zstream *stream, const uint8_t **ret_data, size_t *ret_size, struct err *err) must_check nonnull(1, 2, 3, 4);
// Size and SHA-256 of the raw bytes of an image, read once from start to end. -EINTR: a signal came (`stop`; NULL: signals end the program).
int zstream_hash(const char *path, struct stop *stop, void (*progress)(void *context, uint64_t done, uint64_t total), void *context,
                 uint64_t *ret_bytes, uint8_t ret_sha256[DIGEST_BYTES], struct err *err) must_check nonnull(1, 5, 6, 7);

#define ZSTREAM_INIT                                                                                                                       \
    {                                                                                                                                      \
        .fd = -1, .image = {.source = {.fd = -1} }                                                                                         \
    }
#define cleanup_zstream cleanup(zstream_done)
