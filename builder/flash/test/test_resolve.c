// SPDX-License-Identifier: Apache-2.0
// Names of hosts: from /etc/hosts, and from name servers, in whose place the resolver library's question is answered here.
#include "builder/flash/resolve.h"
#include "builder/test/support.h"
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <netdb.h>
#include <resolv.h>

static void names_are_found_in_hosts(void **state) {
    (void)state;
    static const char hosts[] =
        "# 192.0.2.9 images\n192.0.2.1\timages.example.org images\n2001:db8::1 other IMAGES # here\nnonsense images\n192.0.2.7";
    struct address addresses[RESOLVE_MAX];
    struct err err = {0};
    size_t count = 0;
    assert_ok(resolve("images", hosts, addresses, &count, &err));
    assert_int_equal(count, 2);
    assert_int_equal(addresses[0].v4.sin_addr.s_addr, inet_addr("192.0.2.1"));
    assert_int_equal(addresses[1].any.sa_family, AF_INET6);
    assert_ok(resolve("2001:db8::5", hosts, addresses, &count, &err));
    assert_true(count == 1 && addresses[0].v6.sin6_addr.s6_addr[15] == 5);
    assert_ok(resolve("localhost", "", addresses, &count, &err));
    assert_true(count == 1 && addresses[0].v4.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
}

// What name servers say to the next two questions, in the resolver library's place.
static int name_server_says[2]; // A, AAAA: 0 = an address

int res_nsearch(res_state state, const char *name, int class, int type, unsigned char *answer, int size) {
    static const uint8_t header[NS_HFIXEDSZ] = {[3] = 0x80, [5] = 1, [7] = 1};
    uint8_t record[] = {1, 'h', 0, 0, 1, 0, 1, 0xc0, NS_HFIXEDSZ, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1}; // question and answer
    assert_string_equal(name, "h");
    assert_true(class == ns_c_in && (size_t)size > sizeof(header) + sizeof(record));
    state->res_h_errno = name_server_says[type == ns_t_aaaa];
    if (state->res_h_errno != 0)
        return -1;
    memcpy(answer, header, sizeof(header));
    memcpy(answer + sizeof(header), record, sizeof(record));
    return sizeof(header) + sizeof(record);
}

static void names_are_asked_for(void **state) {
    (void)state;
    static const struct {
        int says[2], code;
    } rows[] = {
        {{0, 0}, 0},
        {{0, NO_DATA}, 0},
        {{0, TRY_AGAIN}, 0},
        {{HOST_NOT_FOUND, HOST_NOT_FOUND}, -ENOENT},
        {{HOST_NOT_FOUND, TRY_AGAIN}, -ENOENT},
        {{TRY_AGAIN, HOST_NOT_FOUND}, -ENOENT},
        {{NO_DATA, NO_DATA}, -ENOENT},
        {{NO_DATA, TRY_AGAIN}, -EAGAIN},
        {{TRY_AGAIN, NO_DATA}, -EAGAIN}, // an IPv4 host whose address was not told
        {{NO_RECOVERY, NO_DATA}, -EAGAIN},
        {{TRY_AGAIN, TRY_AGAIN}, -EAGAIN},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct address addresses[RESOLVE_MAX];
        struct err err = {0};
        size_t count = 0;
        memcpy(name_server_says, rows[i].says, sizeof(rows[i].says));
        int r = resolve("h", "", addresses, &count, &err);
        if (r != rows[i].code || count != (r == 0))
            fail_msg("row %zu: %d, %zu addresses, %s", i, r, count, err.text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(names_are_found_in_hosts), cmocka_unit_test(names_are_asked_for)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
