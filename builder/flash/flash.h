// SPDX-License-Identifier: Apache-2.0
// Writes a disk image to a disk by its block map, so that a disk is either untouched, recognisably unfinished, or done.
//
// The first MiB, with boot sector and partition table, is kept in memory and written last. Until then the disk's first block says in plain
// text which image is being written and how far it came: nothing boots from it, and the next run with the same image goes on there.
#pragma once
#include "builder/flash/bmap.h"
#include "builder/flash/source.h"
#include <stdbool.h>

#define FLASH_HEAD_BYTES ((size_t)1 << 20)
#define FLASH_TAIL_BYTES ((size_t)1 << 16) // room of the backup table, at the disk's end

struct flash_target {
    const char *name; // for messages; the caller's
    int fd; // opened for reading and writing, O_DIRECT where that works
    uint64_t size; // bytes, a multiple of 512
};

// How far: bytes of the block map's mapped bytes.
typedef void flash_progress(void *context, uint64_t done, uint64_t total);

struct flash {
    struct flash_source *source;
    const struct bmap *bmap;
    const struct flash_target *target;
    flash_progress *progress;
    void *context;
    uint8_t *head; // FLASH_HEAD_BYTES of the image
    uint64_t mark_bytes; // after how many written bytes the disk is flushed and told how far it came; 256 MiB
    uint64_t resumed_at; // offset at which an earlier run had stopped; 0 = begun anew
    bool has_begun; // what the disk held is gone
};

// `flash` gets its head; flash_done() frees it. The target must be at least as large as the image (assert).
void flash_init(struct flash *flash, struct flash_source *source, const struct bmap *bmap, const struct flash_target *target)
    nonnull(1, 2, 3, 4);
void flash_done(struct flash *flash);
// Writes all but the first MiB, and flushes. Before anything is written the image's head is read: -EINVAL when it has no table of ours.
// Each range is held against its hash on the way: -EBADMSG when the image is not what its map says.
int flash_write(struct flash *flash, struct err *err) must_check nonnull(1, 2);
// Reads back what flash_write() wrote, past every cache. -EIO names the first range that differs; the next flash_write() begins there,
// and so it does after a read error.
int flash_read_back(struct flash *flash, struct err *err) must_check nonnull(1, 2);
// What lies behind this offset will now be another than the image's: a run that comes after an interruption writes it again from there.
int flash_go_back(struct flash *flash, uint64_t offset, struct err *err) must_check nonnull(1, 3);
// The image's partition table, moved to the disk's size: backup table first, then the first MiB, its first block last; flushed and read back.
int flash_finish(struct flash *flash, struct err *err) must_check nonnull(1, 2);
// Compares a finished disk with the image, without writing: 0, or -EIO with the first range that differs. Reads the head from the source.
int flash_compare(struct flash *flash, struct err *err) must_check nonnull(1, 2);

#define cleanup_flash cleanup(flash_done)
