// SPDX-License-Identifier: Apache-2.0
// What a stack needs on state before it starts: its directories, and what it keeps below /etc.
#pragma once
#include "common/stack.h"

// Makes directories of data that are missing, with owner and mode, below existing or new parents. One that belongs to somebody else, because
// the image's numbers changed from one generation to the next, is given to its owner, with everything in it that belonged to the same
// former owner.
int stack_prepare_data(int root_fd, const struct stack *stack, struct err *err) must_check nonnull(2, 3);
// The first time, copies what the image has under each persist path to state; then mounts it (systemd does, by the rendered mount units).
int stack_prepare_persist(int root_fd, const struct stack *stack, struct err *err) must_check nonnull(2, 3);
// Unmounts.
int stack_release_persist(const struct stack *stack, struct err *err) must_check nonnull(1, 2);
