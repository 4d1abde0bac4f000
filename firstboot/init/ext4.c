// SPDX-License-Identifier: Apache-2.0
// Decides when the state partition is checked and how it is mounted then. Field offsets: kernel, Documentation/filesystems/ext4/super.rst.
#include "firstboot/init/ext4.h"
#include "common/le.h"

enum {
    AT_MAGIC = 0x38,
    AT_STATE = 0x3a,
    AT_INCOMPAT = 0x60,
    AT_RO_COMPAT = 0x64,
    AT_CHECKSUM_TYPE = 0x175,
    AT_CHECKSUM = 0x3fc,
    MAGIC = 0xef53,
    CHECKSUM_CRC32C = 1,
    STATE_ERRORS = 2,
    STATE_VALID = 1, // alone: without the bits "errors" (2) and "orphans" (4)
    INCOMPAT_RECOVER = 4,
    RO_COMPAT_METADATA_CHECKSUM = 0x400,
};

enum { CORRECTED = 1, WANTS_RESTART = 2 }; // e2fsck(8), exit status

// As ext4 uses it: started with all ones, not inverted at the end.
static uint32_t crc32c(const uint8_t *bytes, unsigned size) {
    uint32_t crc = ~0U;
    for (unsigned i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78U : 0);
    }
    return crc;
}

bool ext4_mend(uint8_t superblock[EXT4_SUPERBLOCK_BYTES]) {
    if (le_get(superblock + AT_MAGIC, 2) != MAGIC || !(le_get(superblock + AT_RO_COMPAT, 2) & RO_COMPAT_METADATA_CHECKSUM) ||
        superblock[AT_CHECKSUM_TYPE] != CHECKSUM_CRC32C)
        return false;
    uint32_t stored = (uint32_t)le_get(superblock + AT_CHECKSUM, 4);
    if (crc32c(superblock, AT_CHECKSUM) == stored)
        return false;
    le_put(superblock + AT_STATE, 2, le_get(superblock + AT_STATE, 2) | STATE_ERRORS);
    le_put(superblock + AT_CHECKSUM, 4, crc32c(superblock, AT_CHECKSUM));
    return true;
}

enum ext4_condition ext4_examine(const uint8_t superblock[EXT4_SUPERBLOCK_BYTES]) {
    if (le_get(superblock + AT_MAGIC, 2) != MAGIC)
        return EXT4_NOT;
    if (le_get(superblock + AT_STATE, 2) != STATE_VALID)
        return EXT4_DAMAGED;
    return superblock[AT_INCOMPAT] & INCOMPAT_RECOVER ? EXT4_JOURNAL : EXT4_CLEAN;
}

// `-p` repairs what can be repaired without losing anything. What it leaves needs a human: answering "yes" to everything (-y) may empty
// directories and files behind the operator's back, and stopping here makes a machine that cannot be reached. So it comes up with the
// state read-only: SSH works with the same identity, nothing gets worse, `webops status` shows why, and the operator can back up first.
enum ext4_action ext4_decide(enum ext4_condition condition, int exit_status) {
    if (condition == EXT4_CLEAN)
        return EXT4_MOUNT;
    if (exit_status == EXT4_CHECK_NOT_RUN) // the kernel replays a journal by itself
        return condition == EXT4_JOURNAL ? EXT4_MOUNT : EXT4_MOUNT_READ_ONLY;
    if (exit_status & ~(CORRECTED | WANTS_RESTART))
        return EXT4_MOUNT_READ_ONLY;
    return exit_status & WANTS_RESTART ? EXT4_RESTART : EXT4_MOUNT;
}

const char *ext4_describe(enum ext4_condition condition, int exit_status) {
    if (condition == EXT4_CLEAN)
        return "clean";
    if (exit_status == EXT4_CHECK_NOT_RUN)
        return "unchecked";
    if (exit_status & ~(CORRECTED | WANTS_RESTART))
        return "damaged";
    return exit_status ? "repaired" : "checked";
}
