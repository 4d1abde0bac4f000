// SPDX-License-Identifier: Apache-2.0
// The GPT of a disk image file, written and read with libfdisk. Sectors are 512 bytes; all numbers here are bytes.
#pragma once
#include "common/err.h"
#include <stdint.h>

#define GPT_MAX_PARTITIONS 128
#define GPT_NAME_BYTES 40
#define GPT_UUID_BYTES 37 // text with NUL
#define GPT_ALIGN_BYTES ((uint64_t)1 << 20)

#define GPT_TYPE_BIOS "21686148-6449-6E6F-744E-656564454649"
#define GPT_TYPE_ESP "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
#define GPT_TYPE_LINUX "0FC63DAF-8483-4772-8E79-3D69D8477DE4"

struct gpt_partition {
    char name[GPT_NAME_BYTES];
    char type[GPT_UUID_BYTES], uuid[GPT_UUID_BYTES];
    uint64_t offset, size; // bytes
};

// Writes protective MBR and both copies of the table to the file, which has its final size.
int gpt_write(int fd, const char *name, const char *disk_uuid, const struct gpt_partition *partitions, unsigned count,
              struct err *err) must_check nonnull(2, 3, 4, 6);
// Reads the table, in the order of partition numbers. Every partition lies inside the file, else -EINVAL; -ENOENT when there is no GPT.
int gpt_read(int fd, const char *name, struct gpt_partition *ret_partitions, unsigned max, unsigned *ret_count, struct err *err) must_check
    nonnull(2, 3, 5, 6);
const struct gpt_partition *gpt_find(const struct gpt_partition *partitions, unsigned count, const char *name) nonnull(1, 3);
