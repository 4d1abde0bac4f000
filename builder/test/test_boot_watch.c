// SPDX-License-Identifier: Apache-2.0
// Landmarks of a boot, whatever the pieces in which the console arrives.
#include "builder/boot_watch.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
// cmocka wants the four headers above first
#include <cmocka.h>

static const char console[] = "BdsDxe: starting Boot0001 \"UEFI Misc Device\"\r\n"
                              "[    0.000000] Linux version 6.1.0-1-cloud-amd64\r\n"
                              "[    0.900000] Run /init as init process\r\n"
                              "[    2.100000] webops-init: dev 1 from slot a: starting its init after 900 ms\r\n"
                              "\033[0;32mwebops: healthy: 4 units\033[0m\r\n";

static void test_stages_in_one_piece(void **state) {
    (void)state;
    struct boot_watch watch = {0};
    assert_true(boot_watch_feed(&watch, console, sizeof(console) - 1));
    assert_int_equal(watch.stage, BOOT_HEALTHY);
    assert_int_equal(watch.boots, 1);
    assert_ptr_equal(strstr(watch.verdict, "webops: healthy: 4 units"), watch.verdict);
}

static void test_stages_byte_by_byte(void **state) {
    (void)state;
    static const enum boot_stage expected[] = {BOOT_LOADER, BOOT_KERNEL, BOOT_INIT, BOOT_SYSTEM, BOOT_HEALTHY};
    struct boot_watch watch = {0};
    size_t seen = 0;
    for (size_t i = 0; i < sizeof(console) - 1; i++) {
        if (!boot_watch_feed(&watch, console + i, 1))
            continue;
        assert_true(seen < ARRAY_SIZE(expected));
        assert_int_equal(watch.stage, expected[seen++]);
    }
    assert_int_equal(seen, ARRAY_SIZE(expected));
}

static void test_unfinished_line_says_nothing(void **state) {
    (void)state;
    struct boot_watch watch = {0};
    assert_false(boot_watch_feed(&watch, "webops: healthy", 15));
    assert_int_equal(watch.stage, BOOT_POWER_ON);
    assert_true(boot_watch_feed(&watch, "\n", 1));
    assert_int_equal(watch.stage, BOOT_HEALTHY);
}

static void test_unhealthy_is_not_healthy(void **state) {
    (void)state;
    struct boot_watch watch = {0};
    const char text[] = "webops: unhealthy: ssh.service failed\n";
    assert_true(boot_watch_feed(&watch, text, strlen(text)));
    assert_int_equal(watch.stage, BOOT_UNHEALTHY);
    assert_string_equal(watch.verdict, "webops: unhealthy: ssh.service failed");
}

static void test_init_that_gives_up(void **state) {
    (void)state;
    struct boot_watch watch = {0};
    const char text[] = "\r\nwebops-init: cannot boot: step verity: no slot\r\n";
    assert_true(boot_watch_feed(&watch, text, strlen(text)));
    assert_int_equal(watch.stage, BOOT_UNHEALTHY);
    assert_string_equal(watch.verdict, "webops-init: cannot boot: step verity: no slot");
}

static void test_quiet_restart_is_a_second_verdict(void **state) {
    (void)state;
    struct boot_watch watch = {0};
    const char good[] = "webops: healthy: a\n", bad[] = "webops: unhealthy: b\n";
    assert_true(boot_watch_feed(&watch, good, strlen(good)));
    assert_true(boot_watch_feed(&watch, good, strlen(good)));
    assert_int_equal(watch.verdicts, 2);
    assert_true(watch.is_good);
    assert_true(boot_watch_feed(&watch, bad, strlen(bad)));
    assert_int_equal(watch.verdicts, 3);
    assert_false(watch.is_good);
    // The next boot begins: the last verdict stays what it was.
    assert_true(boot_watch_feed(&watch, "Linux version 6\n", 16));
    assert_int_equal(watch.verdicts, 3);
    assert_false(watch.is_good);
    assert_string_equal(watch.verdict, "webops: unhealthy: b");
}

static void test_reboot_starts_over(void **state) {
    (void)state;
    struct boot_watch watch = {0};
    assert_true(boot_watch_feed(&watch, console, sizeof(console) - 1));
    assert_true(boot_watch_feed(&watch, "Linux version 6\n", 16));
    assert_int_equal(watch.stage, BOOT_KERNEL);
    assert_int_equal(watch.boots, 2);
    // A second kernel in the same stage is news too.
    assert_true(boot_watch_feed(&watch, "Linux version 6\n", 16));
    assert_int_equal(watch.boots, 3);
    // A quiet kernel says nothing, but the firmware does.
    assert_true(boot_watch_feed(&watch, console, sizeof(console) - 1));
    assert_true(boot_watch_feed(&watch, "BdsDxe: starting Boot0001\n", 26));
    assert_int_equal(watch.stage, BOOT_LOADER);
}

static void test_long_lines_and_nul_do_not_overflow(void **state) {
    (void)state;
    struct boot_watch watch = {0};
    static char noise[3 * BOOT_LINE_BYTES];
    memset(noise, 'x', sizeof(noise));
    noise[7] = '\0';
    assert_false(boot_watch_feed(&watch, noise, sizeof(noise)));
    assert_int_equal(watch.line_size, BOOT_LINE_BYTES - 1);
    assert_false(boot_watch_feed(&watch, "\n", 1));
    assert_int_equal(watch.line_size, 0);
    assert_true(boot_watch_feed(&watch, "Linux version 6\n", 16));
}

static void test_names(void **state) {
    (void)state;
    for (enum boot_stage stage = BOOT_POWER_ON; stage <= BOOT_UNHEALTHY; stage++)
        assert_true(strlen(boot_stage_name(stage)) > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stages_in_one_piece),
        cmocka_unit_test(test_stages_byte_by_byte),
        cmocka_unit_test(test_unfinished_line_says_nothing),
        cmocka_unit_test(test_unhealthy_is_not_healthy),
        cmocka_unit_test(test_quiet_restart_is_a_second_verdict),
        cmocka_unit_test(test_reboot_starts_over),
        cmocka_unit_test(test_long_lines_and_nul_do_not_overflow),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_init_that_gives_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
