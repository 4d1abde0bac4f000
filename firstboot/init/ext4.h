// SPDX-License-Identifier: Apache-2.0
// What an ext4 superblock says about the file system, what e2fsck's answer means, and how to mount then. Pure.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define EXT4_SUPERBLOCK_OFFSET 1024
#define EXT4_SUPERBLOCK_BYTES 1024

enum ext4_condition {
    EXT4_NOT, // no ext4 here
    EXT4_CLEAN, // unmounted properly
    EXT4_JOURNAL, // was mounted when the power went: the journal is to be replayed
    EXT4_DAMAGED, // the kernel found errors, or it was not unmounted and has no journal
};

enum ext4_action { EXT4_MOUNT, EXT4_MOUNT_READ_ONLY, EXT4_RESTART };

#define EXT4_CHECK_NOT_RUN (-1) // e2fsck is missing or was killed

// A superblock is two sectors. A power cut between them leaves one old and one new: sound but for its checksum, and refused by kernel and e2fsck
// alike. When the checksum is wrong, this puts the right one in and marks the file system as damaged, so that e2fsck looks at all of it.
bool ext4_mend(uint8_t superblock[EXT4_SUPERBLOCK_BYTES]);
enum ext4_condition ext4_examine(const uint8_t superblock[EXT4_SUPERBLOCK_BYTES]);
// What to do after `e2fsck -p` ended with this status (a bit set, see e2fsck(8)), or after EXT4_CHECK_NOT_RUN.
enum ext4_action ext4_decide(enum ext4_condition condition, int exit_status);
// One word for the boot record: clean, checked (e2fsck replayed the journal), repaired, unchecked (e2fsck did not run), damaged.
const char *ext4_describe(enum ext4_condition condition, int exit_status);
