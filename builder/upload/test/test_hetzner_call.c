// SPDX-License-Identifier: Apache-2.0
// Errors, pages, actions, and what is repeated: every request in its order.
#include "builder/upload/hetzner_call.h"
#include "builder/upload/test/api_server.h"
#include <signal.h>

#define ERROR(code, message) "{\"error\": {\"code\": \"" code "\", \"message\": \"" message "\", \"details\": null}}"
#define PAGE(items, next) "{\"things\": [" items "], \"meta\": {\"pagination\": {\"next_page\": " next "}}}"

static int stop_setup(void **state) {
    struct err err = {0};
    struct stop *stop = mem_array(1, sizeof(*stop));
    assert_ok(stop_open(stop, &err));
    *state = stop;
    return 0;
}

static int stop_teardown(void **state) {
    stop_done(*state);
    free(*state);
    return 0;
}

static void refusals(void **state) {
    static const struct {
        int status;
        const char *body;
        int code;
        const char *says;
    } rows[] = {
        {200, "{\"a\": 1}", 0, ""},
        {204, NULL, 0, ""},
        {401, ERROR("unauthorized", "unable to authenticate"), -EPERM, "POST /x: 401 unable to authenticate (the token"},
        {403, ERROR("token_readonly", "only reading"), -EPERM, "needs permission to write"},
        {403, ERROR("forbidden", "no"), -EPERM, "403 no"},
        {403, ERROR("resource_limit_exceeded", "server limit exceeded"), -EDQUOT, "the project's limit"},
        {404, ERROR("not_found", "no such server"), -ENOENT, "404 no such server"},
        {409, ERROR("uniqueness_error", "name is used"), -EEXIST, "409 name is used"},
        {412, ERROR("resource_unavailable", "none left"), -EBUSY, "412 none left"},
        {422, ERROR("placement_error", "no place"), -EBUSY, "no place"},
        {422, ERROR("invalid_input", "unsupported location for server type"), -EBUSY, "unsupported location"},
        {422,
         "{\"error\": {\"code\": \"invalid_input\", \"message\": \"bad\", \"details\": {\"fields\": [{\"name\": \"labels\", \"messages\": "
         "[\"too long\"]}]}}}",
         -EREMOTEIO, "422 bad; labels: too long"},
        {418, "no JSON", -EREMOTEIO, "418 Reason"},
        {418, ERROR("odd", "\\u001b[31mred\\nand\\u0007\\n"), -EREMOTEIO, "418 ?[31mred and?"}, // nothing that a terminal obeys
        {500, ERROR("server_error", "oops"), -EAGAIN, "500 oops"},
        {200, "<html>", -EBADMSG, "the answer is none of Hetzner Cloud's"},
        {200, "[]", -EBADMSG, "the answer is none of Hetzner Cloud's"},
        {0, NULL, -EAGAIN, "/x: "},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct exchange_row script[] = {{"POST /x", rows[i].status, rows[i].body}, {NULL, 0, NULL}};
        struct api_server server;
        struct err err = {0};
        json_t *answer = NULL;
        api_server_start(&server, script);
        const struct hetzner hetzner = {&server.api, *state};
        int r = hetzner_call(&hetzner, "POST", "/x", NULL, NULL, &answer, &err);
        api_server_stop(&server);
        if (r != rows[i].code || !strstr(err.text, rows[i].says) || strstr(err.text, "canary"))
            fail_msg("row %zu: %d, %s", i, r, err.text);
        json_decref(answer);
    }
}

static void not_now(void **state) {
    static const struct exchange_row script[] = {{"POST /x {\"a\":1}", 429, ERROR("rate_limit_exceeded", "slowly")},
                                                 {"POST /x {\"a\":1}", 423, ERROR("locked", "busy")},
                                                 {"POST /x {\"a\":1}", 409, ERROR("conflict", "again")},
                                                 {"POST /x {\"a\":1}", 201, "{\"b\": 2}"},
                                                 {NULL, 0, NULL}};
    struct api_server server;
    struct err err = {0};
    json_t *answer = NULL, *body = json_pack("{s:i}", "a", 1);
    api_server_start(&server, script);
    const struct hetzner hetzner = {&server.api, *state};
    assert_ok(hetzner_call(&hetzner, "POST", "/x", NULL, body, &answer, &err));
    api_server_stop(&server);
    assert_int_equal(json_integer_value(json_object_get(answer, "b")), 2);
    json_decref(answer);
    json_decref(body);
}

