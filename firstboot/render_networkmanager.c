// SPDX-License-Identifier: Apache-2.0
// NetworkManager: one connection profile per NET# digit, one for every card that is not named (nm-settings-keyfile(5), NetworkManager.conf(5)). Pure.
#include "common/schema_types.h"
#include "firstboot/render_net.h"
#include <netinet/in.h>
#include <string.h>

static const char header[] = "# Rendered by webops from config.env.\n";

static const struct family {
    int family;
    const char *section, *any, *none; // none: what a card without an address does
} families[] = {{AF_INET, "ipv4", "0.0.0.0/0", "disabled"}, {AF_INET6, "ipv6", "::/0", "link-local"}};

// NetworkManager refuses profiles that others than root can read.
static void add_profile(const struct render *in, const char *name, struct buf *buf) {
    cleanup_free char *path = str_printf("etc/NetworkManager/system-connections/webops-%s.nmconnection", name);
    render_file(in, path, 0600, buf);
}

// The next word of a list that is an address of this family.
static const char *next_of(const char **cursor, const struct family *family, size_t *ret_size, struct schema_cidr *ret_cidr) {
    const char *item;
    while ((item = schema_next_word(cursor, ret_size)))
        if (schema_parse_cidr(item, *ret_size, ret_cidr) && ret_cidr->family == family->family)
            return item;
    return NULL;
}

static unsigned add_addresses(const struct render *in, struct buf *buf, int digit, const struct family *family) {
    struct net_key key = net_key(digit, "ADDRESS");
    struct schema_cidr cidr;
    const char *item;
    unsigned count = 0;
    size_t size;
    for (const char *cursor = render_text(in, key.name); (item = next_of(&cursor, family, &size, &cidr));) {
        buf_printf(buf, "address%u=", ++count);
        render_word(in, buf, key.name, item, size);
        buf_add_str(buf, "\n");
    }
    return count;
}

static void add_gateways(const struct render *in, struct buf *buf, int digit, const struct family *family) {
    struct net_key key = net_key(digit, "GATEWAY");
    struct schema_cidr gateway;
    const char *item;
    unsigned count = 0;
    size_t size;
    for (const char *cursor = render_text(in, key.name); (item = next_of(&cursor, family, &size, &gateway));) {
        buf_printf(buf, "route%u=%s,", ++count, family->any);
        render_word(in, buf, key.name, item, size);
        buf_add_str(buf, "\n");
        if (net_is_on_link(net_text(in, digit, "ADDRESS"), &gateway))
            buf_printf(buf, "route%u_options=onlink=true\n", count);
    }
}

// A profile with servers of a family that the card has not is refused as a whole, so they become a remark.
static void add_dns(const struct render *in, struct buf *buf, int digit, const struct family *family, bool is_on) {
    const char *start = is_on ? "dns=" : "# cannot be asked from a card without an address of their kind: dns=";
    struct net_key key = net_key(digit, "DNS");
    struct schema_cidr server;
    const char *item;
    unsigned count = 0;
    size_t size;
    for (const char *cursor = render_text(in, key.name); (item = next_of(&cursor, family, &size, &server));) {
        buf_add_str(buf, count++ ? ";" : start);
        render_word(in, buf, key.name, item, size);
    }
    if (count)
        buf_add_str(buf, "\n");
}

static void add_joined(const struct render *in, struct buf *buf, const char *key, const char *start, const char *separator) {
    const char *item;
    size_t size, count = 0;
    for (const char *cursor = render_text(in, key); (item = schema_next_word(&cursor, &size));) {
        buf_add_str(buf, count++ ? separator : start);
        render_word(in, buf, key, item, size);
    }
    if (count)
        buf_add_str(buf, "\n");
}

static void add_families(const struct render *in, struct buf *buf, int digit) {
    const bool is_dhcp = net_is_dhcp(in, digit);
    bool has_search = false;
    for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
        cleanup_buf struct buf addresses = {0};
        unsigned count = add_addresses(in, &addresses, digit, &families[i]);
        const bool is_on = is_dhcp || count > 0;
        buf_printf(buf, "\n[%s]\nmethod=%s\n%s", families[i].section,
                   is_dhcp ? "auto"
                   : count ? "manual"
                           : families[i].none,
                   buf_str(&addresses));
        if (is_dhcp && families[i].family == AF_INET)
            buf_add_str(buf, "dhcp-client-id=mac\n");
        add_gateways(in, buf, digit, &families[i]);
        add_dns(in, buf, digit, &families[i], is_on);
        if (is_on && !has_search)
            add_joined(in, buf, "DNS_SEARCH", "dns-search=", ";");
        has_search = has_search || is_on;
    }
}

