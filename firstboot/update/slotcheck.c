// SPDX-License-Identifier: Apache-2.0
// Reads a whole slot against its root hash, from the root down: a level is believed once the one above it has confirmed it. Two threads take
// windows in turn. Memory does not grow with the slot.
#include "common/buf.h"
#include "common/digest.h"
#include "firstboot/update/slotwriter.h"
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>

#define HASH_BYTES DIGEST_BYTES
#define HASHES_PER_BLOCK (SLOT_BLOCK_BYTES / HASH_BYTES)
#define MAX_LEVELS 8 // 128^8 blocks are beyond any slot
#define PARENTS 64 // read at once, so that reading the children goes on in order for 32 MiB
#define CHILDREN ((size_t)2 * HASHES_PER_BLOCK) // read at once: 1 MiB
#define LANES 2
#define AHEAD_BYTES (8 << 20) // asked for in advance, so that the disk works while we hash; the kernel's own guess is 256 KiB

struct level {
    uint64_t first, blocks; // in blocks of the device
};

struct lane { // what one of the threads works with
    struct check *check;
    struct digest digest;
    uint8_t *children;
    uint64_t at; // the window it took last, as its first block
    int r; // of that window
    struct err err;
};

struct check {
    int fd;
    const char *name;
    uint8_t *parents;
    const struct level *below; // what the parents speak of: blocks from `first` up to `end` of this level
    uint64_t first, end;
    _Atomic uint64_t next; // the window that nobody has taken yet
    struct lane lanes[LANES]; // the caller's and the worker's
    struct worker worker;
};

static void check_done(struct check *check) {
    worker_done(&check->worker);
    for (unsigned i = 0; i < LANES; i++) {
        digest_done(&check->lanes[i].digest);
        free(check->lanes[i].children);
    }
    free(check->parents);
}

// Level 0 is the data; the last one is the root block, which lies first behind the data.
static unsigned plan_levels(uint64_t data_blocks, struct level levels[MAX_LEVELS]) {
    unsigned count = 1;
    levels[0] = (struct level){0, data_blocks};
    for (; levels[count - 1].blocks > 1 && count < MAX_LEVELS; count++)
        levels[count].blocks = (levels[count - 1].blocks + HASHES_PER_BLOCK - 1) / HASHES_PER_BLOCK;
    uint64_t next = data_blocks;
    for (unsigned i = count - 1; i > 0; i--) {
        levels[i].first = next;
        next += levels[i].blocks;
    }
    return count;
}

static int read_blocks(const struct check *check, uint64_t first, uint64_t count, uint8_t *data, struct err *err) {
    return pread_all(check->fd, check->name, data, count * SLOT_BLOCK_BYTES, first * SLOT_BLOCK_BYTES, err);
}

static int compare(struct lane *lane, const uint8_t *block, const uint8_t *wanted, uint64_t number, struct err *err) {
    uint8_t hash[HASH_BYTES];
    digest_hash(&lane->digest, block, SLOT_BLOCK_BYTES, hash);
    if (memcmp(hash, wanted, sizeof(hash)) == 0)
        return 0;
    return err_set(err, -EBADMSG, "%s: block %llu does not match its hash", lane->check->name, (unsigned long long)number);
}

static int check_window(struct lane *lane) {
    const struct check *check = lane->check;
    uint64_t at = lane->at, blocks = check->end - at < CHILDREN ? check->end - at : CHILDREN, number = check->below->first + at;
    if (at % (AHEAD_BYTES / SLOT_BLOCK_BYTES) == 0)
        (void)posix_fadvise(check->fd, (off_t)(number * SLOT_BLOCK_BYTES), (off_t)2 * AHEAD_BYTES, POSIX_FADV_WILLNEED);
    int r = read_blocks(check, number, blocks, lane->children, &lane->err);
    for (uint64_t i = 0; r >= 0 && i < blocks; i++)
        r = compare(lane, lane->children + i * SLOT_BLOCK_BYTES, check->parents + (at - check->first + i) * HASH_BYTES, number + i,
                    &lane->err);
    return r;
}

// Windows until none is left. One that is wrong is the last one for both threads; those before it have all been taken then.
static void check_windows(void *context) {
    struct lane *lane = context;
    struct check *check = lane->check;
    lane->r = 0;
    while (lane->r >= 0 && (lane->at = atomic_fetch_add(&check->next, CHILDREN)) < check->end)
        lane->r = check_window(lane);
    if (lane->r < 0)
        atomic_store(&check->next, check->end);
}

// The blocks of `below` that `count` blocks of `above` from `index` speak of; check->parents has those. Of two errors the first on the
// device counts, whichever thread was faster.
static int check_children(struct check *check, const struct level *below, uint64_t index, uint64_t count, struct err *err) {
    struct lane *mine = &check->lanes[0], *other = &check->lanes[1];
    uint64_t end = (index + count) * HASHES_PER_BLOCK;
    check->below = below;
    check->next = check->first = index * HASHES_PER_BLOCK;
    check->end = end < below->blocks ? end : below->blocks;
    worker_start(&check->worker, check_windows, other);
    check_windows(mine);
    worker_wait(&check->worker);
    const struct lane *failed = other->r < 0 && (mine->r >= 0 || other->at < mine->at) ? other : mine;
    return failed->r < 0 ? err_set(err, failed->r, "%s", failed->err.text) : 0;
}

static int check_level(struct check *check, const struct level *below, const struct level *above, struct err *err) {
    static const uint8_t zero[SLOT_BLOCK_BYTES];
    for (uint64_t index = 0; index < above->blocks; index += PARENTS) {
        uint64_t count = above->blocks - index < PARENTS ? above->blocks - index : PARENTS;
        int r = read_blocks(check, above->first + index, count, check->parents, err);
        if (r >= 0)
            r = check_children(check, below, index, count, err);
        if (r < 0)
            return r;
    }
    size_t used = below->blocks % HASHES_PER_BLOCK * HASH_BYTES; // of the level's last block
    uint64_t last = (above->blocks - 1) % PARENTS;
    if (used && memcmp(check->parents + last * SLOT_BLOCK_BYTES + used, zero, SLOT_BLOCK_BYTES - used) != 0)
        return err_set(err, -EBADMSG, "%s: block %llu is not zero behind its last hash", check->name,
                       (unsigned long long)(above->first + above->blocks - 1));
    return 0;
}

int slot_check(int fd, const char *name, const struct slot_boot *boot, struct err *err) {
    struct level levels[MAX_LEVELS];
    if (boot->data_blocks < 1 || boot->data_blocks > SLOT_MAX_BYTES / SLOT_BLOCK_BYTES)
        return err_set(err, -EINVAL, "%s: %llu blocks are impossible", name, (unsigned long long)boot->data_blocks);
    unsigned count = plan_levels(boot->data_blocks, levels);
    cleanup(check_done) struct check check = {.fd = fd, .name = name, .parents = mem_array(PARENTS, SLOT_BLOCK_BYTES)};
    for (unsigned i = 0; i < LANES; i++) {
        check.lanes[i] = (struct lane){.check = &check, .children = mem_array(CHILDREN, SLOT_BLOCK_BYTES)};
        digest_init(&check.lanes[i].digest);
    }
    worker_init(&check.worker);
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    int r = read_blocks(&check, levels[count - 1].first, 1, check.parents, err);
    if (r >= 0)
        r = compare(&check.lanes[0], check.parents, boot->root_hash, levels[count - 1].first, err);
    for (unsigned i = count - 1; r >= 0 && i > 0; i--)
        r = check_level(&check, &levels[i - 1], &levels[i], err);
    return r;
}
