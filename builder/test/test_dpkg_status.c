// SPDX-License-Identifier: Apache-2.0
// dpkg's status file: every field, odd layouts, hostile text, and each way in which what is installed differs from what was resolved.
#include "builder/package_set.h"
#include "builder/dpkg_status.h"
#include "common/test/support.h"
#include <errno.h>

#define HASH "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define OK "Status: install ok installed\n"

static void parse(const char *text, struct dpkg_status *status) {
    struct err err = {0};
    if (dpkg_status_parse(text, strlen(text), status, &err) < 0)
        fail_msg("%s: %s", text, err.text);
}

static void test_fields(void **state) {
    (void)state;
    static const struct {
        const char *lines, *version, *source;
        uint64_t kib;
        bool installed;
    } cases[] = {
        {"Version: 1\n" OK, "1", "p", 0, true},
        {"Version: 2:1.0~rc1-3+b2\n" OK "Source: src\n", "2:1.0~rc1-3+b2", "src", 0, true},
        {"Version: 1\n" OK "Source: src (1.0)\n", "1", "src", 0, true},
        {"Version: 1\n" OK "Installed-Size: 4711\n", "1", "p", 4711, true},
        {"Version: 1\n" OK "Installed-Size: many\n", "1", "p", 0, true},
        {"Version: 1\nStatus: install ok half-configured\n", "1", "p", 0, false},
        {"Version: 1\nStatus: hold ok installed\n", "1", "p", 0, false},
        {"Version: 1\nStatus: install ok installed!\n", "1", "p", 0, false},
        {"Version: 1\nStatus: install ok install\n", "1", "p", 0, false},
        {"Status: deinstall ok config-files\n", "", "p", 0, false},
        {"Version: 1\n", "1", "p", 0, false},
        {"Version: 1\n" OK "Description: x\n Version: 9\n Package: other\n .\n Source: no\n", "1", "p", 0, true},
        {"Version: 1\n" OK "Original-Version: 7\nSource-Version: 8\nConfig-Version: 6\n", "1", "p", 0, true},
        {"Version: 1\nVersion: 2\nSource: a\nSource: b\n" OK, "2", "b", 0, true},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_dpkg_status struct dpkg_status status = {0};
        cleanup_free char *text = str_printf("Package: p\nArchitecture: all\n%s", cases[i].lines);
        parse(text, &status);
        assert_int_equal(status.count, 1);
        assert_string_equal(status.packages[0].name, "p");
        assert_string_equal(status.packages[0].architecture, "all");
        assert_string_equal(status.packages[0].version, cases[i].version);
        assert_string_equal(status.packages[0].source, cases[i].source);
        assert_int_equal(status.packages[0].installed_kib, cases[i].kib);
        assert_int_equal(status.packages[0].installed, cases[i].installed);
    }
}

// The last paragraph may end with a blank line, a newline, or nothing; several blank lines are one.
static void test_layouts(void **state) {
    (void)state;
#define A "Package: a\nVersion: 1\nArchitecture: all\n" OK
#define B "Package: b\nVersion: 2\nArchitecture: all\nStatus: install ok installed"
    static const char *const texts[] = {A "\n" B, A "\n" B "\n", A "\n" B "\n\n", "\n\n" A "\n\n\n" B "\n\n\n\n", B "\n\n" A};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        cleanup_dpkg_status struct dpkg_status status = {0};
        parse(texts[i], &status);
        assert_int_equal(status.count, 2);
        assert_string_equal(status.packages[0].name, "a");
        assert_string_equal(status.packages[0].version, "1");
        assert_string_equal(status.packages[1].name, "b");
        assert_string_equal(status.packages[1].version, "2");
        assert_true(status.packages[0].installed && status.packages[1].installed);
    }
}

static void test_empty(void **state) {
    (void)state;
    static const char *const texts[] = {"", "\n", "\n\n\n"};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        cleanup_dpkg_status struct dpkg_status status = {.count = 7};
        parse(texts[i], &status);
        assert_int_equal(status.count, 0);
        assert_null(status.packages);
    }
}

static void test_order(void **state) {
    (void)state;
    static const char text[] = "Package: z\nVersion: 1\nArchitecture: all\n\nPackage: a\nVersion: 1\nArchitecture: i386\n\n"
                               "Package: a\nVersion: 2\nArchitecture: amd64\n\nPackage: a-b\nVersion: 1\nArchitecture: all\n";
    static const char *const expected[][2] = {{"a", "amd64"}, {"a", "i386"}, {"a-b", "all"}, {"z", "all"}};
    cleanup_dpkg_status struct dpkg_status status = {0};
    parse(text, &status);
    assert_int_equal(status.count, ARRAY_SIZE(expected));
    for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
        assert_string_equal(status.packages[i].name, expected[i][0]);
        assert_string_equal(status.packages[i].architecture, expected[i][1]);
    }
}

