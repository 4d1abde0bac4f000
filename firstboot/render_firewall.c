// SPDX-License-Identifier: Apache-2.0
// The nftables ruleset. One table of ours, replaced atomically; tables of others (k3s, containers) are left alone. Pure.
#include "common/schema_types.h"
#include "firstboot/render.h"
#include "firstboot/stack/ports.h"
#include <netinet/in.h>
#include <string.h>

static const char replace[] = "table inet webops\ndelete table inet webops\n";

// ICMPv6 without neighbour discovery and router advertisements would cut IPv6 off (RFC 4890).
static const char input[] =
    "\tchain input {\n"
    "\t\ttype filter hook input priority filter; policy drop;\n"
    "\t\tct state vmap { established : accept, related : accept, invalid : drop }\n"
    "\t\tiifname lo accept\n"
    "\t\ticmp type { echo-request, destination-unreachable, time-exceeded, parameter-problem } accept\n"
    "\t\ticmpv6 type { echo-request, destination-unreachable, packet-too-big, time-exceeded, parameter-problem, nd-router-advert, "
    "nd-neighbor-solicit, nd-neighbor-advert, mld-listener-query } accept\n"
    "\t\tudp sport 67 udp dport 68 accept\n"
    "\t\tip6 saddr fe80::/10 udp sport 547 udp dport 546 accept\n";

// Clouds hand out user data there, which may hold secrets. Only root and webops-fetch, which is nobody, may ask.
static const char output[] = "\tchain output {\n"
                             "\t\ttype filter hook output priority filter; policy accept;\n"
                             "\t\tip daddr 169.254.169.254 tcp dport 80 meta skuid != { 0, 65534 } drop\n"
                             "\t}\n";

// nft wants one family per set. Adds "ip saddr { … } <rest>"; nothing when the list has no such family.
static void add_sources(const struct render *in, struct buf *buf, const char *key, int family, const char *rest) {
    const char *item, *separator = "";
    size_t size;
    struct schema_cidr cidr;
    for (const char *cursor = render_text(in, key); (item = schema_next_word(&cursor, &size));) {
        if (!schema_parse_cidr(item, size, &cidr)) {
            render_problem(in, key, "holds something that is not a network");
            return;
        }
        if (cidr.family != family)
            continue;
        buf_add_str(buf, *separator ? separator : family == AF_INET ? "\t\tip saddr { " : "\t\tip6 saddr { ");
        render_word(in, buf, key, item, size);
        separator = ", ";
    }
    if (*separator)
        buf_printf(buf, " } %s\n", rest);
}

static void add_ssh_chains(const struct render *in, struct buf *buf) {
    long rate = render_integer(in, "SSH_RATE_LIMIT");
    buf_add_str(buf, "\tchain ssh {\n");
    if (render_is_set(in, "FIREWALL_SSH_FROM")) {
        add_sources(in, buf, "FIREWALL_SSH_FROM", AF_INET, "goto ssh_limit");
        add_sources(in, buf, "FIREWALL_SSH_FROM", AF_INET6, "goto ssh_limit");
    } else
        buf_add_str(buf, "\t\tgoto ssh_limit\n");
    buf_add_str(buf, "\t}\n\tchain ssh_limit {\n");
    if (rate > 0) {
        buf_printf(buf, "\t\tadd @ssh4 { ip saddr limit rate over %ld/minute burst %ld packets } drop\n", rate, rate);
        buf_printf(buf, "\t\tadd @ssh6 { ip6 saddr and ffff:ffff:ffff:ffff:: limit rate over %ld/minute burst %ld packets } drop\n", rate,
                   rate);
    }
    buf_add_str(buf, "\t\taccept\n\t}\n");
}

static void add_ports(const struct render *in, struct buf *buf, const char *key, const char *protocol) {
    const char *separator = "";
    const char *item;
    size_t size;
    for (const char *cursor = render_text(in, key); (item = schema_next_word(&cursor, &size)); separator = ", ") {
        if (*separator)
            buf_add_str(buf, separator);
        else
            buf_printf(buf, "\t\t%s dport { ", protocol);
        render_word(in, buf, key, item, size);
    }
    if (*separator)
        buf_add_str(buf, " } accept\n");
}

// A loopback address needs no rule.
static void add_health(const struct render *in, struct buf *buf) {
    struct render_listen listen;
    if (!render_is_set(in, "HEALTH_FROM") || !render_listen(in, "HEALTH_LISTEN", &listen) || listen.is_loopback)
        return;
    cleanup_free char *rest = str_printf("tcp dport %ld accept", listen.port);
    add_sources(in, buf, "HEALTH_FROM", AF_INET, rest);
    add_sources(in, buf, "HEALTH_FROM", AF_INET6, rest);
}

static void add_table(const struct render *in, struct buf *buf) {
    buf_add_str(buf, "table inet webops {\n");
    // A source's counter goes after a minute of quiet; the size bounds what a flood of forged sources can take.
    buf_add_str(buf, "\tset ssh4 { type ipv4_addr; flags dynamic; timeout 1m; size 65535; }\n"
                     "\tset ssh6 { type ipv6_addr; flags dynamic; timeout 1m; size 65535; }\n");
    add_ssh_chains(in, buf);
    buf_add_str(buf, input);
    buf_printf(buf, "\t\ttcp dport %ld goto ssh\n", (long)render_integer(in, "SSH_PORT"));
    add_ports(in, buf, "FIREWALL_ALLOW_TCP", "tcp");
    add_ports(in, buf, "FIREWALL_ALLOW_UDP", "udp");
    add_health(in, buf);
    stack_ports_nft(in->plan, buf);
    buf_add_str(buf, "\t}\n\tchain forward {\n\t\ttype filter hook forward priority filter; policy drop;\n\t}\n");
    buf_add_str(buf, output);
    buf_add_str(buf, "}\n");
}

void render_firewall(const struct render *in) {
    cleanup_buf struct buf file = {0};
    buf_printf(&file, "#!/usr/sbin/nft -f\n# Rendered by webops from config.env.\n%s", replace);
    if (render_bool(in, "ENABLE_FIREWALL"))
        add_table(in, &file);
    else
        buf_printf(&file, "table inet webops {\n%s}\n", output); // what comes in is the operator's affair, not who may read user data
    render_file(in, "etc/nftables.conf", 0600, &file);
}
