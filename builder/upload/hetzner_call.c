// SPDX-License-Identifier: Apache-2.0
// Errors, pages, actions, repetitions.
#include "builder/upload/hetzner_call.h"
#include "builder/upload/patience.h"
#include "common/buf.h"
#include "common/clock.h"
#include <errno.h>
#include <string.h>

#define MAX_PAGES 100
#define PAGE_SIZE "50" // the largest that is taken
#define POLL_MS 100
#define MAX_POLL_MS 5000
#define ACTION_TIMEOUT_MS (30 * 60 * 1000)

// Status 0 = any. What comes first counts.
static const struct {
    const char *code;
    long status;
    int error;
    bool is_not_now; // nothing was done: it may simply be repeated
    const char *advice;
} refusals[] = {
    {"unauthorized", 401, -EPERM, false, " (the token: is it of this project, and complete?)"},
    {"token_readonly", 0, -EPERM, false, " (the token needs permission to write)"},
    {"resource_limit_exceeded", 0, -EDQUOT, false, " (the project's limit: delete what is not needed, or ask for more in the console)"},
    {"forbidden", 403, -EPERM, false, " (the token, or its permissions)"},
    {"rate_limit_exceeded", 429, -EAGAIN, true, ""},
    {"locked", 423, -EAGAIN, true, ""},
    {"conflict", 0, -EAGAIN, true, ""},
    {"not_found", 404, -ENOENT, false, ""},
    {"uniqueness_error", 0, -EEXIST, false, ""},
    {"resource_unavailable", 0, -EBUSY, false, ""},
    {"placement_error", 0, -EBUSY, false, ""},
    {"invalid_server_type", 0, -EBUSY, false, ""},
};

// error.details.fields: [{"name": "labels", "messages": ["…"]}]
static void add_fields(struct buf *text, const json_t *error) {
    const json_t *field;
    size_t index;
    json_array_foreach(json_object_get(json_object_get(error, "details"), "fields"), index, field) {
        buf_add_str(text, "; ");
        api_add_printable(text, json_string_value(json_object_get(field, "name")) ?: "?");
        buf_add_str(text, ": ");
        api_add_printable(text, json_string_value(json_array_get(json_object_get(field, "messages"), 0)) ?: "?");
    }
}

struct request {
    const char *method, *path;
    const struct api_field *fields;
    const json_t *body; // NULL = none
    hetzner_look *look; // NULL: nobody can tell whether it was done
    void *context; // of `look`
};

static int refuse(const struct request *request, const struct api_answer *answer, bool *ret_not_now, struct err *err) {
    cleanup_buf struct buf text = {0};
    const json_t *error = json_object_get(answer->json, "error");
    const char *code = json_string_value(json_object_get(error, "code")) ?: "",
               *message = json_string_value(json_object_get(error, "message"));
    buf_printf(&text, "%s %s: %ld ", request->method, request->path, answer->status);
    api_add_printable(&text, message ? message : answer->reason);
    add_fields(&text, error);
    for (size_t i = 0; i < ARRAY_SIZE(refusals); i++)
        if (strcmp(code, refusals[i].code) == 0 || (refusals[i].status && answer->status == refusals[i].status)) {
            *ret_not_now = refusals[i].is_not_now;
            return err_set(err, refusals[i].error, "%s%s", buf_str(&text), refusals[i].advice);
        }
    int r = answer->status >= 500 ? -EAGAIN : message && strstr(message, "unsupported location") ? -EBUSY : -EREMOTEIO;
    return err_set(err, r, "%s", buf_str(&text));
}

static int call_once(const struct hetzner *hetzner, const struct request *request, json_t **ret_answer, bool *ret_not_now,
                     struct err *err) {
    cleanup_api_answer struct api_answer answer = {0};
    int r = request->body ? api_call_json(hetzner->api, request->method, request->path, request->body, &answer, err)
                          : api_call(hetzner->api, request->method, request->path, request->fields, &answer, err);
    if (r < 0)
        return r;
    if (answer.status < 200 || answer.status > 299)
        return refuse(request, &answer, ret_not_now, err);
    if (answer.status != 204 && !json_is_object(answer.json))
        return err_set(err, -EBADMSG, "%s %s: the answer is none of Hetzner Cloud's", request->method, request->path);
    *ret_answer = json_incref(answer.json);
    return 0;
}

// What was not done, what does no harm when it is done twice, and what was looked for.
static bool may_repeat(const struct request *request, int r, bool not_now) {
    bool is_harmless = request->look || strcmp(request->method, "GET") == 0 || strcmp(request->method, "DELETE") == 0;
    return not_now || (r == -EAGAIN && is_harmless);
}

// Whether the work is done all the same. Also after "not now": what is in the way may be the same request, whose answer was lost.
static int find_done(const struct hetzner *hetzner, const struct request *request, int r, json_t **ret_answer, struct err *err) {
    struct err why = *err;
    if (!request->look || (r != -EAGAIN && r != -EEXIST))
        return r;
    int looked = request->look(hetzner, request->context, ret_answer, err);
    if (looked < 0 || *ret_answer)
        return looked;
    *err = why;
    return r;
}

