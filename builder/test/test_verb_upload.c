// SPDX-License-Identifier: Apache-2.0
// `webops-image upload` as a command line; what it does is in qemu-tests/test_upload_proxmox.py and test_upload_hetzner.py.
#include "builder/test/verbs.h"

#define PLACE "--url", "https://127.0.0.1:1", "--token", "/nonexistent/token"

static void command_lines(void **state) {
    (void)state;
    static const struct verb verb = {"upload", "PLACE IMAGE | BUILD", 2, 2, "help", verb_upload};
    const struct verb_case cases[] = {
        {RUN_ARGV("mars", "x.raw", PLACE), EXIT_USAGE, "", "'mars' is no place to upload to; known: proxmox, hetzner"},
        {RUN_ARGV("x.raw", "hetzner", PLACE), EXIT_USAGE, "", "'x.raw' is no place to upload to"},
        {RUN_ARGV("proxmox", "x.raw"), EXIT_USAGE, "", "--url and --token are needed"},
        {RUN_ARGV("proxmox", "x.raw", PLACE, "--start"), EXIT_USAGE, "", "goes with --vm"},
        {RUN_ARGV("proxmox", "x.raw", PLACE, "--template"), EXIT_USAGE, "", "goes with --vm"},
        {RUN_ARGV("proxmox", "x.raw", PLACE, "--vm", "--vmid", "99"), EXIT_USAGE, "", "an id from 100 on"},
        {RUN_ARGV("proxmox", "x.raw", PLACE, "--vm", "--secrets", "x"), EXIT_USAGE, "", "--secrets go with --config"},
        {RUN_ARGV("proxmox", "x.raw", PLACE, "--vm", "--template", "--start"), EXIT_USAGE, "", "a template is not started"},
        {RUN_ARGV("proxmox", "x.raw", PLACE), EXIT_PERMANENT, "", "/nonexistent/token"},
        {RUN_ARGV("proxmox", "x.raw", PLACE, "--location", "fsn1"), EXIT_USAGE, "", "upload: --location is for hetzner\n"},
        {RUN_ARGV("hetzner", "x.raw", PLACE, "--vm"), EXIT_USAGE, "", "upload: --vm is for proxmox\n"},
        {RUN_ARGV("hetzner", "x.raw", PLACE, "-m", "4096"), EXIT_USAGE, "", "--memory is for proxmox"},
        {RUN_ARGV("hetzner", "x.raw", PLACE, "--host-key", "MD5:00"), EXIT_USAGE, "", "--host-key: a fingerprint is expected"},
        {RUN_ARGV("hetzner", "x.raw", PLACE), EXIT_PERMANENT, "", "/nonexistent/token"},
        {RUN_ARGV("hetzner", "x.raw"), EXIT_USAGE, "", "no token: --token FILE, or the variable HCLOUD_TOKEN"},
        {RUN_ARGV("hetzner", "x.raw", "--token", "/nonexistent/token", "--url", "http://x"), EXIT_USAGE, "", "http://x: an https address"},
        {RUN_ARGV("proxmox", "x.raw", "--token", "x", "--url", "http://x"), EXIT_USAGE, "", "http://x: an https address is expected"},
        {RUN_ARGV("proxmox", "x.raw", PLACE, "--fingerprint", "zz"), EXIT_USAGE, "", "fingerprint zz: the 32 bytes"},
        {RUN_ARGV("hetzner", "x.raw", PLACE, "--fingerprint", "zz"), EXIT_USAGE, "", "fingerprint zz: the 32 bytes"},
        {RUN_ARGV("proxmox", "x.raw", PLACE, "--vm", "--cpus", "0"), EXIT_USAGE, "", "and a processor at least"},
        {RUN_ARGV("--help"), EXIT_OK, "--vm-storage", ""}, // without a place: the options of all
        {RUN_ARGV("--help"), EXIT_OK, "--location", ""},
    };
    verb_check(&verb, cases, ARRAY_SIZE(cases));
}

// The variable's token is used, and is gone from the environment, and from where /proc shows it.
static void token_of_the_environment(void **state) {
    (void)state;
    static const struct verb verb = {"upload", "PLACE IMAGE | BUILD", 2, 2, "help", verb_upload};
    char variable[] = "HCLOUD_TOKEN=canary canary";
    assert_int_equal(putenv(variable), 0);
    const struct verb_case cases[] = {{RUN_ARGV("hetzner", "x.raw"), EXIT_PERMANENT, "", "token HCLOUD_TOKEN: one line without blanks"}};
    verb_check(&verb, cases, ARRAY_SIZE(cases));
    assert_null(getenv("HCLOUD_TOKEN"));
    assert_null(strstr(variable, "canary"));
}

// Before the image is read, converted and sent.
static void a_bad_secret_is_found_first(void **state) {
    struct scratch *scratch = *state;
    static const struct verb verb = {"upload", "PLACE IMAGE | BUILD", 2, 2, "help", verb_upload};
    struct err err = {0};
    cleanup_free char *image = str_printf("%s/web-1.raw", scratch->path), *report = str_printf("%s/web-1.build.json", scratch->path),
                      *config = str_printf("%s/config.env", scratch->path), *token = str_printf("%s/token", scratch->path),
                      *secret = str_printf("%s/x.secret", scratch->path);
    const struct {
        const char *path, *text;
    } files[] = {{image, "image"}, {report, "{\"stacks\": []}"}, {config, "HOSTNAME=web1\n"}, {token, "u@pam!t=1\n"}, {secret, ""}};
    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        assert_int_equal(file_publish(AT_FDCWD, files[i].path, files[i].text, strlen(files[i].text), 0600, &err), 0);
    const struct verb_case cases[] = {{RUN_ARGV("proxmox", image, "--url", "https://127.0.0.1:1", "--token", token, "--vm", "--config",
                                                config, "--secrets", scratch->path),
                                       EXIT_PERMANENT, "", "x.secret is empty"}};
    verb_check(&verb, cases, ARRAY_SIZE(cases));
}

int main(int argc, char **argv) {
    (void)argc;
    verb_use_tree(argv[0]);
    unsetenv("HCLOUD_TOKEN");
    const struct CMUnitTest tests[] = {cmocka_unit_test(command_lines), cmocka_unit_test(token_of_the_environment),
                                       cmocka_unit_test_setup_teardown(a_bad_secret_is_found_first, scratch_setup, scratch_teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
