// SPDX-License-Identifier: Apache-2.0
// The layers as one read-only tree.
#pragma once
#include <stddef.h>

#define LAYERS_DIRECTORY "/layers" // stays when the initramfs is emptied: it is part of the root
#define LAYERS_OPTIONS_BYTES 512
// index, metacopy and redirect_dir off, whatever the distribution's kernel has as default: a lower tree that is replaced as a whole must
// never depend on marks made for another one.
#define LAYERS_OVERLAY_OPTIONS "index=off,metacopy=off,redirect_dir=off"

// Mount options of the root overlay: an empty directory of the initramfs, then the top layer first. With the empty one there are two at least, which an
// overlay without an upper directory needs; and the root directory has the label that every SELinux policy gives to this file system (root_t). mksquashfs
// gives the root of a layer none.
void layers_format_options(unsigned count, char ret_options[LAYERS_OPTIONS_BYTES]);
