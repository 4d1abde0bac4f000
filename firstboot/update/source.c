// SPDX-License-Identifier: Apache-2.0
// Ranges out of a file or out of what webops-fetch sends, in order. A server that ignores ranges sends the file from its start: then what is
// not wanted is passed over, and what was passed over costs another pass.
#include "firstboot/update/source.h"
#include "common/buf.h"
#include "common/file.h"
#include "firstboot/update/fetcher.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <strings.h>

#define FETCH_PROGRAM "/usr/lib/webops/webops-fetch"
#define MAX_GAP_BYTES 8192 // cheaper to read than to ask for again
#define LOCAL_PIECE_BYTES (256 << 10)
#define MAX_LOAD_BYTES (64 << 20)

typedef int take_fn(void *context, size_t range, const void *data, size_t size, struct err *err);

struct source {
    char *location;
    const char *program;
    const char *const *arguments;
    int fd; // of a local file; -1: remote
    struct fetcher *fetcher; // NULL: none runs
    uint64_t position; // whole: of the next byte that comes
    bool is_ended; // whole: position is the file's end
    struct source_traffic traffic, before; // before: of children that have ended
};

// A call of source_stream(): which bytes are wanted, and how far it is.
struct stream {
    const struct source_range *ranges;
    size_t count;
    take_fn *take;
    void *context;
    size_t range; // first that is not complete
    uint64_t done; // bytes of it
    size_t asked, answered; // requests, as indexes of the first range that is not part of one
    unsigned open; // requests without an answer
    uint64_t expected, request_end; // of the request that is being answered
};

static bool is_remote(const char *location) {
    return strncasecmp(location, "http://", 7) == 0 || strncasecmp(location, "https://", 8) == 0;
}

static int open_local(const char *location, struct err *err) {
    struct stat status;
    if (strstr(location, "://"))
        return err_set(err, -EINVAL, "%s: only http and https addresses can be read", location);
    cleanup_fd int fd = file_open(AT_FDCWD, location, O_RDONLY | O_NONBLOCK, 0, err); // a FIFO must not hold us up
    if (fd < 0)
        return fd;
    if (fstat(fd, &status) < 0)
        return err_sys(err, -errno, "%s", location);
    if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))
        return err_set(err, -EINVAL, "%s is neither a file nor a block device", location);
    return take_fd(&fd);
}

int source_open_with(const char *location, const struct source_options *options, struct source **ret_source, struct err *err) {
    int fd = is_remote(location) ? -1 : open_local(location, err);
    if (fd < 0 && !is_remote(location))
        return fd;
    struct source *source = mem_array(1, sizeof(*source));
    source->location = str_dup(location);
    source->program = options->program;
    source->arguments = options->arguments;
    source->fd = fd;
    *ret_source = source;
    return 0;
}

int source_open(const char *location, struct source **ret_source, struct err *err) {
    static const struct source_options options = {.program = FETCH_PROGRAM};
    return source_open_with(location, &options, ret_source, err);
}

static void stop(struct source *source) {
    fetcher_stop(source->fetcher);
    source->fetcher = NULL;
    source->before = source->traffic;
    source->is_ended = false;
}

void source_close(struct source *source) {
    if (!source)
        return;
    stop(source);
    if (source->fd >= 0)
        close(source->fd);
    free(source->location);
    free(source);
}

static uint64_t range_end(const struct source_range *range) {
    return range->offset + range->bytes;
}

static int check_ranges(const struct source_range *ranges, size_t count, struct err *err) {
    for (size_t i = 0; i < count; i++)
        if (!ranges[i].bytes || ranges[i].bytes > INT64_MAX || ranges[i].offset > INT64_MAX - ranges[i].bytes ||
            (i && range_end(&ranges[i - 1]) > ranges[i].offset))
            return err_set(err, -EINVAL, "range %zu is empty, too large or out of order", i);
    return 0;
}

static bool is_complete(const struct stream *stream) {
    return stream->range == stream->count;
}

