// SPDX-License-Identifier: Apache-2.0
// Reads a whole slot against its root hash, from the root down: a level is believed once the one above it has confirmed it. Memory does not
// grow with the slot.
#include "common/buf.h"
#include "common/digest.h"
#include "firstboot/update/slotwriter.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define HASH_BYTES DIGEST_BYTES
#define HASHES_PER_BLOCK (SLOT_BLOCK_BYTES / HASH_BYTES)
#define MAX_LEVELS 8 // 128^8 blocks are beyond any slot
#define PARENTS 64 // read at once, so that reading the children goes on in order for 32 MiB
#define CHILDREN ((size_t)2 * HASHES_PER_BLOCK) // read at once: 1 MiB
#define AHEAD_BYTES (8 << 20) // asked for in advance, so that the disk works while we hash; the kernel's own guess is 256 KiB

struct level {
    uint64_t first, blocks; // in blocks of the device
};

struct check {
    int fd;
    const char *name;
    struct digest digest;
    uint8_t *parents, *children;
};

static void check_done(struct check *check) {
    digest_done(&check->digest);
    free(check->parents);
    free(check->children);
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

static int read_blocks(struct check *check, uint64_t first, uint64_t count, uint8_t *data, struct err *err) {
    return pread_all(check->fd, check->name, data, count * SLOT_BLOCK_BYTES, first * SLOT_BLOCK_BYTES, err);
}

static int compare(struct check *check, const uint8_t *block, const uint8_t *wanted, uint64_t number, struct err *err) {
    uint8_t hash[HASH_BYTES];
    digest_hash(&check->digest, block, SLOT_BLOCK_BYTES, hash);
    if (memcmp(hash, wanted, sizeof(hash)) == 0)
        return 0;
    return err_set(err, -EBADMSG, "%s: block %llu does not match its hash", check->name, (unsigned long long)number);
}

// The blocks of `below` that `count` blocks of `above` from `index` speak of; check->parents has those.
static int check_children(struct check *check, const struct level *below, uint64_t index, uint64_t count, struct err *err) {
    uint64_t first = index * HASHES_PER_BLOCK, end = (index + count) * HASHES_PER_BLOCK;
    int r = 0;
    if (end > below->blocks)
        end = below->blocks;
    for (uint64_t at = first; r >= 0 && at < end; at += CHILDREN) {
        uint64_t blocks = end - at < CHILDREN ? end - at : CHILDREN;
        if (at % (AHEAD_BYTES / SLOT_BLOCK_BYTES) == 0)
            (void)posix_fadvise(check->fd, (off_t)((below->first + at) * SLOT_BLOCK_BYTES), (off_t)2 * AHEAD_BYTES, POSIX_FADV_WILLNEED);
        r = read_blocks(check, below->first + at, blocks, check->children, err);
        for (uint64_t i = 0; r >= 0 && i < blocks; i++)
            r = compare(check, check->children + i * SLOT_BLOCK_BYTES, check->parents + (at - first + i) * HASH_BYTES,
                        below->first + at + i, err);
    }
    return r;
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
    cleanup(check_done) struct check check = {
        .fd = fd,
        .name = name,
        .parents = mem_array(PARENTS, SLOT_BLOCK_BYTES),
        .children = mem_array(CHILDREN, SLOT_BLOCK_BYTES),
    };
    digest_init(&check.digest);
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    int r = read_blocks(&check, levels[count - 1].first, 1, check.parents, err);
    if (r >= 0)
        r = compare(&check, check.parents, boot->root_hash, levels[count - 1].first, err);
    for (unsigned i = count - 1; r >= 0 && i > 0; i--)
        r = check_level(&check, &levels[i - 1], &levels[i], err);
    return r;
}
