// SPDX-License-Identifier: Apache-2.0
// health.json is root's own, so it may be parsed; it is taken apart all the same and only what is known goes out.
#include "firstboot/http/answer.h"
#include <jansson.h>
#include <string.h>

static const char type_json[] = "application/json", type_text[] = "text/plain; charset=utf-8";

void answer_done(struct answer *answer) {
    buf_done(&answer->body);
}

static json_t *checks_without_reasons(const json_t *checks) {
    json_t *public = json_array(), *check;
    size_t i;
    json_array_foreach(checks, i, check) json_array_append_new(
        public, json_pack("{s:O*, s:O*}", "name", json_object_get(check, "name"), "state", json_object_get(check, "state")));
    return public;
}

void answer_health(const char *text, size_t size, int64_t age_seconds, struct answer *ret_answer) {
    json_t *health = text ? json_loadb(text, size, 0, NULL) : NULL;
    bool is_fresh = age_seconds >= -ANSWER_MAX_AGE_SECONDS && age_seconds <= ANSWER_MAX_AGE_SECONDS;
    bool is_healthy = is_fresh && json_is_true(json_object_get(health, "healthy"));
    const char *why = is_healthy ? NULL : !json_is_object(health) ? "not checked yet" : !is_fresh ? "the last check is too old" : NULL;
    json_t *public =
        json_pack("{s:b, s:s*, s:O*, s:O*, s:O*, s:O*, s:o}", "healthy", is_healthy, "why", why, "time", json_object_get(health, "time"),
                  "profile", json_object_get(health, "profile"), "version", json_object_get(health, "version"), "slot",
                  json_object_get(health, "slot"), "checks", checks_without_reasons(json_object_get(health, "checks")));
    char *body = json_dumps(public, JSON_INDENT(2));
    *ret_answer = (struct answer){.status = is_healthy ? 200 : 503, .type = type_json};
    buf_printf(&ret_answer->body, "%s\n", body ? body : "{\"healthy\": false}");
    free(body);
    json_decref(public);
    json_decref(health);
}

void answer_metrics(const char *text, size_t size, struct answer *ret_answer) {
    if (!text) {
        answer_error(503, ret_answer);
        return;
    }
    *ret_answer = (struct answer){.status = 200, .type = "text/plain; version=0.0.4; charset=utf-8"};
    buf_add(&ret_answer->body, text, size);
}

static const char *reason_of(unsigned status) {
    static const struct {
        unsigned status;
        const char *reason;
    } reasons[] = {{200, "OK"}, {400, "Bad Request"}, {404, "Not Found"}, {405, "Method Not Allowed"}, {408, "Request Timeout"}};
    for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "Service Unavailable";
}

void answer_error(unsigned status, struct answer *ret_answer) {
    *ret_answer = (struct answer){.status = status, .type = type_text};
    buf_printf(&ret_answer->body, "%u %s\n", status, reason_of(status));
}

void answer_format(const struct answer *answer, bool is_head, struct buf *text) {
    buf_printf(text,
               "HTTP/1.1 %u %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%sCache-Control: no-store\r\nX-Content-Type-Options: "
               "nosniff\r\nConnection: close\r\n\r\n",
               answer->status, reason_of(answer->status), answer->type, answer->body.size,
               answer->status == 405 ? "Allow: GET, HEAD\r\n" : "");
    if (!is_head)
        buf_add(text, buf_str(&answer->body), answer->body.size);
}
