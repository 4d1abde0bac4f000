// SPDX-License-Identifier: Apache-2.0
// Carries a plan out: one pass over the pieces in their order, local ones read and checked, the others from one stream; then, for what was
// damaged, passes that ask for exactly these chunks again.
#include "firstboot/update/delta.h"
#include "common/buf.h"
#include "common/digest.h"
#include "common/file.h"
#include "common/log.h"
#include "firstboot/update/delta_state.h"
#include "firstboot/update/slotdevice.h"
#include "firstboot/update/slotwriter.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>

#define REPAIR_PASSES 3
#define MAX_DAMAGED 64 // chunks of one stream: beyond it, it is not the line that is bad

struct numbers { // of pieces
    size_t *items;
    size_t count, capacity;
};

struct run {
    struct delta *delta;
    struct slotwriter *writer;
    int uki_fd;
    struct digest digest;
    uint8_t *chunk;
    size_t held; // bytes in the chunk
    size_t next; // piece to deliver
    struct numbers wanted; // what the stream brings, in order
    size_t at; // in wanted
    struct numbers damaged; // to be asked for again
    bool is_repair;
    unsigned damaged_on_the_way;
    uint64_t done_bytes, fetched_bytes, copied_bytes;
};

static void numbers_add(struct numbers *numbers, size_t number) {
    if (numbers->count == numbers->capacity) {
        numbers->capacity = numbers->capacity ? numbers->capacity * 2 : 256;
        numbers->items = mem_resize(numbers->items, numbers->capacity, sizeof(*numbers->items));
    }
    numbers->items[numbers->count++] = number;
}

static void run_done(struct run *run) {
    digest_done(&run->digest);
    free(run->chunk);
    free(run->wanted.items);
    free(run->damaged.items);
}

static int add_zeros(struct slotwriter *writer, uint64_t position, struct err *err) {
    static const uint8_t zero[SLOT_BLOCK_BYTES];
    uint64_t over = position % SLOT_BLOCK_BYTES;
    return over ? slotwriter_add(writer, zero, SLOT_BLOCK_BYTES - over, err) : 0;
}

// The next bytes of the new generation, from `skip` in the piece; the header goes in front of the first layer, zeros behind each.
static int deliver(struct run *run, const struct delta_piece *piece, uint64_t skip, const uint8_t *data, size_t size, struct err *err) {
    const struct delta_object *object = &run->delta->objects[piece->object];
    uint64_t offset = piece->offset + skip;
    int r = 0;
    run->done_bytes += size;
    delta_show(run->delta, DELTA_WRITING, run->done_bytes, run->delta->index_bytes + run->fetched_bytes);
    if (piece->object == 0)
        return pwrite_all(run->uki_fd, "/" DELTA_UKI_PATH, data, size, offset, err);
    if (piece->object == 1 && offset == 0)
        r = slotwriter_add(run->writer, run->delta->header_bytes, SLOT_HEADER_BYTES, err);
    if (r >= 0)
        r = slotwriter_add(run->writer, data, size, err);
    return r >= 0 && offset + size == object->bytes ? add_zeros(run->writer, object->bytes, err) : r;
}

static bool is_right(struct run *run, const struct delta_piece *piece) {
    uint8_t sha256[DIGEST_BYTES];
    if (!piece->sha256)
        return true;
    digest_hash(&run->digest, run->chunk, piece->bytes, sha256);
    return memcmp(sha256, piece->sha256, sizeof(sha256)) == 0;
}

// A damaged piece is delivered as zeros and asked for again later: the pass goes on, and only these bytes are fetched twice.
static int deliver_damaged(struct run *run, size_t number, struct err *err) {
    const struct delta_piece *piece = &run->delta->plan.pieces[number];
    numbers_add(&run->damaged, number);
    memset(run->chunk, 0, piece->bytes);
    return run->is_repair ? 0 : deliver(run, piece, 0, run->chunk, piece->bytes, err);
}

static int copy_piece(struct run *run, size_t number, struct err *err) {
    const struct delta_piece *piece = &run->delta->plan.pieces[number];
    const struct delta_place *place = &run->delta->places[piece->place];
    struct err detail;
    int r = pread_all(place->fd, place->name, run->chunk, piece->bytes, piece->place_offset, &detail);
    if (r < 0 || !is_right(run, piece)) {
        log_warn("%s: %u bytes at %llu are damaged (%s); they are fetched", place->name, piece->bytes,
                 (unsigned long long)piece->place_offset, r < 0 ? detail.text : "other content than before");
        return deliver_damaged(run, number, err);
    }
    run->copied_bytes += piece->bytes;
    return deliver(run, piece, 0, run->chunk, piece->bytes, err);
}

// Local pieces up to the next one that the stream brings.
static int copy_pieces(struct run *run, struct err *err) {
    const struct delta_plan *plan = &run->delta->plan;
    int r = 0;
    while (!run->is_repair && r >= 0 && run->next < plan->count && plan->pieces[run->next].place != DELTA_FETCH)
        r = copy_piece(run, run->next++, err);
    return r;
}

