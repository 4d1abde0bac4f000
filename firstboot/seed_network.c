// SPDX-License-Identifier: Apache-2.0
// Both versions are read into one `struct nics`, which then becomes keys. Formats: cloud-init's documents "Networking config Version 1"
// and "Version 2". Values are only carried over here; the schema checks them like any other.
#include "firstboot/seed_network.h"
#include "common/buf.h"
#include "firstboot/seed_yaml.h"
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#define MAX_NICS 10 // one digit in NET#_

struct nic {
    const char *name; // what other entries call it
    const char *interface; // name or MAC address; NULL for a VLAN
    const char *link, *vlan, *mtu;
    bool dhcp;
    unsigned line;
    struct buf addresses, gateways, dns;
};

struct nics {
    struct nic items[MAX_NICS];
    unsigned count;
    struct buf dns, search; // for all interfaces
    unsigned dns_line, search_line;
};

struct reader {
    const struct seed_yaml *yaml;
    struct nics *nics;
    struct config_problems *problems;
};

typedef const struct seed_yaml_node node;

static void nics_done(struct nics *nics) {
    for (unsigned i = 0; i < nics->count; i++) {
        buf_done(&nics->items[i].addresses);
        buf_done(&nics->items[i].gateways);
        buf_done(&nics->items[i].dns);
    }
    buf_done(&nics->dns);
    buf_done(&nics->search);
}

static void problem(struct reader *reader, node *at, const char *text) {
    config_problem_add(reader->problems, at->line, "%s", text);
}

static void add_word(struct buf *buf, const char *word) {
    if (*word)
        buf_printf(buf, "%s%s", buf->size ? " " : "", word);
}

// A scalar, or each scalar of a list.
static void add_words(struct reader *reader, struct buf *buf, node *value) {
    if (!value)
        return;
    if (value->kind == SEED_SCALAR) {
        add_word(buf, value->text);
        return;
    }
    for (node *item = seed_yaml_first(reader->yaml, value); item; item = seed_yaml_next(reader->yaml, item)) {
        if (item->kind == SEED_SCALAR && value->kind == SEED_LIST)
            add_word(buf, item->text);
        else
            problem(reader, item, "expected a text or a list of texts");
    }
}

static bool is_one_of(const char *text, const char *const *words) {
    for (; text && *words; words++)
        if (strcmp(text, *words) == 0)
            return true;
    return false;
}

static bool is_true(const char *text) {
    static const char *const words[] = {"true", "True", "yes", "on", NULL};
    return is_one_of(text, words);
}

static struct nic *nic_add(struct reader *reader, node *at) {
    if (reader->nics->count == MAX_NICS) {
        problem(reader, at, "more than 10 interfaces");
        return NULL;
    }
    struct nic *nic = &reader->nics->items[reader->nics->count++];
    nic->line = at->line;
    nic->mtu = seed_yaml_text(reader->yaml, at, "mtu");
    return nic;
}

// "255.255.255.0" → 24; -1 when it is no mask.
static int mask_bits(const char *mask) {
    struct in_addr address;
    if (inet_pton(AF_INET, mask, &address) != 1)
        return -1;
    uint32_t bits = ntohl(address.s_addr);
    uint32_t inverse = ~bits;
    return (inverse & (inverse + 1)) == 0 ? __builtin_popcount(bits) : -1;
}

static void read_static(struct reader *reader, node *subnet, struct nic *nic) {
    const char *address = seed_yaml_text(reader->yaml, subnet, "address"), *mask = seed_yaml_text(reader->yaml, subnet, "netmask");
    const char *gateway = seed_yaml_text(reader->yaml, subnet, "gateway");
    if (!address || (!strchr(address, '/') && !mask)) {
        problem(reader, subnet, "a static subnet needs 'address' with a prefix length, or 'address' and 'netmask'");
        return;
    }
    cleanup_free char *full = str_dup(address);
    if (!strchr(address, '/')) {
        int bits = mask_bits(mask);
        free(full);
        full = bits >= 0 ? str_printf("%s/%d", address, bits) : str_printf("%s/%s", address, mask);
    }
    add_word(&nic->addresses, full);
    if (gateway)
        add_word(&nic->gateways, gateway);
}

