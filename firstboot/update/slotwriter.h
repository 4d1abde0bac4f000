// SPDX-License-Identifier: Apache-2.0
// The only code that writes to a slot's block device. It opens nothing but the slot that was not booted, on the disk that was.
#pragma once
#include "common/config.h"
#include "common/err.h"
#include "common/hashtree.h"
#include "common/slot.h"
#include "firstboot/update/boot.h"
#include "common/worker.h"
#include <stdbool.h>

struct slotwriter {
    int fd;
    char device[64];
    uint64_t device_bytes, position, data_bytes;
    uint64_t written_bytes; // what really had to be written
    struct hashtree tree;
    uint8_t header[SLOT_HEADER_BYTES]; // kept back until the end
    uint8_t *window, *old; // what was collected, and what lies there now
    size_t held; // bytes in the window, which ends at position
    uint8_t *hashed; // the window before: its leaves go into the tree while the next one is collected and written
    size_t hashed_bytes;
    struct worker worker; // until it is waited for, tree and hashed are its own
    unsigned misses; // steps in a row that had other content
};

// `slot` must not be the boot record's SLOT; the partition named webops-<slot> must lie on the record's DISK, must be no mounted, held or
// read-only device, and large enough (-EFBIG); refusals as in slotdevice.h. A regular file in a test tree stands for the device. What the page cache knows of the
// device is thrown away: after a failed flush it may show what never reached the disk.
int slotwriter_open(int root_fd, const struct config *record, enum boot_slot slot, const struct slot_boot *boot,
                    struct slotwriter *ret_writer, struct err *err) must_check nonnull(2, 4, 5, 6);
void slotwriter_done(struct slotwriter *writer);
// Makes the header invalid, flushed: from here on nobody takes the slot for a generation.
int slotwriter_begin(struct slotwriter *writer, struct err *err) must_check nonnull(1, 2);
// The next bytes of the data area, in order, beginning with the header's 4096 (which are kept back until the end). Blocks that already have
// their content are not written again.
int slotwriter_add(struct slotwriter *writer, const void *data, size_t size, struct err *err) must_check nonnull(1, 2, 4);
// Replaces bytes that were added as placeholders, once all of the data area was added: anywhere behind the header.
int slotwriter_patch(struct slotwriter *writer, uint64_t offset, const void *data, size_t size, struct err *err) must_check
    nonnull(1, 3, 5);
// Writes the tree, flushes, compares the root hash with boot's, writes the header, flushes, drops the cache and reads all of it back
// against the root hash. -EBADMSG: wrong data arrived (then no tree and no header are written); -EIO: the disk gave back other bytes than were
// written, or a flush failed. After any failure the slot holds no generation, and the next attempt starts from what the disk really has.
int slotwriter_finish(struct slotwriter *writer, const struct slot_boot *boot, struct err *err) must_check nonnull(1, 2, 3);

// Reads a whole slot (data and tree) and checks it against the root hash; used at read-back and to find out why a boot failed.
// -EBADMSG names a block that is wrong; with several, one of the tree before one of the data, and the first. Two threads, under 3 MiB.
int slot_check(int fd, const char *name, const struct slot_boot *boot, struct err *err) must_check nonnull(2, 3, 4);

#define cleanup_slotwriter cleanup(slotwriter_done)
