// SPDX-License-Identifier: Apache-2.0
// Rules over several base keys. They run on configs whose single values may be wrong (those are reported by schema_check), so each
// reads a value only if it is valid.
#include "common/schema_rules.h"
#include "common/schema_types.h"
#include <string.h>

// The entries of one NET# digit; NULL where unset or invalid.
struct net {
    char digit;
    const struct config_entry *interface, *dhcp, *address, *gateway, *vlan, *mtu, *first;
};

static const struct config_entry *net_entry(const struct schema *schema, const struct config *config, char digit, const char *rest) {
    char name[] = "NET#_INTERFACE";
    name[3] = digit;
    strcpy(name + 5, rest);
    const struct config_entry *entry = config_find(config, name);
    const struct schema_key *key = schema_find(schema, name);
    return entry && key && schema_types[key->type].is_valid(key, entry->value) ? entry : NULL;
}

static struct net net_load(const struct schema *schema, const struct config *config, char digit) {
    struct net net = {
        .digit = digit,
        .interface = net_entry(schema, config, digit, "INTERFACE"),
        .dhcp = net_entry(schema, config, digit, "DHCP"),
        .address = net_entry(schema, config, digit, "ADDRESS"),
        .gateway = net_entry(schema, config, digit, "GATEWAY"),
        .vlan = net_entry(schema, config, digit, "VLAN"),
        .mtu = net_entry(schema, config, digit, "MTU"),
    };
    for (size_t i = 0; i < config->count && !net.first; i++)
        if (strncmp(config->entries[i].key, "NET", 3) == 0 && config->entries[i].key[3] == digit && config->entries[i].key[4] == '_')
            net.first = &config->entries[i];
    return net;
}

static bool address_family_listed(const char *addresses, int family) {
    const char *item;
    size_t size;
    struct schema_cidr cidr;
    for (const char *cursor = addresses; (item = schema_next_word(&cursor, &size));)
        if (schema_parse_cidr(item, size, &cidr) && cidr.family == family)
            return true;
    return false;
}

static bool is_link_local(const struct schema_cidr *address) {
    return address->family == AF_INET6 && address->address[0] == 0xfe && (address->address[1] & 0xc0) == 0x80;
}

// Inside the network of one of the addresses, or reached directly: a /32 or /128 has no neighbours, so its gateway is on-link.
static bool is_gateway_reachable(const char *addresses, const struct schema_cidr *gateway) {
    const char *item;
    size_t size;
    struct schema_cidr cidr;
    for (const char *cursor = addresses; (item = schema_next_word(&cursor, &size));) {
        if (!schema_parse_cidr(item, size, &cidr) || cidr.family != gateway->family)
            continue;
        if (cidr.prefix == (cidr.family == AF_INET ? 32u : 128u) || is_link_local(gateway) || schema_cidr_contains(&cidr, gateway))
            return true;
    }
    return false;
}

static void check_gateways(const struct net *net, struct config_problems *problems) {
    unsigned count4 = 0, count6 = 0;
    const char *item;
    size_t size;
    for (const char *cursor = net->gateway->value; (item = schema_next_word(&cursor, &size));) {
        struct schema_cidr gateway;
        if (!schema_parse_cidr(item, size, &gateway))
            continue;
        *(gateway.family == AF_INET ? &count4 : &count6) += 1;
        if (net->address && !is_gateway_reachable(net->address->value, &gateway))
            config_problem_add(problems, net->gateway->line, "%s: the %s gateway is in no network of NET%c_ADDRESS", net->gateway->key,
                               gateway.family == AF_INET ? "IPv4" : "IPv6", net->digit);
    }
    if (count4 > 1 || count6 > 1)
        config_problem_add(problems, net->gateway->line, "%s: more than one %s gateway", net->gateway->key, count4 > 1 ? "IPv4" : "IPv6");
}

static void check_net(const struct config *config, const struct net *net, struct config_problems *problems) {
    char name[] = "NET#_INTERFACE";
    name[3] = net->digit;
    if (net->first && !config_mentions(config, name))
        config_problem_add(problems, net->first->line, "%s: needs NET%c_INTERFACE, which is not set", net->first->key, net->digit);
    strcpy(name + 5, "ADDRESS");
    if (net->gateway && net->gateway->value[0] && !config_mentions(config, name))
        config_problem_add(problems, net->gateway->line, "%s: needs NET%c_ADDRESS, which is not set (DHCP brings its own gateway)",
                           net->gateway->key, net->digit);
    if (net->gateway)
        check_gateways(net, problems);
    int64_t mtu;
    if (net->mtu && net->address && schema_parse_number(net->mtu->value, false, &mtu) && mtu < 1280 &&
        address_family_listed(net->address->value, AF_INET6))
        config_problem_add(problems, net->mtu->line, "%s: IPv6 needs at least 1280", net->mtu->key);
}