// A default route is a gateway; config.env has no key for any other.
static void read_route(struct reader *reader, node *route, const char *to_key, const char *via_key, struct nic *nic) {
    static const char *const defaults[] = {"default", "0.0.0.0/0", "::/0", "0.0.0.0", "::", NULL};
    const char *to = seed_yaml_text(reader->yaml, route, to_key), *via = seed_yaml_text(reader->yaml, route, via_key);
    const char *mask = seed_yaml_text(reader->yaml, route, "netmask");
    if (!via || !is_one_of(to, defaults) || (mask && strcmp(mask, "0.0.0.0") != 0 && strcmp(mask, "0") != 0 && strcmp(mask, "::") != 0))
        problem(reader, route, "only a default route with a gateway can be taken over");
    else
        add_word(&nic->gateways, via);
}

static void read_routes(struct reader *reader, node *parent, const char *to_key, const char *via_key, struct nic *nic) {
    node *routes = seed_yaml_find(reader->yaml, parent, "routes");
    for (node *route = seed_yaml_first(reader->yaml, routes); route; route = seed_yaml_next(reader->yaml, route))
        read_route(reader, route, to_key, via_key, nic);
}

static void read_search(struct reader *reader, node *search) {
    if (search)
        reader->nics->search_line = search->line;
    add_words(reader, &reader->nics->search, search);
}

static void read_subnet_1(struct reader *reader, node *subnet, struct nic *nic) {
    static const char *const dhcp[] = {"dhcp", "dhcp4", "dhcp6", "ipv6_dhcpv6-stateful", "ipv6_dhcpv6-stateless", NULL};
    static const char *const fixed[] = {"static", "static6", NULL};
    static const char *const nothing[] = {"manual", "ipv6_slaac", NULL}; // router advertisements are listened to anyway
    const char *type = seed_yaml_text(reader->yaml, subnet, "type");
    if (is_one_of(type, dhcp))
        nic->dhcp = true;
    else if (is_one_of(type, fixed))
        read_static(reader, subnet, nic);
    else if (!is_one_of(type, nothing))
        problem(reader, subnet, "unknown type of subnet: expected dhcp, static, ipv6_slaac or manual");
    add_words(reader, &nic->dns, seed_yaml_find(reader->yaml, subnet, "dns_nameservers"));
    read_search(reader, seed_yaml_find(reader->yaml, subnet, "dns_search"));
    read_routes(reader, subnet, "network", "gateway", nic);
}

static void read_subnets_1(struct reader *reader, node *entry, struct nic *nic) {
    node *subnets = seed_yaml_find(reader->yaml, entry, "subnets");
    for (node *subnet = seed_yaml_first(reader->yaml, subnets); subnet; subnet = seed_yaml_next(reader->yaml, subnet))
        read_subnet_1(reader, subnet, nic);
}

static void read_physical_1(struct reader *reader, node *entry) {
    struct nic *nic = nic_add(reader, entry);
    if (!nic)
        return;
    const char *mac = seed_yaml_text(reader->yaml, entry, "mac_address");
    nic->name = seed_yaml_text(reader->yaml, entry, "name");
    nic->interface = mac ? mac : nic->name;
    if (!nic->interface)
        problem(reader, entry, "an interface needs 'mac_address' or 'name'");
    read_subnets_1(reader, entry, nic);
}

static void read_vlan_1(struct reader *reader, node *entry) {
    struct nic *nic = nic_add(reader, entry);
    if (!nic)
        return;
    nic->name = seed_yaml_text(reader->yaml, entry, "name");
    nic->link = seed_yaml_text(reader->yaml, entry, "vlan_link");
    nic->vlan = seed_yaml_text(reader->yaml, entry, "vlan_id");
    if (!nic->link || !nic->vlan)
        problem(reader, entry, "a VLAN needs 'vlan_link' and 'vlan_id'");
    read_subnets_1(reader, entry, nic);
}

