// SPDX-License-Identifier: Apache-2.0
// Two buffers, two threads: one piece is read (and decompressed, and hashed) while the one before is written.
#include "builder/flash/flash.h"
#include "builder/flash/table.h"
#include "common/buf.h"
#include "common/flashmark.h"
#include "common/slot.h"
#include "common/worker.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define PIECE_BYTES ((size_t)4 << 20)
#define MARK_BYTES ((uint64_t)256 << 20)

void flash_init(struct flash *flash, struct flash_source *source, const struct bmap *bmap, const struct flash_target *target) {
    assert(target->size >= bmap->image_bytes && bmap->image_bytes >= FLASH_HEAD_BYTES + FLASH_TAIL_BYTES);
    *flash =
        (struct flash){.source = source, .bmap = bmap, .target = target, .head = mem_aligned(FLASH_HEAD_BYTES), .mark_bytes = MARK_BYTES};
}

void flash_done(struct flash *flash) {
    free(flash->head);
    flash->head = NULL;
}

static int flush(const struct flash *flash, struct err *err) {
    return fsync(flash->target->fd) < 0 ? err_sys(err, -errno, "flushing %s", flash->target->name) : 0;
}

static int put(const struct flash *flash, const void *data, size_t size, uint64_t offset, struct err *err) {
    return pwrite_all(flash->target->fd, flash->target->name, data, size, offset, err);
}

static int get(const struct flash *flash, void *data, size_t size, uint64_t offset, struct err *err) {
    return pread_all(flash->target->fd, flash->target->name, data, size, offset, err);
}

// "webops-image flash: not finished\nimage <SHA-256 of the block map>\nnext <offset>\n"
static void format_mark(const struct flash *flash, uint64_t next, char ret_text[256]) {
    uint8_t identity[DIGEST_BYTES];
    char hex[2 * DIGEST_BYTES + 1];
    bmap_identity(flash->bmap, identity);
    hex_format(identity, sizeof(identity), hex);
    snprintf(ret_text, 256, FLASH_MARK "image %s\nnext %" PRIu64 "\n", hex, next);
}

// Whatever was flushed before stays written, so what the mark says is true.
static int save_mark(const struct flash *flash, uint64_t next, struct err *err) {
    cleanup_free char *block = mem_aligned(BMAP_BLOCK_BYTES);
    format_mark(flash, next, block);
    int r = flush(flash, err);
    if (r >= 0)
        r = put(flash, block, BMAP_BLOCK_BYTES, 0, err);
    return r < 0 ? r : flush(flash, err);
}

static int load_mark(const struct flash *flash, uint64_t *ret_next, struct err *err) {
    cleanup_free char *block = mem_aligned(BMAP_BLOCK_BYTES + MEM_ALIGNMENT);
    char text[256];
    uint64_t next = 0;
    int r = get(flash, block, BMAP_BLOCK_BYTES, 0, err);
    if (r < 0)
        return r;
    const char *at = strncmp(block, FLASH_MARK, strlen(FLASH_MARK)) == 0 ? strstr(block, "\nnext ") : NULL;
    *ret_next = 0;
    if (!at || sscanf(at, "\nnext %" SCNu64, &next) != 1)
        return 0;
    format_mark(flash, next, text); // of this image, and nothing else
    if (strcmp(text, block) == 0)
        *ret_next = next;
    return 0;
}

// From here on nothing boots from the disk, and no tool takes the table of before for its own.
static int begin(struct flash *flash, struct err *err) {
    int r = load_mark(flash, &flash->resumed_at, err);
    flash->has_begun = r >= 0 && flash->resumed_at > 0;
    if (r < 0 || flash->has_begun)
        return r;
    cleanup_free char *zeros = mem_aligned(FLASH_HEAD_BYTES);
    format_mark(flash, 0, zeros);
    flash->has_begun = true;
    r = put(flash, zeros, FLASH_HEAD_BYTES, 0, err);
    memset(zeros, 0, FLASH_HEAD_BYTES);
    if (r >= 0)
        r = put(flash, zeros, FLASH_TAIL_BYTES, flash->target->size - FLASH_TAIL_BYTES, err);
    return r < 0 ? r : flush(flash, err);
}

