// SPDX-License-Identifier: Apache-2.0
// Downloads that a recipe pins by hash, kept in a cache under that hash.
#pragma once
#include "builder/recipe.h"

#define DOWNLOAD_MAX_BYTES (UINT64_C(4) << 30)

// Makes sure that <dir>/<sha256> is there and right: a damaged copy is fetched again; what has another hash is refused and not kept.
int download_ensure(const char *dir, const struct recipe_fetch *fetch, struct err *err) must_check nonnull(1, 2, 3);