// A piece has arrived whole.
static int take_piece(struct run *run, size_t number, struct err *err) {
    const struct delta_piece *piece = &run->delta->plan.pieces[number];
    int r;
    if (!is_right(run, piece)) {
        if (++run->damaged_on_the_way > MAX_DAMAGED)
            return err_set(err, -EBADMSG, "more than %d chunks are not what the manifest says: the source has other bytes", MAX_DAMAGED);
        r = deliver_damaged(run, number, err);
    } else if (!run->is_repair)
        r = deliver(run, piece, 0, run->chunk, piece->bytes, err);
    else if (piece->object == 0)
        r = pwrite_all(run->uki_fd, "/" DELTA_UKI_PATH, run->chunk, piece->bytes, piece->offset, err);
    else
        r = slotwriter_patch(run->writer, run->delta->objects[piece->object].sink_offset + piece->offset, run->chunk, piece->bytes, err);
    return r;
}

static int take(void *context, size_t range, const void *data, size_t size, struct err *err) {
    struct run *run = context;
    const uint8_t *bytes = data;
    (void)range; // the pieces are in the same order
    while (size > 0) {
        if (run->at == run->wanted.count)
            return err_set(err, -EBADMSG, "more bytes arrived than were asked for");
        size_t number = run->wanted.items[run->at];
        const struct delta_piece *piece = &run->delta->plan.pieces[number];
        size_t part = size < piece->bytes - run->held ? size : piece->bytes - run->held;
        bool is_direct = !piece->sha256 && !run->is_repair; // nothing to wait for: the whole is checked at the end
        int r = 0;
        if (is_direct)
            r = deliver(run, piece, run->held, bytes, part, err);
        else
            memcpy(run->chunk + run->held, bytes, part);
        run->fetched_bytes += part;
        run->held += part;
        bytes += part;
        size -= part;
        if (r >= 0 && run->held == piece->bytes) {
            run->held = 0;
            run->at++;
            run->next = number + 1;
            r = is_direct ? 0 : take_piece(run, number, err);
            r = r < 0 ? r : copy_pieces(run, err);
        }
        if (r < 0)
            return r;
    }
    return 0;
}

// The wanted pieces as ranges of the source; neighbours become one.
static int stream_wanted(struct run *run, struct err *err) {
    cleanup_free struct source_range *ranges = mem_array(run->wanted.count, sizeof(*ranges));
    size_t count = 0;
    for (size_t i = 0; i < run->wanted.count; i++) {
        const struct delta_piece *piece = &run->delta->plan.pieces[run->wanted.items[i]];
        uint64_t offset = run->delta->objects[piece->object].source_offset + piece->offset;
        if (count && ranges[count - 1].offset + ranges[count - 1].bytes == offset)
            ranges[count - 1].bytes += piece->bytes;
        else
            ranges[count++] = (struct source_range){offset, piece->bytes};
    }
    run->at = run->held = 0;
    int r = count ? source_stream(run->delta->request->source, ranges, count, take, run, err) : 0;
    if (r >= 0 && run->at != run->wanted.count)
        return err_set(err, -EBADMSG, "the source ended before all that was asked for had arrived");
    return r;
}

// Every piece once, in order; then what was damaged, until nothing is.
static int run_passes(struct run *run, struct err *err) {
    const struct delta_plan *plan = &run->delta->plan;
    for (size_t i = 0; i < plan->count; i++)
        if (plan->pieces[i].place == DELTA_FETCH)
            numbers_add(&run->wanted, i);
    int r = copy_pieces(run, err);
    if (r >= 0)
        r = stream_wanted(run, err);
    run->is_repair = true;
    for (unsigned pass = 0; r >= 0 && run->damaged.count > 0; pass++) {
        struct numbers wanted = run->wanted;
        if (pass == REPAIR_PASSES)
            return err_set(err, -EBADMSG, "%zu chunks are not what the manifest says, asked for %u times", run->damaged.count, pass);
        run->wanted = run->damaged;
        run->damaged = (struct numbers){wanted.items, 0, wanted.capacity};
        r = stream_wanted(run, err);
    }
    return r;
}

static int check_uki(const struct run *run, struct err *err) {
    const struct manifest_part *part = &run->delta->request->manifest->uki;
    uint8_t sha256[DIGEST_BYTES];
    int r = digest_range(run->uki_fd, "/" DELTA_UKI_PATH, 0, part->bytes, sha256, err);
    if (r >= 0 && memcmp(sha256, part->sha256, sizeof(sha256)) != 0)
        return err_set(err, -EBADMSG, "the unified kernel image that arrived is not what the manifest says");
    return r;
}

