// SPDX-License-Identifier: Apache-2.0
// systemd-networkd and systemd-resolved: one file per NET# digit, one for everything that is not named. Pure.
#include "common/schema_types.h"
#include "firstboot/render_net.h"
#include <string.h>
#include <strings.h>

static const char header[] = "# Rendered by webops from config.env.\n";

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

static void add_dhcp_sections(struct buf *buf) {
    buf_add_str(buf, "\n[DHCPv4]\nClientIdentifier=mac\nUseMTU=yes\nUseHostname=no\n\n[DHCPv6]\nUseHostname=no\n");
}

// The lines that hang the VLANs of other digits onto this interface. Returns how many.
static int add_vlans(const struct render *in, struct buf *buf, const char *interface) {
    int count = 0;
    for (int digit = 0; digit < NET_DIGITS; digit++)
        if (net_has(in, digit, "VLAN") && strcasecmp(net_text(in, digit, "INTERFACE"), interface) == 0) {
            buf_printf(buf, "VLAN=net%d\n", digit);
            count++;
        }
    return count;
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
        if (schema_parse_cidr(item, size, &gateway) && net_is_on_link(net_text(in, digit, "ADDRESS"), &gateway))
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
    bool dhcp = net_is_dhcp(in, digit);
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

static void render_vlan(const struct render *in, int digit) {
    cleanup_buf struct buf netdev = {0}, parent = {0};
    buf_printf(&netdev, "%s[NetDev]\nName=net%d\nKind=vlan\n", header, digit);
    net_add(in, &netdev, digit, "VLAN", "\n[VLAN]\nId=");
    add_file(in, digit, ".netdev", &netdev);
    if (!net_needs_parent(in, digit))
        return;
    const char *interface = net_text(in, digit, "INTERFACE");
    buf_add_str(&parent, header);
    add_match(in, &parent, digit);
    buf_add_str(&parent, "\n[Network]\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n");
    add_vlans(in, &parent, interface);
    add_file(in, digit, "-parent.network", &parent);
}

static void render_networkd(const struct render *in) {
    for (int digit = 0; digit < NET_DIGITS; digit++) {
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

static void render_resolved(const struct render *in) {
    if (!render_is_set(in, "DNS_SERVERS") && !render_is_set(in, "DNS_SEARCH"))
        return;
    cleanup_buf struct buf file = {0};
    buf_printf(&file, "%s[Resolve]\n", header);
    render_list(in, &file, "DNS_SERVERS", "DNS=", "\n");
    render_list(in, &file, "DNS_SEARCH", "Domains=", "\n");
    render_file(in, "etc/systemd/resolved.conf.d/90-webops.conf", 0644, &file);
}

void render_network(const struct render *in) {
    (in->facts->has_networkmanager ? render_networkmanager : render_networkd)(in);
}

void render_dns(const struct render *in) { // NetworkManager has it in one file with the rest
    if (!in->facts->has_networkmanager)
        render_resolved(in);
}
