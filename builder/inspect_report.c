// SPDX-License-Identifier: Apache-2.0
// The findings of inspect as a text for people and as JSON. Pure.
#include "builder/inspect.h"
#include "common/buf.h"
#include "common/jsontext.h"
#include "common/meter.h"
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#define BAR_COLUMNS 32

static const char *const state_names[] = {
    [INSPECT_EMPTY] = "empty",
    [INSPECT_GOOD] = "verified",
    [INSPECT_BAD] = "BAD",
};

// One line with a bar: the share of `of_bytes`; anything at all shows at least one mark.
static void add_share(struct buf *text, const char *name, const char *version, uint64_t bytes, uint64_t of_bytes, char mark) {
    char size[METER_SIZE_BYTES], bar[BAR_COLUMNS + 1] = {0};
    size_t columns = of_bytes ? (size_t)(bytes * BAR_COLUMNS / of_bytes) : 0;
    memset(bar, mark, columns == 0 && bytes ? 1 : columns);
    buf_printf(text, "    %-20s %-20s %10s  |%-*s|\n", name, version, meter_size(bytes, size), BAR_COLUMNS, bar);
}

static uint64_t tree_bytes(const struct inspect_slot *slot) {
    return slot_tree_bytes(slot->header.data_bytes / SLOT_BLOCK_BYTES);
}

static void add_header(const struct inspect_slot *slot, struct buf *text) {
    char id[2 * SLOT_ID_BYTES + 1];
    hex_format(slot->header.id, sizeof(slot->header.id), id);
    buf_printf(text, "  generation    %s %s (sequence %" PRIu64 ")\n  slot id       %s\n", slot->header.profile, slot->header.version,
               slot->header.sequence, id);
    uint64_t used = slot->header.data_bytes + tree_bytes(slot);
    for (unsigned i = 0; i < slot->header.layer_count; i++) {
        const struct slot_layer *layer = &slot->header.layers[i];
        add_share(text, layer->name, layer->version, layer->length, used, '#');
    }
    add_share(text, "hash tree", "", tree_bytes(slot), used, '#');
    add_share(text, "of the slot", "", used, slot->space_bytes, '=');
}

static void add_slot(const struct inspect_slot *slot, struct buf *text) {
    char root[2 * sizeof(slot->boot.root_hash) + 1];
    buf_printf(text, "\n%s: %s\n", slot->name, state_names[slot->state]);
    if (slot->state == INSPECT_BAD)
        buf_printf(text, "  problem       %s\n", slot->problem.text);
    if (slot->has_boot) {
        hex_format(slot->boot.root_hash, sizeof(slot->boot.root_hash), root);
        buf_printf(text, "  root hash     %s\n", root);
    }
    if (slot->cmdline)
        buf_printf(text, "  command line  %s\n", slot->cmdline);
    if (slot->has_header)
        add_header(slot, text);
}

void inspect_format_text(const struct inspect *inspect, const char *path, bool packages, struct buf *text) {
    char disk[METER_SIZE_BYTES], used[METER_SIZE_BYTES];
    buf_printf(text, "%s: %s, %s, %s on disk\n", path, inspect->format, meter_size(inspect->disk_bytes, disk),
               meter_size(inspect->file_bytes, used));
    for (unsigned i = 0; i < inspect->partition_count; i++) {
        const struct gpt_partition *partition = &inspect->partitions[i];
        buf_printf(text, "  %2u  %-16s %10s  at %s\n", i + 1, partition->name, meter_size(partition->size, disk),
                   meter_size(partition->offset, used));
    }
    for (unsigned i = 0; i < inspect->slot_count; i++)
        add_slot(&inspect->slots[i], text);
    if (inspect->packages.count)
        buf_printf(text, "\n%zu packages\n", inspect->packages.count);
    for (size_t i = 0; packages && i < inspect->packages.count; i++) {
        const struct dpkg_package *package = &inspect->packages.packages[i];
        buf_printf(text, "  %s %s %s\n", package->name, package->version, package->architecture);
    }
}

static json_t *hex_json(const uint8_t *bytes, size_t size) {
    char hex[2 * 32 + 1];
    hex_format(bytes, size, hex);
    return json_string(hex);
}

static json_t *layers_json(const struct slot_header *header) {
    json_t *layers = json_array();
    for (unsigned i = 0; i < header->layer_count; i++) {
        const struct slot_layer *layer = &header->layers[i];
        json_array_append_new(layers, json_pack("{s:s, s:s, s:I, s:I, s:o}", "name", layer->name, "version", layer->version, "offset",
                                                (json_int_t)layer->offset, "bytes", (json_int_t)layer->length, "sha256",
                                                hex_json(layer->sha256, sizeof(layer->sha256))));
    }
    return layers;
}

static json_t *slot_json(const struct inspect_slot *slot) {
    json_t *json =
        json_pack("{s:s, s:s, s:I, s:I}", "name", slot->name, "state", slot->state == INSPECT_BAD ? "bad" : state_names[slot->state],
                  "offset", (json_int_t)slot->offset, "bytes", (json_int_t)slot->space_bytes);
    if (slot->state == INSPECT_BAD)
        json_object_set_new(json, "problem", jsontext(slot->problem.text));
    if (slot->has_boot)
        json_object_set_new(json, "root_hash", hex_json(slot->boot.root_hash, sizeof(slot->boot.root_hash)));
    if (slot->cmdline)
        json_object_set_new(json, "cmdline", json_string(slot->cmdline));
    if (slot->has_header) {
        json_object_set_new(json, "id", hex_json(slot->header.id, sizeof(slot->header.id)));
        json_object_set_new(json, "profile", json_string(slot->header.profile));
        json_object_set_new(json, "version", json_string(slot->header.version));
        json_object_set_new(json, "sequence", json_integer((json_int_t)slot->header.sequence));
        json_object_set_new(json, "data_bytes", json_integer((json_int_t)slot->header.data_bytes));
        json_object_set_new(json, "tree_bytes", json_integer((json_int_t)tree_bytes(slot)));
        json_object_set_new(json, "layers", layers_json(&slot->header));
    }
    return json;
}

void inspect_format_json(const struct inspect *inspect, struct buf *text) {
    json_t *partitions = json_array(), *slots = json_array(), *packages = json_array();
    for (unsigned i = 0; i < inspect->partition_count; i++) {
        const struct gpt_partition *p = &inspect->partitions[i];
        json_array_append_new(partitions, json_pack("{s:s, s:s, s:s, s:I, s:I}", "name", p->name, "type", p->type, "uuid", p->uuid,
                                                    "offset", (json_int_t)p->offset, "bytes", (json_int_t)p->size));
    }
    for (unsigned i = 0; i < inspect->slot_count; i++)
        json_array_append_new(slots, slot_json(&inspect->slots[i]));
    for (size_t i = 0; i < inspect->packages.count; i++) {
        const struct dpkg_package *p = &inspect->packages.packages[i];
        json_array_append_new(packages, json_pack("{s:s, s:s, s:s, s:s}", "name", p->name, "version", p->version, "architecture",
                                                  p->architecture, "source", p->source));
    }
    json_t *json = json_pack("{s:s, s:I, s:I, s:b, s:o, s:o, s:o}", "format", inspect->format, "disk_bytes",
                             (json_int_t)inspect->disk_bytes, "file_bytes", (json_int_t)inspect->file_bytes, "verified",
                             inspect_is_good(inspect), "partitions", partitions, "slots", slots, "packages", packages);
    cleanup_free char *dump = json_dumps(json, JSON_INDENT(1));
    json_decref(json);
    buf_printf(text, "%s\n", dump ? dump : "{}");
}
