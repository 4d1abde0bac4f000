// SPDX-License-Identifier: Apache-2.0
// systemd-networkd and systemd-resolved: one file per NET# digit, one for everything that is not named. Pure.
#include "common/schema_types.h"
#include "firstboot/render.h"
#include <netinet/in.h>
#include <string.h>
#include <strings.h>

#define DIGITS 10
static const char header[] = "# Rendered by webops from config.env.\n";

// Keys of one digit, by name, without allocating: net_key(key, '0', "DNS") makes "NET0_DNS".
struct net_key {
    char name[24];
};
static struct net_key net_key(int digit, const char *rest) {
    struct net_key key;
    snprintf(key.name, sizeof(key.name), "NET%d_%s", digit, rest);
    return key;
}
static const char *net_text(const struct render *in, int digit, const char *rest) {
    return render_text(in, net_key(digit, rest).name);
}
static bool net_has(const struct render *in, int digit, const char *rest) {
    return net_text(in, digit, rest)[0] != 0;
}
static void net_add(const struct render *in, struct buf *buf, int digit, const char *rest, const char *prefix) {
    render_list(in, buf, net_key(digit, rest).name, prefix, "\n");
}

// Before systemd 248 there is no Kind=; the drivers are those of virtual interfaces that look like cards then.
#define PHYSICAL "Type=ether\nKind=!*\nDriver=!dummy macvlan tun veth\n"

// systemd.network(5) [Match]; a MAC address alone would also match VLANs and bridges on top of the interface.
static void add_match(const struct render *in, struct buf *buf, int digit) {
    bool is_mac = strchr(net_text(in, digit, "INTERFACE"), ':') != NULL;
    buf_add_str(buf, "[Match]\n");
    net_add(in, buf, digit, "INTERFACE", is_mac ? PHYSICAL "MACAddress=" : "Name=");
}

static bool is_dhcp(const struct render *in, int digit) {
    return net_has(in, digit, "DHCP") ? render_bool(in, net_key(digit, "DHCP").name) : !net_has(in, digit, "ADDRESS");
}

static void add_dhcp_sections(struct buf *buf) {
    buf_add_str(buf, "\n[DHCPv4]\nClientIdentifier=mac\nUseMTU=yes\nUseHostname=no\n\n[DHCPv6]\nUseHostname=no\n");
}

// The lines that hang the VLANs of other digits onto this interface. Returns how many.
static int add_vlans(const struct render *in, struct buf *buf, const char *interface) {
    int count = 0;
    for (int digit = 0; digit < DIGITS; digit++)
        if (net_has(in, digit, "VLAN") && strcasecmp(net_text(in, digit, "INTERFACE"), interface) == 0) {
            buf_printf(buf, "VLAN=net%d\n", digit);
            count++;
        }
    return count;
}

// A gateway outside every network of the addresses (a /32 has none) has to be said to be on the link.
static bool is_on_link(const char *addresses, const struct schema_cidr *gateway) {
    const char *item;
    size_t size;
    struct schema_cidr cidr;
    for (const char *cursor = addresses; (item = schema_next_word(&cursor, &size));)
        if (schema_parse_cidr(item, size, &cidr) && cidr.prefix < (cidr.family == AF_INET ? 32U : 128U) &&
            schema_cidr_contains(&cidr, gateway))
            return false;
    return true;
}

static void add_routes(const struct render *in, struct buf *buf, int digit) {
    const char *item;
    size_t size;
    struct schema_cidr gateway;
    struct net_key key = net_key(digit, "GATEWAY");
    for (const char *cursor = render_text(in, key.name); (item = schema_next_word(&cursor, &size));) {
        buf_add_str(buf, "\n[Route]\nGateway=");
        render_word(in, buf, key.name, item, size);
        buf_add_str(buf, "\n");
        if (schema_parse_cidr(item, size, &gateway) && is_on_link(net_text(in, digit, "ADDRESS"), &gateway))
            buf_add_str(buf, "GatewayOnLink=yes\n");
    }
}

