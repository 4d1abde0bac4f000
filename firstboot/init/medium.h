// SPDX-License-Identifier: Apache-2.0
// The second way to the slot: a file on an installation medium (ISO 9660, found by its volume label) or in the initramfs itself, instead of
// a partition. docs/FORMATS.md, "Installation medium".
#pragma once
#include "firstboot/init/find.h"

#define MEDIUM_LABEL_BYTES 33 // ISO 9660 volume identifiers have up to 32 characters
#define MEDIUM_DESCRIPTOR_OFFSET 32768 // ECMA-119: sector 16, of 2048 bytes
#define MEDIUM_DESCRIPTOR_BYTES 2048
#define MEDIUM_SLOT "webops/slot.img"
#define MEDIUM_IN_MEMORY "/medium" // of an initramfs that carries the slot

// Finds "webops.medium=<label>" in a whole kernel command line. 1: *ret_label; 0: there is none, the slot is on a partition; -EINVAL: twice, or
// no label of A-Z, 0-9 and '_'.
int medium_word_find(const char *command_line, char ret_label[MEDIUM_LABEL_BYTES], struct err *err) must_check nonnull(1, 2, 3);
// Whether these bytes are a primary volume descriptor with this label.
bool medium_has_label(const uint8_t descriptor[MEDIUM_DESCRIPTOR_BYTES], const char *label) must_check nonnull(1, 2);
// Looks at the whole disks that are there now. `block_fd` is /sys/class/block, `dev_fd` is /dev. 1: ret_device is the one with the label, below
// /dev; 0: none yet; -ENOTUNIQ: two.
int medium_scan(int block_fd, int dev_fd, const char *label, char ret_device[FIND_NAME_BYTES], struct err *err) must_check nonnull(3, 4, 5);