// Room is taken at once, so that a full state partition is noticed before the slot is touched.
static int open_uki(const struct delta_request *request, struct err *err) {
    struct statvfs fs;
    uint64_t bytes = request->manifest->uki.bytes;
    int r = file_mkdirs(request->root_fd, DELTA_UKI_DIR, 0700, err);
    cleanup_fd int fd = r < 0 ? -1 : file_open(request->root_fd, DELTA_UKI_PATH, O_RDWR | O_CREAT | O_NOFOLLOW, 0600, err);
    if (r < 0 || fd < 0)
        return r < 0 ? r : fd;
    r = ftruncate(fd, (off_t)bytes) < 0 ? -errno : 0;
    if (r == 0 && fallocate(fd, 0, 0, (off_t)bytes) < 0 && errno != EOPNOTSUPP)
        r = -errno;
    if (r == -ENOSPC && fstatvfs(fd, &fs) == 0)
        return err_set(err, r, "the unified kernel image needs %llu bytes on the state partition, %llu are free", (unsigned long long)bytes,
                       (unsigned long long)fs.f_bavail * fs.f_frsize);
    return r < 0 ? err_sys(err, r, "making /%s", DELTA_UKI_PATH) : take_fd(&fd);
}

static bool has_unchanged(const struct delta *delta) {
    for (size_t i = 0; i < delta->object_count; i++)
        if (delta->objects[i].same >= 0)
            return true;
    return false;
}

// -ESTALE: every chunk that was looked at is right, but not the whole: wrong bytes must have come from an unchanged layer, which is copied
// without looking at its chunks.
static int write_all(struct run *run, struct err *err) {
    struct delta *delta = run->delta;
    const struct slot_boot *boot = &delta->request->manifest->boot;
    delta->progress.total_bytes = delta->plan.fetch_bytes + delta->plan.copy_bytes;
    delta->progress.fetch_bytes = delta->index_bytes + delta->plan.fetch_bytes;
    delta_show(delta, DELTA_WRITING, 0, delta->index_bytes);
    digest_init(&run->digest);
    run->chunk = mem_array(DELTA_PIECE_BYTES, 1);
    int r = slotwriter_begin(run->writer, err);
    if (r >= 0)
        r = run_passes(run, err);
    if (r >= 0)
        r = check_uki(run, err);
    if (r < 0)
        return r;
    delta->progress.total_bytes = run->writer->data_bytes;
    delta_show(delta, DELTA_CHECKING, 0, delta->index_bytes + run->fetched_bytes);
    r = slotwriter_finish(run->writer, boot, err);
    if (r == -EBADMSG && has_unchanged(delta))
        return -ESTALE;
    if (r >= 0)
        delta_show(delta, DELTA_CHECKING, run->writer->data_bytes, delta->index_bytes + run->fetched_bytes);
    return r;
}

static int attempt(const struct delta_request *request, bool is_distrusting, struct delta_result *result, struct err *err) {
    cleanup_delta struct delta delta = {.request = request, .is_distrusting = is_distrusting, DELTA_NONE};
    cleanup_slotwriter struct slotwriter writer = {.fd = -1};
    cleanup(run_done) struct run run = {.delta = &delta, .writer = &writer, .uki_fd = result->uki_fd};
    int r = slotwriter_open(request->root_fd, request->record, request->slot, &request->manifest->boot, &writer, err);
    if (r >= 0)
        r = delta_look(&delta, writer.fd, writer.device_bytes, run.uki_fd, err);
    if (r >= 0 && request->begin && !is_distrusting)
        r = request->begin(request->context, err);
    if (r < 0)
        return r;
    r = write_all(&run, err);
    result->written_bytes += writer.written_bytes;
    result->copied_bytes = run.copied_bytes;
    result->asked_again += run.damaged_on_the_way;
    return r;
}

int delta_install(const struct delta_request *request, struct delta_result *ret_result, struct err *err) {
    cleanup_delta_result struct delta_result result = {.uki_fd = open_uki(request, err)};
    struct source_traffic before, after;
    if (result.uki_fd < 0)
        return result.uki_fd;
    source_traffic(request->source, &before);
    int r = attempt(request, false, &result, err);
    if (r == -ESTALE) {
        log_warn("%s; once more, with a check of every chunk", err->text);
        r = attempt(request, true, &result, err);
    }
    source_traffic(request->source, &after);
    if (r < 0)
        return r;
    result.fetched_bytes = after.bytes - before.bytes;
    *ret_result = result;
    result.uki_fd = -1;
    return 0;
}

void delta_result_done(struct delta_result *result) {
    if (result->uki_fd >= 0)
        close(result->uki_fd);
    result->uki_fd = -1;
}

int delta_clean(int root_fd, struct err *err) {
    if (unlinkat(root_fd, DELTA_UKI_PATH, 0) < 0 && errno != ENOENT)
        return err_sys(err, -errno, "removing /%s", DELTA_UKI_PATH);
    return 0;
}
