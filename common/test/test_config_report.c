// SPDX-License-Identifier: Apache-2.0
// What `validate` and `config check` print, line by line, as JSON, and with which exit code.
#include "common/config_report.h"
#include "common/opt.h"
#include "common/test/support.h"
#include <jansson.h>

#define HASH "$6$saltsalt$0123456789abcdef./ABCDEFGHIJKLMNOPQRSTUV\n"
#define NEEDS_SECRET "OPERATOR_PASSWORD_FILE=/webops/secrets/op.secret\n"

// Runs the report on a file that holds `text`; standard output in *ret_out, for the caller to free.
static int report(const struct scratch *scratch, const char *text, const char *secrets, bool json, char **ret_out) {
    struct redirect redirect;
    struct err err = {0};
    char *said = NULL;
    cleanup_free char *path = str_printf("%s/config.env", scratch->path);
    assert_int_equal(file_publish(AT_FDCWD, path, text, strlen(text), 0600, &err), 0);
    redirect_begin(&redirect);
    int code = config_report_with(&schema_base, path, secrets, json);
    redirect_end(&redirect, ret_out, &said);
    free(said);
    return code;
}

static void lines(void **state) {
    struct scratch *scratch = *state;
    static const struct {
        const char *text, *printed; // %s stands for the file
        int code;
    } cases[] = {
        {"", "%1$s: ok, 0 keys\n", EXIT_OK},
        {"HOSTNAME=a\n", "%1$s: ok, 1 key\n", EXIT_OK},
        {"HOSTNAM=canary\nSSH_PORT=canary\n",
         "%1$s:1: HOSTNAM: unknown key; did you mean HOSTNAME?\n%1$s:2: SSH_PORT: expected a whole number, from 1 to 65535\n",
         EXIT_PERMANENT},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_free char *out = NULL, *path = str_printf("%s/config.env", scratch->path);
        cleanup_buf struct buf expected = {0};
        for (const char *c = cases[i].printed; *c; c++) {
            if (strncmp(c, "%1$s", 4) == 0) {
                buf_add_str(&expected, path);
                c += 3;
            } else {
                buf_add(&expected, c, 1);
            }
        }
        assert_int_equal(report(scratch, cases[i].text, NULL, false, &out), cases[i].code);
        assert_string_equal(out, buf_str(&expected));
    }
}

static void secrets_are_checked_when_asked(void **state) {
    struct scratch *scratch = *state;
    cleanup_free char *unchecked = NULL, *missing = NULL, *empty = NULL, *good = NULL, *secrets = str_printf("%s/secrets", scratch->path);
    struct err err = {0};
    assert_int_equal(report(scratch, NEEDS_SECRET, NULL, false, &unchecked), EXIT_OK);
    assert_int_equal(report(scratch, NEEDS_SECRET, secrets, false, &missing), EXIT_PERMANENT); // no such directory
    cleanup_free char *wanted = str_printf("config.env:1: OPERATOR_PASSWORD_FILE: %s/op.secret does not exist\n", secrets);
    assert_contains(missing, wanted);
    assert_int_equal(file_mkdirs(scratch->fd, "secrets", 0700, &err), 0);
    assert_int_equal(report(scratch, NEEDS_SECRET, secrets, false, &empty), EXIT_PERMANENT);
    assert_int_equal(file_publish(scratch->fd, "secrets/op.secret", HASH, strlen(HASH), 0600, &err), 0);
    assert_int_equal(report(scratch, NEEDS_SECRET, secrets, false, &good), EXIT_OK);
}

static void as_json(void **state) {
    struct scratch *scratch = *state;
    cleanup_free char *good = NULL, *bad = NULL;
    assert_int_equal(report(scratch, "HOSTNAME=a\n", NULL, true, &good), EXIT_OK);
    json_t *root = json_loads(good, 0, NULL);
    assert_true(json_is_true(json_object_get(root, "ok")));
    assert_int_equal(json_integer_value(json_object_get(root, "keys")), 1);
    assert_int_equal(json_array_size(json_object_get(root, "problems")), 0);
    json_decref(root);
    assert_int_equal(report(scratch, "HOSTNAME=a\n\nx\n", NULL, true, &bad), EXIT_PERMANENT);
    root = json_loads(bad, 0, NULL);
    assert_true(json_is_false(json_object_get(root, "ok")));
    json_t *problem = json_array_get(json_object_get(root, "problems"), 0);
    assert_int_equal(json_integer_value(json_object_get(problem, "line")), 3);
    assert_contains(json_string_value(json_object_get(problem, "text")), "no '='");
    json_decref(root);
}

// JSON is UTF-8, and names of files need not be.
static void odd_names_are_told(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    cleanup_free char *file = str_printf("%s/gr\xfc\xdf.env", scratch->path), *out = NULL, *said = NULL;
    struct redirect redirect;
    assert_int_equal(file_publish(AT_FDCWD, file, "HOSTNAME=a\n", 11, 0600, &err), 0);
    redirect_begin(&redirect);
    int code = config_report_with(&schema_base, file, NULL, true);
    redirect_end(&redirect, &out, &said);
    assert_int_equal(code, EXIT_OK);
    json_t *root = json_loads(out, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    assert_contains(json_string_value(json_object_get(root, "file")), "/gr\\xfc\\xdf.env");
    json_decref(root);
}

static void files_that_cannot_be_read(void **state) {
    struct scratch *scratch = *state;
    cleanup_free char *directory_out = NULL, *directory_said = NULL, *missing = str_printf("%s/none", scratch->path);
    struct redirect redirect;
    redirect_begin(&redirect);
    int of_directory = config_report_with(&schema_base, scratch->path, NULL, false);
    int of_missing = config_report_with(&schema_base, missing, NULL, false);
    redirect_end(&redirect, &directory_out, &directory_said);
    assert_int_equal(of_directory, EXIT_PERMANENT);
    assert_int_equal(of_missing, EXIT_PERMANENT);
    assert_contains(directory_said, scratch->path);
    assert_contains(directory_said, "No such file");
    assert_string_equal(directory_out, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lines, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(secrets_are_checked_when_asked, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(as_json, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(odd_names_are_told, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(files_that_cannot_be_read, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
