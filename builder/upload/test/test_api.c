// SPDX-License-Identifier: Apache-2.0
// What is given for a server: address, token file, fingerprint. Requests themselves are in qemu-tests/test_upload_proxmox.py.
#include "builder/test/support.h"
#include "builder/upload/test/api_server.h"

#define FINGERPRINT "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define COLONS "00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF"

static void servers(void **state) {
    struct scratch *scratch = *state;
    static const struct {
        const char *base, *token, *fingerprint;
        mode_t mode;
        int code;
        const char *says;
    } rows[] = {
        {"https://pve:8006/api", "a@b!c=d\n", FINGERPRINT, 0600, 0, ""},
        {"https://pve:8006/api//", "a@b!c=d\r\n", COLONS, 0400, 0, ""},
        {"https://pve:8006/api", "a@b!c=d", NULL, 0600, 0, ""},
        {"http://pve:8006/api", "canary", NULL, 0600, -EINVAL, "an https address is expected"},
        {"https://pve", "canary", "00:11", 0600, -EINVAL, "fingerprint 00:11: the 32 bytes"},
        {"https://pve", "canary", FINGERPRINT "00", 0600, -EINVAL, "the 32 bytes"},
        {"https://pve", "canary", "x" FINGERPRINT, 0600, -EINVAL, "the 32 bytes"},
        {"https://pve", "canary", NULL, 0640, -EPERM, "others can read it: chmod 600"},
        {"https://pve", "canary two", NULL, 0600, -EINVAL, "one line without blanks"},
        {"https://pve", "canary\ntwo\n", NULL, 0600, -EINVAL, "one line without blanks"},
        {"https://pve", "\n", NULL, 0600, -EINVAL, "is empty"},
        {"https://pve", "", NULL, 0600, -EINVAL, "is empty"},
    };
    cleanup_free char *path = scratch_file(scratch, "token"), *none = scratch_file(scratch, "none"),
                      *large = mem_array(API_MAX_TOKEN_BYTES + 2, 1);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct err err = {0};
        cleanup_api struct api api = {0};
        assert_ok(file_publish(AT_FDCWD, path, rows[i].token, strlen(rows[i].token), rows[i].mode, &err));
        int r = api_open(rows[i].base, "PVEAPIToken=", path, rows[i].fingerprint, &api, &err);
        if (r != rows[i].code || !strstr(err.text, rows[i].says) || strstr(err.text, "canary"))
            fail_msg("row %zu: %d, %s", i, r, err.text);
        if (r < 0)
            continue;
        assert_string_equal(api.base, "https://pve:8006/api");
        assert_string_equal(api.authorization, "Authorization: PVEAPIToken=a@b!c=d");
        assert_int_equal(api.is_pinned, rows[i].fingerprint != NULL);
        assert_int_equal(api.fingerprint[1], rows[i].fingerprint ? 0x11 : 0);
        assert_int_equal(api.fingerprint[31], rows[i].fingerprint ? 0xff : 0);
    }
    struct err err = {0};
    struct api api;
    assert_int_equal(api_open("https://pve", "", none, NULL, &api, &err), -ENOENT);
    memset(large, 'x', API_MAX_TOKEN_BYTES + 1);
    assert_ok(file_publish(AT_FDCWD, path, large, API_MAX_TOKEN_BYTES + 1, 0600, &err));
    assert_int_equal(api_open("https://pve", "", path, NULL, &api, &err), -EFBIG);
}

// Nobody listens: said with the address, and to be tried again later.
static void nobody_answers(void **state) {
    struct scratch *scratch = *state;
    static const char *const methods[] = {"GET", "POST", "DELETE"};
    cleanup_free char *path = scratch_file(scratch, "token");
    struct err err = {0};
    cleanup_api struct api api = {0};
    assert_ok(file_publish(AT_FDCWD, path, "canary", 6, 0600, &err));
    assert_ok(api_open("https://127.0.0.1:1", "", path, NULL, &api, &err));
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
        cleanup_api_answer struct api_answer answer = {0};
        const struct api_field fields[] = {{"a b", "c&d"}, {"left out", NULL}, {NULL, NULL}};
        assert_int_equal(api_call(&api, methods[i], "/version", fields, &answer, &err), -EAGAIN);
        assert_contains(err.text, "https://127.0.0.1:1/version");
        assert_null(strstr(err.text, "canary"));
    }
}

// As a new Proxmox VE node has it: trying again would change nothing, and the token goes nowhere.
static void own_certificate(void **state) {
    static const struct exchange_row script[] = {{NULL, 0, NULL}};
    struct api_server server;
    struct err err = {0};
    cleanup_api_answer struct api_answer answer = {0};
    (void)state;
    api_server_start(&server, script);
    server.api.is_pinned = false;
    assert_int_equal(api_call(&server.api, "GET", "/version", NULL, &answer, &err), -EACCES);
    assert_contains(err.text, server.api.base);
    assert_contains(err.text, "certificate");
    assert_contains(err.text, "--fingerprint");
    api_server_stop(&server);
}

static void answers_are_bounded(void **state) {
    cleanup_free char *large = mem_array(API_MAX_ANSWER_BYTES + 2, 1);
    const struct exchange_row script[] = {{"GET /x", 200, memset(large, 'x', API_MAX_ANSWER_BYTES + 1)}, {NULL, 0, NULL}};
    struct api_server server;
    struct err err = {0};
    cleanup_api_answer struct api_answer answer = {0};
    (void)state;
    api_server_start(&server, script);
    assert_int_equal(api_call(&server.api, "GET", "/x", NULL, &answer, &err), -EFBIG);
    api_server_stop(&server);
}

static void texts_for_terminals(void **state) {
    cleanup_buf struct buf text = {0};
    (void)state;
    api_add_printable(&text, "");
    api_add_printable(&text, "one\ntwo\033[31m\xc3\xa4\n\n");
    assert_string_equal(buf_str(&text), "one two?[31m??");
}

#define WITH_SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {WITH_SCRATCH(servers), WITH_SCRATCH(nobody_answers), cmocka_unit_test(own_certificate),
                                       cmocka_unit_test(answers_are_bounded), cmocka_unit_test(texts_for_terminals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
