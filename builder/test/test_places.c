// SPDX-License-Identifier: Apache-2.0
// Overrides, the order of cache directories, and what is said when nothing is found.
#include "builder/places.h"
#include "common/buf.h"
#include "common/file.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_overrides(void **state) {
    (void)state;
    struct err err = {0};
    cleanup_places struct places places = {0};
    setenv("WEBOPS_DATA", "/data", 1);
    setenv("WEBOPS_PROGRAMS", "/programs", 1);
    setenv("WEBOPS_CACHE", "/cache", 1);
    assert_int_equal(places_find(&places, &err), 0);
    assert_string_equal(places.data_dir, "/data");
    assert_string_equal(places.programs_dir, "/programs");
    assert_string_equal(places.cache_dir, "/cache");
}

static void test_cache_order(void **state) {
    (void)state;
    static const struct {
        const char *own, *xdg, *home, *expected;
    } table[] = {
        {"/own", "/xdg", "/home/u", "/own"},
        {"", "/xdg", "/home/u", "/xdg/webops"},
        {"", "", "/home/u", "/home/u/.cache/webops"},
        {"", "", "", "/var/cache/webops"},
    };
    setenv("WEBOPS_DATA", "/data", 1);
    setenv("WEBOPS_PROGRAMS", "/programs", 1);
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct err err = {0};
        cleanup_places struct places places = {0};
        setenv("WEBOPS_CACHE", table[i].own, 1);
        setenv("XDG_CACHE_HOME", table[i].xdg, 1);
        setenv("HOME", table[i].home, 1);
        assert_int_equal(places_find(&places, &err), 0);
        assert_string_equal(places.cache_dir, table[i].expected);
    }
}

// The test program lies beside neither images/ nor init, so both have to be named.
static void test_not_found(void **state) {
    (void)state;
    struct err err = {0};
    struct places places = {0};
    unsetenv("WEBOPS_DATA");
    setenv("WEBOPS_PROGRAMS", "/programs", 1);
    assert_int_equal(places_find(&places, &err), -ENOENT);
    assert_non_null(strstr(err.text, "WEBOPS_DATA"));
    setenv("WEBOPS_DATA", "/data", 1);
    unsetenv("WEBOPS_PROGRAMS");
    assert_int_equal(places_find(&places, &err), -ENOENT);
    assert_non_null(strstr(err.text, "WEBOPS_PROGRAMS"));
    assert_null(places.data_dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_overrides), cmocka_unit_test(test_cache_order),
                                       cmocka_unit_test(test_not_found)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
