// SPDX-License-Identifier: Apache-2.0
// Mistakes on the command lines of verbs that have no test of their own: they are named, with exit status 2, before any work.
#include "builder/test/verbs.h"

static void bundle(void **state) {
    (void)state;
    static const struct verb verb = {"bundle", "PROFILE | IMAGE | BUILD", 1, 1, "help", verb_bundle};
    const struct verb_case cases[] = {
        {RUN_ARGV("x.raw", "--valid-days", "0"), EXIT_USAGE, "", "bundle: --valid-days: 1 to 36500 are possible"},
        {RUN_ARGV("x.raw", "--valid-days", "36501"), EXIT_USAGE, "", "--valid-days: 1 to 36500"},
        {RUN_ARGV("x.raw", "--key", "k"), EXIT_USAGE, "", "bundle: --key needs its certificate: --cert FILE"},
        {RUN_ARGV("x.raw", "--cert", "c"), EXIT_USAGE, "", "--cert and --chain need --key"},
        {RUN_ARGV("x.raw", "--chain", "c"), EXIT_USAGE, "", "--cert and --chain need --key"},
        {RUN_ARGV("--help"), EXIT_OK, "--locked", ""},
        {RUN_ARGV("/nonexistent.yaml", "--lock", "/nonexistent/lock"), EXIT_PERMANENT, "", "/nonexistent.yaml"},
    };
    verb_check(&verb, cases, ARRAY_SIZE(cases));
}

static void keygen(void **state) {
    struct scratch *scratch = *state;
    static const struct verb verb = {"keygen", "DIR", 1, 1, "help", verb_keygen};
    cleanup_free char *dir = str_printf("%s/keys", scratch->path);
    const struct verb_case cases[] = {
        {RUN_ARGV(dir, "--days", "0"), EXIT_USAGE, "", "keygen: --days: 0 days; 1 to 36500 are possible"},
        {RUN_ARGV(dir, "--root-days", "36501"), EXIT_USAGE, "", "--root-days: 36501 days"},
        {RUN_ARGV(dir, "--secure-boot-days", "0"), EXIT_USAGE, "", "--secure-boot-days: 0 days"},
    };
    verb_check(&verb, cases, ARRAY_SIZE(cases));
    assert_false(file_exists(AT_FDCWD, dir));
}

// Words behind "--" are QEMU's, words before it are not.
static void run_image(void **state) {
    (void)state;
    static const struct verb verb = {"run", "IMAGE [-- QEMU-ARGUMENTS]", 1, -1, "help", verb_run};
    const struct verb_case cases[] = {
        {RUN_ARGV("/nonexistent.raw", "extra"), EXIT_USAGE, "",
         "run: unexpected argument: extra; what QEMU is to get stands behind --: webops-image run /nonexistent.raw -- extra"},
        {RUN_ARGV("/nonexistent.raw", "extra", "--", "-no-reboot"), EXIT_USAGE, "", "unexpected argument: extra"},
        {RUN_ARGV("/nonexistent.raw", "--bios", "--", "-no-reboot"), EXIT_PERMANENT, "", "/nonexistent.raw"},
        {RUN_ARGV("--bios", "--", "/nonexistent.raw", "-no-reboot"), EXIT_PERMANENT, "", "/nonexistent.raw"},
        {RUN_ARGV("/nonexistent.raw"), EXIT_PERMANENT, "", "/nonexistent.raw"},
        {RUN_ARGV("/nonexistent.raw", "--disk-size", "1X"), EXIT_USAGE, "", "run: --disk-size 1X is no size"},
        {RUN_ARGV("/nonexistent.raw", "--secrets", "/tmp"), EXIT_USAGE, "", "run: --secrets needs --config"},
        {RUN_ARGV("/nonexistent.raw", "--ssh-port", "65536"), EXIT_USAGE, "", "--ssh-port: 65536 is no port"},
        {RUN_ARGV("/nonexistent.raw", "--memory", "lots"), EXIT_USAGE, "", "run: --memory wants a whole number, not 'lots'"},
    };
    verb_check(&verb, cases, ARRAY_SIZE(cases));
}

static void run_without_qemu(void **state) {
    (void)state;
    static const struct verb verb = {"run", "IMAGE [-- QEMU-ARGUMENTS]", 1, -1, "help", verb_run};
    const struct verb_case cases[] = {
        {RUN_ARGV("/nonexistent.raw"), EXIT_PERMANENT, "", "qemu-system-x86_64: the program is not installed"}};
    cleanup_free char *path = str_dup(getenv("PATH"));
    assert_int_equal(setenv("PATH", "/nonexistent", 1), 0);
    verb_check(&verb, cases, ARRAY_SIZE(cases));
    assert_int_equal(setenv("PATH", path, 1), 0);
}

static void test_image(void **state) {
    (void)state;
    static const struct verb verb = {"test", "IMAGE", 1, 1, "help", verb_test};
    const struct verb_case cases[] = {
        {RUN_ARGV("x.raw", "--secrets", "/tmp"), EXIT_USAGE, "", "test: --secrets needs --config"},
        {RUN_ARGV("x.raw", "--update", "/nonexistent.bundle"), EXIT_PERMANENT, "",
         "--update: cannot open /nonexistent.bundle: No such file"},
        {RUN_ARGV("x.raw", "--update", "/dev/null"), EXIT_PERMANENT, "", "--update: /dev/null is no bundle"},
        {RUN_ARGV("x.raw", "--timeout", "0"), EXIT_USAGE, "", "--timeout wants at least one second"},
    };
    verb_check(&verb, cases, ARRAY_SIZE(cases));
}

// A directory that is no build is none for inspect, too, and a missing file is named.
static void inspect(void **state) {
    struct scratch *scratch = *state;
    static const struct verb verb = {"inspect", "IMAGE | BUILD | BUNDLE | DISK", 1, 1, "help", verb_inspect};
    struct err err = {0};
    cleanup_free char *report = str_printf("%s/web-1.build.json", scratch->path);
    const struct verb_case before[] = {{RUN_ARGV(scratch->path), EXIT_PERMANENT, "", "holds no finished build"},
                                       {RUN_ARGV("/nonexistent"), EXIT_PERMANENT, "", "/nonexistent: No such file"}};
    verb_check(&verb, before, ARRAY_SIZE(before));
    assert_int_equal(file_publish(AT_FDCWD, report, "{}", 2, 0600, &err), 0);
    const struct verb_case after[] = {{RUN_ARGV(report), EXIT_PERMANENT, "", "web-1.build.json"},
                                      {RUN_ARGV(scratch->path), EXIT_PERMANENT, "", "web-1.build.json"}};
    verb_check(&verb, after, ARRAY_SIZE(after));
}

int main(int argc, char **argv) {
    (void)argc;
    verb_use_tree(argv[0]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bundle),     cmocka_unit_test_setup_teardown(keygen, scratch_setup, scratch_teardown),
        cmocka_unit_test(run_image),  cmocka_unit_test(run_without_qemu),
        cmocka_unit_test(test_image), cmocka_unit_test_setup_teardown(inspect, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
