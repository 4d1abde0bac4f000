// SPDX-License-Identifier: Apache-2.0
// `webops-image seed` as a command line; what it writes is tested in test_seed.c.
#include "builder/test/verbs.h"

static void command_lines(void **state) {
    struct scratch *scratch = *state;
    static const struct verb verb = {"seed", "", 0, 0, "help", verb_seed};
    struct err err = {0};
    cleanup_free char *good = str_printf("%s/good.env", scratch->path), *bad = str_printf("%s/bad.env", scratch->path),
                      *etcd = str_printf("%s/etcd.env", scratch->path), *image = str_printf("%s/image.raw", scratch->path),
                      *output = str_printf("%s/seed.iso", scratch->path), *compressed = str_printf("%s/image.raw.zst", scratch->path);
    assert_int_equal(file_publish(AT_FDCWD, good, "OPERATOR_PASSWORD_FILE=/webops/secrets/a.secret\n", 48, 0600, &err), 0);
    assert_int_equal(file_publish(AT_FDCWD, bad, "TIMZONE=UTC\n", 12, 0600, &err), 0);
    assert_int_equal(file_publish(AT_FDCWD, etcd, "ETCD_ENABLED=false\n", 19, 0600, &err), 0);
    static const char report[] = "{\"stacks\": []}";
    cleanup_free char *report_path = str_printf("%s/image.build.json", scratch->path);
    assert_int_equal(file_publish(AT_FDCWD, report_path, report, strlen(report), 0600, &err), 0);
    cleanup_free char *missing = str_printf("%s/missing.raw", scratch->path), *bare = str_printf("%s/bare.raw", scratch->path);
    assert_int_equal(file_publish(AT_FDCWD, bare, "", 0, 0600, &err), 0);
    const struct verb_case refused[] = {
        {RUN_ARGV("-c", good), EXIT_USAGE, "", "--output FILE|DIR are needed"},
        {RUN_ARGV("-o", output), EXIT_USAGE, "", "--config FILE and"},
        {RUN_ARGV("-o", output, "-c", good, "-p", "quickstart", "-i", image), EXIT_USAGE, "", "exclude each other"},
        {RUN_ARGV("-o", output, "-c", good, "--encrypt-to", good), EXIT_USAGE, "", "--encrypt-to goes with --secrets"},
        {RUN_ARGV("-o", output, "-c", bad), EXIT_PERMANENT, "", "bad.env:1: TIMZONE: unknown key; did you mean TIMEZONE?"},
        {RUN_ARGV("-o", output, "-c", etcd, "-i", image), EXIT_PERMANENT, "", "etcd.env:1: ETCD_ENABLED"},
        {RUN_ARGV("-o", output, "-c", etcd, "-i", compressed), EXIT_PERMANENT, "", "etcd.env:1: ETCD_ENABLED"},
        {RUN_ARGV("-o", output, "-c", etcd, "-i", missing), EXIT_PERMANENT, "", "there is no image "},
        {RUN_ARGV("-o", output, "-c", etcd, "-i", bare), EXIT_PERMANENT, "", "bare.build.json"},
        {RUN_ARGV("-o", output, "-c", good, "--secrets", scratch->path), EXIT_PERMANENT, "", "/a.secret does not exist"},
    };
    verb_check(&verb, refused, ARRAY_SIZE(refused));
    assert_false(file_exists(AT_FDCWD, output));
    const struct verb_case taken[] = {
        {RUN_ARGV("-o", output, "-c", etcd), EXIT_OK, output, ""},
        {RUN_ARGV("-o", output, "-c", good), EXIT_OK, output, "names 1 secret file, and no directory of secrets was given"},
    };
    verb_check(&verb, taken, ARRAY_SIZE(taken));
    assert_true(file_exists(AT_FDCWD, output));
}

int main(int argc, char **argv) {
    (void)argc;
    verb_use_tree(argv[0]);
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(command_lines, scratch_setup, scratch_teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