static void add_file(const struct render *in, int digit, const char *suffix, struct buf *buf) {
    cleanup_free char *path = str_printf("etc/systemd/network/10-webops-net%d%s", digit, suffix);
    render_file(in, path, 0644, buf);
}

static void render_net(const struct render *in, int digit) {
    cleanup_buf struct buf file = {0};
    buf_add_str(&file, header);
    if (net_has(in, digit, "VLAN"))
        buf_printf(&file, "[Match]\nName=net%d\n", digit);
    else
        add_match(in, &file, digit);
    net_add(in, &file, digit, "MTU", "\n[Link]\nMTUBytes=");
    bool dhcp = is_dhcp(in, digit);
    buf_printf(&file, "\n[Network]\nDHCP=%s\nIPv6AcceptRA=%s\n", dhcp ? "yes" : "no", dhcp ? "yes" : "no");
    net_add(in, &file, digit, "ADDRESS", "Address=");
    // A switch that restarts a port takes seconds; without an address the connections over it would be gone, too.
    if (net_has(in, digit, "ADDRESS"))
        buf_add_str(&file, "IgnoreCarrierLoss=10s\n");
    net_add(in, &file, digit, "DNS", "DNS=");
    if (!net_has(in, digit, "VLAN"))
        add_vlans(in, &file, net_text(in, digit, "INTERFACE"));
    add_routes(in, &file, digit);
    if (dhcp)
        add_dhcp_sections(&file);
    add_file(in, digit, ".network", &file);
}

static bool has_own_file(const struct render *in, const char *interface) {
    for (int digit = 0; digit < DIGITS; digit++)
        if (!net_has(in, digit, "VLAN") && strcasecmp(net_text(in, digit, "INTERFACE"), interface) == 0)
            return true;
    return false;
}

// The first digit with a VLAN on this interface writes the interface's file for all of them.
static bool is_first_vlan(const struct render *in, int digit) {
    for (int before = 0; before < digit; before++)
        if (net_has(in, before, "VLAN") && strcasecmp(net_text(in, before, "INTERFACE"), net_text(in, digit, "INTERFACE")) == 0)
            return false;
    return true;
}

static void render_vlan(const struct render *in, int digit) {
    cleanup_buf struct buf netdev = {0}, parent = {0};
    buf_printf(&netdev, "%s[NetDev]\nName=net%d\nKind=vlan\n", header, digit);
    net_add(in, &netdev, digit, "VLAN", "\n[VLAN]\nId=");
    add_file(in, digit, ".netdev", &netdev);
    const char *interface = net_text(in, digit, "INTERFACE");
    if (has_own_file(in, interface) || !is_first_vlan(in, digit))
        return;
    buf_add_str(&parent, header);
    add_match(in, &parent, digit);
    buf_add_str(&parent, "\n[Network]\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n");
    add_vlans(in, &parent, interface);
    add_file(in, digit, "-parent.network", &parent);
}

void render_network(const struct render *in) {
    for (int digit = 0; digit < DIGITS; digit++) {
        if (!net_has(in, digit, "INTERFACE"))
            continue;
        render_net(in, digit);
        if (net_has(in, digit, "VLAN"))
            render_vlan(in, digit);
    }
    cleanup_buf struct buf file = {0};
    buf_printf(&file, "%s[Match]\n" PHYSICAL "\n[Network]\nDHCP=yes\nIPv6AcceptRA=yes\n", header);
    add_dhcp_sections(&file);
    render_file(in, "etc/systemd/network/80-webops-dhcp.network", 0644, &file);
}

void render_dns(const struct render *in) {
    if (!render_is_set(in, "DNS_SERVERS") && !render_is_set(in, "DNS_SEARCH"))
        return;
    cleanup_buf struct buf file = {0};
    buf_printf(&file, "%s[Resolve]\n", header);
    render_list(in, &file, "DNS_SERVERS", "DNS=", "\n");
    render_list(in, &file, "DNS_SEARCH", "Domains=", "\n");
    render_file(in, "etc/systemd/resolved.conf.d/90-webops.conf", 0644, &file);
}
