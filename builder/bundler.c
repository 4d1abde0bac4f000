// SPDX-License-Identifier: Apache-2.0
// The stages of a bundle: open and verify the image, index, lay out and sign, write. Nothing but the image and its package list is read, so
// a bundle can be made of an image that was built elsewhere.
#include "builder/bundler.h"
#include "builder/esp.h"
#include "builder/gpt.h"
#include "builder/slotimage.h"
#include "builder/uki.h"
#include "builder/tempdir.h"
#include "common/bundle.h"
#include "common/chunkindex.h"
#include "common/digest.h"
#include "common/file.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define PACKAGES_MAX_BYTES (4 << 20)

// Where the bytes of a payload part come from.
struct part {
    struct manifest_part *place; // in the manifest
    int fd; // -1: `data`
    uint64_t offset; // in fd
    const void *data;
    const char *name;
};

// A slot's: packages, UKI index, UKI, and two for every layer.
#define MAX_PARTS (3 + 2 * SLOT_MAX_LAYERS)

struct job {
    const struct bundler_request *request;
    int image_fd, uki_fd;
    uint64_t slot_offset;
    struct manifest manifest;
    struct slot_header header;
    char *packages, *cmdline;
    struct buf indexes[1 + SLOT_MAX_LAYERS]; // UKI, then layers
    struct buf text, signature;
};

static void job_done(struct job *job) {
    cleanup_fd_fn(&job->image_fd);
    cleanup_fd_fn(&job->uki_fd);
    free(job->packages);
    free(job->cmdline);
    for (size_t i = 0; i < ARRAY_SIZE(job->indexes); i++)
        buf_done(&job->indexes[i]);
    buf_done(&job->text);
    buf_done(&job->signature);
}

// The UKI, out of the ESP into a file without a name.
static int open_uki(struct job *job, const char *image, uint64_t esp_offset, struct err *err) {
    cleanup_tempdir char *dir = NULL;
    int r = tempdir_make("bundle", &dir, err);
    if (r < 0)
        return r;
    cleanup_free char *path = str_printf("%s/uki.efi", dir);
    r = esp_read_file(image, esp_offset, "/EFI/webops/a.efi", path, err);
    if (r >= 0)
        r = job->uki_fd = file_open(AT_FDCWD, path, O_RDONLY, 0, err);
    return r < 0 ? r : 0;
}

static int hash_range(int fd, const char *name, struct manifest_part *part, struct err *err) {
    return digest_range(fd, name, part->offset, part->bytes, part->sha256, err);
}

static int read_uki(struct job *job, struct err *err) {
    static const char name[] = "EFI/webops/a.efi";
    struct manifest *manifest = &job->manifest;
    const struct {
        const char *section;
        struct manifest_part *part;
    } ranges[] = {{".cmdline", &manifest->cmdline_in_uki}, {".linux", &manifest->linux_in_uki}, {".initrd", &manifest->initrd_in_uki}};
    struct stat st;
    if (fstat(job->uki_fd, &st) < 0)
        return err_sys(err, -errno, "%s", name);
    manifest->uki.bytes = (uint64_t)st.st_size;
    int r = hash_range(job->uki_fd, name, &manifest->uki, err);
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(ranges); i++) {
        struct uki_section section;
        r = uki_section_find_fd(job->uki_fd, name, ranges[i].section, &section, err);
        if (r < 0)
            break;
        *ranges[i].part = (struct manifest_part){.offset = section.offset, .bytes = section.size};
        r = hash_range(job->uki_fd, name, ranges[i].part, err);
    }
    if (r >= 0)
        r = uki_read_text(job->uki_fd, name, ".cmdline", MANIFEST_CMDLINE_BYTES - 1, &job->cmdline, err);
    return r < 0 ? r : slot_boot_find(job->cmdline, &manifest->boot, err);
}

static int open_image(struct job *job, struct err *err) {
    const char *path = job->request->release->image_path;
    struct gpt_partition partitions[GPT_MAX_PARTITIONS];
    unsigned count = 0;
    job->image_fd = file_open(AT_FDCWD, path, O_RDONLY, 0, err);
    if (job->image_fd < 0)
        return job->image_fd;
    int r = gpt_read(job->image_fd, path, partitions, ARRAY_SIZE(partitions), &count, err);
    if (r < 0)
        return r;
    const struct gpt_partition *esp = gpt_find(partitions, count, "esp"), *slot = gpt_find(partitions, count, "webops-a");
    if (!esp || !slot)
        return err_set(err, -EINVAL, "%s: has no partitions esp and webops-a", path);
    job->slot_offset = slot->offset;
    r = open_uki(job, path, esp->offset, err);
    if (r >= 0)
        r = read_uki(job, err);
    // Also what binds the two: the root hash in the UKI's command line is that of this slot.
    if (r >= 0)
        r = slotimage_verify(job->image_fd, path, slot->offset, slot->size, &job->manifest.boot, &job->header, err);
    if (r >= 0 &&
        (strcmp(job->header.profile, job->request->release->profile) != 0 ||
         strcmp(job->header.version, job->request->release->version) != 0 || job->header.sequence != job->request->release->sequence))
        r = err_set(err, -EINVAL, "%s: holds %s %s (sequence %llu), but build.json is of another build", path, job->header.profile,
                    job->header.version, (unsigned long long)job->header.sequence);
    return r;
}

