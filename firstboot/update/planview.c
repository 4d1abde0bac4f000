// SPDX-License-Identifier: Apache-2.0
// Words an update before it happens.
#include "firstboot/update/planview.h"
#include "common/meter.h"
#include "firstboot/update/bootfiles.h"
#include "firstboot/update/progress.h"
#include <string.h>

static const struct slot_layer *find_layer(const struct slot_header *header, const char *name) {
    for (uint32_t i = 0; header && i < header->layer_count; i++)
        if (strcmp(header->layers[i].name, name) == 0)
            return &header->layers[i];
    return NULL;
}

static const struct manifest_layer *find_new(const struct manifest *manifest, const char *name) {
    for (uint32_t i = 0; i < manifest->layer_count; i++)
        if (strcmp(manifest->layers[i].name, name) == 0)
            return &manifest->layers[i];
    return NULL;
}

static const char *layer_word(const struct slot_layer *old, const struct manifest_layer *new) {
    if (!old)
        return "added";
    return memcmp(old->sha256, new->data.sha256, 32) == 0 ? "unchanged" : "changed";
}

static void format_layers(const struct plan_view *view, struct buf *text) {
    const char *title = "layers";
    char size[METER_SIZE_BYTES];
    for (uint32_t i = 0; i < view->manifest->layer_count; i++, title = "") {
        const struct manifest_layer *new = &view->manifest->layers[i];
        const struct slot_layer *old = find_layer(view->running, new->name);
        bool is_renumbered = old && strcmp(old->version, new->version) != 0;
        buf_printf(text, "%-12s %-9s %s %s%s%s, %s\n", title, view->running ? layer_word(old, new) : "", new->name,
                   is_renumbered ? old->version : "", is_renumbered ? " → " : "", new->version, meter_size(new->data.bytes, size));
    }
    for (uint32_t i = 0; view->running && i < view->running->layer_count; i++)
        if (!find_new(view->manifest, view->running->layers[i].name))
            buf_printf(text, "%-12s removed   %s %s\n", "", view->running->layers[i].name, view->running->layers[i].version);
}

static void format_packages(const struct plan_view *view, struct buf *text) {
    cleanup_buf struct buf lines = {0};
    struct packages_diff diff;
    if (!view->old_packages || !view->new_packages)
        return;
    packages_compare(view->old_packages, view->new_packages, &lines, &diff);
    buf_printf(text, "%-12s %zu changed, %zu added, %zu removed\n", "packages", diff.changed, diff.added, diff.removed);
    for (const char *line = buf_str(&lines); *line; line += strcspn(line, "\n"), line += *line == '\n')
        buf_printf(text, "%-12s %.*s\n", "", (int)strcspn(line, "\n"), line);
}

static void format_sizes(const struct plan_view *view, struct buf *text) {
    char first[METER_SIZE_BYTES], second[METER_SIZE_BYTES], third[METER_SIZE_BYTES];
    const struct delta_estimate *e = view->estimate;
    uint64_t esp = view->manifest->uki.bytes + view->manifest->linux_in_uki.bytes + view->manifest->initrd_in_uki.bytes;
    if (e)
        buf_printf(text, "%-12s %s of %s (%.1f %%)%s\n", "to fetch", meter_size(e->fetch_bytes, first), meter_size(e->total_bytes, second),
                   e->total_bytes ? (double)e->fetch_bytes * 100 / (double)e->total_bytes : 0.0,
                   e->copy_bytes ? "; the rest is here already" : "");
    buf_printf(text, "%-12s slot %s: %s of %s; boot partition: %s\n", "space", boot_slot_name(view->slot),
               meter_size(update_slot_bytes(view->manifest), first), meter_size(view->facts->slot_bytes, second), meter_size(esp, third));
}

static void format_verdict(const struct update_verdict *verdict, struct buf *text) {
    for (unsigned i = 0; i < verdict->forced_count; i++)
        buf_printf(text, "%-12s %s\n", "forced", verdict->forced[i].text);
    for (unsigned i = 0; i < verdict->count; i++)
        buf_printf(text, "%-12s %s\n", "refused", verdict->texts[i].text);
}

