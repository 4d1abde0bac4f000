// SPDX-License-Identifier: Apache-2.0
// Downloads that a recipe pins by hash, kept in a cache under that hash.
#pragma once
#include "builder/recipe.h"

#define DOWNLOAD_MAX_BYTES (UINT64_C(4) << 30)

// Whether <dir>/<sha256> is there and right.
bool download_is_there(const char *dir, const struct recipe_fetch *fetch) nonnull(1, 2);
// Makes sure of it: a damaged copy is fetched again; what has another hash is refused and not kept. Returns 1 when it was fetched, 0 when it was there.
int download_ensure(const char *dir, const struct recipe_fetch *fetch, struct err *err) must_check nonnull(1, 2, 3);
