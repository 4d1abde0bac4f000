// SPDX-License-Identifier: Apache-2.0
// What makes this machine this machine and no other: its SSH host keys, made once, kept on state.
#pragma once
#include "common/err.h"

#define IDENTITY_SSH "var/lib/webops/ssh"

// Makes the host keys when there are none. All of them appear at once under their final name, or none does. 1 = made, 0 = were there.
int identity_make_host_keys(int root_fd, struct err *err) must_check nonnull(2);
