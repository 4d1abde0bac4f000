// SPDX-License-Identifier: Apache-2.0
// The dnf backend for images whose base was not resolved here.
#pragma once
#include "builder/package_set.h"
#include "builder/recipe.h"

struct dnf_disk { // what a vendor's disk has
    const char *database; // file, RPM_DATABASE_FILE of builder/dnf/rpm_database.h
    const struct strings *removed; // packages of it that the base does not have
};

// What has to be installed for `packages` on such a disk, which stands for parents[0], and the sets above it. What it has of them is good enough.
int dnf_resolve_over(const struct recipe_image *image, const struct package_dirs *dirs, const struct strings *packages,
                     const struct dnf_disk *disk, const struct package_set *const *parents, size_t parent_count,
                     struct package_set *ret_set, struct err *err) must_check nonnull(1, 2, 3, 4, 5, 7, 8);