static int make_index(int fd, const char *name, uint64_t offset, uint64_t bytes, struct buf *text, struct manifest_part *place,
                      struct err *err) {
    cleanup_chunkindex struct chunkindex index = {0};
    int r = chunkindex_make(fd, name, offset, bytes, &index, err);
    if (r < 0)
        return r;
    chunkindex_format(&index, text);
    place->bytes = text->size;
    digest_bytes(text->data, text->size, place->sha256);
    return 0;
}

static int make_indexes(struct job *job, struct progress *progress, struct err *err) {
    struct manifest *manifest = &job->manifest;
    uint64_t done = 0, total = job->header.data_bytes + manifest->uki.bytes;
    int r = make_index(job->uki_fd, "a.efi", 0, manifest->uki.bytes, &job->indexes[0], &manifest->uki_index, err);
    done += manifest->uki.bytes;
    manifest->layer_count = job->header.layer_count;
    for (unsigned i = 0; r >= 0 && i < job->header.layer_count; i++) {
        const struct slot_layer *from = &job->header.layers[i];
        struct manifest_layer *layer = &manifest->layers[i];
        memcpy(layer->name, from->name, sizeof(layer->name));
        memcpy(layer->version, from->version, sizeof(layer->version));
        layer->data.bytes = from->length;
        memcpy(layer->data.sha256, from->sha256, sizeof(layer->data.sha256));
        progress_update(progress, done, total);
        r = make_index(job->image_fd, from->name, job->slot_offset + from->offset, from->length, &job->indexes[1 + i], &layer->index, err);
        done += from->length;
    }
    return r;
}

static int read_packages(struct job *job, struct err *err) {
    size_t size = 0;
    int r = file_read(AT_FDCWD, job->request->release->packages_path, PACKAGES_MAX_BYTES, &job->packages, &size, err);
    if (r < 0)
        return r;
    job->manifest.packages.bytes = size;
    digest_bytes(job->packages, size, job->manifest.packages.sha256);
    return 0;
}

// The parts in the order of the payload; returns their number.
static unsigned list_parts(struct job *job, struct part *parts) {
    struct manifest *manifest = &job->manifest;
    unsigned count = 0;
    parts[count++] = (struct part){.place = &manifest->packages, .fd = -1, .data = job->packages, .name = "packages"};
    parts[count++] = (struct part){.place = &manifest->uki_index, .fd = -1, .data = job->indexes[0].data, .name = "index"};
    for (unsigned i = 0; i < manifest->layer_count; i++)
        parts[count++] = (struct part){.place = &manifest->layers[i].index, .fd = -1, .data = job->indexes[1 + i].data, .name = "index"};
    parts[count++] = (struct part){.place = &manifest->uki, .fd = job->uki_fd, .name = "a.efi"};
    for (unsigned i = 0; i < manifest->layer_count; i++)
        parts[count++] = (struct part){.place = &manifest->layers[i].data,
                                       .fd = job->image_fd,
                                       .offset = job->slot_offset + job->header.layers[i].offset,
                                       .name = manifest->layers[i].name};
    return count;
}

static int set_text(char *to, size_t size, const char *what, const char *text, struct err *err) {
    int length = snprintf(to, size, "%s", text);
    return length >= (int)size ? err_set(err, -EINVAL, "%s: more than %zu bytes", what, size - 1) : 0;
}

static int fill_manifest(struct job *job, const struct part *parts, unsigned count, struct err *err) {
    const struct release *release = job->request->release;
    struct manifest *manifest = &job->manifest;
    uint64_t offset = 0;
    for (unsigned i = 0; i < count; i++) {
        parts[i].place->offset = offset;
        offset += (parts[i].place->bytes + BUNDLE_ALIGN - 1) / BUNDLE_ALIGN * BUNDLE_ALIGN;
    }
    manifest->sequence = release->sequence;
    manifest->created = release->created;
    manifest->valid_from = release->created;
    manifest->valid_until = job->request->valid_until;
    manifest->minimum_updater = 1;
    manifest->config_schema = release->config_schema;
    manifest->is_development = job->request->signer->is_development;
    int r = set_text(manifest->profile, sizeof(manifest->profile), "profile", release->profile, err);
    if (r >= 0)
        r = set_text(manifest->version, sizeof(manifest->version), "version", release->version, err);
    if (r >= 0)
        r = set_text(manifest->compatible, sizeof(manifest->compatible), "compatible", release->compatible, err);
    if (r >= 0)
        r = set_text(manifest->channel, sizeof(manifest->channel), "channel", job->request->channel ?: release->channel, err);
    if (r >= 0)
        r = set_text(manifest->cmdline, sizeof(manifest->cmdline), "command line", job->cmdline, err);
    return r;
}

