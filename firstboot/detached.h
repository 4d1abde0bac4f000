// SPDX-License-Identifier: Apache-2.0
// A mount that has no place, for kernels without the calls that make one (fsopen, open_tree: Linux 5.2).
#pragma once
#include "common/err.h"

// Mounts as mount(2) does, and returns a descriptor of the mount's root. It has a place for a moment (run/webops/mount.<pid> below root_fd, which root
// alone may enter) and none when this returns: nobody else finds it, and closing the descriptor ends it. `type` and `options` may be NULL.
int detached_mount(int root_fd, const char *source, const char *type, unsigned long flags, const char *options, struct err *err) must_check
    nonnull(2, 6);
