// SPDX-License-Identifier: Apache-2.0
// What a finished layer (the base is one too) leaves in its directory, and the settings that shape its bytes.
#pragma once
#include "common/err.h"
#include <stdbool.h>
#include <stdint.h>

#define LAYER_SQUASHFS "layer.squashfs"
#define LAYER_INFO                                                                                                                         \
    "layer.json" // {"sha256", "bytes", "files", "packages": [{name, version, architecture, source, installed_kib}]}: this layer's own packages
#define LAYER_INDEX "layer.index" // every path of the layer with type, mode and owner; read by the layers above
#define LAYER_KERNEL "vmlinuz" // taken out of /boot; of the base, or of the layer that brings the kernel
#define LAYER_PASSWD "passwd" // /etc/passwd and /etc/group, when the layer has them
#define LAYER_GROUP "group"

struct layer_format {
    int64_t epoch; // SOURCE_DATE_EPOCH: all times
    int zstd_level; // with gzip at most 9
    bool is_gzip; // the kernel of the image reads no zstd in squashfs
    uint32_t block_size; // bytes
};

struct layer_info {
    uint64_t bytes; // of the squashfs
    uint64_t files; // entries of every type
    char sha256[65]; // hex, of the squashfs
};

// Reads LAYER_INFO of a layer's directory.
int layer_info_load(const char *dir, struct layer_info *ret_info, struct err *err) must_check nonnull(1, 2, 3);
