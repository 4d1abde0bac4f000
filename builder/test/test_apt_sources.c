// SPDX-License-Identifier: Apache-2.0
// The sources.list of an image: from its own mirrors, from the build host's configuration, and what must never get into a line of it.
#include "builder/apt.h"
#include "builder/test/support.h"

#define TEXT(s) ((char *)(uintptr_t)(s))

static char *suites[] = {TEXT("one"), TEXT("two")}, *components[] = {TEXT("main"), TEXT("extra")};

static struct recipe_source source_of(const char *archive, const char *mirror) {
    return (struct recipe_source){
        .archive = TEXT(archive), .mirror = TEXT(mirror), .suites = {suites, 1}, .components = {components, 1}, .keyring = TEXT("/k.gpg")};
}

static int format(struct recipe_source *sources, unsigned count, const char *uris, char **ret_text, struct err *err) {
    struct recipe_image image = {.id = TEXT("d"), .architecture = TEXT("amd64"), .sources = sources, .source_count = count};
    return apt_sources_format(&image, uris, ret_text, err);
}

// Which address of the host's is taken for the archive "debian".
static void test_host_addresses(void **state) {
    (void)state;
    static const struct {
        const char *uris, *uri; // NULL = none fits
    } cases[] = {
        {"'http://a.test/debian/dists/x/InRelease' a 0\n", "http://a.test/debian"},
        {"'http://a.test/debian/dists/x/InRelease' a 0", "http://a.test/debian"},
        {"'https://a.test/debian/dists/x/InRelease' a 0\n", "https://a.test/debian"},
        {"'file:/srv/debian/dists/x/InRelease' a 0\n", "file:/srv/debian"},
        {"'http://a.test/debian//dists/x/InRelease' a 0\n", "http://a.test/debian"},
        {"'http://a.test/deep/er/debian/dists/x/InRelease' a 0\n", "http://a.test/deep/er/debian"},
        {"noise\n\n'http://a.test/debian/dists/x/InRelease' a 0\n", "http://a.test/debian"},
        {"'http://b.test/ubuntu/dists/x/InRelease' a 0\n'http://a.test/debian/dists/x/InRelease' a 0\n", "http://a.test/debian"},
        {"'http://1.test/debian/dists/x/InRelease' a 0\n'http://2.test/debian/dists/x/InRelease' a 0\n", "http://1.test/debian"},
        {"'cdrom://a.test/debian/dists/x/InRelease' a 0\n", NULL},
        {"'ftp://a.test/debian/dists/x/InRelease' a 0\n'http://2.test/debian/dists/x/InRelease' a 0\n", "http://2.test/debian"},
        {"'http://a.test/debian-security/dists/x/InRelease' a 0\n", NULL},
        {"'http://a.test/xdebian/dists/x/InRelease' a 0\n", NULL},
        {"'http://a.test/debian/InRelease' a 0\n", NULL},
        {"http://a.test/debian/dists/x/InRelease a 0\n", NULL},
        {"'http://a.test/debian/dists/x/InRelease", NULL},
        {"'http://a.test/debian/dist\ns/x/InRelease' a 0\n", NULL},
        {"'debian/dists/x/InRelease' a 0\n", NULL},
        {"'/dists/'\n", NULL},
        {"'", NULL},
        {"''", NULL},
        {"\n\n\n", NULL},
        {"", NULL},
        {NULL, NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct recipe_source source = source_of("debian", NULL);
        struct err err = {0};
        cleanup_free char *text = NULL;
        cleanup_free char *expected = str_printf("deb [arch=amd64 signed-by=/k.gpg] %s one main\n", cases[i].uri ?: "");
        int r = format(&source, 1, cases[i].uris, &text, &err);
        if (r != (cases[i].uri ? 0 : -ENOENT))
            fail_msg("%s: %d %s", cases[i].uris, r, err.text);
        if (cases[i].uri)
            assert_string_equal(text, expected);
        else
            assert_contains(err.text, "no mirror whose address ends in /debian: add one, or a line \"debian ADDRESS\" to "
                                      "/etc/webops/mirrors, or set `mirror` in images/d.yaml");
    }
}

static void test_several_sources(void **state) {
    (void)state;
    struct recipe_source sources[] = {source_of("debian", "http://own.test/d"), source_of("debian-security", NULL)};
    struct err err = {0};
    cleanup_free char *text = NULL;
    sources[0].suites.count = sources[0].components.count = 2;
    sources[1].keyring = TEXT("/s.gpg");
    assert_ok(format(sources, 2, "'http://h.test/debian-security/dists/x/InRelease' a 0\n", &text, &err));
    assert_string_equal(text, "deb [arch=amd64 signed-by=/k.gpg] http://own.test/d one main extra\n"
                              "deb [arch=amd64 signed-by=/k.gpg] http://own.test/d two main extra\n"
                              "deb [arch=amd64 signed-by=/s.gpg] http://h.test/debian-security one main\n");
}

// Every character that would end a word, an option list or a line, in both places where text comes from outside.
static void test_injection(void **state) {
    (void)state;
    static const char bad[] = " \t\r\n[]#\"";
    for (const char *c = bad; *c; c++) {
        struct err err = {0};
        char *text = NULL;
        cleanup_free char *mirror = str_printf("http://a.test/x%cy", *c), *keyring = str_printf("/k%cx.gpg", *c);
        cleanup_free char *uris = str_printf("'http://a.test/x%cy/debian/dists/x/InRelease' a 0\n", *c);
        struct recipe_source by_mirror = source_of("debian", mirror), by_key = source_of("debian", "http://a.test/x");
        struct recipe_source by_host = source_of("debian", NULL);
        by_key.keyring = keyring;
        assert_int_equal(format(&by_mirror, 1, NULL, &text, &err), -EINVAL);
        assert_int_equal(format(&by_key, 1, NULL, &text, &err), -EINVAL);
        assert_contains(err.text, "mirror of debian must be");
        assert_true(format(&by_host, 1, uris, &text, &err) < 0);
        assert_null(text);
    }
}

static void test_keyring(void **state) {
    (void)state;
    static const char *const bad[] = {NULL, "", "k.gpg", "./k.gpg"}; // unsigned sources do not exist
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct recipe_source source = source_of("debian", "http://a.test/debian");
        struct err err = {0};
        char *text = NULL;
        source.keyring = TEXT(bad[i]);
        assert_int_equal(format(&source, 1, NULL, &text, &err), -EINVAL);
        assert_null(text);
    }
}

