// SPDX-License-Identifier: Apache-2.0
// The extended attributes (file capabilities, SELinux labels) of a squashfs, read without mounting it: unsquashfs tells them from 4.6 on only, and sets
// them for root only. libsquashfs parses: version 4.0, in every compression that it was built with.
#pragma once
#include "common/err.h"
#include <stdint.h>

#define SQUASHFS_MAX_ATTRIBUTE_BYTES 65536

// Gets each attribute of each file: `path` without a '/' in front ("" is the root), `name` such as "security.selinux".
typedef void squashfs_attribute(void *context, const char *path, const char *name, const uint8_t *value, size_t size);
// Reads the squashfs that begins at `offset` of an open file and ends `size` bytes behind it. `name` is for messages. It may come from anywhere: -EBADMSG
// where it contradicts itself or is deeper or larger than layers are, -ENOTSUP for another version or compression; some may have been given then.
// A directory whose size is too small for its entries is no error: libsquashfs takes what fits.
int squashfs_attributes(int fd, const char *name, uint64_t offset, uint64_t size, squashfs_attribute *take, void *context,
                        struct err *err) must_check nonnull(2, 5, 7);