void plan_format(const struct plan_view *view, struct buf *text) {
    const struct manifest *m = view->manifest;
    buf_printf(text, "%-12s %s %s, sequence %llu, runs in slot %s\n", "now", view->facts->profile, view->facts->version,
               (unsigned long long)view->facts->sequence, boot_slot_name(boot_slot_other(view->slot)));
    buf_printf(text, "%-12s %s %s, sequence %llu, channel %s, goes to slot %s%s\n", "new", m->profile, m->version,
               (unsigned long long)m->sequence, m->channel, boot_slot_name(view->slot),
               m->is_development ? "; signed with development keys" : "");
    if (view->verdict->is_installed) {
        buf_printf(text, "%-12s nothing to do: this generation runs\n", "");
        return;
    }
    format_layers(view, text);
    format_packages(view, text);
    format_sizes(view, text);
    buf_printf(text, "%-12s the machine restarts%s; the new generation has %u tries to become healthy, else this one comes back\n", "then",
               view->wants_reboot ? "" : " when you say so", view->tries);
    if (view->stacks && *view->stacks)
        buf_printf(text, "%-12s %s: interrupted by the restart, after their hooks\n", "stacks", view->stacks);
    format_verdict(view->verdict, text);
}

static json_t *json_layers(const struct plan_view *view) {
    json_t *layers = json_array();
    for (uint32_t i = 0; i < view->manifest->layer_count; i++) {
        const struct manifest_layer *new = &view->manifest->layers[i];
        const struct slot_layer *old = find_layer(view->running, new->name);
        json_t *layer = json_pack("{s:s, s:s, s:I}", "name", new->name, "version", new->version, "bytes", (json_int_t) new->data.bytes);
        if (view->running)
            json_object_set_new(layer, "change", json_string(layer_word(old, new)));
        if (old)
            json_object_set_new(layer, "old_version", json_string(old->version));
        json_array_append_new(layers, layer);
    }
    for (uint32_t i = 0; view->running && i < view->running->layer_count; i++) {
        const struct slot_layer *old = &view->running->layers[i];
        if (!find_new(view->manifest, old->name))
            json_array_append_new(layers,
                                  json_pack("{s:s, s:s, s:s}", "name", old->name, "old_version", old->version, "change", "removed"));
    }
    return layers;
}

static json_t *json_packages(const struct plan_view *view) {
    cleanup_buf struct buf lines = {0};
    struct packages_diff diff;
    if (!view->old_packages || !view->new_packages)
        return json_null();
    packages_compare(view->old_packages, view->new_packages, &lines, &diff);
    return json_pack("{s:I, s:I, s:I}", "changed", (json_int_t)diff.changed, "added", (json_int_t)diff.added, "removed",
                     (json_int_t)diff.removed);
}

json_t *plan_refusal_json(const struct update_verdict *verdict, unsigned index) {
    return json_pack("{s:s, s:s}", "rule", update_refusal_name(verdict->refusals[index]), "text", verdict->texts[index].text);
}

json_t *plan_json(const struct plan_view *view) {
    const struct manifest *m = view->manifest;
    json_t *refusals = json_array();
    for (unsigned i = 0; i < view->verdict->count; i++)
        json_array_append_new(refusals, plan_refusal_json(view->verdict, i));
    json_t *plan = json_pack("{s:s, s:s, s:s, s:I, s:s, s:s, s:b, s:o, s:o, s:I, s:o}", "from_version", view->facts->version, "profile",
                             m->profile, "version", m->version, "sequence", (json_int_t)m->sequence, "channel", m->channel, "slot",
                             boot_slot_name(view->slot), "installed", view->verdict->is_installed, "layers", json_layers(view), "packages",
                             json_packages(view), "slot_bytes", (json_int_t)update_slot_bytes(m), "refusals", refusals);
    json_t *stacks = json_array();
    for (const char *name = view->stacks ?: ""; *name; name += strcspn(name, ","), name += strspn(name, ", "))
        json_array_append_new(stacks, json_stringn(name, strcspn(name, ",")));
    json_object_set_new(plan, "interrupted_stacks", stacks);
    if (view->estimate) {
        json_object_set_new(plan, "fetch_bytes", json_integer((json_int_t)view->estimate->fetch_bytes));
        json_object_set_new(plan, "total_bytes", json_integer((json_int_t)view->estimate->total_bytes));
    }
    return plan;
}
