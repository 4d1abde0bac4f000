// SPDX-License-Identifier: Apache-2.0
// Decides when the state partition is checked and how it is mounted then. Field offsets: kernel, Documentation/filesystems/ext4/super.rst.
#include "firstboot/init/ext4.h"

enum {
    AT_MAGIC = 0x38,
    AT_STATE = 0x3a,
    AT_INCOMPAT = 0x60,
    MAGIC = 0xef53,
    STATE_VALID = 1, // alone: without the bits "errors" (2) and "orphans" (4)
    INCOMPAT_RECOVER = 4,
};

enum { CORRECTED = 1, WANTS_RESTART = 2 }; // e2fsck(8), exit status

static unsigned get16(const uint8_t *bytes) {
    return bytes[0] | (unsigned)bytes[1] << 8;
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
