// SPDX-License-Identifier: Apache-2.0
// `webops-image config`: check and doc as command lines, and the default configuration of every profile we ship.
#include "builder/test/verbs.h"

static const struct verb verb = {"config", "check|doc [FILE]", 1, 2, "help", verb_config};

static int config(const char *const *arguments, char **ret_out, char **ret_said) {
    return verb_call(&verb, arguments, ret_out, ret_said);
}

static void doc_is_the_committed_file(void **state) {
    (void)state;
    struct err err = {0};
    cleanup_free char *out = NULL, *said = NULL, *committed = NULL;
    assert_int_equal(config(RUN_ARGV("doc"), &out, &said), EXIT_OK);
    assert_int_equal(file_read(AT_FDCWD, "docs/CONFIG.md", 1 << 20, &committed, NULL, &err), 0);
    assert_string_equal(out, committed);
}

static void checks(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    cleanup_free char *path = str_printf("%s/c.env", scratch->path), *profile = str_printf("%s/none.yaml", scratch->path),
                      *etcd = str_printf("%s/etcd.env", scratch->path), *image = str_printf("%s/image.raw", scratch->path),
                      *build = str_printf("%s/image.build.json", scratch->path);
    assert_int_equal(file_publish(AT_FDCWD, etcd, "ETCD_ENABLED=false\n", 19, 0600, &err), 0);
    assert_int_equal(file_publish(AT_FDCWD, build, "{\"stacks\": []}", 14, 0600, &err), 0); // of an image that has none
    assert_int_equal(file_publish(AT_FDCWD, path, "HOSTNAME=a\nTIMZONE=UTC\n", 23, 0600, &err), 0);
    const struct verb_case cases[] = {
        {RUN_ARGV("check", "examples/config.env"), EXIT_OK, "examples/config.env: ok, ", ""},
        {RUN_ARGV("check", path), EXIT_PERMANENT, "c.env:2: TIMZONE: unknown key; did you mean TIMEZONE?\n", ""},
        {RUN_ARGV("check", "--json", path), EXIT_PERMANENT, "\"line\": 2", ""},
        {RUN_ARGV("check", "--secrets", scratch->path, "examples/config.env"), EXIT_PERMANENT, "/operator.secret does not exist", ""},
        {RUN_ARGV("check", "/nonexistent/file"), EXIT_PERMANENT, "", "/nonexistent/file"},
        {RUN_ARGV("check"), EXIT_USAGE, "", "name a FILE"},
        {RUN_ARGV("check", "--profile", profile, path), EXIT_PERMANENT, "", "none.yaml"},
        {RUN_ARGV("check", "-p", profile, path), EXIT_PERMANENT, "", "none.yaml"},
        {RUN_ARGV("check", "-p", "minimal", "-i", image, path), EXIT_USAGE, "", "--profile and --image exclude each other"},
        {RUN_ARGV("check", "-i", image, etcd), EXIT_PERMANENT, "etcd.env:1: ETCD_ENABLED: ", ""},
        {RUN_ARGV("check", etcd), EXIT_OK, "etcd.env: ok, 1 key\n", ""},
        {RUN_ARGV("doc", "--json"), EXIT_USAGE, "", "config doc: prints Markdown only; --json is for config check"},
        {RUN_ARGV("doc", "--secrets", scratch->path), EXIT_USAGE, "", "--secrets is for config check"},
        {RUN_ARGV("nonsense", path), EXIT_USAGE, "", "expected 'check"},
        {RUN_ARGV("doc", path), EXIT_USAGE, "", "expected 'check"},
    };
    verb_check(&verb, cases, ARRAY_SIZE(cases));
}

// Relations between keys of the shipped stacks.
static void keys_that_go_together(void **state) {
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"KVM_BRIDGE_INTERFACE=eth0\nKVM_ENABLED=true\n", ":1: KVM_BRIDGE: needed because KVM_BRIDGE_INTERFACE is set\n"},
        {"ETCD_HEARTBEAT_MS=501\nETCD_ENABLED=true\n", ":1: ETCD_ELECTION_MS: must be at least 5*ETCD_HEARTBEAT_MS, which is 2505\n"},
        {"PATRONI_ENABLED=true\nPATRONI_LOOP_WAIT=5\nPATRONI_TTL=24\n",
         ":3: PATRONI_TTL: must be at least PATRONI_LOOP_WAIT + 2*PATRONI_RETRY_TIMEOUT, which is 25\n"},
        {"PATRONI_ENABLED=true\nPATRONI_VIP=192.0.2.9/24\n", ":2: PATRONI_VIP_INTERFACE: needed because PATRONI_VIP is set\n"},
    };
    struct scratch *scratch = *state;
    cleanup_free char *path = str_printf("%s/c.env", scratch->path);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err err = {0};
        cleanup_free char *out = NULL, *said = NULL;
        assert_int_equal(file_publish(AT_FDCWD, path, cases[i].text, strlen(cases[i].text), 0600, &err), 0);
        assert_int_equal(config(RUN_ARGV("check", path), &out, &said), EXIT_PERMANENT);
        assert_contains(out, cases[i].says);
    }
}

static void shipped_profiles(void **state) {
    (void)state;
    static const char *const profiles[] = {"profiles/quickstart.yaml", "profiles/minimal.yaml"};
    for (size_t i = 0; i < ARRAY_SIZE(profiles); i++) {
        cleanup_free char *out = NULL, *said = NULL;
        int code = config(RUN_ARGV("check", "--profile", profiles[i]), &out, &said);
        if (code != EXIT_OK && !strstr(said, "name a FILE")) // a profile need not have a default configuration
            fail_msg("%s: %s%s", profiles[i], out, said);
    }
}

int main(int argc, char **argv) {
    (void)argc;
    verb_use_tree(argv[0]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doc_is_the_committed_file),
        cmocka_unit_test_setup_teardown(checks, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(keys_that_go_together, scratch_setup, scratch_teardown),
        cmocka_unit_test(shipped_profiles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