// One piece on its way to the disk, or from there into the hash.
struct pass {
    struct flash *flash;
    struct worker worker;
    uint8_t *buffers[2];
    unsigned turn;
    struct digest digest;
    struct err err; // of the job
    int result;
    const uint8_t *data; // of the job
    size_t size;
    uint64_t offset, done, since_mark;
};

static void pass_init(struct pass *pass, struct flash *flash) {
    *pass = (struct pass){.flash = flash, .buffers = {mem_aligned(PIECE_BYTES), mem_aligned(PIECE_BYTES)}};
    digest_init(&pass->digest);
    worker_init(&pass->worker);
}

static void pass_done(struct pass *pass) {
    worker_done(&pass->worker);
    digest_done(&pass->digest);
    free(pass->buffers[0]);
    free(pass->buffers[1]);
}

// The next piece of a range from `at`: never over the end of the head.
static size_t piece_at(const struct bmap_range *range, uint64_t at) {
    uint64_t end = range->offset + range->size, most = at < FLASH_HEAD_BYTES ? FLASH_HEAD_BYTES - at : PIECE_BYTES;
    return (size_t)(end - at < most ? end - at : most);
}

static int wait_job(struct pass *pass, struct err *err) {
    worker_wait(&pass->worker);
    if (pass->result < 0)
        *err = pass->err;
    return pass->result;
}

static int start_job(struct pass *pass, void (*job)(void *), size_t size, uint64_t offset, struct err *err) {
    int r = wait_job(pass, err);
    if (r < 0)
        return r;
    pass->data = pass->buffers[pass->turn];
    pass->size = size;
    pass->offset = offset;
    pass->turn = !pass->turn;
    worker_start(&pass->worker, job, pass);
    return 0;
}

static void advance(struct pass *pass, size_t size) {
    struct flash *flash = pass->flash;
    pass->done += size;
    if (flash->progress)
        flash->progress(flash->context, pass->done, flash->bmap->mapped_bytes);
}

static void write_job(void *context) {
    struct pass *pass = context;
    pass->result = put(pass->flash, pass->data, pass->size, pass->offset, &pass->err);
}

static int mark(struct pass *pass, uint64_t next, struct err *err) {
    int r = wait_job(pass, err);
    pass->since_mark = 0;
    return r < 0 ? r : save_mark(pass->flash, next, err);
}

// The head is in memory already, and stays there.
static int write_piece(struct pass *pass, uint64_t at, size_t size, struct err *err) {
    struct flash *flash = pass->flash;
    uint8_t *data = pass->buffers[pass->turn];
    if (at < FLASH_HEAD_BYTES) {
        digest_add(&pass->digest, flash->head + at, size);
        return 0;
    }
    int r = flash_source_read(flash->source, at, data, size, err);
    if (r < 0)
        return r;
    digest_add(&pass->digest, data, size);
    pass->since_mark += size;
    r = start_job(pass, write_job, size, at, err);
    return r < 0 || pass->since_mark < flash->mark_bytes ? r : mark(pass, at + size, err);
}

static int differs(const struct bmap_range *range, const char *name, const char *what, int code, struct err *err) {
    return err_set(err, code, "%s: bytes %" PRIu64 " to %" PRIu64 " %s", name, range->offset, range->offset + range->size - 1, what);
}

static bool is_right(struct pass *pass, const struct bmap_range *range) {
    uint8_t sha256[DIGEST_BYTES];
    digest_end(&pass->digest, sha256);
    return memcmp(sha256, range->sha256, sizeof(sha256)) == 0;
}

// Where a mark has to be for a run that is to write this range again.
static uint64_t start_of(const struct bmap_range *range) {
    return range->offset > FLASH_HEAD_BYTES ? range->offset : 0;
}

