// SPDX-License-Identifier: Apache-2.0
// How new a repository of rpm packages is, and whether its mirror has offered a newer one before. Its packages are signed one by one and not as a whole:
// last year's repository is as well signed as today's.
#pragma once
#include "builder/recipe.h"

// What repomd.xml says of its age: its `revision`, where that is a number (createrepo_c: the time it was made), else the newest `timestamp` of its parts;
// 0 when there is neither. -EINVAL when it is not XML, or declares a document type.
int repomd_revision(const char *xml, size_t size, uint64_t *ret_revision, struct err *err) must_check nonnull(1, 3, 4);

// Holds a fetched repomd.xml (`path`) against the newest that was used of this source, <metadata>/<archive>.revision: an older one is warned of. Mirrors of
// a past day (`snapshot`) are left alone.
int repomd_watch(const struct recipe_source *source, const char *path, const char *metadata, struct err *err) must_check
    nonnull(1, 2, 3, 4);
// Notes its revision there, if it is newer: once it was used, and with that its signature checked where it has to have one.
int repomd_keep(const struct recipe_source *source, const char *path, const char *metadata, struct err *err) must_check nonnull(1, 2, 3, 4);
