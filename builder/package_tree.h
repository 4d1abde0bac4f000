// SPDX-License-Identifier: Apache-2.0
// Package files in the cache, and how much room their installation will take.
#pragma once
#include "builder/layer.h"
#include <stdbool.h>

// Whether the file of this package is in the package cache by its name, and right; a damaged one, or another distribution's, is removed.
bool package_is_cached(int packages_fd, const struct package *package) must_check nonnull(2);

// A package that is not in the cache, for builds that ask nobody: -EAGAIN.
int package_refuse_offline(const struct package *package, struct err *err) must_check nonnull(1, 2);

// Bytes of the tree that a set unpacks to, generously.
uint64_t package_tree_bytes(const struct package_set *set) nonnull(1);
// The same for a layer: its lower layers are unpacked beside it.
int package_layer_bytes(const struct layer_request *request, uint64_t *ret_bytes, struct err *err) must_check nonnull(1, 2, 3);
