// SPDX-License-Identifier: Apache-2.0
// Runs the image's own e2fsck.
#pragma once
#include "common/err.h"

// `e2fsck -p DEVICE` inside the new root, which lends it /dev and /proc for the time; output goes to the console. Sets *ret_status to its
// exit status or EXT4_CHECK_NOT_RUN. Fails only when the borrowed mounts cannot be made or taken back.
int fsck_run(const char *root, const char *device, int *ret_status, struct err *err) must_check nonnull(1, 2, 3, 4);