static void read_nameserver_1(struct reader *reader, node *entry) {
    reader->nics->dns_line = entry->line;
    add_words(reader, &reader->nics->dns, seed_yaml_find(reader->yaml, entry, "address"));
    read_search(reader, seed_yaml_find(reader->yaml, entry, "search"));
}

static void skip_entry(struct reader *reader, node *entry) {
    (void)reader, (void)entry;
}

static void read_version_1(struct reader *reader, node *root) {
    static const struct {
        const char *type;
        void (*read)(struct reader *reader, node *entry);
    } types[] = {{"physical", read_physical_1}, {"vlan", read_vlan_1}, {"nameserver", read_nameserver_1}, {"loopback", skip_entry}};
    node *list = seed_yaml_find(reader->yaml, root, "config");
    if (list && list->kind != SEED_LIST) {
        problem(reader, list, "expected a list below 'config'");
        return;
    }
    for (node *entry = seed_yaml_first(reader->yaml, list); entry; entry = seed_yaml_next(reader->yaml, entry)) {
        const char *type = seed_yaml_text(reader->yaml, entry, "type");
        size_t i = 0;
        while (i < ARRAY_SIZE(types) && (!type || strcmp(types[i].type, type) != 0))
            i++;
        if (i < ARRAY_SIZE(types))
            types[i].read(reader, entry);
        else
            problem(reader, entry, "unknown type: config.env knows physical interfaces, VLANs and name servers");
    }
}

static void read_common_2(struct reader *reader, node *entry, struct nic *nic) {
    const struct seed_yaml *yaml = reader->yaml;
    const char *gateway4 = seed_yaml_text(yaml, entry, "gateway4"), *gateway6 = seed_yaml_text(yaml, entry, "gateway6");
    node *servers = seed_yaml_find(yaml, entry, "nameservers");
    nic->dhcp = is_true(seed_yaml_text(yaml, entry, "dhcp4")) || is_true(seed_yaml_text(yaml, entry, "dhcp6"));
    add_words(reader, &nic->addresses, seed_yaml_find(yaml, entry, "addresses"));
    add_word(&nic->gateways, gateway4 ? gateway4 : "");
    add_word(&nic->gateways, gateway6 ? gateway6 : "");
    read_routes(reader, entry, "to", "via", nic);
    add_words(reader, &nic->dns, seed_yaml_find(yaml, servers, "addresses"));
    read_search(reader, seed_yaml_find(yaml, servers, "search"));
}

static void read_ethernet_2(struct reader *reader, node *entry) {
    struct nic *nic = nic_add(reader, entry);
    if (!nic)
        return;
    node *match = seed_yaml_find(reader->yaml, entry, "match");
    const char *mac = seed_yaml_text(reader->yaml, match, "macaddress"), *name = seed_yaml_text(reader->yaml, match, "name");
    nic->name = entry->key;
    nic->interface = mac ? mac : name ? name : entry->key;
    if (match && !mac && (!name || strpbrk(name, "*?[")))
        problem(reader, match, "an interface is matched by 'macaddress' or by its whole 'name'");
    read_common_2(reader, entry, nic);
}

static void read_vlan_2(struct reader *reader, node *entry) {
    struct nic *nic = nic_add(reader, entry);
    if (!nic)
        return;
    nic->name = entry->key;
    nic->link = seed_yaml_text(reader->yaml, entry, "link");
    nic->vlan = seed_yaml_text(reader->yaml, entry, "id");
    if (!nic->link || !nic->vlan)
        problem(reader, entry, "a VLAN needs 'link' and 'id'");
    read_common_2(reader, entry, nic);
}

