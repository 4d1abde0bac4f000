// SPDX-License-Identifier: Apache-2.0
// Looks for the bytes of a new generation: fetches the indexes of what changed, chunks what runs here, what lies in place already and, if
// much is still missing, what the target slot held. Reads only.
#include "common/buf.h"
#include "common/digest.h"
#include "common/file.h"
#include "common/log.h"
#include "firstboot/bootrecord.h"
#include "firstboot/update/delta_state.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

#define ASKED_AT_MOST 3
#define SHOW_MS 100
#define OLD_WORTH_BYTES (4 << 20) // of missing bytes: below, reading the target's old content costs more than fetching

static uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void delta_show(struct delta *delta, enum delta_phase phase, uint64_t done_bytes, uint64_t fetched_bytes) {
    struct delta_progress *progress = &delta->progress;
    uint64_t now = now_ms(), passed = now - delta->shown_ms;
    bool is_new = phase != progress->phase || delta->shown_ms == 0;
    if (!is_new && passed < SHOW_MS && done_bytes < progress->total_bytes)
        return;
    if (is_new)
        progress->rate_bytes = 0;
    else if (passed > 0 && done_bytes >= delta->shown_done_bytes) {
        uint64_t rate = (done_bytes - delta->shown_done_bytes) * 1000 / passed;
        progress->rate_bytes = progress->rate_bytes ? (progress->rate_bytes * 7 + rate) / 8 : rate;
    }
    progress->phase = phase;
    progress->done_bytes = done_bytes;
    progress->fetched_bytes = fetched_bytes;
    delta->shown_ms = now;
    delta->shown_done_bytes = done_bytes;
    if (delta->request->progress)
        delta->request->progress(delta->request->context, progress);
}

static const struct manifest_part *part_of(const struct manifest *manifest, size_t object) {
    return object ? &manifest->layers[object - 1].data : &manifest->uki;
}

static const struct manifest_part *index_of(const struct manifest *manifest, size_t object) {
    return object ? &manifest->layers[object - 1].index : &manifest->uki_index;
}

static void describe_objects(struct delta *delta) {
    const struct manifest *manifest = delta->request->manifest;
    delta->object_count = 1 + manifest->layer_count;
    for (size_t i = 0; i < delta->object_count; i++) {
        const struct manifest_part *part = part_of(manifest, i);
        int sink = i ? DELTA_SLOT_SINK : DELTA_UKI_SINK;
        delta->objects[i] = (struct delta_object){.bytes = part->bytes,
                                                  .source_offset = delta->request->payload_offset + part->offset,
                                                  .sink_offset = i ? delta->header.layers[i - 1].offset : 0,
                                                  .same = -1,
                                                  .sink = delta->places[sink].fd < 0 ? -1 : sink};
    }
}

// A device node of the boot record, opened for reading; -1 when there is none.
static int open_device(const struct delta_request *request, const char *key) {
    const char *device = bootrecord_text(request->record, key);
    return *device == '/' ? openat(request->root_fd, device + 1, O_RDONLY | O_CLOEXEC) : -1;
}

static void place_index(struct delta *delta, unsigned number, int fd, const char *name, uint64_t offset, uint64_t bytes) {
    struct delta_place *place = &delta->places[number];
    struct err err;
    *place = (struct delta_place){.fd = fd, .name = name, .offset = offset};
    delta->progress.total_bytes += bytes;
    if (chunkindex_make(fd, name, offset, bytes, &place->index, &err) < 0)
        log_warn("%s; what is there is fetched instead", err.text);
    delta->looked_bytes += bytes;
    delta_show(delta, DELTA_LOOKING, delta->looked_bytes, delta->index_bytes);
}

static bool is_same(const struct manifest_part *part, const struct slot_layer *layer) {
    return part->bytes == layer->length && memcmp(part->sha256, layer->sha256, sizeof(layer->sha256)) == 0;
}

static int read_header(int fd, const char *name, uint64_t bytes, struct slot_header *ret_header) {
    uint8_t text[SLOT_HEADER_BYTES];
    struct err ignored;
    int r = pread_all(fd, name, text, sizeof(text), 0, &ignored);
    if (r >= 0)
        r = slot_header_parse(text, sizeof(text), ret_header, &ignored);
    return r < 0 ? r : ret_header->data_bytes <= bytes ? 0 : -EINVAL;
}

