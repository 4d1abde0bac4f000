// SPDX-License-Identifier: Apache-2.0
// Downloads whose hash is known before (a recipe's, a package list's), kept in a cache under that hash.
#pragma once
#include "builder/recipe.h"

#define DOWNLOAD_MAX_BYTES (UINT64_C(4) << 30)

// Whether <dir>/<sha256> is there and right.
bool download_is_there(const char *dir, const char *sha256) nonnull(1, 2);
// Moves the file `from` to <dir>/<sha256>, if that is its hash: -EBADMSG says of `what` that it is not. Both are on one file system.
int download_take_in(const char *dir, const char *from, const char *sha256, const char *what, struct err *err) must_check
    nonnull(1, 2, 3, 4, 5);
// Makes sure of it: a damaged copy is fetched again; what has another hash is refused and not kept. Returns 1 when it was fetched, 0 when it was there;
// offline nothing is fetched: -EAGAIN.
int download_ensure(const char *dir, const struct recipe_fetch *fetch, bool is_offline, struct err *err) must_check nonnull(1, 2, 4);
