// SPDX-License-Identifier: Apache-2.0
// Decides when the state partition is checked and how it is mounted then. Field offsets: kernel, Documentation/filesystems/ext4/super.rst.
#include "firstboot/init/ext4.h"

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

static unsigned get16(const uint8_t *bytes) {
    return bytes[0] | (unsigned)bytes[1] << 8;
}

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

static void put_le(uint8_t *bytes, unsigned count, uint32_t value) {
    for (unsigned i = 0; i < count; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
}

bool ext4_mend(uint8_t superblock[EXT4_SUPERBLOCK_BYTES]) {
    if (get16(superblock + AT_MAGIC) != MAGIC || !(get16(superblock + AT_RO_COMPAT) & RO_COMPAT_METADATA_CHECKSUM) ||
        superblock[AT_CHECKSUM_TYPE] != CHECKSUM_CRC32C)
        return false;
    uint32_t stored = get16(superblock + AT_CHECKSUM) | (uint32_t)get16(superblock + AT_CHECKSUM + 2) << 16;
    if (crc32c(superblock, AT_CHECKSUM) == stored)
        return false;
    put_le(superblock + AT_STATE, 2, get16(superblock + AT_STATE) | STATE_ERRORS);
    put_le(superblock + AT_CHECKSUM, 4, crc32c(superblock, AT_CHECKSUM));
    return true;
}

enum ext4_condition ext4_examine(const uint8_t superblock[EXT4_SUPERBLOCK_BYTES]) {
    if (get16(superblock + AT_MAGIC) != MAGIC)
        return EXT4_NOT;
    if (get16(superblock + AT_STATE) != STATE_VALID)
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
