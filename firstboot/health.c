// SPDX-License-Identifier: Apache-2.0
// Runs a table of checks and words the result. The checks themselves: health_checks.c.
#include "firstboot/health.h"
#include "common/buf.h"
#include "common/clock.h"
#include "firstboot/actionlog.h"
#include "firstboot/bootrecord.h"
#include "firstboot/report.h"
#include <string.h>

#define POLL_MS 1000

void health_done(struct health *health) {
    free(health->results);
    *health = (struct health){0};
}

int health_setting(const struct health_context *context, const char *name, int fallback) {
    const char *last = json_string_value(json_object_get(context->report, "last"));
    const json_t *value = last ? json_object_get(json_object_get(json_object_get(context->report, last), "settings"), name) : NULL;
    if (json_is_boolean(value))
        return json_is_true(value);
    return json_is_integer(value) ? (int)json_integer_value(value) : fallback;
}

// Whether anything that failed may still get better.
static bool run_failing(const struct health_check *checks, const struct health_context *context, struct health *health) {
    bool may_wait = true;
    health->failed = NULL;
    for (size_t i = 0; i < health->count; i++) {
        struct health_result *result = &health->results[i];
        struct health_context own = *context;
        own.data = checks[i].data;
        if (result->code < 0)
            result->code = checks[i].run(&own, &result->why);
        if (result->code < 0 && checks[i].failure == HEALTH_FINAL)
            may_wait = false;
        if (result->code < 0 && (!health->failed || checks[health->failed - health->results].failure == HEALTH_VAGUE))
            health->failed = result;
        if (health->failed && context->stops_at_failure)
            break;
    }
    return health->failed && may_wait;
}

void health_run(const struct health_check *checks, const struct health_context *context, unsigned timeout_seconds,
                struct health *ret_health) {
    struct health health = {0};
    while (checks[health.count].name)
        health.count++;
    health.results = mem_array(health.count + 1, sizeof(*health.results));
    for (size_t i = 0; i < health.count; i++)
        health.results[i] = (struct health_result){.name = checks[i].name, .code = -1};
    int64_t deadline = clock_ms() + timeout_seconds * INT64_C(1000);
    struct health_context quick = *context;
    quick.stops_at_failure = true;
    int64_t begin = clock_ms();
    bool may_wait = run_failing(checks, context, &health);
    while (may_wait && clock_ms() < deadline) {
        int64_t rest = clock_rest_ms(clock_ms() - begin, POLL_MS), left = deadline - clock_ms();
        clock_sleep_ms(rest < left ? rest : left > 0 ? left : 0);
        begin = clock_ms();
        may_wait = run_failing(checks, &quick, &health);
    }
    if (may_wait && timeout_seconds > 0)
        run_failing(checks, context, &health); // what the others say now
    *ret_health = health;
}

char *health_line(const struct health *health, const struct config *record) {
    if (health->failed)
        return str_printf("unhealthy: %s: %s", health->failed->name, health->failed->why.text);
    return str_printf("healthy: %s %s slot %s, %zu checks", bootrecord_text(record, "PROFILE"), bootrecord_text(record, "VERSION"),
                      bootrecord_text(record, "SLOT"), health->count);
}

json_t *health_json(const struct health *health, const struct config *record) {
    struct actionlog_time now = actionlog_now();
    json_t *checks = json_array();
    for (size_t i = 0; i < health->count; i++) {
        const struct health_result *result = &health->results[i];
        const char *state = result->code < 0 ? "failed" : result->code > 0 ? "not applicable" : "passed";
        json_t *check = json_pack("{s:s, s:s}", "name", result->name, "state", state);
        if (result->code < 0)
            json_object_set_new(check, "why", report_text(result->why.text));
        json_array_append_new(checks, check);
    }
    return json_pack("{s:b, s:s, s:s, s:s, s:s, s:s*, s:o}", "healthy", !health->failed, "time", now.text, "profile",
                     bootrecord_text(record, "PROFILE"), "version", bootrecord_text(record, "VERSION"), "slot",
                     bootrecord_text(record, "SLOT"), "failed", health->failed ? health->failed->name : NULL, "checks", checks);
}
