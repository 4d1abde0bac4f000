// SPDX-License-Identifier: Apache-2.0
#include "firstboot/render_net.h"
#include "common/schema_types.h"
#include <netinet/in.h>
#include <stdio.h>
#include <strings.h>

struct net_key net_key(int digit, const char *rest) {
    struct net_key key;
    snprintf(key.name, sizeof(key.name), "NET%d_%s", digit, rest);
    return key;
}

const char *net_text(const struct render *in, int digit, const char *rest) {
    return render_text(in, net_key(digit, rest).name);
}

bool net_has(const struct render *in, int digit, const char *rest) {
    return net_text(in, digit, rest)[0] != 0;
}

bool net_is_dhcp(const struct render *in, int digit) {
    return net_has(in, digit, "DHCP") ? render_bool(in, net_key(digit, "DHCP").name) : !net_has(in, digit, "ADDRESS");
}

bool net_is_on_link(const char *addresses, const struct schema_cidr *gateway) {
    const char *item;
    size_t size;
    struct schema_cidr cidr;
    for (const char *cursor = addresses; (item = schema_next_word(&cursor, &size));)
        if (schema_parse_cidr(item, size, &cidr) && cidr.prefix < (cidr.family == AF_INET ? 32U : 128U) &&
            schema_cidr_contains(&cidr, gateway))
            return false;
    return true;
}

bool net_needs_parent(const struct render *in, int digit) {
    const char *interface = net_text(in, digit, "INTERFACE");
    for (int other = 0; other < NET_DIGITS; other++) {
        bool is_same = strcasecmp(net_text(in, other, "INTERFACE"), interface) == 0;
        if (is_same && (!net_has(in, other, "VLAN") || other < digit))
            return false;
    }
    return true;
}
