// SPDX-License-Identifier: Apache-2.0
// One table of metrics that are single numbers, two functions for those with labels.
#include "firstboot/metrics.h"
#include "common/file.h"
#include "common/slot.h"
#include "firstboot/bootrecord.h"
#include "firstboot/drift.h"
#include "firstboot/update/journal.h"
#include <inttypes.h>
#include <string.h>
#include <time.h>

static void add_head(struct buf *text, const char *name, const char *help) {
    buf_printf(text, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name);
}

// Label values escape these three; other bytes stand as they are (our texts are UTF-8).
static void add_label(struct buf *text, const char *name, const char *value, const char *separator) {
    buf_printf(text, "%s%s=\"", separator, name);
    for (; *value; value++) {
        if (*value == '\n')
            buf_add_str(text, "\\n");
        else
            buf_printf(text, "%s%c", *value == '\\' || *value == '"' ? "\\" : "", *value);
    }
    buf_add_str(text, "\"");
}

static void add_checks(const struct metrics_input *input, struct buf *text) {
    const json_t *checks = json_object_get(input->health, "checks");
    add_head(text, "webops_check_passed", "Whether a health check passes; those that do not apply to this machine are left out.");
    for (size_t i = 0; i < json_array_size(checks); i++) {
        const json_t *check = json_array_get(checks, i);
        const char *name = json_string_value(json_object_get(check, "name")), *state = json_string_value(json_object_get(check, "state"));
        if (!name || !state || (strcmp(state, "passed") != 0 && strcmp(state, "failed") != 0))
            continue;
        buf_add_str(text, "webops_check_passed{");
        add_label(text, "check", name, "");
        buf_printf(text, "} %d\n", strcmp(state, "passed") == 0);
    }
}

static void add_generation(const struct metrics_input *input, struct buf *text) {
    static const struct {
        const char *label, *key;
    } labels[] = {{"profile", "PROFILE"}, {"version", "VERSION"}, {"slot", "SLOT"}, {"root_hash", "ROOT_HASH"}};
    add_head(text, "webops_generation_info", "The generation that runs.");
    buf_add_str(text, "webops_generation_info{");
    for (size_t i = 0; i < ARRAY_SIZE(labels); i++)
        add_label(text, labels[i].label, bootrecord_text(input->record, labels[i].key), i ? "," : "");
    buf_add_str(text, "} 1\n");
}

void metrics_format(const struct metrics_input *input, struct buf *text) {
    const struct {
        const char *name, *help;
        int64_t value; // -1 = not known: left out
    } numbers[] = {
        {"webops_healthy", "Whether every health check passes.", json_is_true(json_object_get(input->health, "healthy"))},
        {"webops_health_timestamp_seconds", "When health was checked.", input->now},
        {"webops_trial", "Whether the generation that runs is on trial.", input->is_trial},
        {"webops_last_update_failed", "Whether the last update was rejected.", input->has_failed_update},
        {"webops_config_problems", "Problems found in config.env when it was last applied.",
         input->applied ? (int64_t)json_array_size(json_object_get(input->applied, "problems")) : -1},
        {"webops_drift_files", "Files in /etc that differ from what webops wrote.", input->drift_files},
    };
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        if (numbers[i].value < 0)
            continue;
        add_head(text, numbers[i].name, numbers[i].help);
        buf_printf(text, "%s %" PRId64 "\n", numbers[i].name, numbers[i].value);
    }
    add_checks(input, text);
    add_generation(input, text);
}

static int64_t count_drift(int root_fd) {
    struct err err;
    cleanup_rendered struct rendered rendered = {0};
    cleanup_drift struct drift drift = {0};
    if (rendered_load(root_fd, &rendered, &err) < 0 || drift_find(root_fd, &rendered, &drift, &err) < 0)
        return -1;
    return (int64_t)drift.count;
}

int metrics_write(int root_fd, const json_t *health, const struct config *record, const json_t *report, bool counts_drift,
                  struct err *err) {
    cleanup_buf struct buf text = {0};
    struct journal journal = {0};
    char hash[65] = "";
    const char *last = json_string_value(json_object_get(report, "last"));
    struct metrics_input input = {
        .health = health, .record = record, .now = (int64_t)time(NULL), .drift_files = counts_drift ? count_drift(root_fd) : -1};
    input.applied = last ? json_object_get(report, last) : NULL;
    if (journal_load(root_fd, &journal, err) == 0) {
        hex_format(journal.manifest.boot.root_hash, 32, hash);
        input.is_trial = journal.state == JOURNAL_TRIAL && strcmp(hash, bootrecord_text(record, "ROOT_HASH")) == 0;
        input.has_failed_update = journal.state == JOURNAL_REJECTED;
    }
    metrics_format(&input, &text);
    return file_publish(root_fd, METRICS_PATH, text.data, text.size, 0644, err);
}
