// SPDX-License-Identifier: Apache-2.0
// JSON files of ours under /run/webops.
#include "firstboot/report.h"
#include "common/file.h"
#include <errno.h>
#include <string.h>

#define MAX_BYTES (1 << 20)

json_t *report_read(int root_fd, const char *path) {
    struct err err;
    cleanup_free char *text = NULL;
    size_t size;
    if (file_read(root_fd, path, MAX_BYTES, &text, &size, &err) < 0)
        return NULL;
    json_t *json = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(json))
        return json;
    json_decref(json);
    return NULL;
}

int report_write(int root_fd, const char *path, const json_t *json, struct err *err) {
    cleanup_free char *text = json_dumps(json, JSON_INDENT(2));
    if (!text)
        return err_set(err, -EINVAL, "cannot format /%s", path);
    int r = file_mkdirs(root_fd, "run/webops", 0755, err);
    return r < 0 ? r : file_publish(root_fd, path, text, strlen(text), 0644, err);
}

static json_t *text_json(const char *text, size_t size) {
    json_t *json = json_stringn(text, size);
    return json ? json : json_string("(not UTF-8)");
}

json_t *report_text(const char *text) {
    return text_json(text, strlen(text));
}

json_t *report_lines(const char *text) {
    json_t *array = json_array();
    while (*text) {
        size_t size = strcspn(text, "\n");
        json_array_append_new(array, text_json(text, size));
        text += size + (text[size] == '\n');
    }
    return array;
}

int report_save(int root_fd, const char *stage, json_t *stage_object, struct err *err) {
    cleanup_json json_t *report = report_read(root_fd, REPORT_PATH);
    if (!report)
        report = json_object();
    json_object_set_new(report, "last", json_string(stage));
    json_object_set_new(report, stage, stage_object);
    return report_write(root_fd, REPORT_PATH, report, err);
}

const json_t *report_load(int root_fd, json_t **ret_report) {
    *ret_report = report_read(root_fd, REPORT_PATH);
    const char *last = json_string_value(json_object_get(*ret_report, "last"));
    return last ? json_object_get(*ret_report, last) : NULL;
}
