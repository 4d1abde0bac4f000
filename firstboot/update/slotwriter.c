// SPDX-License-Identifier: Apache-2.0
// Writes a slot so that it is a generation only at the very end: header zeroed first, data and tree, flush, header, flush, read back.
#include "firstboot/update/slotwriter.h"
#include "common/buf.h"
#include "common/digest.h"
#include "firstboot/update/slotdevice.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define STEP_BYTES (1 << 20) // compared and written at once
#define WINDOW_BYTES (4 << 20) // hashed at once, by the worker: waking it takes its time when the processors are busy
#define WRITEBACK_BYTES (8 << 20)
// Comparing saves writes where an interrupted update goes on or a layer lies where it lay. Where it does not help, it costs a read per
// write: a step is compared when its first block is the same, and after some misses in a row only one in SAMPLE, until one hits again.
#define MISSES 4
#define SAMPLE 16

_Static_assert(STEP_BYTES % SLOT_BLOCK_BYTES == 0 && WINDOW_BYTES % STEP_BYTES == 0 && WRITEBACK_BYTES % STEP_BYTES == 0, "whole blocks");

int slotwriter_open(int root_fd, const struct config *record, enum boot_slot slot, const struct slot_boot *boot,
                    struct slotwriter *ret_writer, struct err *err) {
    struct slotdevice device;
    if (boot->data_blocks < 2 || boot->data_blocks > SLOT_MAX_BYTES / SLOT_BLOCK_BYTES)
        return err_set(err, -EINVAL, "a generation of %llu blocks is impossible", (unsigned long long)boot->data_blocks);
    int r = slotdevice_open(root_fd, record, slot, &device, err);
    if (r < 0)
        return r;
    cleanup_fd int fd = device.fd;
    uint64_t data_bytes = boot->data_blocks * SLOT_BLOCK_BYTES, need = data_bytes + slot_tree_bytes(boot->data_blocks);
    if (need > device.bytes)
        return err_set(err, -EFBIG, "the generation takes %llu bytes, slot %s (%s) has %llu", (unsigned long long)need,
                       boot_slot_name(slot), device.name, (unsigned long long)device.bytes);
    r = slotdevice_drop_cache(fd, device.name, err);
    if (r < 0)
        return r;
    *ret_writer = (struct slotwriter){.fd = take_fd(&fd), .device_bytes = device.bytes, .data_bytes = data_bytes};
    strcpy(ret_writer->device, device.name);
    hashtree_init(&ret_writer->tree, boot->data_blocks);
    ret_writer->window = mem_array(WINDOW_BYTES, 1);
    ret_writer->hashed = mem_array(WINDOW_BYTES, 1);
    ret_writer->old = mem_array(STEP_BYTES, 1);
    worker_init(&ret_writer->worker);
    return 0;
}

void slotwriter_done(struct slotwriter *writer) {
    if (!writer->window)
        return; // never opened
    worker_done(&writer->worker);
    close(writer->fd);
    hashtree_done(&writer->tree);
    free(writer->window);
    free(writer->hashed);
    free(writer->old);
    *writer = (struct slotwriter){.fd = -1};
}

static int flush(struct slotwriter *writer, struct err *err) {
    if (fdatasync(writer->fd) < 0)
        return err_sys(err, -EIO, "flushing %s, all of it must be written again", writer->device);
    return 0;
}

int slotwriter_begin(struct slotwriter *writer, struct err *err) {
    static const uint8_t zero[SLOT_HEADER_BYTES];
    int r = pwrite_all(writer->fd, writer->device, zero, sizeof(zero), 0, err);
    return r < 0 ? r : flush(writer, err);
}

static bool is_same(struct slotwriter *writer, const uint8_t *data, size_t size, uint64_t offset) {
    struct err ignored; // a block that cannot be read may become readable by being written
    return pread_all(writer->fd, writer->device, writer->old, size, offset, &ignored) == 0 && memcmp(writer->old, data, size) == 0;
}

static bool is_already_there(struct slotwriter *writer, const uint8_t *data, size_t size, uint64_t offset) {
    uint64_t step = offset / STEP_BYTES, next_sample = (step / SAMPLE + 1) * SAMPLE;
    if (writer->misses >= MISSES && step % SAMPLE != 0)
        return false;
    bool is_there = is_same(writer, data, size < SLOT_BLOCK_BYTES ? size : SLOT_BLOCK_BYTES, offset) && is_same(writer, data, size, offset);
    writer->misses = is_there ? 0 : writer->misses + 1;
    if (!is_there) // in time, for it has to wait behind what is being written
        (void)posix_fadvise(writer->fd, (off_t)(next_sample * STEP_BYTES), SLOT_BLOCK_BYTES, POSIX_FADV_WILLNEED);
    return is_there;
}

static int put(struct slotwriter *writer, const uint8_t *data, size_t size, uint64_t offset, struct err *err) {
    if (is_already_there(writer, data, size, offset))
        return 0;
    int r = pwrite_all(writer->fd, writer->device, data, size, offset, err);
    if (r < 0)
        return r;
    writer->written_bytes += size;
    // Lets the disk begin while the next bytes are hashed; its errors are those of the flush at the end.
    if ((offset + size) % WRITEBACK_BYTES == 0)
        (void)sync_file_range(writer->fd, (off_t)(offset + size - WRITEBACK_BYTES), WRITEBACK_BYTES, SYNC_FILE_RANGE_WRITE);
    return 0;
}

static void hash_window(void *context) {
    struct slotwriter *writer = context;
    hashtree_add(&writer->tree, writer->hashed, writer->hashed_bytes);
}

