// SPDX-License-Identifier: Apache-2.0
// Puts layers behind a slot header and a hash tree behind both; and the way back: is this image what its root hash says?
#include "builder/slotimage.h"
#include "common/digest.h"
#include "builder/verity.h"
#include "common/file.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

static int header_plan(const struct slotimage_input *input, struct slot_header *ret_header, uint8_t ret_bytes[SLOT_HEADER_BYTES],
                       struct err *err) {
    struct slot_header header = {.sequence = input->sequence, .layer_count = input->layer_count};
    if (input->layer_count == 0 || input->layer_count > SLOT_MAX_LAYERS)
        return err_set(err, -EINVAL, "a slot holds 1 to %d layers, not %u", SLOT_MAX_LAYERS, input->layer_count);
    if (snprintf(header.profile, sizeof(header.profile), "%s", input->profile) >= (int)sizeof(header.profile) ||
        snprintf(header.version, sizeof(header.version), "%s", input->version) >= (int)sizeof(header.version))
        return err_set(err, -EINVAL, "profile name or version has more than %d bytes", SLOT_NAME_BYTES - 1);
    for (unsigned i = 0; i < input->layer_count; i++) {
        struct slot_layer *layer = &header.layers[i];
        if (snprintf(layer->name, sizeof(layer->name), "%s", input->layers[i].name) >= (int)sizeof(layer->name) ||
            snprintf(layer->version, sizeof(layer->version), "%s", input->layers[i].version) >= (int)sizeof(layer->version))
            return err_set(err, -EINVAL, "layer %s: name or version has more than %d bytes", input->layers[i].name, SLOT_NAME_BYTES - 1);
        layer->length = input->layers[i].length;
        memcpy(layer->sha256, input->layers[i].sha256, sizeof(layer->sha256));
    }
    int r = slot_header_format(&header, ret_bytes, err);
    if (r < 0)
        return r;
    *ret_header = header;
    return 0;
}

static int copy_layer(const struct slotimage_layer *layer, uint64_t offset, int to, struct err *err) {
    uint8_t sha256[DIGEST_BYTES];
    struct stat st;
    cleanup_fd int from = file_open(layer->dir_fd, layer->path, O_RDONLY, 0, err);
    if (from < 0)
        return from;
    if (fstat(from, &st) < 0)
        return err_sys(err, -errno, "%s", layer->path);
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != layer->length)
        return err_set(err, -EBADMSG, "layer %s: %s has %lld bytes instead of %llu; remove it and build again", layer->name, layer->path,
                       (long long)st.st_size, (unsigned long long)layer->length);
    int r = digest_copy(from, layer->path, 0, layer->length, to, offset, sha256, err);
    if (r < 0)
        return r;
    if (memcmp(sha256, layer->sha256, sizeof(sha256)) != 0)
        return err_set(err, -EBADMSG, "layer %s: %s is not what was built (its SHA-256 differs); remove it and build again", layer->name,
                       layer->path);
    return 0;
}

static int write_image(const struct slotimage_input *input, const uint8_t *header_bytes, int fd, const char *path, struct slotimage *image,
                       struct err *err) {
    if (ftruncate(fd, (off_t)image->size_bytes) < 0)
        return err_sys(err, -errno, "%s: making room for %llu bytes", path, (unsigned long long)image->size_bytes);
    int r = pwrite_all(fd, path, header_bytes, SLOT_HEADER_BYTES, 0, err);
    for (unsigned i = 0; r == 0 && i < input->layer_count; i++)
        r = copy_layer(&input->layers[i], image->header.layers[i].offset, fd, err);
    if (r < 0)
        return r;
    return verity_create(fd, path, image->header.data_bytes, image->root_hash, err);
}