// Hands the wanted bytes of a piece that starts at `offset` to the caller; what lies before and between is passed over. Returns how many bytes
// of it were used (fewer only when nothing more is wanted), or what `take` returned.
static int64_t hand_over(struct stream *stream, uint64_t offset, const uint8_t *data, size_t size, struct err *err) {
    size_t at = 0;
    while (!is_complete(stream) && at < size) {
        const struct source_range *range = &stream->ranges[stream->range];
        uint64_t next = range->offset + stream->done, here = offset + at;
        if (next > here) {
            uint64_t gap = next - here;
            at += gap < size - at ? (size_t)gap : size - at;
            continue;
        }
        if (next < here)
            return err_set(err, -EPROTO, "bytes are missing in what was read");
        uint64_t left = range->bytes - stream->done;
        size_t piece = left < size - at ? (size_t)left : size - at;
        int r = stream->take(stream->context, stream->range, data + at, piece, err);
        if (r < 0)
            return r;
        at += piece;
        stream->done += piece;
        if (stream->done == range->bytes) {
            stream->range++;
            stream->done = 0;
        }
    }
    return (int64_t)at;
}

static int stream_local(struct source *source, struct stream *stream, struct err *err) {
    cleanup_free uint8_t *piece = mem_array(LOCAL_PIECE_BYTES, 1);
    while (!is_complete(stream)) {
        const struct source_range *range = &stream->ranges[stream->range];
        uint64_t left = range->bytes - stream->done, offset = range->offset + stream->done;
        ssize_t got = pread(source->fd, piece, left < LOCAL_PIECE_BYTES ? left : LOCAL_PIECE_BYTES, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_sys(err, -errno, "cannot read %s at %llu", source->location, (unsigned long long)offset);
        if (got == 0)
            return 0;
        source->traffic.bytes += (uint64_t)got;
        int64_t used = hand_over(stream, offset, piece, (size_t)got, err);
        if (used < 0)
            return (int)used;
    }
    return 0;
}

// The request that begins with range `first`: as many ranges as lie close together. Returns the first range behind it.
static size_t request_from(const struct stream *stream, size_t first, struct source_range *ret_request) {
    size_t next = first + 1;
    while (next < stream->count && stream->ranges[next].offset - range_end(&stream->ranges[next - 1]) < MAX_GAP_BYTES)
        next++;
    ret_request->offset = stream->ranges[first].offset;
    ret_request->bytes = range_end(&stream->ranges[next - 1]) - ret_request->offset;
    return next;
}

static int ask_ahead(struct source *source, struct stream *stream, struct err *err) {
    int r = 0;
    while (r == 0 && stream->asked < stream->count && stream->open < FETCHER_AHEAD) {
        struct source_range request;
        stream->asked = request_from(stream, stream->asked, &request);
        stream->open++;
        r = fetcher_ask(source->fetcher, request.offset, request.bytes, err);
    }
    return r;
}

// The next request's answer begins.
static void expect_next(struct stream *stream) {
    struct source_range request;
    if (stream->answered >= stream->asked)
        return;
    stream->answered = request_from(stream, stream->answered, &request);
    stream->expected = request.offset;
    stream->request_end = range_end(&request);
}

static int on_data(struct source *source, struct stream *stream, const struct frame *frame, const void *data, struct err *err) {
    uint64_t expected = source->traffic.is_whole ? source->position : stream->expected;
    if (frame->offset != expected || (!source->traffic.is_whole && frame->bytes > stream->request_end - expected))
        return err_set(err, -EPROTO, "webops-fetch sent bytes that nobody asked for");
    int64_t used = hand_over(stream, frame->offset, data, frame->bytes, err);
    if (used < 0)
        return (int)used;
    if (!source->traffic.is_whole)
        used = (int64_t)frame->bytes;
    fetcher_used(source->fetcher, (size_t)used);
    source->position += (uint64_t)used;
    stream->expected += (uint64_t)used;
    return 0;
}

// 1: the file ends here.
static int on_end(struct source *source, struct stream *stream) {
    if (source->traffic.is_whole) {
        source->is_ended = true;
        return 1;
    }
    stream->open--;
    if (stream->expected != stream->request_end)
        return 1;
    expect_next(stream);
    return 0;
}

static int on_frame(struct source *source, struct stream *stream, const struct frame *frame, const void *data, struct err *err) {
    switch (frame->kind) {
    case FRAME_DATA:
        return on_data(source, stream, frame, data, err);
    case FRAME_END:
        return on_end(source, stream);
    case FRAME_WHOLE:
        source->traffic.is_whole = true;
        source->position = 0;
        return 0;
    case FRAME_TRAFFIC:
        source->traffic.bytes = source->before.bytes + frame->bytes;
        source->traffic.requests = source->before.requests + frame->requests;
        return 0;
    default:
        return 0;
    }
}

// A child that can serve the stream's first byte. One that sends the whole file and has passed it cannot.
static int get_fetcher(struct source *source, const struct stream *stream, struct err *err) {
    if (source->fetcher && source->traffic.is_whole && source->position > stream->ranges[0].offset)
        stop(source);
    if (source->fetcher)
        return 0;
    source->traffic.is_whole = false; // until this one says so
    return fetcher_start(source->program, source->arguments, source->location, &source->fetcher, err);
}

static int pump(struct source *source, struct stream *stream, struct err *err) {
    int r = 0;
    while (r == 0 && !is_complete(stream)) {
        struct frame frame;
        const void *data = NULL;
        bool is_first = !stream->answered;
        if (!source->traffic.is_whole)
            r = ask_ahead(source, stream, err);
        if (is_first)
            expect_next(stream);
        if (r == 0)
            r = fetcher_next(source->fetcher, &frame, &data, err);
        if (r == 0)
            r = on_frame(source, stream, &frame, data, err);
    }
    return r;
}

// The last request's "end" is still to come when its last byte is there.
static int drain(struct source *source, struct stream *stream, struct err *err) {
    int r = 0;
    while (r == 0 && stream->open && !source->traffic.is_whole) {
        struct frame frame;
        const void *data = NULL;
        r = fetcher_next(source->fetcher, &frame, &data, err);
        if (r == 0 && frame.kind == FRAME_DATA)
            r = err_set(err, -EPROTO, "webops-fetch sent bytes that nobody asked for");
        if (r == 0)
            r = on_frame(source, stream, &frame, data, err);
    }
    return r < 0 ? r : 0;
}

static int stream_remote(struct source *source, struct stream *stream, struct err *err) {
    if (source->is_ended && stream->ranges[0].offset >= source->position)
        return 0;
    int r = get_fetcher(source, stream, err);
    if (r == 0)
        r = pump(source, stream, err);
    if (r == 0)
        r = drain(source, stream, err);
    // What else it was asked for is not wanted any more. The end of a whole file leaves nothing behind.
    if (r < 0 || (r > 0 && !source->traffic.is_whole))
        stop(source);
    return r < 0 ? r : 0;
}

static int run_stream(struct source *source, struct stream *stream, struct err *err) {
    int r = check_ranges(stream->ranges, stream->count, err);
    if (r < 0 || !stream->count)
        return r;
    return source->fd >= 0 ? stream_local(source, stream, err) : stream_remote(source, stream, err);
}

int source_stream(struct source *source, const struct source_range *ranges, size_t count,
                  int (*take)(void *context, size_t range, const void *data, size_t size, struct err *err), void *context,
                  struct err *err) {
    struct stream stream = {.ranges = ranges, .count = count, .take = take, .context = context};
    int r = run_stream(source, &stream, err);
    if (r < 0 || is_complete(&stream))
        return r;
    return err_set(err, -EIO, "%s ends before byte %llu", source->location,
                   (unsigned long long)(ranges[stream.range].offset + ranges[stream.range].bytes));
}

struct copy {
    char *data;
    size_t size;
};

static int copy_piece(void *context, size_t range, const void *data, size_t size, struct err *err) {
    struct copy *copy = context;
    (void)range;
    (void)err;
    memcpy(copy->data + copy->size, data, size);
    copy->size += size;
    return 0;
}

int source_read(struct source *source, uint64_t offset, void *data, size_t size, struct err *err) {
    const struct source_range range = {offset, size};
    struct copy copy = {.data = data};
    struct stream stream = {.ranges = &range, .count = size ? 1 : 0, .take = copy_piece, .context = &copy};
    if (size > INT_MAX)
        return err_set(err, -EINVAL, "%zu bytes are too many for one read", size);
    int r = run_stream(source, &stream, err);
    return r < 0 ? r : (int)copy.size;
}

int source_load(struct source *source, size_t max_bytes, char **ret_data, size_t *ret_size, struct err *err) {
    if (max_bytes > MAX_LOAD_BYTES)
        return err_set(err, -EINVAL, "%zu bytes are too many to load", max_bytes);
    cleanup_free char *data = mem_array(max_bytes + 1, 1);
    int r = source_read(source, 0, data, max_bytes + 1, err); // one byte more tells whether it is larger
    if (r < 0)
        return r;
    if ((size_t)r > max_bytes)
        return err_set(err, -EFBIG, "%s is larger than %zu bytes", source->location, max_bytes);
    data[r] = 0;
    *ret_size = (size_t)r;
    *ret_data = take_ptr(data);
    return 0;
}

void source_traffic(const struct source *source, struct source_traffic *ret_traffic) {
    *ret_traffic = source->traffic;
}
