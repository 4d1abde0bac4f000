// SPDX-License-Identifier: Apache-2.0
// A program that is missing is named with its package.
#include "builder/tools.h"
#include "common/run.h"
#include "common/test/support.h"
#include <errno.h>

static void packages(void **state) {
    (void)state;
    assert_string_equal(tools_package("mcopy"), "mtools");
    assert_string_equal(tools_package("systemd-stub"), "systemd-boot-efi");
    assert_null(tools_package("mcop"));
    assert_null(tools_package(""));
}

static void missing_programs(void **state) {
    (void)state;
    static const struct {
        const char *program, *says;
    } cases[] = {
        {"xorriso", "cannot start xorriso: the program is not installed (install xorriso)"},
        {"qemu-img", "cannot start qemu-img: the program is not installed (install qemu-utils)"},
        {"qemu-system-x86_64", "cannot start qemu-system-x86_64: the program is not installed (install qemu-system-x86)"},
        {"no-such-program", "cannot start no-such-program: the program is not installed"},
    };
    setenv("PATH", "/nonexistent", 1);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err err = {0};
        assert_int_equal(run(&(struct run){.argv = RUN_ARGV(cases[i].program)}, &err), -ENOENT);
        assert_string_equal(err.text, cases[i].says);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(packages), cmocka_unit_test(missing_programs)};
    return cmocka_run_group_tests_name("tools", tests, NULL, NULL);
}