static int write_range(struct pass *pass, const struct bmap_range *range, struct err *err) {
    struct flash *flash = pass->flash;
    bool is_whole = true;
    size_t size;
    int r = 0;
    digest_start(&pass->digest);
    for (uint64_t at = range->offset; r >= 0 && at < range->offset + range->size; at += size) {
        size = piece_at(range, at);
        if (at >= FLASH_HEAD_BYTES && at + size <= flash->resumed_at)
            is_whole = false; // written by an earlier run; reading back tells whether well
        else
            r = write_piece(pass, at, size, err);
        advance(pass, size);
    }
    if (r < 0 || !is_whole || is_right(pass, range))
        return r;
    struct err ignored;
    (void)!mark(pass, start_of(range), &ignored); // a mark may lie inside the range
    return differs(range, flash->source->name, "are not what the block map says: the image is damaged, or the map is of another one",
                   -EBADMSG, err);
}

static int write_all(struct pass *pass, struct err *err) {
    const struct bmap *bmap = pass->flash->bmap;
    int r = 0;
    for (size_t i = 0; r >= 0 && i < bmap->count; i++)
        r = write_range(pass, &bmap->ranges[i], err);
    return r < 0 ? r : mark(pass, bmap->image_bytes, err);
}

static int load_head(struct flash *flash, struct err *err) {
    int r = 0;
    for (size_t i = 0; r >= 0 && i < flash->bmap->count && flash->bmap->ranges[i].offset < FLASH_HEAD_BYTES; i++) {
        const struct bmap_range *range = &flash->bmap->ranges[i];
        uint64_t room = FLASH_HEAD_BYTES - range->offset;
        size_t size = (size_t)(range->size < room ? range->size : room);
        r = flash_source_read(flash->source, range->offset, flash->head + range->offset, size, err);
    }
    return r;
}

// What comes first in the image decides whether the disk is touched at all.
int flash_write(struct flash *flash, struct err *err) {
    struct pass pass;
    int r = load_head(flash, err);
    if (r >= 0)
        r = table_check(flash->head, flash->source->name, err);
    if (r >= 0)
        r = begin(flash, err);
    if (r < 0)
        return r;
    pass_init(&pass, flash);
    r = write_all(&pass, err);
    pass_done(&pass);
    return r;
}

static void hash_job(void *context) {
    struct pass *pass = context;
    digest_add(&pass->digest, pass->data, pass->size);
}

// The head is where it was put: in memory until the disk is finished.
static int read_range(struct pass *pass, const struct bmap_range *range, struct err *err) {
    const struct flash *flash = pass->flash;
    size_t size;
    int r = 0;
    digest_start(&pass->digest);
    for (uint64_t at = range->offset; r >= 0 && at < range->offset + range->size; at += size) {
        uint8_t *data = pass->buffers[pass->turn];
        size = piece_at(range, at);
        if (at < FLASH_HEAD_BYTES)
            memcpy(data, flash->head + at, size);
        else
            r = get(flash, data, size, at, err);
        if (r >= 0)
            r = start_job(pass, hash_job, size, at, err);
        advance(pass, size);
    }
    return r < 0 ? r : wait_job(pass, err);
}

// Also with an error a range is named: the one that could not be read.
static int read_all(struct flash *flash, const struct bmap_range **ret_differing, struct err *err) {
    struct pass pass;
    int r = 0;
    // Where O_DIRECT does not work, this lets go of what the kernel remembers.
    (void)posix_fadvise(flash->target->fd, 0, 0, POSIX_FADV_DONTNEED);
    pass_init(&pass, flash);
    for (size_t i = 0; r >= 0 && !*ret_differing && i < flash->bmap->count; i++) {
        const struct bmap_range *range = &flash->bmap->ranges[i];
        r = read_range(&pass, range, err);
        if (r < 0 || !is_right(&pass, range))
            *ret_differing = range;
    }
    pass_done(&pass);
    return r;
}

int flash_read_back(struct flash *flash, struct err *err) {
    const struct bmap_range *differing = NULL;
    int r = read_all(flash, &differing, err);
    if (!differing)
        return r;
    struct err ignored;
    (void)!save_mark(flash, start_of(differing), &ignored); // a sector that cannot be read may be one again that was written anew
    return r < 0 ? r
                 : differs(differing, flash->target->name,
                           "were read back otherwise than they were written: the disk, its cable or the memory is bad", -EIO, err);
}