static int sign(struct job *job, struct err *err) {
    int r = manifest_format(&job->manifest, &job->text, err);
    if (r >= 0)
        r = signer_sign(job->request->signer, job->text.data, job->text.size, &job->signature, err);
    if (r >= 0 && (job->text.size > MANIFEST_MAX_BYTES || job->signature.size > BUNDLE_MAX_SIGNATURE_BYTES))
        r = err_set(err, -EFBIG, "manifest or signature is larger than a machine takes (%d and %d bytes)", MANIFEST_MAX_BYTES,
                    BUNDLE_MAX_SIGNATURE_BYTES);
    return r;
}

static int write_part(const struct part *part, uint64_t payload, int to, const char *path, struct err *err) {
    uint8_t sha256[DIGEST_BYTES];
    uint64_t offset = payload + part->place->offset;
    if (part->fd < 0)
        return pwrite_all(to, path, part->data, part->place->bytes, offset, err);
    int r = digest_copy(part->fd, part->name, part->offset, part->place->bytes, to, offset, sha256, err);
    if (r >= 0 && memcmp(sha256, part->place->sha256, sizeof(sha256)) != 0)
        r = err_set(err, -EBADMSG, "%s has changed while the bundle was made", part->name);
    return r;
}

static int write_bundle(const struct job *job, const struct part *parts, unsigned count, int to, struct progress *progress,
                        struct err *err) {
    const char *path = job->request->path;
    const struct bundle_head head = {(uint32_t)job->text.size, (uint32_t)job->signature.size};
    uint8_t fixed[BUNDLE_FIXED_BYTES];
    uint64_t payload = bundle_payload_offset(&head), total = payload + manifest_payload_bytes(&job->manifest);
    bundle_head_format(&head, fixed);
    // The padding is what ftruncate leaves: zero.
    int r = ftruncate(to, (off_t)total) < 0 ? err_sys(err, -errno, "%s", path) : 0;
    if (r >= 0)
        r = pwrite_all(to, path, fixed, sizeof(fixed), 0, err);
    if (r >= 0)
        r = pwrite_all(to, path, job->text.data, job->text.size, sizeof(fixed), err);
    if (r >= 0)
        r = pwrite_all(to, path, job->signature.data, job->signature.size, sizeof(fixed) + job->text.size, err);
    for (unsigned i = 0; r >= 0 && i < count; i++) {
        progress_update(progress, payload + parts[i].place->offset, total);
        r = write_part(&parts[i], payload, to, path, err);
    }
    if (r >= 0 && fdatasync(to) < 0)
        r = err_sys(err, -errno, "%s", path);
    return r;
}

static int publish(const struct job *job, const struct part *parts, unsigned count, struct progress *progress, struct err *err) {
    const char *path = job->request->path;
    cleanup_free char *temporary = str_printf("%s.XXXXXX", path);
    cleanup_fd int to = mkostemp(temporary, O_CLOEXEC);
    if (to < 0)
        return err_sys(err, -errno, "cannot make a file beside %s", path);
    int r = fchmod(to, 0644) < 0 ? err_sys(err, -errno, "%s", temporary) : write_bundle(job, parts, count, to, progress, err);
    if (r >= 0 && rename(temporary, path) < 0)
        r = err_sys(err, -errno, "cannot put %s in its place", path);
    if (r < 0)
        unlink(temporary);
    return r;
}

struct stage {
    const char *label;
    int (*run)(struct job *job, struct progress *progress, struct err *err);
};

static int stage_verify(struct job *job, struct progress *progress, struct err *err) {
    (void)progress;
    int r = open_image(job, err);
    return r < 0 ? r : read_packages(job, err);
}

static int stage_write(struct job *job, struct progress *progress, struct err *err) {
    struct part parts[MAX_PARTS];
    unsigned count = list_parts(job, parts);
    return publish(job, parts, count, progress, err);
}

static int stage_sign(struct job *job, struct progress *progress, struct err *err) {
    struct part parts[MAX_PARTS];
    unsigned count = list_parts(job, parts);
    (void)progress;
    int r = fill_manifest(job, parts, count, err);
    return r < 0 ? r : sign(job, err);
}

int bundler_make(const struct bundler_request *request, struct progress *progress, struct bundler_result *ret_result, struct err *err) {
    static const struct stage stages[BUNDLER_STAGES] = {
        {"verify the image", stage_verify}, {"index", make_indexes}, {"sign", stage_sign}, {"write", stage_write}};
    cleanup(job_done) struct job job = {.request = request, .image_fd = -1, .uki_fd = -1};
    struct bundler_result result = {0};
    int r = 0;
    for (unsigned i = 0; r >= 0 && i < BUNDLER_STAGES; i++) {
        progress_start(progress, stages[i].label);
        r = stages[i].run(&job, progress, err);
        progress_end(progress, r < 0 ? "failed" : "done");
    }
    if (r >= 0)
        r = digest_file(AT_FDCWD, request->path, result.sha256, &result.bytes, err);
    if (r < 0)
        return err_prefix(err, r, "bundle of %s %s", request->release->profile, request->release->version);
    for (unsigned i = 0; i < ARRAY_SIZE(job.indexes); i++)
        result.index_bytes += job.indexes[i].size;
    *ret_result = result;
    return 0;
}
