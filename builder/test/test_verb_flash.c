// SPDX-License-Identifier: Apache-2.0
// `webops-image flash` as a command line, up to where a disk would be written: that is qemu-tests/test_flash.py, with loop devices.
#include "builder/gpt.h"
#include "builder/test/verbs.h"

#define MIB ((size_t)1 << 20)

static const struct verb verb = {"flash", "[IMAGE | BUILD [DISK]]", 0, 2, "help", verb_flash};

static void command_lines(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    cleanup_free char *image = str_printf("%s/image.raw", scratch->path), *config = str_printf("%s/bad.env", scratch->path),
                      *good = str_printf("%s/good.env", scratch->path), *secrets = str_printf("%s/secrets", scratch->path),
                      *empty = str_printf("%s/x.secret", secrets), *none = str_printf("%s/none", scratch->path);
    cleanup_fd int fd = file_open(AT_FDCWD, image, O_RDWR | O_CREAT, 0600, &err);
    static const struct gpt_partition partitions[] = {{"bios", GPT_TYPE_BIOS, "11111111-1111-4111-8111-111111111111", MIB, MIB}};
    assert_int_equal(ftruncate(fd, 4 * MIB), 0);
    assert_int_equal(gpt_write(fd, image, "44444444-4444-4444-8444-444444444444", partitions, 1, &err), 0); // or it is no image of ours
    assert_int_equal(file_publish(AT_FDCWD, config, "TIMZONE=UTC\n", 12, 0600, &err), 0);
    assert_int_equal(file_publish(AT_FDCWD, good, "HOSTNAME=web1\n", 14, 0600, &err), 0);
    assert_int_equal(mkdir(secrets, 0700) | mkdir(none, 0700), 0);
    assert_int_equal(file_publish(AT_FDCWD, empty, "", 0, 0600, &err), 0);
    const struct verb_case cases[] = {
        {RUN_ARGV(NULL), EXIT_USAGE, "", "name an image, or --list"},
        {RUN_ARGV(image), EXIT_USAGE, "", "name the disk, by its path or with --serial"},
        {RUN_ARGV(image, "/dev/null", "--yes", "--serial="), EXIT_USAGE, "", "--serial is empty"},
        {RUN_ARGV("--list", image), EXIT_USAGE, "", "--list goes with --json only"},
        {RUN_ARGV("--list", "--yes"), EXIT_USAGE, "", "--list goes with --json only"},
        {RUN_ARGV(image, "/dev/null", "--secrets", scratch->path), EXIT_USAGE, "", "--secrets go with --config"},
        {RUN_ARGV(image, "/dev/null", "--config", config, "--encrypt-to", config), EXIT_USAGE, "", "--encrypt-to goes with --secrets"},
        {RUN_ARGV(image, "/dev/null", "--verify-only", "--config", config), EXIT_USAGE, "", "--verify-only writes nothing"},
        {RUN_ARGV(image, "/dev/null", "--bmap-sha256", "zz"), EXIT_USAGE, "", "--bmap-sha256 zz: 64 digits"},
        {RUN_ARGV("ftp://x/y", "/dev/null"), EXIT_USAGE, "", "ftp://x/y: of addresses, only https:// and http://"},
        {RUN_ARGV(image, "/dev/null", "--bmap", "file:///x"), EXIT_USAGE, "", "file:///x: of addresses, only"},
        {RUN_ARGV(image, "/dev/null", "--yes"), EXIT_PERMANENT, "", "/dev/null is no whole disk"},
        {RUN_ARGV(image, "/dev/null", "--yes", "--json"), EXIT_PERMANENT, "{\"event\":\"failed\",\"error\":\"/dev/null is no whole disk",
         "/dev/null is"},
        {RUN_ARGV("http://127.0.0.1:1/x.raw", "/dev/null"), EXIT_PERMANENT, "", "--bmap-sha256"},
        {RUN_ARGV("http://127.0.0.1:1/x.raw", "/dev/null", "--bmap", config), EXIT_TEMPORARY, "", "connecting to 127.0.0.1 port 1"},
        {RUN_ARGV(image, "--serial", "of no disk", "--yes"), EXIT_PERMANENT, "", "no disk has the serial number of no disk"},
        {RUN_ARGV(image, "/dev/null", "--config", config, "--yes"), EXIT_PERMANENT, "", "bad.env:1: TIMZONE: unknown key"},
        {RUN_ARGV(image, "/dev/null", "--config", good, "--secrets", secrets, "--yes"), EXIT_PERMANENT, "", "x.secret is empty"},
        {RUN_ARGV(image, "/dev/null", "--config", good, "--secrets", none, "--encrypt-to", good, "--yes"), EXIT_PERMANENT, "",
         "good.env: no certificate"},
        {RUN_ARGV(config, "/dev/null", "--yes"), EXIT_PERMANENT, "", "bad.env is no disk image: it has 12 bytes"},
        {RUN_ARGV("/nonexistent", "/dev/null", "--yes"), EXIT_PERMANENT, "", "image /nonexistent: No such file"},
        {RUN_ARGV("-", "/dev/null", "--yes"), EXIT_PERMANENT, "", "standard input"},
        {RUN_ARGV(image, "/dev/null", "--bmap", config, "--yes"), EXIT_PERMANENT, "", "bad.env is no block map"},
        {RUN_ARGV("--list"), EXIT_OK, "disk ", ""},
        {RUN_ARGV("--list", "--json"), EXIT_OK, "[", ""},
    };
    verb_check(&verb, cases, ARRAY_SIZE(cases));
}

int main(int argc, char **argv) {
    (void)argc;
    verb_use_tree(argv[0]);
    if (!freopen("/dev/null", "r", stdin)) // one case reads it
        return 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(command_lines, scratch_setup, scratch_teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
