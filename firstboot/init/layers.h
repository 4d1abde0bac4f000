// SPDX-License-Identifier: Apache-2.0
// The layers as one read-only tree.
#pragma once
#include <stddef.h>

#define LAYERS_DIRECTORY "/layers"
#define LAYERS_OPTIONS_BYTES 512
// index, metacopy and redirect_dir off, whatever the distribution's kernel has as default: a lower tree that is replaced as a whole must
// never depend on marks made for another one.
#define LAYERS_OVERLAY_OPTIONS "index=off,metacopy=off,redirect_dir=off"

// Mount options of the root overlay: top layer first. A single layer gets an empty directory below it, because an overlay without an
// upper directory needs two.
void layers_format_options(unsigned count, char ret_options[LAYERS_OPTIONS_BYTES]);
