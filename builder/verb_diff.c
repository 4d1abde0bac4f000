// SPDX-License-Identifier: Apache-2.0
// webops-image diff: what is different in another build: layers, packages, files, kernel.
#include "builder/diff_image.h"
#include "builder/verbs.h"
#include "common/buf.h"
#include "common/jsontext.h"
#include "common/meter.h"
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

static void print_head(const char *mark, const struct diff_image *image) {
    char size[METER_SIZE_BYTES];
    const struct slot_header *header = &image->slot->header;
    printf("%s %s: %s %s, sequence %" PRIu64 ", %s\n", mark, image->path, header->profile, header->version, header->sequence,
           meter_size(header->data_bytes, size));
}

static void print_text(struct diff_image *before, struct diff_image *after) {
    cleanup_buf struct buf text = {0};
    print_head("---", before);
    print_head("+++", after);
    for (size_t i = 0; i < DIFF_SECTIONS; i++) {
        cleanup_free struct diff_change *changes = NULL;
        size_t count = diff_compare(&before->lists[i], &after->lists[i], &changes);
        diff_format(diff_section_names[i], changes, count, &text);
    }
    printf("%s", text.size ? buf_str(&text) : "no difference\n");
}

static json_t *section_json(struct diff_list *before, struct diff_list *after) {
    cleanup_free struct diff_change *changes = NULL;
    size_t count = diff_compare(before, after, &changes);
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_pack("{s:o, s:o, s:o}", "key", jsontext(changes[i].key), "before", jsontext(changes[i].before),
                                              "after", jsontext(changes[i].after)));
    return list;
}

static void print_json(struct diff_image *before, struct diff_image *after) {
    json_t *report = json_pack("{s:I, s:I}", "before_bytes", (json_int_t)before->slot->header.data_bytes, "after_bytes",
                               (json_int_t)after->slot->header.data_bytes);
    for (size_t i = 0; i < DIFF_SECTIONS; i++)
        json_object_set_new(report, diff_section_keys[i], section_json(&before->lists[i], &after->lists[i]));
    cleanup_free char *text = json_dumps(report, JSON_INDENT(1));
    json_decref(report);
    printf("%s\n", text ?: "{}");
}

int verb_diff(const struct verb *self, int argc, char **argv) {
    bool json = false;
    const struct opt options[] = {{"json", 0, OPT_FLAG, &json, NULL, "Print one JSON object."}, {0}};
    char **args;
    int count;
    int code = opt_parse(self, options, argc, argv, &args, &count);
    if (code >= 0)
        return code;
    struct err err = {0};
    cleanup_diff_image struct diff_image before = {0}, after = {0};
    int r = diff_image_load(args[0], &before, &err);
    if (r >= 0)
        r = diff_image_load(args[1], &after, &err);
    if (r >= 0)
        r = diff_image_add_files(&before, &after, &err);
    if (r >= 0)
        r = diff_image_add_files(&after, &before, &err);
    if (r < 0)
        return verb_failed(r, &err);
    (json ? print_json : print_text)(&before, &after);
    return EXIT_OK;
}
