// SPDX-License-Identifier: Apache-2.0
// How a node answers, and what is borne while a task runs.
#include "builder/upload/proxmox_task.h"
#include "builder/upload/test/api_server.h"
#include "common/clock.h"

#define UPID "UPID:pve1:0001:0002:0003:qmcreate:100:u@pve!t:"
#define STATUS "GET /nodes/pve1/tasks/UPID%3Apve1%3A0001%3A0002%3A0003%3Aqmcreate%3A100%3Au%40pve%21t%3A/status"
#define LOG "GET /nodes/pve1/tasks/UPID%3Apve1%3A0001%3A0002%3A0003%3Aqmcreate%3A100%3Au%40pve%21t%3A/log?limit=500"

static void answers(void **state) {
    static const struct {
        const char *method, *request;
        int status;
        const char *body;
        int code;
        const char *says;
    } rows[] = {
        {"GET", "GET /x", 200, "{\"data\": {\"a\": 1}}", 0, ""},
        {"POST", "POST /x", 200, "{\"data\": null}", 0, ""},
        {"GET", "GET /x", 200, "{}", -EBADMSG, "none of Proxmox VE's"},
        {"GET", "GET /x", 401, "{}", -EPERM, "GET /x: 401 Reason (token, or its permissions)"},
        {"GET", "GET /x", 501, "{\"message\": \"not there\\u001b\\n\"}", -EREMOTEIO, "501 not there?"},
        {"POST", "POST /x", 500, "{\"message\": \"VM 100 already exists on node 'pve1'\"}", -EEXIST, "already exists"},
        {"POST", "POST /x", 400, "{\"errors\": {\"name\": \"bad\\n\"}}", -EREMOTEIO, "400 Reason; name: bad"},
        {"POST", "POST /x", 502, "", -EREMOTEIO, "502 Reason"}, // may have been done: not asked for again
        {"POST", "POST /x", 0, NULL, -EAGAIN, "/x: "},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct exchange_row script[] = {{rows[i].request, rows[i].status, rows[i].body}, {NULL, 0, NULL}};
        struct api_server server;
        struct err err = {0};
        json_t *data = NULL;
        api_server_start(&server, script);
        int r = proxmox_call(&server.api, rows[i].method, "/x", NULL, &data, &err);
        api_server_stop(&server);
        if (r != rows[i].code || !strstr(err.text, rows[i].says))
            fail_msg("row %zu: %d, %s", i, r, err.text);
        json_decref(data);
    }
}

static void tasks(void **state) {
    static const struct {
        struct exchange_row script[8];
        int code;
        const char *says;
    } rows[] = {
        {{{STATUS, 200, "{\"data\": {\"status\": \"running\"}}"},
          {STATUS, 200, "{\"data\": {\"status\": \"stopped\", \"exitstatus\": \"OK\"}}"}},
         0,
         ""},
        {{{STATUS, 200, "{\"data\": {\"status\": \"stopped\", \"exitstatus\": \"WARNINGS: 1\"}}"}}, 0, ""},
        {{{STATUS, 200, "{\"data\": {\"status\": \"stopped\", \"exitstatus\": \"no space\"}}"},
          {LOG, 200, "{\"data\": [{\"n\": 1, \"t\": \"one\"}, {\"n\": 2, \"t\": \"two\\u001b\"}]}"}},
         -EREMOTEIO,
         "the task failed: no space | one | two?"},
        // A network that is away for some seconds, a proxy that does not reach the node.
        {{{STATUS, 0, NULL},
          {STATUS, 0, NULL},
          {STATUS, 595, NULL},
          {STATUS, 504, NULL},
          {STATUS, 200, "{\"data\": {\"status\": \"stopped\", \"exitstatus\": \"OK\"}}"}},
         0,
         ""},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct api_server server;
        struct err err = {0};
        api_server_start(&server, rows[i].script);
        int r = proxmox_wait(&server.api, UPID, 0, &err);
        if (r != rows[i].code || !strstr(err.text, rows[i].says))
            fail_msg("row %zu: %d, %s", i, r, err.text);
        api_server_stop(&server);
    }
    struct err err = {0};
    struct api api = {0};
    static const char *const others[] = {NULL, "nonsense", "UPID:", "UPID:pve1", "UPID::1:", "UPID:../x:1:"};
    for (size_t i = 0; i < ARRAY_SIZE(others); i++)
        assert_int_equal(proxmox_wait(&api, others[i], 0, &err), -EBADMSG);
}

// A node that takes an upload for another one copies it itself.
static void node_of_a_task(void **state) {
    static const struct exchange_row script[] = {
        {"GET /nodes/pve-2/tasks/UPID%3Apve-2%3A0001%3A0002%3A0003%3Aimgcopy%3A%3Au%40pve%3A/status", 200,
         "{\"data\": {\"status\": \"stopped\", \"exitstatus\": \"OK\"}}"},
        {NULL, 0, NULL}};
    struct api_server server;
    struct err err = {0};
    (void)state;
    api_server_start(&server, script);
    assert_ok(proxmox_wait(&server.api, "UPID:pve-2:0001:0002:0003:imgcopy::u@pve:", 0, &err));
    api_server_stop(&server);
}

static void deadline(void **state) {
    static const struct exchange_row script[] = {{STATUS, 200, "{\"data\": {\"status\": \"running\"}}"}, {NULL, 0, NULL}};
    struct api_server server;
    struct err err = {0};
    (void)state;
    api_server_start(&server, script);
    assert_int_equal(proxmox_wait(&server.api, UPID, clock_ms(), &err), -ETIMEDOUT);
    assert_contains(err.text, "task " UPID " still runs after");
    api_server_stop(&server);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(answers), cmocka_unit_test(tasks), cmocka_unit_test(node_of_a_task),
                                       cmocka_unit_test(deadline)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
