// SPDX-License-Identifier: Apache-2.0
// Where redirects may lead, and what of an address may be shown.
#include "firstboot/fetch/address.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

static struct sockaddr_storage address_of(const char *text) {
    struct sockaddr_storage storage = {0};
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
        memcpy(&storage, &v4, sizeof(v4));
    else if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1)
        memcpy(&storage, &v6, sizeof(v6));
    else
        fail_msg("%s", text);
    return storage;
}

static void networks(void **state) {
    (void)state;
    enum kind { PLAIN, LOOPBACK, SPECIAL };
    static const struct {
        const char *text;
        enum kind kind;
    } cases[] = {
        {"192.0.2.1", PLAIN},
        {"10.0.0.1", PLAIN}, // mirrors of one's own
        {"192.168.1.1", PLAIN},
        {"2001:db8::1", PLAIN},
        {"fd00::1", PLAIN},
        {"126.255.255.255", PLAIN},
        {"127.0.0.1", LOOPBACK},
        {"127.255.255.255", LOOPBACK},
        {"128.0.0.0", PLAIN},
        {"::1", LOOPBACK},
        {"::2", PLAIN},
        {"::ffff:127.0.0.1", LOOPBACK},
        {"169.253.255.255", PLAIN},
        {"169.254.0.0", SPECIAL},
        {"169.254.169.254", SPECIAL},
        {"169.254.255.255", SPECIAL},
        {"169.255.0.0", PLAIN},
        {"::ffff:169.254.169.254", SPECIAL},
        {"0.0.0.0", SPECIAL},
        {"0.1.2.3", SPECIAL},
        {"1.0.0.0", PLAIN},
        {"223.255.255.255", PLAIN},
        {"224.0.0.1", SPECIAL},
        {"255.255.255.255", SPECIAL},
        {"100.100.100.199", PLAIN},
        {"100.100.100.200", SPECIAL},
        {"168.63.129.16", SPECIAL},
        {"192.0.0.192", SPECIAL},
        {"::", SPECIAL},
        {"fe7f::1", PLAIN},
        {"fe80::1", SPECIAL},
        {"febf::1", SPECIAL},
        {"fec0::1", PLAIN},
        {"ff02::1", SPECIAL},
        {"fd00:ec2::254", SPECIAL},
        {"fd00:ec3::254", PLAIN},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct sockaddr_storage address = address_of(cases[i].text);
        if (address_is_loopback((struct sockaddr *)&address) != (cases[i].kind == LOOPBACK) ||
            address_is_special((struct sockaddr *)&address) != (cases[i].kind == SPECIAL))
            fail_msg("%s", cases[i].text);
    }
    const struct sockaddr_un local = {.sun_family = AF_UNIX};
    assert_true(address_is_special((const struct sockaddr *)&local));
}

static void redirects(void **state) {
    (void)state;
    static const struct {
        const char *url;
        bool must_be_https;
        int code; // 1: fine, and https
    } cases[] = {
        {"http://example.org/x", false, 0},
        {"https://example.org/x", false, 1},
        {"https://example.org/x", true, 1},
        {"HTTPS://example.org/x", true, 1},
        {"http://example.org/x", true, -EIO},
        {"ftp://example.org/x", false, -EIO},
        {"file:///etc/passwd", false, -EIO},
        {"data:text/plain,x", false, -EIO},
        {"", false, -EIO},
        {"http://", false, -EIO},
        {"http://user@example.org/", false, -EIO},
        {"http://:secret@example.org/", false, -EIO},
        {"http://a b/", false, -EIO},
        {"http://example.org:99999/", false, -EIO},
        {"https:/", false, -EIO},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        bool is_https = false;
        struct err err = {0};
        int r = address_check_redirect(cases[i].url, cases[i].must_be_https, &is_https, &err);
        if (r < 0 ? r != cases[i].code : is_https != (cases[i].code == 1))
            fail_msg("'%s': %d %s", cases[i].url, r, err.text);
        assert_null(strstr(err.text, "secret"));
    }
}

static void what_is_shown(void **state) {
    (void)state;
    static const struct {
        const char *url, *shown;
    } cases[] = {
        {"http://example.org/a/b", "http://example.org/a/b"},
        {"http://example.org/a?token=x", "http://example.org/a"},
        {"http://example.org/a#x", "http://example.org/a"},
        {"http://user:secret@example.org/a", "http://"},
        {"http://example.org/a@b", "http://example.org/a@b"},
        {"nonsense", "nonsense"},
        {"", ""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(address_shown(cases[i].url), strlen(cases[i].shown));
        assert_memory_equal(cases[i].url, cases[i].shown, strlen(cases[i].shown));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(networks),
        cmocka_unit_test(redirects),
        cmocka_unit_test(what_is_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
