// SPDX-License-Identifier: Apache-2.0
// A valid manifest, and the means to make one consistent again after a change. Shared by tests and fuzz entries.
#pragma once
#include "common/manifest.h"
#include "common/sha256.h"
#include <stdio.h>
#include <string.h>

// Sets slot id, data size, command line, offsets of the payload's parts and what follows from them.
static inline void manifest_seal(struct manifest *manifest) {
    struct slot_header header = {.sequence = manifest->sequence, .layer_count = manifest->layer_count};
    uint8_t bytes[SLOT_HEADER_BYTES];
    char boot[SLOT_BOOT_TEXT_BYTES];
    struct err err;
    memcpy(header.profile, manifest->profile, sizeof(header.profile));
    memcpy(header.version, manifest->version, sizeof(header.version));
    for (uint32_t i = 0; i < manifest->layer_count; i++) {
        memcpy(header.layers[i].name, manifest->layers[i].name, SLOT_NAME_BYTES);
        memcpy(header.layers[i].version, manifest->layers[i].version, SLOT_VERSION_BYTES);
        memcpy(header.layers[i].sha256, manifest->layers[i].data.sha256, 32);
        header.layers[i].length = manifest->layers[i].data.bytes;
    }
    if (slot_header_format(&header, bytes, &err) < 0)
        abort();
    memcpy(manifest->boot.id, header.id, sizeof(header.id));
    manifest->boot.data_blocks = header.data_bytes / SLOT_BLOCK_BYTES;
    slot_boot_format(&manifest->boot, boot);
    snprintf(manifest->cmdline, sizeof(manifest->cmdline), "quiet console=ttyS0,115200 webops.slot=%s", boot);
    sha256_hash(manifest->cmdline, strlen(manifest->cmdline), manifest->cmdline_in_uki.sha256);
    manifest->cmdline_in_uki.bytes = strlen(manifest->cmdline);
    struct manifest_part *parts[2 * SLOT_MAX_LAYERS + 3] = {&manifest->packages, &manifest->uki_index};
    uint32_t count = 2;
    for (uint32_t i = 0; i < manifest->layer_count; i++)
        parts[count++] = &manifest->layers[i].index;
    parts[count++] = &manifest->uki;
    for (uint32_t i = 0; i < manifest->layer_count; i++)
        parts[count++] = &manifest->layers[i].data;
    uint64_t end = 0;
    for (uint32_t i = 0; i < count; i++) {
        parts[i]->offset = end;
        end = (end + parts[i]->bytes + 4095) / 4096 * 4096;
    }
}

static inline void manifest_seed(struct manifest *ret_manifest, uint32_t layer_count) {
    *ret_manifest = (struct manifest){
        .profile = "edge-web.1",
        .version = "2026.11+r4~rc1",
        .compatible = "edge-web.1-x86-64",
        .channel = "stable",
        .sequence = 42,
        .created = 1795000000,
        .valid_from = 1795000000,
        .valid_until = 1826536000,
        .minimum_updater = 1,
        .config_schema = 1,
        .layer_count = layer_count,
        .packages = {.bytes = 1234},
        .uki = {.bytes = 1 << 20},
        .uki_index = {.bytes = 32 + 34 * 60},
        .cmdline_in_uki = {.offset = 4096},
        .linux_in_uki = {.offset = 8192, .bytes = 500000},
        .initrd_in_uki = {.offset = 512000, .bytes = 400001},
    };
    memset(ret_manifest->boot.root_hash, 0x3c, sizeof(ret_manifest->boot.root_hash));
    for (uint32_t i = 0; i < layer_count && i < SLOT_MAX_LAYERS; i++) {
        struct manifest_layer *layer = &ret_manifest->layers[i];
        snprintf(layer->name, sizeof(layer->name), "layer-%u.x", i);
        snprintf(layer->version, sizeof(layer->version), "1:%u.0-2", i);
        layer->data.bytes = 4096 * (uint64_t)(i + 1) + (i % 3) * 1000;
        layer->index.bytes = 32 + 34 * (i + 1);
        memset(layer->data.sha256, (int)(0xa0 + i), sizeof(layer->data.sha256));
        memset(layer->index.sha256, (int)(0xb0 + i), sizeof(layer->index.sha256));
    }
    manifest_seal(ret_manifest);
}