// A good source before a bad one: no half list.
static void test_second_is_bad(void **state) {
    (void)state;
    struct recipe_source sources[] = {source_of("debian", "http://a.test/debian"), source_of("debian", "gopher://a.test/debian")};
    struct err err = {0};
    char *text = NULL;
    assert_int_equal(format(sources, 2, NULL, &text, &err), -EINVAL);
    assert_null(text);
}

// With a mirror everywhere the host's apt is not asked at all.
static void test_host_is_not_asked(void **state) {
    (void)state;
    struct recipe_source source = source_of("debian", "http://a.test/debian");
    struct recipe_image image = {.id = TEXT("d"), .architecture = TEXT("amd64"), .sources = &source, .source_count = 1};
    struct err err = {0};
    cleanup_free char *text = NULL, *path = str_dup(getenv("PATH")), *other = NULL;
    setenv("PATH", "/nonexistent", 1);
    int r = apt_sources(&image, &text, &err);
    source.mirror = NULL;
    int asked = apt_sources(&image, &other, &err);
    setenv("PATH", path, 1);
    assert_int_equal(r, 0);
    assert_contains(text, "http://a.test/debian one main\n");
    assert_true(asked < 0);
    assert_contains(err.text, "apt-get");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_host_addresses), cmocka_unit_test(test_several_sources), cmocka_unit_test(test_injection),
        cmocka_unit_test(test_keyring),        cmocka_unit_test(test_second_is_bad),   cmocka_unit_test(test_host_is_not_asked),
    };
    return cmocka_run_group_tests_name("apt_sources", tests, NULL, NULL);
}
