// SPDX-License-Identifier: Apache-2.0
// Package sets: what apt prints, our own text form, dpkg status files, and sources.list text.
#include "builder/apt.h"
#include "builder/dpkg_status.h"
#include "common/test/support.h"
#include <errno.h>

#define TEXT(s) ((char *)(uintptr_t)(s))
#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define URIS                                                                                                                               \
    "'http://m/debian/pool/z_1%3a2.0-1%2bb1_amd64.deb' zlib_1%3a2.0-1+b1_amd64.deb 1234 SHA256:" HASH "\n"                                 \
    "'file:/r/./a_1_all.deb' a_1_all.deb 5 SHA256:" HASH "\n"

static void parse_ok(const char *text, struct package_set *set) {
    struct err err = {0};
    int r = package_set_parse_uris(text, strlen(text), set, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(r, 0);
}

static void test_uris(void **state) {
    (void)state;
    cleanup_package_set struct package_set set = {0};
    parse_ok(URIS, &set);
    assert_int_equal(set.count, 2);
    assert_string_equal(set.packages[0].name, "a");
    const struct package *zlib = package_set_find(&set, "zlib");
    assert_non_null(zlib);
    assert_string_equal(zlib->version, "1:2.0-1+b1");
    assert_string_equal(zlib->architecture, "amd64");
    assert_string_equal(zlib->file, "zlib_1%3a2.0-1+b1_amd64.deb");
    assert_string_equal(zlib->uri, "http://m/debian/pool/z_1%3a2.0-1%2bb1_amd64.deb");
    assert_int_equal(zlib->size_bytes, 1234);
    assert_null(package_set_find(&set, "zlib1g"));
    assert_null(package_set_find(&set, ""));
}

static void test_bad_uris(void **state) {
    (void)state;
    static const char *const bad[] = {
        "Reading package lists...\n",
        "'u' a_1_all.deb 5 MD5Sum:0123456789abcdef0123456789abcdef\n",
        "'u' a_1_all.deb 5 SHA256:" HASH "0\n",
        "'u' a_1_all.deb -5 SHA256:" HASH "\n",
        "'u' a_1_all.deb 0 SHA256:" HASH "\n",
        "'u' a_1_all.deb 99999999999999999999 SHA256:" HASH "\n",
        "'u' a_1.deb 5 SHA256:" HASH "\n",
        "'u' ../a_1_all.deb 5 SHA256:" HASH "\n",
        "'u' -a_1_all.deb 5 SHA256:" HASH "\n",
        "'u' a_1_all.udeb 5 SHA256:" HASH "\n",
        "u a_1_all.deb 5 SHA256:" HASH "\n",
        "'' a_1_all.deb 5 SHA256:" HASH "\n",
        "'u' a_1_all.deb 5 SHA256:" HASH "\n'u' a_2_all.deb 5 SHA256:" HASH "\n",
        "\n",
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct package_set set = {0};
        struct err err = {0};
        if (package_set_parse_uris(bad[i], strlen(bad[i]), &set, &err) != -EINVAL)
            fail_msg("accepted: %s", bad[i]);
        assert_null(set.packages);
        assert_contains(err.text, "print-uris");
    }
}

static void test_round_trip(void **state) {
    (void)state;
    cleanup_package_set struct package_set set = {0}, again = {0};
    cleanup_buf struct buf text = {0}, second = {0};
    struct err err = {0};
    parse_ok(URIS, &set);
    package_set_format(&set, &text);
    assert_int_equal(package_set_parse(buf_str(&text), text.size, &again, &err), 0);
    package_set_format(&again, &second);
    assert_string_equal(buf_str(&text), buf_str(&second));
    text.data[5] = 0; // a NUL inside
    struct package_set none = {0};
    assert_int_equal(package_set_parse(text.data, text.size, &none, &err), -EINVAL);
}

#define STATUS                                                                                                                             \
    "Package: a\nStatus: install ok installed\nInstalled-Size: 12\nArchitecture: all\nVersion: 1\nDescription: x\n y\n .\n Version: 9\n\n" \
    "Package: zlib\nStatus: install ok installed\nArchitecture: amd64\nSource: zlib-src (1:2.0-1)\nVersion: 1:2.0-1+b1\n"

static void test_status(void **state) {
    (void)state;
    cleanup_dpkg_status struct dpkg_status status = {0};
    struct err err = {0};
    assert_int_equal(dpkg_status_parse(STATUS, strlen(STATUS), &status, &err), 0);
    assert_int_equal(status.count, 2);
    assert_string_equal(status.packages[0].version, "1");
    assert_string_equal(status.packages[0].source, "a");
    assert_int_equal(status.packages[0].installed_kib, 12);
    assert_string_equal(status.packages[1].source, "zlib-src");
    struct dpkg_status none = {0};
    assert_int_equal(dpkg_status_parse("Package: a\n\n", 12, &none, &err), -EINVAL);
    assert_int_equal(dpkg_status_parse("", 0, &none, &err), 0);
    assert_int_equal(none.count, 0);
}

static void expect_difference(const char *uris, const char *status, const char *words) {
    cleanup_package_set struct package_set set = {0};
    const struct package_set *sets[] = {&set};
    struct err err = {0};
    parse_ok(uris, &set);
    int r = package_set_verify_status(sets, 1, status, strlen(status), &err);
    assert_int_equal(r, words ? -EINVAL : 0);
    assert_contains(err.text, words ? words : "");
}

static void test_verify(void **state) {
    (void)state;
    expect_difference(URIS, STATUS, NULL);
    expect_difference(URIS, "Package: a\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n",
                      "zlib was resolved but not installed");
    expect_difference("'u' a_1_all.deb 5 SHA256:" HASH "\n", STATUS, "zlib 1:2.0-1+b1 was installed but not resolved");
    expect_difference("'u' a_2_all.deb 5 SHA256:" HASH "\n", "Package: a\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n",
                      "version 1 was installed, 2 was resolved");
    expect_difference(URIS, "Package: a\nStatus: install ok half-configured\nArchitecture: all\nVersion: 1\n", "not completely installed");
}

static struct recipe_source debian(char *mirror) {
    static char *suites[] = {NULL, NULL}, *components[] = {NULL};
    suites[0] = TEXT("bookworm");
    suites[1] = TEXT("bookworm-updates");
    components[0] = TEXT("main");
    return (struct recipe_source){.archive = TEXT("debian"),
                                  .mirror = mirror,
                                  .suites = {suites, 2},
                                  .components = {components, 1},
                                  .keyring = TEXT("/keys/debian.gpg")};
}

#define HOST                                                                                                                               \
    "'http://one.test/debian-security/dists/bookworm-security/InRelease' x 0 \n"                                                           \
    "'http://two.test/debian//dists/bookworm/InRelease' y 0 \n'http://three.test/debian/dists/bookworm/InRelease' y 0 \n"

static void test_sources(void **state) {
    (void)state;
    struct recipe_source source = debian(NULL);
    struct recipe_image image = {.id = TEXT("d"), .architecture = TEXT("amd64"), .sources = &source, .source_count = 1};
    cleanup_free char *from_host = NULL, *own = NULL;
    struct err err = {0};
    assert_int_equal(apt_sources_format(&image, HOST, &from_host, &err), 0);
    assert_string_equal(from_host, "deb [arch=amd64 signed-by=/keys/debian.gpg] http://two.test/debian bookworm main\n"
                                   "deb [arch=amd64 signed-by=/keys/debian.gpg] http://two.test/debian bookworm-updates main\n");
    source.mirror = TEXT("https://own.test/x");
    assert_int_equal(apt_sources_format(&image, NULL, &own, &err), 0);
    assert_contains(own, "] https://own.test/x bookworm main\n");
}

static void test_bad_sources(void **state) {
    (void)state;
    struct recipe_source source = debian(NULL);
    struct recipe_image image = {.id = TEXT("d"), .architecture = TEXT("amd64"), .sources = &source, .source_count = 1};
    char *text = NULL;
    struct err err = {0};
    assert_int_equal(apt_sources_format(&image, "", &text, &err), -ENOENT);
    assert_contains(err.text, "ends in /debian");
    assert_int_equal(apt_sources_format(&image, "'http://x.test/olddebian/dists/a/InRelease' a 0\n'nothing\n", &text, &err), -ENOENT);
    static const char *const mirrors[] = {"http://x [trusted=yes]", "cdrom:x", "http://x\ndeb y"};
    for (size_t i = 0; i < ARRAY_SIZE(mirrors); i++) {
        source.mirror = TEXT(mirrors[i]);
        assert_int_equal(apt_sources_format(&image, NULL, &text, &err), -EINVAL);
    }
    source.mirror = TEXT("http://x");
    source.keyring = TEXT("relative.gpg");
    assert_int_equal(apt_sources_format(&image, NULL, &text, &err), -EINVAL);
    assert_null(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uris),   cmocka_unit_test(test_bad_uris), cmocka_unit_test(test_round_trip),  cmocka_unit_test(test_status),
        cmocka_unit_test(test_verify), cmocka_unit_test(test_sources),  cmocka_unit_test(test_bad_sources),
    };
    return cmocka_run_group_tests_name("package_set", tests, NULL, NULL);
}
