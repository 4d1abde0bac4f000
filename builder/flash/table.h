// SPDX-License-Identifier: Apache-2.0
// The partition table of an image, for a disk that is larger than the image.
#pragma once
#include "builder/gpt.h"
#include <stdint.h>

// `head`: the disk's first FLASH_HEAD_BYTES with protective MBR and primary table, changed in place; `tail`: its last FLASH_TAIL_BYTES, whose
// end becomes the backup table. Partitions stay where they are. -ENOENT when the head has no GPT.
int table_fit(uint8_t *head, uint8_t *tail, uint64_t disk_bytes, struct err *err) must_check nonnull(1, 2, 4);
// Whether it is the head of an image that table_fit() can put onto a disk: -EINVAL says of `name` what it is instead.
int table_check(const uint8_t *head, const char *name, struct err *err) must_check nonnull(1, 2, 3);
// Where the partition `name` of the image begins, in bytes. -ENOENT: none.
int table_find(const uint8_t *head, uint64_t image_bytes, const char *name, uint64_t *ret_offset, struct err *err) must_check
    nonnull(1, 3, 4, 5);
// The name of the partition that holds this offset; "" when none does.
void table_name_at(const uint8_t *head, uint64_t image_bytes, uint64_t offset, char ret_name[GPT_NAME_BYTES]) nonnull(1);