static void pages(void **state) {
    static const struct exchange_row script[] = {{"GET /things?name=a%20b&page=1&per_page=50", 200, PAGE("1, 2", "2")},
                                                 {"GET /things?name=a%20b&page=2&per_page=50", 503, NULL}, // a GET is simply repeated
                                                 {"GET /things?name=a%20b&page=2&per_page=50", 200, PAGE("3", "null")},
                                                 {"GET /things?page=1&per_page=50", 200, "{\"others\": []}"},
                                                 {NULL, 0, NULL}};
    struct api_server server;
    struct err err = {0};
    json_t *items = NULL;
    const struct api_field fields[] = {{"name", "a b"}, {NULL, NULL}};
    api_server_start(&server, script);
    const struct hetzner hetzner = {&server.api, *state};
    assert_ok(hetzner_list(&hetzner, "/things", "things", fields, &items, &err));
    assert_int_equal(json_array_size(items), 3);
    assert_int_equal(json_integer_value(json_array_get(items, 2)), 3);
    json_decref(items);
    items = NULL;
    assert_int_equal(hetzner_list(&hetzner, "/things", "things", NULL, &items, &err), -EBADMSG);
    assert_null(items);
    api_server_stop(&server);
}

static void actions(void **state) {
#define ACTION(status, rest) "{\"action\": {\"id\": 7, \"command\": \"poweron\", \"status\": \"" status "\"" rest "}}"
    static const struct exchange_row script[] = {
        {"GET /actions/7", 200, ACTION("running", "")},
        {"GET /actions/7", 200, ACTION("success", "")},
        {"GET /actions/7", 200, ACTION("error", ", \"error\": {\"code\": \"x\", \"message\": \"it broke\"}")},
        {NULL, 0, NULL}};
    struct api_server server;
    struct err err = {0};
    json_t *answer = json_loads(ACTION("running", ""), 0, NULL), *none = json_object();
    api_server_start(&server, script);
    const struct hetzner hetzner = {&server.api, *state};
    assert_ok(hetzner_wait(&hetzner, answer, &err));
    assert_int_equal(hetzner_wait(&hetzner, answer, &err), -EREMOTEIO);
    assert_string_equal(err.text, "Hetzner Cloud failed at poweron: it broke");
    assert_ok(hetzner_wait(&hetzner, none, &err));
    api_server_stop(&server);
    json_decref(answer);
    json_decref(none);
}

// Whatever is no action that has ended well is no success.
static void odd_actions(void **state) {
    static const struct {
        const char *first;
        struct exchange_row script[3];
        int code;
    } rows[] = {
        {ACTION("running", ""), {{"GET /actions/7", 200, "{}"}}, -EBADMSG},
        {ACTION("running", ""), {{"GET /actions/7", 204, NULL}}, -EBADMSG},
        {ACTION("running", ""), {{"GET /actions/7", 200, "{\"action\": null}"}}, -EBADMSG},
        {ACTION("running", ""), {{"GET /actions/7", 200, ACTION("running", "")}, {"GET /actions/7", 200, "{\"action\": []}"}}, -EBADMSG},
        {ACTION("running", ""), {{"GET /actions/7", 200, "{\"action\": {}}"}}, -EREMOTEIO},
        {"{\"action\": {\"status\": \"running\"}}", {{NULL, 0, NULL}}, -EBADMSG},
        {"{\"action\": {\"id\": \"7\", \"status\": \"running\"}}", {{NULL, 0, NULL}}, -EBADMSG},
        {"{\"action\": {\"id\": 7}}", {{NULL, 0, NULL}}, -EREMOTEIO},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct api_server server;
        struct err err = {0};
        json_t *answer = json_loads(rows[i].first, 0, NULL);
        api_server_start(&server, rows[i].script);
        const struct hetzner hetzner = {&server.api, *state};
        int r = hetzner_wait(&hetzner, answer, &err);
        if (r != rows[i].code)
            fail_msg("row %zu: %d, %s", i, r, err.text);
        api_server_stop(&server);
        json_decref(answer);
    }
}

static void deleting(void **state) {
    static const struct exchange_row script[] = {{"DELETE /things/1", 204, NULL},
                                                 {"DELETE /things/2", 404, ERROR("not_found", "gone")},
                                                 {"DELETE /things/3", 500, NULL},
                                                 {"DELETE /things/3", 0, NULL},
                                                 {"DELETE /things/3", 404, ERROR("not_found", "gone")}, // so the lost one worked
                                                 {"DELETE /things/4", 403, ERROR("protected", "protected")},
                                                 {"DELETE /things/5", 200, "{\"action\": {\"status\": \"running\"}}"}, // which one?
                                                 {NULL, 0, NULL}};
    static const int codes[] = {0, 0, 0, -EPERM, -EBADMSG};
    struct api_server server;
    api_server_start(&server, script);
    const struct hetzner hetzner = {&server.api, *state};
    for (unsigned i = 0; i < ARRAY_SIZE(codes); i++) {
        struct err err = {0};
        cleanup_free char *path = str_printf("/things/%u", i + 1);
        assert_int_equal(hetzner_delete(&hetzner, path, &err), codes[i]);
    }
    api_server_stop(&server);
}

struct looked {
    unsigned asked, there_at; // there_at: the look that finds it; 0 = none
    int code;
};

