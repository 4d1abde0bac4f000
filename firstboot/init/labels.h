// SPDX-License-Identifier: Apache-2.0
// SELinux labels before there is a policy.
#pragma once
#include "common/cleanup.h"
#include "firstboot/init/boot.h"
#include <limits.h>

#define LABELS_PATH_BYTES (NAME_MAX + 64)
// Exists while all files of state have labels; made by /usr/lib/webops/label.
#define LABELS_STAMP BOOT_STATE "/var/lib/webops/labelled"

// Gives `to` the label of `from` (names in open directories, links not followed), if it has one. 0 or -errno; a file system that keeps no labels is no
// failure.
int labels_copy(int from_fd, const char *from, int to_fd, const char *to) must_check nonnull(2, 4);