// Layers that did not change need no index; the others of the running slot are chunked.
static void look_at_running(struct delta *delta) {
    struct slot_header header;
    delta->verity_fd = open_device(delta->request, "VERITY_DEVICE");
    if (delta->verity_fd < 0 || read_header(delta->verity_fd, "the running slot", SLOT_MAX_BYTES, &header) < 0) {
        log_warn("the running slot cannot be read; everything is fetched");
        return;
    }
    for (unsigned i = 0; i < header.layer_count; i++) {
        bool is_needed = true;
        for (size_t object = 1; object < delta->object_count && !delta->is_distrusting; object++)
            if (is_same(part_of(delta->request->manifest, object), &header.layers[i])) {
                delta->objects[object].same = (int)(DELTA_RUNNING + i);
                is_needed = false;
            }
        delta->places[DELTA_RUNNING + i] = (struct delta_place){delta->verity_fd, "the running slot", header.layers[i].offset, {0}};
        if (is_needed)
            place_index(delta, DELTA_RUNNING + i, delta->verity_fd, "the running slot", header.layers[i].offset, header.layers[i].length);
    }
}

static void look_at_running_uki(struct delta *delta) {
    char path[64];
    struct stat st;
    snprintf(path, sizeof(path), "EFI/webops/%s.efi", bootrecord_text(delta->request->record, "SLOT"));
    delta->running_uki_fd = delta->request->esp_fd < 0 ? -1 : openat(delta->request->esp_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (delta->running_uki_fd >= 0 && fstat(delta->running_uki_fd, &st) == 0 && (uint64_t)st.st_size <= MANIFEST_MAX_PART_BYTES)
        place_index(delta, DELTA_RUNNING_UKI, delta->running_uki_fd, "the running UKI", 0, (uint64_t)st.st_size);
}

struct index_texts {
    struct buf texts[DELTA_OBJECTS];
    struct source_range ranges[DELTA_OBJECTS];
    size_t objects[DELTA_OBJECTS]; // of the ranges
    size_t count;
};

static void index_texts_done(struct index_texts *texts) {
    for (size_t i = 0; i < DELTA_OBJECTS; i++)
        buf_done(&texts->texts[i]);
}

static int take_index(void *context, size_t range, const void *data, size_t size, struct err *err) {
    struct index_texts *texts = context;
    if (size > texts->ranges[range].bytes - texts->texts[range].size)
        return err_set(err, -EBADMSG, "more than the chunk index arrived");
    buf_add(&texts->texts[range], data, size);
    return 0;
}

static bool is_right(const struct buf *text, const struct manifest_part *part) {
    uint8_t sha256[DIGEST_BYTES];
    if (text->size != part->bytes)
        return false;
    digest_bytes(text->data, text->size, sha256);
    return memcmp(sha256, part->sha256, sizeof(sha256)) == 0;
}

// Indexes lie beside each other: one request for all, then one for each that arrived damaged.
static int fetch_indexes(struct delta *delta, struct index_texts *texts, struct err *err) {
    const struct manifest *manifest = delta->request->manifest;
    int r = source_stream(delta->request->source, texts->ranges, texts->count, take_index, texts, err);
    for (size_t i = 0; r >= 0 && i < texts->count; i++) {
        const struct manifest_part *part = index_of(manifest, texts->objects[i]);
        for (unsigned asked = 1; r >= 0 && !is_right(&texts->texts[i], part); asked++) {
            cleanup_free uint8_t *again = mem_array(part->bytes, 1);
            if (asked == ASKED_AT_MOST)
                return err_set(err, -EBADMSG, "a chunk index is not what the manifest says, asked %u times", asked);
            r = source_read(delta->request->source, texts->ranges[i].offset, again, part->bytes, err);
            buf_done(&texts->texts[i]);
            if (r > 0)
                buf_add(&texts->texts[i], again, (size_t)r);
        }
    }
    return r < 0 ? r : 0;
}

static int load_indexes(struct delta *delta, struct err *err) {
    cleanup(index_texts_done) struct index_texts texts = {0};
    const struct manifest *manifest = delta->request->manifest;
    for (size_t i = 0; i < delta->object_count; i++) {
        const struct manifest_part *part = index_of(manifest, i);
        if (delta->objects[i].same >= 0)
            continue;
        if (part->bytes > CHUNKINDEX_MAX_BYTES ||
            part->bytes > CHUNKINDEX_FIXED_BYTES + (delta->objects[i].bytes / CHUNK_MIN_BYTES + 1) * CHUNKINDEX_RECORD_BYTES)
            return err_set(err, -EBADMSG, "a chunk index of %llu bytes is impossible", (unsigned long long)part->bytes);
        texts.objects[texts.count] = i;
        texts.ranges[texts.count++] = (struct source_range){delta->request->payload_offset + part->offset, part->bytes};
        delta->index_bytes += part->bytes;
        delta->objects[i].index_bytes = part->bytes;
    }
    int r = fetch_indexes(delta, &texts, err);
    for (size_t i = 0; r >= 0 && i < texts.count; i++) {
        struct delta_object *object = &delta->objects[texts.objects[i]];
        struct chunkindex *index = &delta->indexes[texts.objects[i]];
        r = chunkindex_parse((const uint8_t *)texts.texts[i].data, texts.texts[i].size, object->bytes, index, err);
        object->index = index;
    }
    return r;
}

static void plan_again(struct delta *delta) {
    delta_plan_done(&delta->plan);
    delta_plan_make(delta->objects, delta->object_count, delta->places, DELTA_PLACES, &delta->plan);
}

// An attempt that was interrupted left chunks where they belong: each missing one is looked for exactly there.
static void look_in_place(struct delta *delta) {
    cleanup_digest struct digest digest;
    cleanup_free uint8_t *data = mem_array(CHUNK_MAX_BYTES, 1);
    size_t capacity[DELTA_PLACES] = {0};
    digest_init(&digest);
    for (size_t i = 0; i < delta->plan.count; i++) {
        const struct delta_piece *piece = &delta->plan.pieces[i];
        const struct delta_object *object = &delta->objects[piece->object];
        struct err ignored;
        uint8_t sha256[DIGEST_BYTES];
        if (piece->place != DELTA_FETCH || !piece->sha256 || object->sink < 0)
            continue;
        struct delta_place *sink = &delta->places[object->sink];
        uint64_t offset = object->sink_offset + piece->offset;
        if (pread_all(sink->fd, sink->name, data, piece->bytes, offset, &ignored) < 0)
            continue;
        digest_hash(&digest, data, piece->bytes, sha256);
        if (memcmp(sha256, piece->sha256, sizeof(sha256)) != 0)
            continue;
        if (sink->index.count == capacity[object->sink]) {
            capacity[object->sink] = capacity[object->sink] ? capacity[object->sink] * 2 : 64;
            sink->index.chunks = mem_resize(sink->index.chunks, capacity[object->sink], sizeof(*sink->index.chunks));
        }
        struct chunkindex_chunk *found = &sink->index.chunks[sink->index.count++];
        *found = (struct chunkindex_chunk){.offset = offset, .bytes = piece->bytes};
        memcpy(found->sha256, sha256, sizeof(sha256));
    }
}

static void look_at_old(struct delta *delta) {
    struct slot_header header;
    struct delta_place *sink = &delta->places[DELTA_SLOT_SINK];
    if (sink->fd < 0)
        return;
    if (read_header(sink->fd, sink->name, delta->target_bytes, &header) < 0) { // empty, or begun: no telling where layers lie
        uint64_t end = delta->header.data_bytes < delta->target_bytes ? delta->header.data_bytes : delta->target_bytes;
        if (end > SLOT_HEADER_BYTES)
            place_index(delta, DELTA_OLD, sink->fd, sink->name, SLOT_HEADER_BYTES, end - SLOT_HEADER_BYTES);
        return;
    }
    for (unsigned i = 0; i < header.layer_count; i++)
        place_index(delta, DELTA_OLD + i, sink->fd, sink->name, header.layers[i].offset, header.layers[i].length);
}

int delta_look(struct delta *delta, int target_fd, uint64_t target_bytes, int uki_fd, struct err *err) {
    int r = manifest_slot_header(delta->request->manifest, &delta->header, delta->header_bytes, err);
    if (r < 0)
        return r;
    for (unsigned i = 0; i < DELTA_PLACES; i++)
        delta->places[i] = (struct delta_place){.fd = -1, .name = ""};
    delta->places[DELTA_SLOT_SINK] = (struct delta_place){.fd = target_fd, .name = "the other slot"};
    delta->places[DELTA_UKI_SINK] = (struct delta_place){.fd = uki_fd, .name = "/" DELTA_UKI_PATH};
    delta->target_bytes = target_bytes;
    describe_objects(delta);
    if (!delta->request->is_local) {
        look_at_running(delta);
        look_at_running_uki(delta);
        r = load_indexes(delta, err);
    }
    if (r < 0)
        return r;
    plan_again(delta);
    if (delta->request->is_local || delta->plan.fetch_bytes == 0)
        return 0;
    look_in_place(delta);
    plan_again(delta);
    if (delta->plan.fetch_bytes > OLD_WORTH_BYTES) {
        look_at_old(delta);
        plan_again(delta);
    }
    for (size_t i = 0; i < DELTA_PLACES; i++) // the plan has its own hashes
        chunkindex_done(&delta->places[i].index);
    return 0;
}

void delta_done(struct delta *delta) {
    delta_plan_done(&delta->plan);
    for (size_t i = 0; i < DELTA_OBJECTS; i++)
        chunkindex_done(&delta->indexes[i]);
    for (size_t i = 0; i < DELTA_PLACES; i++)
        chunkindex_done(&delta->places[i].index);
    if (delta->verity_fd >= 0)
        close(delta->verity_fd);
    if (delta->running_uki_fd >= 0)
        close(delta->running_uki_fd);
}
