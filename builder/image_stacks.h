// SPDX-License-Identifier: Apache-2.0
// Which stacks an image has, so that a configuration for it can be checked before it boots.
#pragma once
#include "common/stack.h"

// All stacks that came with this program.
int image_stacks_shipped(struct stack_set *ret_set, struct err *err) must_check nonnull(1, 2);
// From the build.json beside the image. -ENOENT when there is none, or no image; both are named.
int image_stacks_load(const char *image, struct stack_set *ret_set, struct err *err) must_check nonnull(1, 2, 3);
// Without one: those that came with this program, which is more than the image may have, and a warning.
int image_stacks_guess(const char *image, struct stack_set *ret_set, struct err *err) must_check nonnull(1, 2, 3);
