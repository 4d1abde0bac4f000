// SPDX-License-Identifier: Apache-2.0
// Overrides, the order of cache directories, what is said when nothing is found, and the PATH for tools.
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

static void test_tool_path(void **state) {
    (void)state;
    static const struct {
        const char *path, *expected;
    } table[] = {
        {"/usr/local/bin:/usr/bin:/bin", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"}, // an ordinary user of Debian
        {"/usr/sbin:/usr/bin:/sbin:/bin", "/usr/sbin:/usr/bin:/sbin:/bin"}, // root
        {"/bin:/sbin", "/bin:/sbin:/usr/sbin"},
        {"/usr/local/sbin:/sbin/x:/usr/sbin/", "/usr/local/sbin:/sbin/x:/usr/sbin/:/usr/sbin:/sbin"}, // parts of a name are not the name
        {":/sbin:", ":/sbin::/usr/sbin"}, // empty items mean the working directory, and stay
        {"", "/usr/bin:/bin:/usr/sbin:/sbin"},
        {NULL, "/usr/bin:/bin:/usr/sbin:/sbin"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        cleanup_free char *extended = places_tool_path(table[i].path);
        cleanup_free char *again = places_tool_path(extended);
        assert_string_equal(extended, table[i].expected);
        assert_string_equal(again, extended); // the sandbox is this program once more
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_overrides), cmocka_unit_test(test_cache_order),
                                       cmocka_unit_test(test_not_found), cmocka_unit_test(test_tool_path)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
