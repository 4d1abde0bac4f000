// SPDX-License-Identifier: Apache-2.0
// What the build.json beside an image says of its stacks.
#pragma once
#include "builder/flash/stream.h"
#include "common/stack.h"

// `image`: path of an image's file, or, with `http`, an address. -ENOENT: there is no build.json beside it, or the server
// lets nobody read one (403).
int image_report_stacks(const char *image, const struct http_options *http, struct stack_set *ret_set, struct err *err) must_check
    nonnull(1, 3, 4);
