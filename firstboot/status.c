// SPDX-License-Identifier: Apache-2.0
// Puts together what the init, `webops apply` and `webops health` left under /run/webops, and the tail of the action log.
#include "firstboot/status.h"
#include "common/file.h"
#include "firstboot/actionlog.h"
#include "firstboot/bootrecord.h"
#include "firstboot/drift.h"
#include "firstboot/health.h"
#include "firstboot/report.h"
#include "firstboot/stack/status.h"
#include "firstboot/update/slots.h"
#include <string.h>

#define MAX_ERRORS 5

static json_t *generation(const struct config *record) {
    return json_pack("{s:s, s:s, s:s, s:s, s:s}", "profile", bootrecord_text(record, "PROFILE"), "version",
                     bootrecord_text(record, "VERSION"), "sequence", bootrecord_text(record, "SEQUENCE"), "root_hash",
                     bootrecord_text(record, "ROOT_HASH"), "slot_id", bootrecord_text(record, "SLOT_ID"));
}

static json_t *layers(const struct config *record) {
    json_t *array = json_array();
    for (unsigned i = 0; i < 16; i++) {
        char name[24], version[24];
        snprintf(name, sizeof(name), "LAYER%u_NAME", i);
        snprintf(version, sizeof(version), "LAYER%u_VERSION", i);
        if (config_find(record, name))
            json_array_append_new(
                array, json_pack("{s:s, s:s}", "name", bootrecord_text(record, name), "version", bootrecord_text(record, version)));
    }
    return array;
}

static json_t *drift_count(int root_fd) {
    struct err err;
    cleanup_rendered struct rendered rendered = {0};
    cleanup_drift struct drift drift = {0};
    if (rendered_load(root_fd, &rendered, &err) < 0 || drift_find(root_fd, &rendered, &drift, &err) < 0)
        return json_null();
    return json_integer((json_int_t)drift.count);
}

// One line of the action log that tells of a failure; NULL for any other.
static json_t *failed_action(const char *line, size_t size) {
    cleanup_json json_t *entry = json_loadb(line, size, 0, NULL);
    const char *result = json_string_value(json_object_get(entry, "result"));
    const char *time = json_string_value(json_object_get(entry, "time"));
    return result && time && strcmp(result, "ok") != 0 ? json_sprintf("%s %s", time, result) : NULL;
}

static json_t *last_errors(int root_fd) {
    struct err err;
    cleanup_free char *text = NULL;
    json_t *array = json_array();
    if (file_read(root_fd, ACTIONLOG_PATH, 2 * ACTIONLOG_MAX_BYTES, &text, NULL, &err) < 0)
        return array;
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        json_t *failed = failed_action(line, strcspn(line, "\n"));
        if (!failed)
            continue;
        if (json_array_size(array) == MAX_ERRORS)
            json_array_remove(array, 0);
        json_array_append_new(array, failed);
    }
    return array;
}

static json_t *pick(const json_t *object, const char *const *names, size_t count) {
    json_t *picked = json_object();
    for (size_t i = 0; i < count; i++) {
        json_t *value = json_object_get(object, names[i]);
        json_object_set(picked, names[i], value ? value : json_null());
    }
    return picked;
}

json_t *status_gather(int root_fd) {
    static const char *const config_names[] = {"source", "has_config", "problems"}, *const apply_names[] = {"time", "changes", "errors"};
    struct err err;
    cleanup_config struct config record = {0};
    cleanup_json json_t *report = NULL, *health = report_read(root_fd, HEALTH_PATH);
    if (bootrecord_load(root_fd, &record, &err) < 0)
        record = (struct config){0};
    const json_t *last = report_load(root_fd, &report);
    char hostname[256] = "";
    gethostname(hostname, sizeof(hostname) - 1);
    json_t *apply = pick(last, apply_names, ARRAY_SIZE(apply_names));
    json_t *stage = json_object_get(report, "last");
    json_object_set(apply, "stage", stage ? stage : json_null());
    json_t *update = update_status(root_fd), *slots = json_incref(json_object_get(update, "slots")) ?: json_null();
    json_object_del(update, "slots");
    return json_pack("{s:s, s:o, s:s, s:o, s:o, s:o, s:O?, s:o, s:o, s:o, s:o, s:o}", "hostname", hostname, "generation",
                     generation(&record), "slot", bootrecord_text(&record, "SLOT"), "layers", layers(&record), "config",
                     pick(last, config_names, ARRAY_SIZE(config_names)), "apply", apply, "health", health, "drift", drift_count(root_fd),
                     "errors", last_errors(root_fd), "slots", slots, "update", update, "stacks", stack_status(root_fd));
}

