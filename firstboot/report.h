// SPDX-License-Identifier: Apache-2.0
// What the last runs of `webops apply` did: /run/webops/apply.json, one object per stage. Names of keys and files only, never values.
#pragma once
#include "common/err.h"
#include <jansson.h>

#define REPORT_PATH "run/webops/apply.json"

// {"last": "<stage>", "<stage>": {"time", "source", "changes", "problems": [text…], "errors": [text…]}, …}. The stage's object is stolen.
int report_save(int root_fd, const char *stage, json_t *stage_object, struct err *err) must_check nonnull(2, 3, 4);
// The object of the last run of any stage, a borrowed reference into *ret_report; NULL when nothing has run. The caller frees *ret_report.
const json_t *report_load(int root_fd, json_t **ret_report) nonnull(2);
// A JSON file of ours below a root; NULL when it is missing or damaged.
json_t *report_read(int root_fd, const char *path) nonnull(2);
int report_write(int root_fd, const char *path, const json_t *json, struct err *err) must_check nonnull(2, 3, 4);
// A text as JSON; "(not UTF-8)" when it is none. Never NULL.
json_t *report_text(const char *text) nonnull(1);
// The lines of a text as a JSON array.
json_t *report_lines(const char *text) nonnull(1);

static inline void cleanup_json_fn(json_t **json) {
    json_decref(*json);
}
#define cleanup_json cleanup(cleanup_json_fn)
