// SPDX-License-Identifier: Apache-2.0
// Small pure pieces of rendering stacks that others need too.
#pragma once
#include "common/err.h"
#include <sys/types.h>

// "user:group" by the account files' texts; NULL is root:root. -ENOENT names what is missing.
int stack_owner_find(const char *owner, const char *passwd, const char *group, uid_t *ret_uid, gid_t *ret_gid, struct err *err) must_check
    nonnull(2, 3, 4, 5, 6);
// The name systemd gives a mount on an absolute path: "/etc/a-b" → "etc-a\x2db.mount" (systemd.unit(5), "String escaping"). The caller frees.
char *stack_mount_unit(const char *path) nonnull(1);