static int call(const struct hetzner *hetzner, const struct request *request, json_t **ret_answer, struct err *err) {
    *ret_answer = NULL;
    for (struct patience patience = {.stop = hetzner->stop};;) {
        bool not_now = false;
        int r = call_once(hetzner, request, ret_answer, &not_now, err);
        if (r < 0)
            r = find_done(hetzner, request, r, ret_answer, err);
        if (r >= 0 || !may_repeat(request, r, not_now))
            return r;
        r = patience_wait(&patience, r, err);
        if (r < 0)
            return r;
    }
}

int hetzner_call(const struct hetzner *hetzner, const char *method, const char *path, const struct api_field *fields, const json_t *body,
                 json_t **ret_answer, struct err *err) {
    return call(hetzner, &(struct request){.method = method, .path = path, .fields = fields, .body = body}, ret_answer, err);
}

int hetzner_list(const struct hetzner *hetzner, const char *path, const char *name, const struct api_field *fields, json_t **ret_items,
                 struct err *err) {
    json_t *items = json_array();
    json_int_t page = 1;
    int r = 0;
    for (unsigned count = 0; r >= 0 && page > 0; count++) {
        struct api_field query[8] = {{0}};
        size_t used = 0;
        cleanup_free char *number = str_printf("%lld", (long long)page);
        for (; fields && fields[used].name && used < ARRAY_SIZE(query) - 3; used++)
            query[used] = fields[used];
        query[used++] = (struct api_field){"page", number};
        query[used] = (struct api_field){"per_page", PAGE_SIZE};
        json_t *answer = NULL;
        r = hetzner_call(hetzner, "GET", path, query, NULL, &answer, err);
        if (r >= 0 && (!json_is_array(json_object_get(answer, name)) || count == MAX_PAGES))
            r = err_set(err, -EBADMSG, "GET %s: the answer is none of Hetzner Cloud's", path);
        if (r >= 0)
            json_array_extend(items, json_object_get(answer, name));
        page = json_integer_value(json_object_get(json_object_get(json_object_get(answer, "meta"), "pagination"), "next_page"));
        json_decref(answer);
    }
    if (r < 0)
        json_decref(items);
    else
        *ret_items = items;
    return r;
}

int hetzner_make(const struct hetzner *hetzner, const char *path, const json_t *body, hetzner_look *look, void *context,
                 json_t **ret_answer, struct err *err) {
    return call(hetzner, &(struct request){"POST", path, NULL, body, look, context}, ret_answer, err);
}

int hetzner_delete(const struct hetzner *hetzner, const char *path, struct err *err) {
    json_t *answer = NULL;
    int r = hetzner_call(hetzner, "DELETE", path, NULL, NULL, &answer, err);
    if (r >= 0)
        r = hetzner_wait(hetzner, answer, err);
    json_decref(answer);
    return r == -ENOENT ? 0 : r; // the action may go with what it was about
}

static int judge(const json_t *action, struct err *err) {
    cleanup_buf struct buf text = {0};
    if (strcmp(json_string_value(json_object_get(action, "status")) ?: "", "success") == 0)
        return 0;
    const json_t *error = json_object_get(action, "error");
    api_add_printable(&text, json_string_value(json_object_get(action, "command")) ?: "action");
    buf_add_str(&text, ": ");
    api_add_printable(&text, json_string_value(json_object_get(error, "message")) ?: "no reason is given");
    return err_set(err, -EREMOTEIO, "Hetzner Cloud failed at %s", buf_str(&text));
}

// An answer without an action says nothing of how it went.
static int ask(const struct hetzner *hetzner, const char *path, json_t **ret_action, struct err *err) {
    json_t *answer = NULL;
    int r = hetzner_call(hetzner, "GET", path, NULL, NULL, &answer, err);
    if (r >= 0) {
        json_decref(*ret_action);
        *ret_action = json_incref(json_object_get(answer, "action"));
        if (!json_is_object(*ret_action))
            r = err_set(err, -EBADMSG, "GET %s: the answer is none of Hetzner Cloud's", path);
    }
    json_decref(answer);
    return r;
}

static bool is_running(const json_t *action) {
    return strcmp(json_string_value(json_object_get(action, "status")) ?: "", "running") == 0;
}

static int wait_action(const struct hetzner *hetzner, json_t **action, struct err *err) {
    json_int_t id = json_integer_value(json_object_get(*action, "id"));
    cleanup_free char *path = str_printf("/actions/%lld", (long long)id);
    int64_t deadline = clock_ms() + ACTION_TIMEOUT_MS, pause = POLL_MS;
    if (is_running(*action) && id <= 0)
        return err_set(err, -EBADMSG, "Hetzner Cloud names no id of an action that runs");
    while (is_running(*action)) {
        if (clock_ms() > deadline)
            return err_set(err, -ETIMEDOUT, "%s is still running after half an hour", path);
        int r = stop_sleep(hetzner->stop, pause, err);
        if (r >= 0)
            r = ask(hetzner, path, action, err);
        if (r < 0)
            return r;
        pause = pause * 3 / 2 < MAX_POLL_MS ? pause * 3 / 2 : MAX_POLL_MS;
    }
    return judge(*action, err);
}

int hetzner_wait(const struct hetzner *hetzner, const json_t *answer, struct err *err) {
    json_t *action = json_incref(json_object_get(answer, "action"));
    int r = json_is_object(action) ? wait_action(hetzner, &action, err) : 0;
    json_decref(action);
    return r;
}
