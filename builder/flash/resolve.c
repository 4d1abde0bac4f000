// SPDX-License-Identifier: Apache-2.0
// The resolver library reads /etc/resolv.conf itself; what a name server answers is parsed by that library, too.
#include "builder/flash/resolve.h"
#include "common/buf.h"
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <errno.h>
#include <netdb.h>
#include <resolv.h>
#include <string.h>
#include <strings.h>

struct found {
    struct address *addresses;
    size_t count;
};

static void add(struct found *found, int family, const void *bytes) {
    struct address address = {0};
    if (found->count == RESOLVE_MAX)
        return;
    if (family == AF_INET) {
        address.v4.sin_family = AF_INET;
        memcpy(&address.v4.sin_addr, bytes, sizeof(address.v4.sin_addr));
        address.size = sizeof(address.v4);
    } else {
        address.v6.sin6_family = AF_INET6;
        memcpy(&address.v6.sin6_addr, bytes, sizeof(address.v6.sin6_addr));
        address.size = sizeof(address.v6);
    }
    found->addresses[found->count++] = address;
}

static bool add_number(struct found *found, const char *text) {
    uint8_t bytes[sizeof(struct in6_addr)];
    int family = strchr(text, ':') ? AF_INET6 : AF_INET;
    if (inet_pton(family, text, bytes) != 1)
        return false;
    add(found, family, bytes);
    return true;
}

// hosts(5): "192.0.2.1 images.example.org images # the mirror"
static void add_hosts(struct found *found, const char *hosts, const char *host) {
    while (*hosts) {
        size_t size = strcspn(hosts, "\n");
        cleanup_free char *line = str_printf("%.*s", (int)size, hosts);
        char *rest = NULL;
        hosts += size + (hosts[size] == '\n');
        line[strcspn(line, "#")] = 0;
        const char *number = strtok_r(line, " \t\r", &rest);
        for (const char *name; number && (name = strtok_r(NULL, " \t\r", &rest));)
            if (strcasecmp(name, host) == 0) {
                add_number(found, number);
                break;
            }
    }
}

static void add_answer(struct found *found, const uint8_t *answer, int size, ns_type type) {
    ns_msg message;
    ns_rr record;
    size_t bytes = type == ns_t_a ? sizeof(struct in_addr) : sizeof(struct in6_addr);
    if (ns_initparse(answer, size, &message) < 0)
        return;
    for (int i = 0; i < ns_msg_count(message, ns_s_an); i++)
        if (ns_parserr(&message, ns_s_an, i, &record) == 0 && ns_rr_type(record) == type && ns_rr_rdlen(record) == bytes)
            add(found, type == ns_t_a ? AF_INET : AF_INET6, ns_rr_rdata(record));
}

// Returns whether it is certain that there is no address: the name is unknown, or it has none of either kind. A question without an answer leaves
// that open, whatever is said to the other one.
static bool ask(struct found *found, const char *host) {
    static const ns_type types[] = {ns_t_a, ns_t_aaaa};
    struct __res_state state = {0};
    cleanup_free uint8_t *answer = mem_array(NS_MAXMSG, 1);
    bool is_unknown = false;
    size_t answers = 0;
    if (res_ninit(&state) != 0)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        int size = res_nsearch(&state, host, ns_c_in, types[i], answer, NS_MAXMSG);
        is_unknown |= size < 0 && state.res_h_errno == HOST_NOT_FOUND;
        answers += size >= 0 || state.res_h_errno == NO_DATA;
        if (size > 0)
            add_answer(found, answer, size < NS_MAXMSG ? size : NS_MAXMSG, types[i]);
    }
    res_nclose(&state);
    return is_unknown || answers == ARRAY_SIZE(types);
}

int resolve(const char *host, const char *hosts, struct address ret_addresses[RESOLVE_MAX], size_t *ret_count, struct err *err) {
    struct found found = {ret_addresses, 0};
    bool is_certain = true;
    if (!add_number(&found, host))
        add_hosts(&found, hosts, host);
    if (found.count == 0 && strcasecmp(host, "localhost") == 0)
        add_number(&found, "127.0.0.1"); // RFC 6761: no name server is asked for it
    if (found.count == 0)
        is_certain = ask(&found, host);
    *ret_count = found.count;
    if (found.count > 0)
        return 0;
    return is_certain ? err_set(err, -ENOENT, "there is no host %s", host)
                      : err_set(err, -EAGAIN, "the address of %s cannot be found: no name server of /etc/resolv.conf answers", host);
}
