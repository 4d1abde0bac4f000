// SPDX-License-Identifier: Apache-2.0
// What the kernel of an image can do, by the options and modules that it comes with.
#pragma once
#include "builder/strings.h"
#include "common/err.h"
#include <stdbool.h>

// Whether the kernel whose modules are in `tree` (usr/lib/modules/<version>) was built with `option`, as "CONFIG_RD_ZSTD". One that does not say
// (no file config) is taken to.
bool kernel_has_option(const char *tree, const char *option) nonnull(1, 2);
// Refuses a kernel that could never mount an image: -ENOENT, a module is in `missing` (of modules_load()) without which the init gets nowhere;
// -ENOTSUP, it does not read the compression of the layers.
int kernel_verify(const char *tree, const struct strings *missing, bool is_gzip, struct err *err) must_check nonnull(1, 2, 4);
