// SPDX-License-Identifier: Apache-2.0
// Reads files only: no unit is asked, no check is run.
#include "firstboot/stack/status.h"
#include "common/file.h"
#include "firstboot/health.h"
#include "firstboot/report.h"
#include "firstboot/stack/state.h"
#include "firstboot/update/packages.h"
#include <string.h>

static json_t *version_of(const struct packages *packages, const char *name) {
    for (size_t i = 0; name && i < packages->count; i++)
        if (strcmp(packages->items[i].name, name) == 0)
            return json_string(packages->items[i].version);
    return json_null();
}

static void load_packages(int root_fd, struct packages *packages) {
    cleanup_free char *text = NULL;
    struct err err;
    if (packages_load_status(root_fd, &text, &err) >= 0)
        packages_parse_status(text, packages);
}

// What the last check of the machine said of this stack: a list of failures, NULL when it said nothing.
static json_t *failed_checks(const json_t *health, const char *name) {
    json_t *failed = NULL;
    size_t size = strlen(name), index;
    json_t *check;
    json_array_foreach(json_object_get(health, "checks"), index, check) {
        const char *full = json_string_value(json_object_get(check, "name")) ?: "";
        const char *state = json_string_value(json_object_get(check, "state")) ?: "";
        if (strncmp(full, name, size) != 0 || full[size] != '/' || strcmp(state, "not applicable") == 0)
            continue;
        if (!failed)
            failed = json_array();
        if (strcmp(state, "failed") == 0)
            json_array_append_new(failed, json_pack("{s:s, s:O?}", "name", full + size + 1, "why", json_object_get(check, "why")));
    }
    return failed;
}

static const json_t *applied(const json_t *last, const char *name) {
    const json_t *list = json_object_get(last, "stacks");
    for (size_t i = 0; i < json_array_size(list); i++)
        if (strcmp(json_string_value(json_object_get(json_array_get(list, i), "name")) ?: "", name) == 0)
            return json_array_get(list, i);
    return NULL;
}

static json_t *describe(int root_fd, const struct stack *stack, const json_t *last, const json_t *health, const struct packages *packages) {
    cleanup_stack_record struct stack_record record = {0};
    const json_t *planned = applied(last, stack->name), *problem = json_object_get(planned, "problem");
    bool is_enabled = json_is_true(json_object_get(planned, "enabled"));
    bool is_uninstalled = stack_state_is_uninstalled(root_fd, stack->name);
    bool is_active = is_enabled && !is_uninstalled;
    stack_record_load(root_fd, stack->name, &record);
    // A check that was made before the stack came into its present state says nothing of it. Times of this form sort as texts.
    bool is_recent = strcmp(json_string_value(json_object_get(health, "time")) ?: "", record.since) >= 0;
    json_t *failed = is_active && is_recent ? failed_checks(health, stack->name) : NULL;
    json_t *json = json_pack(
        "{s:s, s:s, s:b, s:b, s:o, s:s, s:o, s:o, s:o, s:o}", "name", stack->name, "summary", stack->summary ?: "", "enabled", is_enabled,
        "uninstalled", is_uninstalled, "version", version_of(packages, stack->package), "state", stack_state_name(record.state), "why",
        report_text(record.why), "since", *record.since ? json_string(record.since) : json_null(), "health",
        failed ? json_string(json_array_size(failed) ? "unhealthy" : "healthy") : json_null(), "failed", failed ? failed : json_array());
    if (problem)
        json_object_set(json, "problem", (json_t *)problem);
    return json;
}

json_t *stack_status(int root_fd) {
    struct stack_set set;
    struct err err;
    json_t *list = json_array();
    if (stack_set_load(root_fd, &set, &err) < 0)
        return list;
    cleanup_json json_t *report = NULL, *health = report_read(root_fd, HEALTH_PATH);
    cleanup_packages struct packages packages = {0};
    const json_t *last = report_load(root_fd, &report);
    if (set.count > 0)
        load_packages(root_fd, &packages);
    for (size_t i = 0; i < set.count; i++)
        json_array_append_new(list, describe(root_fd, set.stacks[i], last, health, &packages));
    stack_set_done(&set);
    return list;
}

static const char *text_of(const json_t *object, const char *name) {
    return json_string_value(json_object_get(object, name)) ?: "";
}

static void format_one(const json_t *stack, bool is_first, struct buf *text) {
    const char *version = text_of(stack, "version"), *health = text_of(stack, "health"), *since = text_of(stack, "since"),
               *why = text_of(stack, "why");
    const json_t *failed = json_object_get(stack, "failed");
    bool is_uninstalled = json_is_true(json_object_get(stack, "uninstalled"));
    buf_printf(text, "%-12s %s%s%s: %s", is_first ? "stacks" : "", text_of(stack, "name"), *version ? " " : "", version,
               is_uninstalled ? "uninstalled" : text_of(stack, "state"));
    if (*since)
        buf_printf(text, " since %s", since);
    if (*health && !is_uninstalled)
        buf_printf(text, ", %s", health);
    buf_add_str(text, "\n");
    if (*why)
        buf_printf(text, "%-12s   %s\n", "", why);
    for (size_t i = 0; i < json_array_size(failed); i++)
        buf_printf(text, "%-12s   %s: %s\n", "", text_of(json_array_get(failed, i), "name"), text_of(json_array_get(failed, i), "why"));
}

void stack_status_format(const json_t *stacks, struct buf *text) {
    bool is_first = true;
    for (size_t i = 0; i < json_array_size(stacks); i++) {
        const json_t *stack = json_array_get(stacks, i);
        if (!json_is_true(json_object_get(stack, "enabled")) && !json_is_true(json_object_get(stack, "uninstalled")))
            continue;
        format_one(stack, is_first, text);
        is_first = false;
    }
}

void stack_list_format(const json_t *stacks, struct buf *text) {
    for (size_t i = 0; i < json_array_size(stacks); i++) {
        const json_t *stack = json_array_get(stacks, i);
        const char *word = json_is_true(json_object_get(stack, "uninstalled")) ? "uninstalled"
                           : json_is_true(json_object_get(stack, "enabled"))   ? "enabled"
                                                                               : "off";
        const char *version = text_of(stack, "version");
        buf_printf(text, "%-16s %-12s %-10s %-24s %s\n", text_of(stack, "name"), word, text_of(stack, "state"), *version ? version : "-",
                   text_of(stack, "summary"));
    }
    if (json_array_size(stacks) == 0)
        buf_add_str(text, "this image has no stacks\n");
}
