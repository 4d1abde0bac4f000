// SPDX-License-Identifier: Apache-2.0
// Picks fields from a machine's report. The machine is under test, so nothing in its text is relied on.
#include "builder/machine_status.h"
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

static void copy(char *to, size_t size, const json_t *object, const char *name) {
    const char *text = json_string_value(json_object_get(object, name));
    snprintf(to, size, "%s", text ? text : "");
}

static void pick_slots(const json_t *slots, struct machine_status *status) {
    static const char *const names[] = {"a", "b"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        copy(status->states[i], sizeof(status->states[i]), json_object_get(slots, names[i]), "state");
}

int machine_status_parse(const char *text, struct machine_status *ret_status, struct err *err) {
    json_error_t error;
    struct machine_status status = {0};
    json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (!json)
        return err_set(err, -EINVAL, "the machine's status is no JSON: line %d: %s", error.line, error.text);
    const json_t *generation = json_object_get(json, "generation");
    const json_t *problems = json_object_get(json_object_get(json, "config"), "problems");
    copy(status.profile, sizeof(status.profile), generation, "profile");
    copy(status.version, sizeof(status.version), generation, "version");
    copy(status.root_hash, sizeof(status.root_hash), generation, "root_hash");
    copy(status.slot, sizeof(status.slot), json, "slot");
    pick_slots(json_object_get(json, "slots"), &status);
    status.is_healthy = json_is_true(json_object_get(json_object_get(json, "health"), "healthy"));
    status.problem_count = json_array_size(problems);
    const char *problem = json_string_value(json_array_get(problems, 0));
    snprintf(status.problem, sizeof(status.problem), "%s", problem ? problem : "");
    json_decref(json);
    if (!status.root_hash[0] || !status.slot[0])
        return err_set(err, -EINVAL, "the machine's status names no generation and slot");
    *ret_status = status;
    return 0;
}
