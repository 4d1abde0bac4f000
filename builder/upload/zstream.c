// SPDX-License-Identifier: Apache-2.0
// libzstd, at the level of the builds' own compressed images.
#include "builder/upload/zstream.h"
#include "common/buf.h"
#include "common/file.h"
#include <errno.h>
#include <fcntl.h>
#include <zstd.h>

#define LEVEL 3
#define PIECE_BYTES ((size_t)1 << 20)

static int begin_file(struct zstream *stream, struct err *err) {
    struct stat st;
    stream->fd = file_open(AT_FDCWD, stream->name, O_RDONLY, 0, err);
    if (stream->fd < 0)
        return stream->fd;
    if (fstat(stream->fd, &st) < 0)
        return err_sys(err, -errno, "%s", stream->name);
    stream->total_bytes = (uint64_t)st.st_size;
    return 0;
}

static int begin_compressing(struct zstream *stream, struct err *err) {
    stream->total_bytes = stream->image.bmap.image_bytes;
    stream->out = mem_array(ZSTD_CStreamOutSize(), 1);
    stream->zstd = ZSTD_createCCtx();
    if (!stream->zstd || ZSTD_isError(ZSTD_CCtx_setParameter(stream->zstd, ZSTD_c_compressionLevel, LEVEL)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(stream->zstd, ZSTD_c_checksumFlag, 1)))
        return err_set(err, -ENOMEM, "%s: zstd gives no stream", stream->name);
    return 0;
}

int zstream_open(const char *path, struct zstream *ret_stream, struct err *err) {
    struct zstream stream = ZSTREAM_INIT;
    int r = flash_image_open(&(struct flash_origin){.image = path}, &stream.image, err);
    if (r < 0)
        return r;
    stream.name = stream.image.path;
    stream.in = mem_array(PIECE_BYTES, 1);
    r = stream.image.source.zstd ? begin_file(&stream, err) : begin_compressing(&stream, err);
    if (r < 0)
        zstream_done(&stream);
    else
        *ret_stream = stream;
    return r;
}

void zstream_done(struct zstream *stream) {
    flash_image_done(&stream->image);
    ZSTD_freeCCtx(stream->zstd);
    free(stream->in);
    free(stream->out);
    if (stream->fd >= 0)
        close(stream->fd);
    *stream = (struct zstream)ZSTREAM_INIT;
}

static int next_of_file(struct zstream *stream, size_t *ret_size, struct err *err) {
    ssize_t got;
    while ((got = read(stream->fd, stream->in, PIECE_BYTES)) < 0 && errno == EINTR)
        ;
    if (got < 0)
        return err_sys(err, -errno, "reading %s", stream->name);
    stream->read_bytes += (uint64_t)got;
    *ret_size = (size_t)got;
    return 0;
}

static int refill(struct zstream *stream, struct err *err) {
    uint64_t left = stream->total_bytes - stream->read_bytes;
    size_t size = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
    if (stream->in_at < stream->in_size || size == 0)
        return 0;
    int r = flash_source_read(&stream->image.source, stream->read_bytes, stream->in, size, err);
    stream->in_size = r < 0 ? 0 : size;
    stream->in_at = 0;
    stream->read_bytes += stream->in_size;
    return r;
}

static int next_compressed(struct zstream *stream, size_t *ret_size, struct err *err) {
    ZSTD_outBuffer out = {stream->out, ZSTD_CStreamOutSize(), 0};
    while (out.pos < out.size && !stream->is_done) {
        int r = refill(stream, err);
        if (r < 0)
            return r;
        ZSTD_inBuffer in = {stream->in, stream->in_size, stream->in_at};
        bool is_last = stream->read_bytes == stream->total_bytes;
        size_t left = ZSTD_compressStream2(stream->zstd, &out, &in, is_last ? ZSTD_e_end : ZSTD_e_continue);
        stream->in_at = in.pos;
        if (ZSTD_isError(left))
            return err_set(err, -EIO, "compressing %s: %s", stream->name, ZSTD_getErrorName(left));
        stream->is_done = is_last && left == 0;
    }
    *ret_size = out.pos;
    return 0;
}

int zstream_next(struct zstream *stream, const uint8_t **ret_data, size_t *ret_size, struct err *err) {
    *ret_data = stream->zstd ? stream->out : stream->in;
    return stream->zstd ? next_compressed(stream, ret_size, err) : next_of_file(stream, ret_size, err);
}

int zstream_hash(const char *path, struct stop *stop, void (*progress)(void *context, uint64_t done, uint64_t total), void *context,
                 uint64_t *ret_bytes, uint8_t ret_sha256[DIGEST_BYTES], struct err *err) {
    cleanup_flash_image struct flash_image image = {.source = {.fd = -1}};
    cleanup_digest struct digest digest = {0};
    cleanup_free uint8_t *piece = mem_array(PIECE_BYTES, 1);
    int r = flash_image_open(&(struct flash_origin){.image = path}, &image, err);
    if (r < 0)
        return r;
    digest_init(&digest);
    digest_start(&digest);
    for (uint64_t at = 0, size; r >= 0 && at < image.bmap.image_bytes; at += size) {
        size = image.bmap.image_bytes - at < PIECE_BYTES ? image.bmap.image_bytes - at : PIECE_BYTES;
        r = flash_source_read(&image.source, at, piece, (size_t)size, err);
        if (r >= 0)
            digest_add(&digest, piece, (size_t)size);
        if (r >= 0 && stop)
            r = stop_check(stop, err);
        if (r >= 0 && progress)
            progress(context, at + size, image.bmap.image_bytes);
    }
    digest_end(&digest, ret_sha256);
    *ret_bytes = image.bmap.image_bytes;
    return r;
}
