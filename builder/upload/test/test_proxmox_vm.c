// SPDX-License-Identifier: Apache-2.0
// What a machine is waited for, before it is looked for and made.
#include "builder/upload/proxmox_vm.h"
#include "builder/upload/test/api_server.h"

#define UPID "UPID:pve1:0001:0002:0003:qmcreate:100:u@pve!t:"
#define TASKS "GET /nodes/pve1/tasks?source=active&typefilter=qmcreate"
#define STATUS "GET /nodes/pve1/tasks/UPID%3Apve1%3A0001%3A0002%3A0003%3Aqmcreate%3A100%3Au%40pve%21t%3A/status"
#define ONE_TASK "{\"data\": [{\"upid\": \"" UPID "\", \"status\": \"RUNNING\"}]}"

// One that hangs ends the waiting; one that is over, however it ended, does not matter.
static void tasks_of_others(void **state) {
    static const struct {
        struct exchange_row script[4];
        int code;
        const char *says[3];
    } rows[] = {
        {{{TASKS, 200, ONE_TASK}, {STATUS, 200, "{\"data\": {\"status\": \"running\"}}"}},
         -ETIMEDOUT,
         {UPID, "stop it (in the web interface: node pve1", "the same command again"}},
        {{{TASKS, 200, ONE_TASK}, {STATUS, 400, "{\"message\": \"no such task\"}"}, {"GET /nodes/pve1/qemu", 401, "{}"}},
         -EPERM,
         {"/nodes/pve1/qemu", "", ""}},
    };
    const struct proxmox_request request = {.vm_storage = "local-lvm", .bridge = "vmbr0", .memory_mib = 2048, .cpus = 2};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct api_server server;
        struct err err = {0};
        api_server_start(&server, rows[i].script);
        struct proxmox_vm vm = {
            .api = &server.api, .request = &request, .node = "pve1", .title = "web1", .volume = "local:import/web.qcow2"};
        assert_int_equal(proxmox_vm_make(&vm, &err), rows[i].code);
        api_server_stop(&server);
        for (size_t j = 0; j < ARRAY_SIZE(rows[i].says); j++)
            assert_contains(err.text, rows[i].says[j]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(tasks_of_others)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