int flash_go_back(struct flash *flash, uint64_t offset, struct err *err) {
    return save_mark(flash, offset, err);
}

// The block that was a mark becomes boot sector and table in one write, and nothing is left to do behind it.
int flash_finish(struct flash *flash, struct err *err) {
    cleanup_free uint8_t *tail = mem_aligned(FLASH_TAIL_BYTES), *seen = mem_aligned(FLASH_HEAD_BYTES),
                         *seen_tail = mem_aligned(FLASH_TAIL_BYTES);
    uint64_t tail_at = flash->target->size - FLASH_TAIL_BYTES;
    int r = get(flash, tail, FLASH_TAIL_BYTES, tail_at, err);
    if (r >= 0)
        r = table_fit(flash->head, tail, flash->target->size, err);
    if (r >= 0)
        r = put(flash, tail, FLASH_TAIL_BYTES, tail_at, err);
    if (r >= 0)
        r = put(flash, flash->head + BMAP_BLOCK_BYTES, FLASH_HEAD_BYTES - BMAP_BLOCK_BYTES, BMAP_BLOCK_BYTES, err);
    if (r >= 0)
        r = flush(flash, err);
    if (r >= 0)
        r = put(flash, flash->head, BMAP_BLOCK_BYTES, 0, err);
    if (r >= 0)
        r = flush(flash, err);
    (void)posix_fadvise(flash->target->fd, 0, 0, POSIX_FADV_DONTNEED);
    if (r >= 0)
        r = get(flash, seen, FLASH_HEAD_BYTES, 0, err);
    if (r >= 0)
        r = get(flash, seen_tail, FLASH_TAIL_BYTES, tail_at, err);
    if (r < 0 || (memcmp(seen, flash->head, FLASH_HEAD_BYTES) == 0 && memcmp(seen_tail, tail, FLASH_TAIL_BYTES) == 0))
        return r;
    return err_set(err, -EIO, "%s: the partition table was read back otherwise than it was written", flash->target->name);
}

int flash_compare(struct flash *flash, struct err *err) {
    uint64_t tail_at = flash->target->size - FLASH_TAIL_BYTES;
    cleanup_free uint8_t *head = mem_aligned(FLASH_HEAD_BYTES), *seen = mem_aligned(FLASH_HEAD_BYTES),
                         *tail = mem_aligned(FLASH_TAIL_BYTES), *wanted = mem_aligned(FLASH_TAIL_BYTES);
    const struct bmap_range *differing = NULL;
    int r = load_head(flash, err);
    if (r >= 0)
        r = get(flash, seen, FLASH_HEAD_BYTES, 0, err);
    if (r >= 0)
        r = get(flash, tail, FLASH_TAIL_BYTES, tail_at, err);
    if (r < 0)
        return r;
    memcpy(head, flash->head, FLASH_HEAD_BYTES);
    memcpy(wanted, tail, FLASH_TAIL_BYTES);
    r = table_fit(head, wanted, flash->target->size, err);
    if (r < 0)
        return r;
    if (strncmp((const char *)seen, FLASH_MARK, strlen(FLASH_MARK)) == 0)
        return err_set(err, -EIO, "%s: an image was being written and is not finished; flash it again", flash->target->name);
    if (memcmp(head, seen, FLASH_HEAD_BYTES) != 0 || memcmp(tail, wanted, FLASH_TAIL_BYTES) != 0)
        return err_set(err, -EIO, "%s: boot sector or partition table are not the image's", flash->target->name);
    r = read_all(flash, &differing, err);
    if (r < 0 || !differing)
        return r;
    char name[GPT_NAME_BYTES];
    table_name_at(flash->head, flash->bmap->image_bytes, differing->offset, name);
    return err_set(err, -EIO, "%s: bytes %" PRIu64 " to %" PRIu64 "%s%s%s are not the image's%s", flash->target->name, differing->offset,
                   differing->offset + differing->size - 1, *name ? " (partition " : "", name, *name ? ")" : "",
                   strcmp(name, "esp") == 0 ? "; a configuration was put there, or the machine was started" : "");
}