// Gives the window to the worker and turns to the other one.
static void turn_window(struct slotwriter *writer) {
    uint8_t *full = writer->window;
    worker_wait(&writer->worker);
    writer->window = writer->hashed;
    writer->hashed = full;
    writer->hashed_bytes = writer->held;
    writer->held = 0;
    worker_start(&writer->worker, hash_window, writer);
}

// Writes the step that ends at `position`; the header's place keeps its zeros.
static int write_step(struct slotwriter *writer, struct err *err) {
    size_t start = (writer->held - 1) / STEP_BYTES * STEP_BYTES, size = writer->held - start;
    uint64_t offset = writer->position - size;
    const uint8_t *data = writer->window + start;
    size_t kept = offset == 0 ? SLOT_HEADER_BYTES : 0;
    memcpy(writer->header, data, kept);
    int r = size > kept ? put(writer, data + kept, size - kept, offset + kept, err) : 0;
    if (writer->held == WINDOW_BYTES || writer->position == writer->data_bytes)
        turn_window(writer);
    return r;
}

int slotwriter_add(struct slotwriter *writer, const void *data, size_t size, struct err *err) {
    const uint8_t *next = data;
    if (size > writer->data_bytes - writer->position)
        return err_set(err, -EBADMSG, "more than the %llu bytes of the generation arrived", (unsigned long long)writer->data_bytes);
    while (size > 0) {
        size_t room = STEP_BYTES - writer->held % STEP_BYTES, part = size < room ? size : room;
        memcpy(writer->window + writer->held, next, part);
        writer->held += part;
        writer->position += part;
        next += part;
        size -= part;
        if (part == room || writer->position == writer->data_bytes) {
            int r = write_step(writer, err);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

int slotwriter_patch(struct slotwriter *writer, uint64_t offset, const void *data, size_t size, struct err *err) {
    const uint8_t *next = data;
    assert(writer->position == writer->data_bytes && offset >= SLOT_HEADER_BYTES && size <= writer->data_bytes - offset);
    worker_wait(&writer->worker);
    while (size > 0) { // block by block: each is a leaf of the tree
        uint64_t block = offset / SLOT_BLOCK_BYTES;
        size_t skip = offset % SLOT_BLOCK_BYTES, part = size < SLOT_BLOCK_BYTES - skip ? size : SLOT_BLOCK_BYTES - skip;
        int r = pread_all(writer->fd, writer->device, writer->window, SLOT_BLOCK_BYTES, block * SLOT_BLOCK_BYTES, err);
        memcpy(writer->window + skip, next, part);
        if (r >= 0)
            r = pwrite_all(writer->fd, writer->device, writer->window, SLOT_BLOCK_BYTES, block * SLOT_BLOCK_BYTES, err);
        if (r < 0)
            return r;
        hashtree_replace(&writer->tree, block, writer->window);
        writer->written_bytes += SLOT_BLOCK_BYTES;
        offset += part;
        next += part;
        size -= part;
    }
    return 0;
}

static int write_tree(struct slotwriter *writer, const uint8_t *tree, size_t bytes, struct err *err) {
    for (size_t done = 0; done < bytes;) {
        size_t size = bytes - done < STEP_BYTES ? bytes - done : STEP_BYTES;
        int r = put(writer, tree + done, size, writer->data_bytes + done, err);
        if (r < 0)
            return r;
        done += size;
    }
    return 0;
}

static int finish_data(struct slotwriter *writer, const struct slot_boot *boot, struct err *err) {
    cleanup_free uint8_t *tree = NULL;
    uint8_t root[DIGEST_BYTES];
    size_t bytes = 0;
    if (writer->position != writer->data_bytes)
        return err_set(err, -EBADMSG, "%llu of the generation's %llu bytes arrived", (unsigned long long)writer->position,
                       (unsigned long long)writer->data_bytes);
    worker_wait(&writer->worker);
    int r = hashtree_finish(&writer->tree, &tree, &bytes, root, err);
    if (r < 0)
        return r;
    if (memcmp(root, boot->root_hash, sizeof(root)) != 0)
        return err_set(err, -EBADMSG, "what was written to %s has another root hash than the manifest", writer->device);
    writer->misses = 0;
    r = write_tree(writer, tree, bytes, err);
    return r < 0 ? r : flush(writer, err);
}

// The header makes it a generation; from here on a failure takes it away again.
static int finish_header(struct slotwriter *writer, const struct slot_boot *boot, struct err *err) {
    int r = pwrite_all(writer->fd, writer->device, writer->header, sizeof(writer->header), 0, err);
    if (r >= 0)
        r = flush(writer, err);
    if (r >= 0)
        r = slotdevice_drop_cache(writer->fd, writer->device, err);
    if (r < 0)
        return r;
    writer->written_bytes += sizeof(writer->header);
    r = slot_check(writer->fd, writer->device, boot, err);
    return r < 0 ? err_prefix(err, r == -EBADMSG ? -EIO : r, "reading back what was written") : 0;
}

int slotwriter_finish(struct slotwriter *writer, const struct slot_boot *boot, struct err *err) {
    struct err second;
    assert(boot->data_blocks * SLOT_BLOCK_BYTES == writer->data_bytes);
    int r = finish_data(writer, boot, err);
    if (r < 0)
        return r;
    r = finish_header(writer, boot, err);
    if (r < 0 && slotwriter_begin(writer, &second) < 0)
        return err_prefix(err, r, "%s; then", second.text);
    return r;
}
