// SPDX-License-Identifier: Apache-2.0
// What the backends share: how much room an installation will take, and what an offline build says.
#pragma once
#include "builder/layer.h"

// A package that is not in the cache, for builds that ask nobody: -EAGAIN.
int package_refuse_offline(const struct package *package, struct err *err) must_check nonnull(1, 2);

// Bytes of the tree that a set unpacks to, generously.
uint64_t package_tree_bytes(const struct package_set *set) nonnull(1);
// The same for a layer: its lower layers are unpacked beside it.
int package_layer_bytes(const struct layer_request *request, uint64_t *ret_bytes, struct err *err) must_check nonnull(1, 2, 3);
