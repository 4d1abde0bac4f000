// SPDX-License-Identifier: Apache-2.0
// A bundle for people and for programs.
#include "builder/bundlefile.h"
#include "common/buf.h"
#include "common/jsontext.h"
#include <inttypes.h>
#include <jansson.h>
#include <time.h>

static char *format_time(int64_t seconds) {
    char text[32] = "";
    struct tm tm = {0};
    time_t time = (time_t)seconds;
    gmtime_r(&time, &tm);
    strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm);
    return str_dup(text);
}

static void add_part(struct buf *text, const char *name, const char *version, const struct manifest_part *part, uint64_t of_bytes) {
    char hex[65];
    hex_format(part->sha256, sizeof(part->sha256), hex);
    buf_printf(text, "    %-20s %-16s %10.1f KiB  %5.1f %%  %.16s…\n", name, version, (double)part->bytes / 1024,
               of_bytes ? 100.0 * (double)part->bytes / (double)of_bytes : 0, hex);
}

static uint64_t index_bytes(const struct manifest *manifest) {
    uint64_t bytes = manifest->uki_index.bytes;
    for (unsigned i = 0; i < manifest->layer_count; i++)
        bytes += manifest->layers[i].index.bytes;
    return bytes;
}

static void add_times(const struct manifest *manifest, struct buf *text) {
    cleanup_free char *created = format_time(manifest->created), *from = format_time(manifest->valid_from),
                      *until = format_time(manifest->valid_until);
    buf_printf(text, "  created       %s\n  valid         %s to %s\n", created, from, until);
}

void bundlefile_format_text(const struct bundlefile *file, const struct bundlefile_findings *findings, const struct err *problem,
                            struct buf *text) {
    const struct manifest *m = &file->manifest;
    char id[2 * SLOT_ID_BYTES + 1], root[65];
    hex_format(m->boot.id, sizeof(m->boot.id), id);
    hex_format(m->boot.root_hash, sizeof(m->boot.root_hash), root);
    buf_printf(text, "%s: %s, %.1f MiB: %s\n", file->path, file->is_channel ? "channel file" : "bundle", (double)file->bytes / (1 << 20),
               problem ? "DOES NOT VERIFY" : "verified");
    if (problem)
        buf_printf(text, "  problem       %s\n", problem->text);
    buf_printf(text, "  generation    %s %s (sequence %" PRIu64 ")\n  compatible    %s, channel %s\n", m->profile, m->version, m->sequence,
               m->compatible, m->channel);
    buf_printf(text, "  signed by     %s%s%s\n", findings->signer ?: "(nobody whose signature holds)",
               !findings->signer      ? ""
               : findings->is_trusted ? ", trusted"
                                      : ", not held against root certificates (--trust)",
               m->is_development ? "; DEVELOPMENT keys" : "");
    add_times(m, text);
    buf_printf(text, "  needs         updater %" PRIu32 "; configuration schema %" PRIu32 "\n", m->minimum_updater, m->config_schema);
    buf_printf(text, "  slot id       %s\n  root hash     %s\n  command line  %s\n", id, root, m->cmdline);
    uint64_t payload = manifest_payload_bytes(m);
    buf_printf(text, "  payload       %.1f MiB, indexes %.1f KiB (%.2f %%)\n", (double)payload / (1 << 20), (double)index_bytes(m) / 1024,
               payload ? 100.0 * (double)index_bytes(m) / (double)payload : 0);
    for (unsigned i = 0; i < m->layer_count; i++)
        add_part(text, m->layers[i].name, m->layers[i].version, &m->layers[i].data, payload);
    add_part(text, "UKI", "", &m->uki, payload);
    add_part(text, "package list", "", &m->packages, payload);
}

static json_t *hex_json(const uint8_t *bytes, size_t size) {
    char hex[65];
    hex_format(bytes, size, hex);
    return json_string(hex);
}

static json_t *part_json(const struct manifest_part *part) {
    return json_pack("{s:I, s:I, s:o}", "offset", (json_int_t)part->offset, "bytes", (json_int_t)part->bytes, "sha256",
                     hex_json(part->sha256, sizeof(part->sha256)));
}

static json_t *layers_json(const struct manifest *manifest) {
    json_t *layers = json_array();
    for (unsigned i = 0; i < manifest->layer_count; i++) {
        const struct manifest_layer *layer = &manifest->layers[i];
        json_array_append_new(layers, json_pack("{s:s, s:s, s:o, s:o}", "name", layer->name, "version", layer->version, "data",
                                                part_json(&layer->data), "index", part_json(&layer->index)));
    }
    return layers;
}

void bundlefile_format_json(const struct bundlefile *file, const struct bundlefile_findings *findings, const struct err *problem,
                            struct buf *text) {
    const struct manifest *m = &file->manifest;
    json_t *json = json_pack("{s:s, s:I, s:I, s:b, s:b, s:I}", "format", file->is_channel ? "channel" : "bundle", "file_bytes",
                             (json_int_t)file->bytes, "payload_offset", (json_int_t)bundle_payload_offset(&file->head), "verified",
                             problem == NULL, "trusted", findings->is_trusted, "chunks", (json_int_t)findings->chunks);
    if (problem)
        json_object_set_new(json, "problem", jsontext(problem->text));
    if (findings->signer)
        json_object_set_new(json, "signer", jsontext(findings->signer));
    json_t *manifest = json_pack(
        "{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:o, s:I, s:o, s:s, s:o, s:o, s:o, s:o, s:I}", "profile", m->profile,
        "version", m->version, "compatible", m->compatible, "channel", m->channel, "sequence", (json_int_t)m->sequence, "created",
        (json_int_t)m->created, "valid_from", (json_int_t)m->valid_from, "valid_until", (json_int_t)m->valid_until, "minimum_updater",
        (json_int_t)m->minimum_updater, "config_schema", (json_int_t)m->config_schema, "development", m->is_development, "id",
        hex_json(m->boot.id, sizeof(m->boot.id)), "data_blocks", (json_int_t)m->boot.data_blocks, "root_hash",
        hex_json(m->boot.root_hash, sizeof(m->boot.root_hash)), "cmdline", m->cmdline, "layers", layers_json(m), "uki", part_json(&m->uki),
        "uki_index", part_json(&m->uki_index), "packages", part_json(&m->packages), "index_bytes", (json_int_t)index_bytes(m));
    json_object_set_new(json, "manifest", manifest);
    cleanup_free char *dump = json_dumps(json, JSON_INDENT(1));
    json_decref(json);
    buf_printf(text, "%s\n", dump ? dump : "{}");
}