int slotimage_create(const struct slotimage_input *input, int dir_fd, const char *path, struct slotimage *ret_image, struct err *err) {
    struct slotimage image = {0};
    uint8_t header_bytes[SLOT_HEADER_BYTES];
    int r = header_plan(input, &image.header, header_bytes, err);
    if (r < 0)
        return r;
    image.size_bytes = image.header.data_bytes + slot_tree_bytes(image.header.data_bytes / SLOT_BLOCK_BYTES);
    if (image.size_bytes > input->slot_bytes)
        return err_set(err, -EFBIG, "profile %s %s: the generation has %llu bytes, the slot only %llu; raise slot_size", input->profile,
                       input->version, (unsigned long long)image.size_bytes, (unsigned long long)input->slot_bytes);
    cleanup_fd int fd = file_open(dir_fd, path, O_RDWR | O_CREAT | O_TRUNC, 0644, err);
    if (fd < 0)
        return fd;
    r = write_image(input, header_bytes, fd, path, &image, err);
    if (r < 0) {
        unlinkat(dir_fd, path, 0);
        return r;
    }
    *ret_image = image;
    return 0;
}

void slotimage_boot_text(const struct slotimage *image, char ret_text[SLOT_BOOT_TEXT_BYTES]) {
    struct slot_boot boot = {.data_blocks = image->header.data_bytes / SLOT_BLOCK_BYTES};
    memcpy(boot.id, image->header.id, sizeof(boot.id));
    memcpy(boot.root_hash, image->root_hash, sizeof(boot.root_hash));
    slot_boot_format(&boot, ret_text);
}

int slotimage_read_header(int fd, const char *name, uint64_t offset, uint64_t space_bytes, struct slot_header *ret_header,
                          struct err *err) {
    uint8_t bytes[SLOT_HEADER_BYTES];
    struct slot_header header;
    if (space_bytes < sizeof(bytes))
        return err_set(err, -EINVAL, "%s: too small for a slot header", name);
    int r = pread_all(fd, name, bytes, sizeof(bytes), offset, err);
    if (r < 0)
        return r;
    r = slot_header_parse(bytes, sizeof(bytes), &header, err);
    if (r < 0)
        return err_prefix(err, r, "%s", name);
    if (header.data_bytes + slot_tree_bytes(header.data_bytes / SLOT_BLOCK_BYTES) > space_bytes)
        return err_set(err, -EINVAL, "%s: the header says %llu bytes of data, which with their hash tree do not fit into %llu", name,
                       (unsigned long long)header.data_bytes, (unsigned long long)space_bytes);
    *ret_header = header;
    return 0;
}

static int verify_layer(int fd, const char *name, uint64_t offset, const struct slot_layer *layer, struct err *err) {
    uint8_t sha256[DIGEST_BYTES];
    int r = digest_range(fd, name, offset + layer->offset, layer->length, sha256, err);
    if (r < 0)
        return r;
    if (memcmp(sha256, layer->sha256, sizeof(sha256)) != 0)
        return err_set(err, -EBADMSG, "%s: layer %s is not what the header says (its SHA-256 differs)", name, layer->name);
    return 0;
}

int slotimage_verify(int fd, const char *name, uint64_t offset, uint64_t space_bytes, const struct slot_boot *boot,
                     struct slot_header *ret_header, struct err *err) {
    struct slot_header header;
    int r = slotimage_read_header(fd, name, offset, space_bytes, &header, err);
    if (r < 0)
        return r;
    if (memcmp(header.id, boot->id, sizeof(header.id)) != 0)
        return err_set(err, -EBADMSG, "%s: holds another generation than the command line names (slot id differs)", name);
    if (header.data_bytes != boot->data_blocks * SLOT_BLOCK_BYTES)
        return err_set(err, -EBADMSG, "%s: %llu bytes of data, but the command line says %llu blocks", name,
                       (unsigned long long)header.data_bytes, (unsigned long long)boot->data_blocks);
    r = verity_check(fd, name, offset, header.data_bytes, boot->root_hash, err);
    for (unsigned i = 0; r == 0 && i < header.layer_count; i++)
        r = verify_layer(fd, name, offset, &header.layers[i], err);
    if (r < 0)
        return r;
    *ret_header = header;
    return 0;
}