// A MAC address or a name; for a VLAN, what it lies on.
static void add_interface(const struct render *in, struct buf *buf, int digit) {
    const bool is_vlan = net_has(in, digit, "VLAN"), is_mac = strchr(net_text(in, digit, "INTERFACE"), ':') != NULL;
    struct net_key interface = net_key(digit, "INTERFACE");
    if (is_vlan)
        buf_printf(buf, "interface-name=net%d\n", digit);
    else if (!is_mac)
        render_list(in, buf, interface.name, "interface-name=", "\n");
    if (is_vlan) {
        buf_add_str(buf, "\n[vlan]\n");
        render_list(in, buf, net_key(digit, "VLAN").name, "id=", "\n");
        if (!is_mac)
            render_list(in, buf, interface.name, "parent=", "\n");
    }
    buf_add_str(buf, "\n[ethernet]\n");
    if (is_mac)
        render_list(in, buf, interface.name, "mac-address=", "\n");
    render_list(in, buf, net_key(digit, "MTU").name, "mtu=", "\n");
}

static void render_net(const struct render *in, int digit) {
    cleanup_buf struct buf file = {0};
    cleanup_free char *name = str_printf("net%d", digit);
    buf_printf(&file, "%s[connection]\nid=webops-%s\ntype=%s\n", header, name, net_has(in, digit, "VLAN") ? "vlan" : "ethernet");
    add_interface(in, &file, digit);
    add_families(in, &file, digit);
    add_profile(in, name, &file);
}

// The card under a VLAN that has no digit of its own is up and has no address.
static void render_parent(const struct render *in, int digit) {
    cleanup_buf struct buf file = {0};
    cleanup_free char *name = str_printf("net%d-parent", digit);
    struct net_key interface = net_key(digit, "INTERFACE");
    const bool is_mac = strchr(net_text(in, digit, "INTERFACE"), ':') != NULL;
    buf_printf(&file, "%s[connection]\nid=webops-%s\ntype=ethernet\n", header, name);
    render_list(in, &file, interface.name, is_mac ? "\n[ethernet]\nmac-address=" : "interface-name=", "\n");
    buf_add_str(&file, "\n[ipv4]\nmethod=disabled\n\n[ipv6]\nmethod=disabled\n");
    add_profile(in, name, &file);
}

static void render_dhcp(const struct render *in) {
    cleanup_buf struct buf file = {0};
    buf_printf(&file,
               "%s[connection]\nid=webops-dhcp\ntype=ethernet\nmulti-connect=3\nautoconnect-priority=-100\n\n[ipv4]\nmethod=auto\n"
               "dhcp-client-id=mac\n",
               header);
    add_joined(in, &file, "DNS_SEARCH", "dns-search=", ";");
    buf_add_str(&file, "\n[ipv6]\nmethod=auto\n");
    add_profile(in, "dhcp", &file);
}

// Its own profile for every new card would stand beside ours; a host name from DHCP would replace the configured one.
static void render_settings(const struct render *in) {
    cleanup_buf struct buf file = {0};
    buf_printf(&file, "%s[main]\nno-auto-default=*\nhostname-mode=none\n", header);
    if (render_is_set(in, "DNS_SERVERS")) {
        buf_add_str(&file, "\n[global-dns]\n");
        add_joined(in, &file, "DNS_SEARCH", "searches=", ",");
        buf_add_str(&file, "\n[global-dns-domain-*]\n");
        add_joined(in, &file, "DNS_SERVERS", "servers=", ",");
    }
    render_file(in, "etc/NetworkManager/conf.d/90-webops.conf", 0644, &file);
}

void render_networkmanager(const struct render *in) {
    for (int digit = 0; digit < NET_DIGITS; digit++) {
        if (!net_has(in, digit, "INTERFACE"))
            continue;
        render_net(in, digit);
        if (net_has(in, digit, "VLAN") && net_needs_parent(in, digit))
            render_parent(in, digit);
    }
    render_dhcp(in);
    render_settings(in);
}
