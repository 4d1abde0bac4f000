// SPDX-License-Identifier: Apache-2.0
// `webops-image upload` as a command line; what it does is in qemu-tests/test_upload_proxmox.py.
#include "builder/test/verbs.h"

#define PLACE "--url", "https://127.0.0.1:1", "--token", "/nonexistent/token"

static void command_lines(void **state) {
    (void)state;
    static const struct verb verb = {"upload", "proxmox IMAGE | BUILD", 2, 2, "help", verb_upload};
    const struct verb_case cases[] = {
        {RUN_ARGV("hetzner", "x.raw", PLACE), EXIT_USAGE, "", "'hetzner' is no place to upload to; known: proxmox"},
        {RUN_ARGV("proxmox", "x.raw"), EXIT_USAGE, "", "--url and --token are needed"},
        {RUN_ARGV("proxmox", "x.raw", PLACE, "--start"), EXIT_USAGE, "", "goes with --vm"},
        {RUN_ARGV("proxmox", "x.raw", PLACE, "--template"), EXIT_USAGE, "", "goes with --vm"},
        {RUN_ARGV("proxmox", "x.raw", PLACE, "--vm", "--vmid", "99"), EXIT_USAGE, "", "an id from 100 on"},
        {RUN_ARGV("proxmox", "x.raw", PLACE, "--vm", "--secrets", "x"), EXIT_USAGE, "", "--secrets go with --config"},
        {RUN_ARGV("proxmox", "x.raw", PLACE, "--vm", "--template", "--start"), EXIT_USAGE, "", "a template is not started"},
        {RUN_ARGV("proxmox", "x.raw", PLACE), EXIT_PERMANENT, "", "/nonexistent/token"},
    };
    verb_check(&verb, cases, ARRAY_SIZE(cases));
}

int main(int argc, char **argv) {
    (void)argc;
    verb_use_tree(argv[0]);
    const struct CMUnitTest tests[] = {cmocka_unit_test(command_lines)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
