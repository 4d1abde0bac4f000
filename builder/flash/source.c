// SPDX-License-Identifier: Apache-2.0
// Reads images. What they should be is in their block map; nothing is verified here but zstd's own framing.
#include "builder/flash/source.h"
#include "builder/flash/stream.h"
#include "common/buf.h"
#include "common/digest.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#define MAX_WINDOW_LOG 27 // 128 MiB, what zstd itself takes without being told

// First bytes of what is none of ours.
static const struct {
    const char *start;
    size_t size;
    const char *advice;
} foreign[] = {
    {"\x1f\x8b", 2, "is compressed with gzip: gzip -d"},
    {"\xfd\x37zXZ", 5, "is compressed with xz: xz -d"},
    {"BZh", 3, "is compressed with bzip2: bzip2 -d"},
    {"QFI\xfb", 4, "is a qcow2 image: qemu-img convert -O raw"},
};
static const char zstd_magic[] = "\x28\xb5\x2f\xfd";

static ssize_t fill(struct flash_source *source, struct err *err) {
    ssize_t got;
    while ((got = read(source->fd, source->in, ZSTD_DStreamInSize())) < 0 && errno == EINTR)
        ;
    if (got < 0)
        return err_sys(err, -errno, "reading %s", source->name);
    source->in_size = (size_t)got;
    source->in_at = 0;
    return got == 0 && source->stream ? stream_end(source->stream, err) : got;
}

static int begin_zstd(struct flash_source *source, struct err *err) {
    source->zstd = ZSTD_createDCtx();
    if (!source->zstd || ZSTD_isError(ZSTD_DCtx_setParameter(source->zstd, ZSTD_d_windowLogMax, MAX_WINDOW_LOG)))
        return err_set(err, -ENOMEM, "%s: zstd gives no stream", source->name);
    source->is_frame_open = true;
    return 0;
}

int flash_source_open(int fd, struct stream *stream, const char *name, struct flash_source *ret_source, struct err *err) {
    struct flash_source source = {.name = name, .fd = fd, .stream = stream, .in = mem_array(ZSTD_DStreamInSize(), 1)};
    ssize_t got = fill(&source, err);
    int r = got < 0 ? (int)got : got == 0 ? err_set(err, -EINVAL, "%s is empty", name) : 0;
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(foreign); i++)
        if ((size_t)got >= foreign[i].size && memcmp(source.in, foreign[i].start, foreign[i].size) == 0)
            r = err_set(err, -EINVAL, "%s %s", name, foreign[i].advice);
    if (r >= 0 && (size_t)got >= strlen(zstd_magic) && memcmp(source.in, zstd_magic, strlen(zstd_magic)) == 0)
        r = begin_zstd(&source, err);
    source.is_seekable = !source.zstd && lseek(fd, 0, SEEK_CUR) >= 0;
    if (r < 0)
        flash_source_done(&source);
    else
        *ret_source = source;
    return r;
}

// At the end of what was read: more, or why there is none.
static int need_more(struct flash_source *source, struct err *err) {
    if (source->in_at < source->in_size)
        return 0;
    ssize_t got = fill(source, err);
    if (got != 0)
        return got < 0 ? (int)got : 0;
    return source->is_frame_open ? err_set(err, -EBADMSG, "%s is cut off: the compressed stream ends in the middle", source->name)
                                 : err_set(err, -ENODATA, "%s ends before its block map does", source->name);
}

// What a frame ends with is followed by the next frame, or by nothing.
static int decompress(struct flash_source *source, void *data, size_t size, struct err *err) {
    ZSTD_outBuffer out = {data, size, 0};
    while (out.pos < out.size) {
        int r = need_more(source, err);
        if (r < 0)
            return r;
        ZSTD_inBuffer in = {source->in, source->in_size, source->in_at};
        size_t hint = ZSTD_decompressStream(source->zstd, &out, &in);
        source->in_at = in.pos;
        if (ZSTD_isError(hint))
            return err_set(err, -EBADMSG, "%s is damaged: %s", source->name, ZSTD_getErrorName(hint));
        source->is_frame_open = hint != 0;
    }
    return 0;
}

static int copy(struct flash_source *source, void *data, size_t size, struct err *err) {
    for (size_t done = 0, part; done < size; done += part) {
        int r = need_more(source, err);
        if (r < 0)
            return r;
        size_t there = source->in_size - source->in_at;
        part = there < size - done ? there : size - done;
        memcpy((char *)data + done, source->in + source->in_at, part);
        source->in_at += part;
    }
    return 0;
}

static int read_next(struct flash_source *source, void *data, size_t size, struct err *err) {
    source->at += size;
    return (source->zstd ? decompress : copy)(source, data, size, err);
}

int flash_source_read(struct flash_source *source, uint64_t offset, void *data, size_t size, struct err *err) {
    if (source->is_seekable)
        return pread_all(source->fd, source->name, data, size, offset, err);
    assert(offset >= source->at);
    // What is skipped goes through the same buffer.
    while (source->at < offset) {
        uint64_t gap = offset - source->at;
        int r = read_next(source, data, gap < size ? (size_t)gap : size, err);
        if (r < 0)
            return r;
    }
    return read_next(source, data, size, err);
}

void flash_source_done(struct flash_source *source) {
    ZSTD_freeDCtx(source->zstd);
    free(source->in);
    stream_free(source->stream);
    if (source->fd >= 0)
        close(source->fd);
    *source = (struct flash_source){.fd = -1};
}
