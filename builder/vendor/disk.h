// SPDX-License-Identifier: Apache-2.0
// A vendor's disk image as a file: where it is, that it is the one the definition means, and that opening it reads no other file.
#pragma once
#include "builder/package_set.h"
#include "builder/recipe.h"

// Where the disk is or will be: the definition's file, or its hash in the package cache. The caller frees.
char *vendor_disk_path(const struct recipe_disk *disk, const char *packages_dir) nonnull(1, 2);
// Makes sure that it is there and has its hash; what comes by URL is downloaded into the package cache (of `dirs` nothing else is used), offline -EAGAIN.
// *ret_fetched (may be NULL) counts downloads.
int vendor_disk_ensure(const struct recipe_disk *disk, const struct package_dirs *dirs, unsigned *ret_fetched, struct err *err) must_check
    nonnull(1, 2, 4);
// "raw" or "qcow2" by its first bytes. -EINVAL for anything else, for a qcow2 that depends on another file or is cut off, and for a raw disk whose
// size is no number of sectors. The result is static.
int vendor_disk_format(const char *path, const char **ret_format, struct err *err) must_check nonnull(1, 2, 3);
