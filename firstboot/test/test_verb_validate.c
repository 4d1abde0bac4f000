// SPDX-License-Identifier: Apache-2.0
// `webops validate` as a command line: options, exit codes, and that it checks secrets by default.
#include "common/opt.h"
#include "common/run.h"
#include "common/test/support.h"
#include "firstboot/verbs.h"
#include <getopt.h>

static int validate(const char *const *arguments, char **ret_out) {
    static const struct verb verb = {"validate", "[FILE]", 0, 1, "help", verb_validate};
    char *argv[8] = {(char *)"validate"}, *said = NULL;
    int argc = 1;
    struct redirect redirect;
    for (; *arguments; arguments++)
        argv[argc++] = (char *)*arguments;
    optind = 0;
    redirect_begin(&redirect);
    int code = verb_validate(&verb, argc, argv);
    redirect_end(&redirect, ret_out, &said);
    free(said);
    return code;
}

static void command_lines(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    cleanup_free char *path = str_printf("%s/c", scratch->path), *secrets = str_printf("%s/s", scratch->path);
    static const char text[] = "SSH_AUTHORIZED_KEYS_FILE=/webops/secrets/keys.secret\n";
    assert_int_equal(file_publish(AT_FDCWD, path, text, strlen(text), 0600, &err), 0);
    assert_int_equal(file_mkdirs(AT_FDCWD, secrets, 0700, &err), 0);
    cleanup_free char *missing = NULL, *good = NULL, *json = NULL, *help = NULL, *wrong = NULL, *many = NULL;
    assert_int_equal(validate(RUN_ARGV("--secrets", secrets, path), &missing), EXIT_PERMANENT);
    assert_contains(missing, "/c:1: SSH_AUTHORIZED_KEYS_FILE: ");
    assert_contains(missing, "/s/keys.secret does not exist"); // as it is where it was looked for
    cleanup_free char *key = str_printf("%s/keys.secret", secrets);
    assert_int_equal(file_publish(AT_FDCWD, key, "x", 1, 0600, &err), 0);
    assert_int_equal(validate(RUN_ARGV("--secrets", secrets, path), &good), EXIT_OK);
    assert_int_equal(validate(RUN_ARGV("--json", "--secrets", secrets, path), &json), EXIT_OK);
    assert_int_equal(json[0], '{');
    assert_int_equal(validate(RUN_ARGV("--help"), &help), EXIT_OK);
    assert_contains(help, "--secrets DIR");
    assert_int_equal(validate(RUN_ARGV("--nonsense"), &wrong), EXIT_USAGE);
    assert_int_equal(validate(RUN_ARGV("a", "b"), &many), EXIT_USAGE);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(command_lines, scratch_setup, scratch_teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