static void test_refused(void **state) {
    (void)state;
    static const struct {
        const char *text, *line;
    } cases[] = {
        {"Version: 1\nArchitecture: all\n" OK, "line 4"},
        {"Package: a\nVersion: 1\n" OK, "line 4"},
        {"Package: a\nArchitecture: all\n" OK "\n", "line 4"},
        {"Package: \nVersion: 1\nArchitecture: all\n", "line 4"},
        {"package: a\nVersion: 1\nArchitecture: all\n", "line 4"},
        {"Package:a\nVersion: 1\nArchitecture: all\n", "line 4"},
        {"\n\nPackage: a\nArchitecture: all\n" OK, "line 6"},
        {A "\njunk\n\n" A, "line 7"},
        {"\xff\xfe", "line 2"},
        {" ", "line 2"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct dpkg_status status = {.count = 5};
        struct err err = {0};
        assert_int_equal(dpkg_status_parse(cases[i].text, strlen(cases[i].text), &status, &err), -EINVAL);
        assert_contains(err.text, cases[i].line);
        assert_int_equal(status.count, 5); // untouched
    }
}

// The text need not end in NUL, and nothing beyond its size counts.
static void test_bounded(void **state) {
    (void)state;
    static const char text[] = A "\n" B;
    size_t first = strlen(A);
    char *exact = mem_array(first, 1); // AddressSanitizer watches its end
    memcpy(exact, text, first);
    cleanup_dpkg_status struct dpkg_status status = {0};
    struct err err = {0};
    assert_int_equal(dpkg_status_parse(exact, first, &status, &err), 0);
    assert_int_equal(status.count, 1);
    free(exact);
}

// Every prefix of a good file is either read or refused, and never gives more packages than it has paragraphs.
static void test_every_prefix(void **state) {
    (void)state;
    static const char text[] = A "Installed-Size: 99\nSource: s (1)\n\n" B "\n";
    for (size_t size = 0; size < sizeof(text); size++) {
        cleanup_dpkg_status struct dpkg_status status = {0};
        struct err err = {0};
        char *copy = mem_array(size + 1, 1);
        memcpy(copy, text, size);
        int r = dpkg_status_parse(copy, size, &status, &err);
        assert_true(r == 0 || (r == -EINVAL && *err.text));
        assert_true(status.count <= 2);
        free(copy);
    }
}

static void set_of(const char *lines, struct package_set *set) {
    struct err err = {0};
    if (package_set_parse_uris(lines, strlen(lines), set, &err) < 0)
        fail_msg("%s", err.text);
}

// Two sets on top of each other: the upper one decides which version of a package is right.
static void test_verify_stack(void **state) {
    (void)state;
    static const struct {
        const char *status, *says; // NULL = right
    } cases[] = {
        {"Package: a\nVersion: 2\nArchitecture: all\n" OK "\n" B, NULL},
        {"Package: a\nVersion: 1\nArchitecture: all\n" OK "\n" B, "package a: version 1 was installed, 2 was resolved"},
        {"Package: a\nVersion: 2\nArchitecture: all\n" OK, "package b was resolved but not installed"},
        {B, "package a was resolved but not installed"},
        {"Package: a\nVersion: 2\nArchitecture: all\n" OK "\n" B "\n\nPackage: c\nVersion: 5\nArchitecture: all\n" OK,
         "package c 5 was installed but not resolved"},
        {"Package: a\nVersion: 2\nArchitecture: all\n" OK "\n" B "\n\nPackage: c\nStatus: deinstall ok config-files\nArchitecture: all\n",
         "package c is known to dpkg but not completely installed"},
        {"Package: a\n", "line 2"},
    };
    cleanup_package_set struct package_set below = {0}, above = {0};
    set_of("'u' a_1_all.deb 5 SHA256:" HASH "\n'u' b_2_all.deb 5 SHA256:" HASH "\n", &below);
    set_of("'u' a_2_all.deb 5 SHA256:" HASH "\n", &above);
    const struct package_set *sets[] = {&below, &above};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err err = {0};
        int r = package_set_verify_status(sets, 2, cases[i].status, strlen(cases[i].status), &err);
        assert_int_equal(r, cases[i].says ? -EINVAL : 0);
        assert_contains(err.text, cases[i].says ?: "");
    }
}

// A layer asks only for its own packages; what else is installed lies below it.
static void test_verify_installed(void **state) {
    (void)state;
    static const struct {
        const char *status, *says;
    } cases[] = {
        {A "\n" B, NULL},
        {A, NULL},
        {B, "package a was resolved but not installed"},
        {"", "package a was resolved but not installed"},
        {"Package: a\nVersion: 1.1\nArchitecture: all\n" OK, "version 1.1 was installed, 1 was resolved"},
        {"Package: a\nVersion: 1\nArchitecture: all\nStatus: install ok unpacked\n", "package a was resolved but not installed"},
    };
    cleanup_package_set struct package_set set = {0};
    set_of("'u' a_1_all.deb 5 SHA256:" HASH "\n", &set);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err err = {0};
        int r = package_set_verify_installed(&set, cases[i].status, strlen(cases[i].status), &err);
        assert_int_equal(r, cases[i].says ? -EINVAL : 0);
        assert_contains(err.text, cases[i].says ?: "");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),       cmocka_unit_test(test_layouts),      cmocka_unit_test(test_empty),
        cmocka_unit_test(test_order),        cmocka_unit_test(test_refused),      cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_every_prefix), cmocka_unit_test(test_verify_stack), cmocka_unit_test(test_verify_installed),
    };
    return cmocka_run_group_tests_name("dpkg_status", tests, NULL, NULL);
}