static int look(const struct hetzner *hetzner, void *context, json_t **ret_answer, struct err *err) {
    struct looked *looked = context;
    (void)hetzner;
    if (looked->code < 0)
        return err_set(err, looked->code, "cannot look");
    if (++looked->asked == looked->there_at)
        *ret_answer = json_pack("{s:s}", "found", "by looking");
    return 0;
}

// An outage of seconds, in which connections are refused at once, is borne by all that may be asked twice.
static void outages(void **state) {
#define LOST(request)                                                                                                                      \
    {request, 0, NULL}, {request, 0, NULL}, {request, 0, NULL}, {                                                                          \
        request, 502, NULL                                                                                                                 \
    }
    static const struct exchange_row get[] = {LOST("GET /x"), {"GET /x", 200, "{\"b\": 2}"}, {NULL, 0, NULL}},
                                     removal[] = {LOST("DELETE /x"), {"DELETE /x", 204, NULL}, {NULL, 0, NULL}},
                                     post[] = {{"POST /x", 0, NULL}, {NULL, 0, NULL}};
    static const struct {
        const char *method;
        const struct exchange_row *script;
        int code;
    } rows[] = {{"GET", get, 0}, {"DELETE", removal, 0}, {"POST", post, -EAGAIN}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct api_server server;
        struct err err = {0};
        json_t *answer = NULL;
        api_server_start(&server, rows[i].script);
        const struct hetzner hetzner = {&server.api, *state};
        int r = hetzner_call(&hetzner, rows[i].method, "/x", NULL, NULL, &answer, &err);
        if (r != rows[i].code)
            fail_msg("%s: %d, %s", rows[i].method, r, err.text);
        api_server_stop(&server);
        json_decref(answer);
    }
}

// Who asks us to end does not wait for the minute.
static void outage_and_signal(void *data) {
    static const struct exchange_row script[] = {{"GET /x", 0, NULL}, {NULL, 0, NULL}};
    struct api_server server;
    struct err err = {0};
    json_t *answer = NULL;
    api_server_start(&server, script);
    const struct hetzner hetzner = {&server.api, data};
    raise(SIGTERM);
    assert_int_equal(hetzner_call(&hetzner, "GET", "/x", NULL, NULL, &answer, &err), -EINTR);
    api_server_stop(&server);
}

static void outages_end_by_signals(void **state) {
    assert_int_equal(in_child(outage_and_signal, *state), 0);
}

// What must not be done twice is looked for before it is asked for again.
static void making(void **state) {
    static const struct exchange_row lost = {"POST /x {}", 0, NULL}, failed = {"POST /x {}", 502, NULL},
                                     busy = {"POST /x {}", 423, ERROR("locked", "busy")},
                                     taken = {"POST /x {}", 409, ERROR("uniqueness_error", "taken")},
                                     refused = {"POST /x {}", 422, ERROR("invalid_input", "bad")},
                                     made = {"POST /x {}", 201, "{\"found\": \"by asking\"}"}, end = {NULL, 0, NULL};
    const struct {
        struct exchange_row script[5];
        struct looked looked;
        int code;
        const char *found;
        unsigned asked;
    } rows[] = {
        {{made, end}, {0}, 0, "by asking", 0},
        {{lost, end}, {.there_at = 1}, 0, "by looking", 1},
        {{failed, end}, {.there_at = 1}, 0, "by looking", 1},
        {{lost, made, end}, {0}, 0, "by asking", 1},
        {{lost, busy, end}, {.there_at = 2}, 0, "by looking", 2},
        {{lost, taken, end}, {.there_at = 2}, 0, "by looking", 2},
        {{taken, end}, {0}, -EEXIST, NULL, 1},
        {{refused, end}, {0}, -EREMOTEIO, NULL, 0},
        {{lost, end}, {.code = -EPERM}, -EPERM, NULL, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct api_server server;
        struct looked looked = rows[i].looked;
        struct err err = {0};
        json_t *answer = NULL, *body = json_object();
        api_server_start(&server, rows[i].script);
        const struct hetzner hetzner = {&server.api, *state};
        int r = hetzner_make(&hetzner, "/x", body, look, &looked, &answer, &err);
        api_server_stop(&server);
        const char *found = json_string_value(json_object_get(answer, "found"));
        if (r != rows[i].code || looked.asked != rows[i].asked || (rows[i].found && (!found || strcmp(found, rows[i].found) != 0)))
            fail_msg("row %zu: %d, %s, asked %u times", i, r, err.text, looked.asked);
        json_decref(answer);
        json_decref(body);
    }
}

#define WITH_STOP(test) cmocka_unit_test_setup_teardown(test, stop_setup, stop_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {WITH_STOP(refusals), WITH_STOP(not_now),     WITH_STOP(pages),
                                       WITH_STOP(actions),  WITH_STOP(odd_actions), WITH_STOP(deleting),
                                       WITH_STOP(making),   WITH_STOP(outages),     WITH_STOP(outages_end_by_signals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