static void read_version_2(struct reader *reader, node *root) {
    static const struct {
        const char *section;
        void (*read)(struct reader *reader, node *entry);
    } sections[] = {{"ethernets", read_ethernet_2}, {"vlans", read_vlan_2}};
    static const char *const known[] = {"version", "renderer", "ethernets", "vlans", NULL};
    for (node *member = seed_yaml_first(reader->yaml, root); member; member = seed_yaml_next(reader->yaml, member))
        if (!is_one_of(member->key, known))
            problem(reader, member, "unknown section: config.env knows ethernets and vlans");
    for (size_t i = 0; i < ARRAY_SIZE(sections); i++) {
        node *section = seed_yaml_find(reader->yaml, root, sections[i].section);
        if (section && section->kind != SEED_MAP)
            problem(reader, section, "expected a mapping of interfaces");
        else
            for (node *entry = seed_yaml_first(reader->yaml, section); entry; entry = seed_yaml_next(reader->yaml, entry))
                sections[i].read(reader, entry);
    }
}

// The interface of a VLAN's parent: what its link is called here, or else a kernel name.
static const char *link_interface(const struct nics *nics, const char *link) {
    for (unsigned i = 0; i < nics->count; i++)
        if (nics->items[i].name && nics->items[i].interface && strcmp(nics->items[i].name, link) == 0)
            return nics->items[i].interface;
    return link;
}

static void set_key(struct config *config, unsigned digit, const char *rest, const char *value, unsigned line) {
    if (!value || !*value)
        return;
    cleanup_free char *key = str_printf("NET%u_%s", digit, rest);
    config_set(config, key, value, line);
}

static void write_keys(const struct nics *nics, struct config *config) {
    for (unsigned i = 0; i < nics->count; i++) {
        const struct nic *nic = &nics->items[i];
        set_key(config, i, "INTERFACE", nic->link ? link_interface(nics, nic->link) : nic->interface, nic->line);
        set_key(config, i, "VLAN", nic->vlan, nic->line);
        set_key(config, i, "MTU", nic->mtu, nic->line);
        set_key(config, i, "DHCP", nic->dhcp ? "true" : "false", nic->line);
        set_key(config, i, "ADDRESS", buf_str(&nic->addresses), nic->line);
        set_key(config, i, "GATEWAY", buf_str(&nic->gateways), nic->line);
        set_key(config, i, "DNS", buf_str(&nic->dns), nic->line);
    }
    if (nics->dns.size)
        config_set(config, "DNS_SERVERS", buf_str(&nics->dns), nics->dns_line);
    if (nics->search.size)
        config_set(config, "DNS_SEARCH", buf_str(&nics->search), nics->search_line);
}

int seed_network_config(const char *text, size_t size, struct config *config, struct config_problems *problems) {
    size_t before = problems->count;
    cleanup_seed_yaml struct seed_yaml yaml = {0};
    cleanup(nics_done) struct nics nics = {0};
    int r = seed_yaml_parse(text, size, &yaml, problems);
    if (r < 0)
        return r;
    struct reader reader = {.yaml = &yaml, .nics = &nics, .problems = problems};
    node *below = seed_yaml_find(&yaml, &yaml.nodes[0], "network");
    node *root = below ? below : &yaml.nodes[0];
    const char *version = seed_yaml_text(&yaml, root, "version"), *disabled = seed_yaml_text(&yaml, root, "config");
    if ((disabled && strcmp(disabled, "disabled") == 0) || (root->kind == SEED_MAP && !root->child))
        return 0;
    if (version && strcmp(version, "1") == 0)
        read_version_1(&reader, root);
    else if (version && strcmp(version, "2") == 0)
        read_version_2(&reader, root);
    else
        problem(&reader, root, "expected 'version: 1' or 'version: 2'");
    if (problems->count > before)
        return -EINVAL;
    write_keys(&nics, config);
    return 0;
}

int seed_meta_data(const char *text, size_t size, struct config *config, struct config_problems *problems) {
    cleanup_seed_yaml struct seed_yaml yaml = {0};
    int r = seed_yaml_parse(text, size, &yaml, problems);
    if (r < 0)
        return r;
    node *root = &yaml.nodes[0], *name = seed_yaml_find(&yaml, root, "local-hostname");
    if (!name)
        name = seed_yaml_find(&yaml, root, "hostname");
    if (name && name->kind == SEED_SCALAR && name->text[0])
        config_set(config, "HOSTNAME", name->text, name->line);
    return 0;
}