static const char *text_of(const json_t *object, const char *name, const char *fallback) {
    const char *text = json_string_value(json_object_get(object, name));
    return text && *text ? text : fallback;
}

static void format_list(const json_t *array, const char *title, struct buf *text) {
    for (size_t i = 0; i < json_array_size(array); i++)
        buf_printf(text, "%-12s %s\n", i ? "" : title, json_string_value(json_array_get(array, i)));
}

static void format_generation(const json_t *status, struct buf *text) {
    const json_t *made = json_object_get(status, "generation");
    buf_printf(text, "%-12s %s\n", "host", text_of(status, "hostname", "-"));
    const char *slot = text_of(status, "slot", "-");
    buf_printf(text, "%-12s %s %s, sequence %s, %s%s\n", "generation", text_of(made, "profile", "unknown"), text_of(made, "version", "-"),
               text_of(made, "sequence", "-"), strcmp(slot, "medium") == 0 ? "started from an installation " : "slot ", slot);
    buf_printf(text, "%-12s %s\n", "root hash", text_of(made, "root_hash", "-"));
    const json_t *array = json_object_get(status, "layers");
    for (size_t i = 0; i < json_array_size(array); i++)
        buf_printf(text, "%-12s %s %s\n", i ? "" : "layers", text_of(json_array_get(array, i), "name", "-"),
                   text_of(json_array_get(array, i), "version", "-"));
}

static void format_health(const json_t *health, struct buf *text) {
    if (!json_is_object(health)) {
        buf_printf(text, "%-12s not checked yet\n", "health");
        return;
    }
    const json_t *checks = json_object_get(health, "checks");
    buf_printf(text, "%-12s %s, %zu checks, %s\n", "health", json_is_true(json_object_get(health, "healthy")) ? "healthy" : "unhealthy",
               json_array_size(checks), text_of(health, "time", "-"));
    for (size_t i = 0; i < json_array_size(checks); i++) {
        const json_t *check = json_array_get(checks, i);
        if (strcmp(text_of(check, "state", ""), "failed") == 0)
            buf_printf(text, "%-12s %s: %s\n", "", text_of(check, "name", "-"), text_of(check, "why", "-"));
    }
}

void status_format(const json_t *status, struct buf *text) {
    const json_t *config = json_object_get(status, "config"), *apply = json_object_get(status, "apply"),
                 *drift = json_object_get(status, "drift");
    format_generation(status, text);
    update_status_format(json_object_get(status, "update"), json_object_get(status, "slots"), text);
    buf_printf(text, "%-12s %s\n", "config", text_of(config, "source", "none applied yet"));
    format_list(json_object_get(config, "problems"), "  refused", text);
    buf_printf(text, "%-12s %s, %s, %lld changes\n", "applied", text_of(apply, "time", "never"), text_of(apply, "stage", "-"),
               (long long)json_integer_value(json_object_get(apply, "changes")));
    format_list(json_object_get(apply, "errors"), "  failed", text);
    format_health(json_object_get(status, "health"), text);
    stack_status_format(json_object_get(status, "stacks"), text);
    if (json_is_integer(drift))
        buf_printf(text, "%-12s %lld files differ%s\n", "drift", (long long)json_integer_value(drift),
                   json_integer_value(drift) ? "; see: webops drift" : "");
    else
        buf_printf(text, "%-12s unknown (needs root)\n", "drift");
    format_list(json_object_get(status, "errors"), "last errors", text);
}