static bool is_same_place(const struct net *a, const struct net *b) {
    if (!a->interface || !b->interface || strcasecmp(a->interface->value, b->interface->value) != 0 || !a->vlan != !b->vlan)
        return false;
    return !a->vlan || strcmp(a->vlan->value, b->vlan->value) == 0;
}

static void rule_networks(const struct schema *schema, const struct config *config, struct config_problems *problems) {
    struct net nets[10];
    for (int i = 0; i < 10; i++) {
        nets[i] = net_load(schema, config, (char)('0' + i));
        check_net(config, &nets[i], problems);
        for (int j = 0; j < i; j++)
            if (is_same_place(&nets[j], &nets[i]))
                config_problem_add(problems, nets[i].interface->line, "%s: the same interface%s as NET%d_INTERFACE in line %u",
                                   nets[i].interface->key, nets[i].vlan ? " and VLAN" : "", j, nets[j].interface->line);
    }
}

static void rule_dirty_ratios(const struct schema *schema, const struct config *config, struct config_problems *problems) {
    static const char low[] = "VM_DIRTY_BACKGROUND_RATIO", high[] = "VM_DIRTY_RATIO";
    int64_t background, ratio;
    if (!schema_parse_number(schema_text(schema, config, low), false, &background) ||
        !schema_parse_number(schema_text(schema, config, high), false, &ratio) || background < ratio)
        return;
    const struct config_entry *entry = config_find(config, low) ? config_find(config, low) : config_find(config, high);
    config_problem_add(problems, entry->line, "%s must be below %s (%s)", low, high,
                       config_find(config, low) && config_find(config, high) ? "both are set" : "the other has its default");
}

static void rule_updates(const struct schema *schema, const struct config *config, struct config_problems *problems) {
    (void)schema;
    const struct config_entry *automatic = config_find(config, "UPDATE_AUTO");
    if (automatic && strcmp(automatic->value, "true") == 0 && !config_mentions(config, "UPDATE_URL"))
        config_problem_add(problems, automatic->line, "UPDATE_AUTO: needs UPDATE_URL, which is not set");
}

// Two servers on one port: the later one would not start.
static void rule_health_port(const struct schema *schema, const struct config *config, struct config_problems *problems) {
    const struct config_entry *listen = config_find(config, "HEALTH_LISTEN"), *ssh = config_find(config, "SSH_PORT");
    const char *colon = strrchr(schema_text(schema, config, "HEALTH_LISTEN"), ':');
    if (!colon || strcmp(colon + 1, schema_text(schema, config, "SSH_PORT")) != 0)
        return;
    if (listen)
        config_problem_add(problems, listen->line, "HEALTH_LISTEN: its port is SSH_PORT");
    else
        config_problem_add(problems, ssh ? ssh->line : 0, "SSH_PORT: is the port of HEALTH_LISTEN");
}

// An image is taken from elsewhere only by its hash; and a medium that stays in its drive must not install for ever.
static void rule_install(const struct schema *schema, const struct config *config, struct config_problems *problems) {
    const struct config_entry *url = config_find(config, "INSTALL_IMAGE_URL"), *sha256 = config_find(config, "INSTALL_IMAGE_SHA256"),
                              *existing = config_find(config, "INSTALL_EXISTING");
    if (url && !sha256)
        config_problem_add(problems, url->line, "INSTALL_IMAGE_URL: needs INSTALL_IMAGE_SHA256, which is not set");
    if (sha256 && !url)
        config_problem_add(problems, sha256->line, "INSTALL_IMAGE_SHA256: needs INSTALL_IMAGE_URL, which is not set");
    if (url && existing && strcmp(existing->value, "replace") == 0 && strcmp(schema_text(schema, config, "INSTALL_THEN"), "reboot") == 0)
        config_problem_add(problems, existing->line,
                           "INSTALL_EXISTING: replace with INSTALL_IMAGE_URL needs INSTALL_THEN=poweroff or wait: "
                           "a medium that is started again would install again");
}

schema_rule *const schema_base_rules[] = {rule_networks, rule_dirty_ratios, rule_updates, rule_health_port, rule_install, NULL};
