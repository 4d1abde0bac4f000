// SPDX-License-Identifier: Apache-2.0
// Deleting the data of a stack: exactly the directories that it names, and what it kept below /etc.
#pragma once
#include "firstboot/stack/state.h"

// -EPERM when an active stack uses one of the directories, one above or one below it, naming both.
int purge_check(const struct stacks *stacks, size_t index, struct err *err) must_check nonnull(1, 3);
// "delete /var/lib/etcd", one line per directory that exists.
void purge_format(int root_fd, const struct stack *stack, struct buf *text) nonnull(2, 3);
// A directory that is a mount point is emptied and stays.
int purge_apply(int root_fd, const struct stack *stack, struct err *err) must_check nonnull(2, 3);
