// SPDX-License-Identifier: Apache-2.0
// Addresses: their parts, what is refused, and what lies beside a file.
#include "builder/flash/url.h"
#include "builder/test/support.h"

static void addresses_are_taken_apart(void **state) {
    (void)state;
    static const struct {
        const char *text, *host, *port, *authority, *target; // host NULL: refused
    } rows[] = {
        {"http://h", "h", "80", "h", "/"},
        {"HTTPS://h.example:8443/a/b?c#d", "h.example", "8443", "h.example:8443", "/a/b?c"},
        {"https://h:443?q", "h", "443", "h", "/?q"},
        {"http://h:8/", "h", "8", "h:8", "/"},
        {"http://[2001:db8::1]:81/x", "2001:db8::1", "81", "[2001:db8::1]:81", "/x"},
        {"http://[::1]/", "::1", "80", "[::1]", "/"},
        {"ftp://h/", NULL, NULL, NULL, NULL},
        {"http:///x", NULL, NULL, NULL, NULL},
        {"http://h:/", NULL, NULL, NULL, NULL},
        {"http://h:0/", NULL, NULL, NULL, NULL},
        {"http://h:65536/", NULL, NULL, NULL, NULL},
        {"http://h:8x/", NULL, NULL, NULL, NULL},
        {"http://[::1/", NULL, NULL, NULL, NULL},
        {"http://u:p@h/", NULL, NULL, NULL, NULL},
        {"http://h/a b", NULL, NULL, NULL, NULL},
        {"http://h/a\r\nX: y", NULL, NULL, NULL, NULL},
        {"http://h\xc3\xa4/", NULL, NULL, NULL, NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct err err = {0};
        cleanup_url struct url url = {0};
        int r = url_parse(rows[i].text, &url, &err);
        if (r != (rows[i].host ? 0 : -EINVAL))
            fail_msg("%s: %d %s", rows[i].text, r, err.text);
        if (r < 0)
            continue;
        assert_string_equal(url.host, rows[i].host);
        assert_string_equal(url.port, rows[i].port);
        assert_string_equal(url.authority, rows[i].authority);
        assert_string_equal(url.target, rows[i].target);
        assert_int_equal(url.is_tls, rows[i].text[4] == 's' || rows[i].text[4] == 'S');
    }
    assert_true(url_is("https://x") && !url_is("/etc/https://x") && !url_is("ftp://x"));
}

static void names_beside(void **state) {
    (void)state;
    static const char *const tails[] = {".raw.zst", ".raw", NULL};
    static const struct {
        const char *text, *beside;
    } rows[] = {
        {"out/web-1.0.raw.zst", "out/web-1.0.bmap"},
        {"out/what?.raw", "out/what?.bmap"}, // a file may be called so
        {"https://h/web-1.0.raw", "https://h/web-1.0.bmap"},
        {"https://h/web-1.0.raw.zst?sig=a.raw", "https://h/web-1.0.bmap?sig=a.raw"},
        {"https://h/web-1.0.raw?a#b", "https://h/web-1.0.bmap?a"},
        {"https://h/web-1.0.raw#b?", "https://h/web-1.0.bmap"},
        {"https://h/web", "https://h/web.bmap"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_free char *beside = url_beside(rows[i].text, tails, ".bmap");
        assert_string_equal(beside, rows[i].beside);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(addresses_are_taken_apart), cmocka_unit_test(names_beside)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
