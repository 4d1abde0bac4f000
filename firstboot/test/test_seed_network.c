// SPDX-License-Identifier: Apache-2.0
// network-config of both versions and meta-data → keys. The shapes are those that Proxmox VE, cloud-init's documents and netplan show.
#include "common/schema.h"
#include "common/test/support.h"
#include "firstboot/seed_network.h"
#include <errno.h>

typedef int reader(const char *text, size_t size, struct config *config, struct config_problems *problems);

// The keys as "KEY=value\n" lines, which must pass the schema; the caller frees.
static char *keys_of(reader *read, const char *text) {
    cleanup_config struct config config = {0};
    cleanup_config_problems struct config_problems problems = {0};
    if (read(text, strlen(text), &config, &problems) < 0)
        fail_msg("line %u: %s\n%s", problems.items[0].line, problems.items[0].text, text);
    if (schema_check(&schema_base, &config, &problems) < 0)
        fail_msg("schema: line %u: %s\n%s", problems.items[0].line, problems.items[0].text, text);
    struct buf buf = {0};
    for (size_t i = 0; i < config.count; i++)
        buf_printf(&buf, "%s=%s\n", config.entries[i].key, config.entries[i].value);
    return buf_take(&buf);
}

static void network_shapes(void **state) {
    (void)state;
    static const struct {
        const char *text, *keys;
    } cases[] = {
        {"", ""},
        {"network:\n  config: disabled\n", ""},
        {"network: {}\n", ""},
        // Proxmox VE: version 1 without `network:`, quoted texts, netmask
        {"version: 1\n"
         "config:\n"
         "    - type: physical\n"
         "      name: eth0\n"
         "      mac_address: 'bc:24:11:01:02:03'\n"
         "      subnets:\n"
         "      - type: static\n"
         "        address: '192.0.2.5'\n"
         "        netmask: '255.255.255.0'\n"
         "        gateway: '192.0.2.1'\n"
         "      - type: static6\n"
         "        address: '2001:db8::5/64'\n"
         "        gateway: '2001:db8::1'\n"
         "    - type: physical\n"
         "      name: eth1\n"
         "      mac_address: 'bc:24:11:01:02:04'\n"
         "      subnets:\n"
         "      - type: dhcp4\n"
         "      - type: ipv6_slaac\n"
         "    - type: nameserver\n"
         "      address:\n"
         "      - '192.0.2.53'\n"
         "      - '2001:db8::53'\n"
         "      search:\n"
         "      - 'example.org'\n",
         "NET0_INTERFACE=bc:24:11:01:02:03\nNET0_DHCP=false\nNET0_ADDRESS=192.0.2.5/24 2001:db8::5/64\nNET0_GATEWAY=192.0.2.1 2001:db8::1\n"
         "NET1_INTERFACE=bc:24:11:01:02:04\nNET1_DHCP=true\nDNS_SERVERS=192.0.2.53 2001:db8::53\nDNS_SEARCH=example.org\n"},
        // with `network:`, a VLAN, MTU, name servers of a subnet
        {"network:\n"
         "  version: 1\n"
         "  config:\n"
         "  - {}\n",
         NULL},
        {"network:\n"
         "  version: 1\n"
         "  config:\n"
         "  - type: loopback\n"
         "    name: lo\n"
         "  - type: physical\n"
         "    name: ens3\n"
         "    mtu: 9000\n"
         "    subnets:\n"
         "    - type: manual\n"
         "  - type: vlan\n"
         "    name: ens3.42\n"
         "    vlan_link: ens3\n"
         "    vlan_id: 42\n"
         "    subnets:\n"
         "    - type: static\n"
         "      address: 192.0.2.5/24\n"
         "      dns_nameservers: [192.0.2.53]\n"
         "      dns_search: example.org\n"
         "      routes:\n"
         "      - network: 0.0.0.0\n"
         "        netmask: 0.0.0.0\n"
         "        gateway: 192.0.2.254\n",
         "NET0_INTERFACE=ens3\nNET0_MTU=9000\nNET0_DHCP=false\nNET1_INTERFACE=ens3\nNET1_VLAN=42\nNET1_DHCP=false\nNET1_ADDRESS=192.0.2.5/"
         "24\n"
         "NET1_GATEWAY=192.0.2.254\nNET1_DNS=192.0.2.53\nDNS_SEARCH=example.org\n"},
        // version 2
        {"version: 2\nethernets:\n  eth0:\n    dhcp4: true\n", "NET0_INTERFACE=eth0\nNET0_DHCP=true\n"},
        {"network:\n"
         "  version: 2\n"
         "  renderer: networkd\n"
         "  ethernets:\n"
         "    lan:\n"
         "      match:\n"
         "        macaddress: \"52:54:00:12:34:56\"\n"
         "      set-name: lan0\n"
         "      optional: true\n"
         "      dhcp4: no\n"
         "      mtu: 1400\n"
         "      addresses:\n"
         "        - 192.0.2.7/24\n"
         "        - 2001:db8::7/64\n"
         "      routes:\n"
         "        - to: default\n"
         "          via: 192.0.2.1\n"
         "        - to: ::/0\n"
         "          via: fe80::1\n"
         "      nameservers:\n"
         "        addresses: [192.0.2.53, 192.0.2.54]\n"
         "        search: [example.org, example.net]\n"
         "    two:\n"
         "      match: {}\n",
         NULL},
        {"network:\n"
         "  version: 2\n"
         "  renderer: networkd\n"
         "  ethernets:\n"
         "    lan:\n"
         "      match:\n"
         "        macaddress: \"52:54:00:12:34:56\"\n"
         "      set-name: lan0\n"
         "      optional: true\n"
         "      dhcp4: no\n"
         "      mtu: 1400\n"
         "      addresses:\n"
         "        - 192.0.2.7/24\n"
         "        - 2001:db8::7/64\n"
         "      routes:\n"
         "        - to: default\n"
         "          via: 192.0.2.1\n"
         "        - to: ::/0\n"
         "          via: fe80::1\n"
         "      nameservers:\n"
         "        addresses: [192.0.2.53, 192.0.2.54]\n"
         "        search: [example.org, example.net]\n"
         "    wan:\n"
         "      match:\n"
         "        name: ens4\n"
         "      dhcp6: true\n"
         "  vlans:\n"
         "    storage:\n"
         "      id: 7\n"
         "      link: lan\n"
         "      addresses: [10.7.0.7/24]\n",
         "NET0_INTERFACE=52:54:00:12:34:56\nNET0_MTU=1400\nNET0_DHCP=false\nNET0_ADDRESS=192.0.2.7/24 "
         "2001:db8::7/64\nNET0_GATEWAY=192.0.2.1 fe80::1\n"
         "NET0_DNS=192.0.2.53 "
         "192.0.2.54\nNET1_INTERFACE=ens4\nNET1_DHCP=true\nNET2_INTERFACE=52:54:00:12:34:56\nNET2_VLAN=7\nNET2_DHCP=false\n"
         "NET2_ADDRESS=10.7.0.7/24\nDNS_SEARCH=example.org example.net\n"},
        {"{\"version\": 2, \"ethernets\": {\"eth0\": {\"addresses\": [\"203.0.113.9/32\"], \"gateway4\": \"172.31.1.1\", \"dhcp4\": "
         "false}}}",
         "NET0_INTERFACE=eth0\nNET0_DHCP=false\nNET0_ADDRESS=203.0.113.9/32\nNET0_GATEWAY=172.31.1.1\n"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        if (!cases[i].keys) { // the same with one thing wrong
            cleanup_config struct config config = {0};
            cleanup_config_problems struct config_problems problems = {0};
            assert_int_equal(seed_network_config(cases[i].text, strlen(cases[i].text), &config, &problems), -EINVAL);
            assert_int_equal(config.count, 0);
            continue;
        }
        cleanup_free char *keys = keys_of(seed_network_config, cases[i].text);
        assert_string_equal(keys, cases[i].keys);
    }
}

static void network_problems(void **state) {
    (void)state;
#define V1 "version: 1\nconfig:\n"
#define NIC V1 "- type: physical\n  name: eth0\n  subnets:\n"
#define V2 "version: 2\nethernets:\n  eth0:\n"
    static const struct {
        const char *text;
        unsigned line;
        const char *problem;
    } cases[] = {
        {"ethernets: {}\n", 1, "version"},
        {"version: 3\n", 1, "version"},
        {"- a\n", 1, "version"},
        {"plain\n", 1, "version"},
        {"version: 1\nconfig: x\n", 2, "expected a list"},
        {V1 "- type: bond\n  name: b0\n", 3, "unknown type"},
        {V1 "- name: eth0\n", 3, "unknown type"},
        {V1 "- type: physical\n", 3, "'mac_address' or 'name'"},
        {V1 "- type: vlan\n  name: v\n  vlan_link: eth0\n", 3, "'vlan_link' and 'vlan_id'"},
        {NIC "  - type: nonsense\n", 6, "unknown type of subnet"},
        {NIC "  - address: 192.0.2.1/24\n", 6, "unknown type of subnet"},
        {NIC "  - type: static\n", 6, "needs 'address'"},
        {NIC "  - type: static\n    address: 192.0.2.1\n", 6, "needs 'address'"},
        {NIC "  - type: dhcp\n    routes:\n    - network: 10.0.0.0\n      netmask: 255.0.0.0\n      gateway: 192.0.2.1\n", 8,
         "only a default route"},
        {NIC "  - type: dhcp\n    routes:\n    - network: 0.0.0.0\n      netmask: 255.0.0.0\n      gateway: 192.0.2.1\n", 8,
         "only a default route"},
        {NIC "  - type: dhcp\n    dns_nameservers:\n    - a: b\n", 8, "list of texts"},
        {V2 "    routes:\n    - to: 10.0.0.0/8\n      via: 192.0.2.1\n", 5, "only a default route"},
        {V2 "    routes:\n    - to: default\n", 5, "only a default route"},
        {V2 "    addresses:\n    - 192.0.2.1/24:\n        lifetime: 0\n", 5, "list of texts"},
        {V2 "    match:\n      driver: virtio*\n", 4, "'macaddress'"},
        {V2 "    match:\n      name: en*\n", 4, "'macaddress'"},
        {"version: 2\nethernets: [a]\n", 2, "mapping"},
        {"version: 2\nwifis:\n  w: {}\n", 2, "unknown section"},
        {"version: 2\nbridges: {}\n", 2, "unknown section"},
        {"version: 2\nvlans:\n  v:\n    id: 3\n", 3, "'link' and 'id'"},
        {"a: b\na: c\n", 2, "twice"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_config struct config config = {0};
        cleanup_config_problems struct config_problems problems = {0};
        assert_int_equal(seed_network_config(cases[i].text, strlen(cases[i].text), &config, &problems), -EINVAL);
        assert_true(problems.count >= 1);
        if (problems.items[0].line != cases[i].line || !strstr(problems.items[0].text, cases[i].problem))
            fail_msg("%s: line %u: %s", cases[i].text, problems.items[0].line, problems.items[0].text);
    }
}

static void more_interfaces_than_digits(void **state) {
    (void)state;
    for (unsigned count = 10; count <= 11; count++) {
        cleanup_buf struct buf text = {0};
        cleanup_config struct config config = {0};
        cleanup_config_problems struct config_problems problems = {0};
        buf_add_str(&text, "version: 2\nethernets:\n");
        for (unsigned i = 0; i < count; i++)
            buf_printf(&text, "  eth%u:\n    dhcp4: true\n", i);
        assert_int_equal(seed_network_config(buf_str(&text), text.size, &config, &problems), count > 10 ? -EINVAL : 0);
        assert_int_equal(config.count, count > 10 ? 0 : 20);
    }
}

static void netmasks(void **state) {
    (void)state;
    static const struct {
        const char *mask, *address; // NULL: the schema refuses it
    } cases[] = {
        {"255.255.255.0", "192.0.2.5/24"},
        {"255.255.255.255", "192.0.2.5/32"},
        {"0.0.0.0", "192.0.2.5/0"},
        {"255.255.240.0", "192.0.2.5/20"},
        {"24", "192.0.2.5/24"},
        {"255.0.255.0", NULL},
        {"0.255.255.255", NULL},
        {"nonsense", NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_free char *text = str_printf(NIC "  - type: static\n    address: 192.0.2.5\n    netmask: %s\n", cases[i].mask);
        cleanup_config struct config config = {0};
        cleanup_config_problems struct config_problems problems = {0};
        assert_int_equal(seed_network_config(text, strlen(text), &config, &problems), 0);
        assert_int_equal(schema_check(&schema_base, &config, &problems), cases[i].address ? 0 : -EINVAL);
        if (cases[i].address)
            assert_string_equal(config_find(&config, "NET0_ADDRESS")->value, cases[i].address);
        else
            assert_int_equal(problems.items[0].line, 3); // where the interface stands
    }
}

static void meta_data(void **state) {
    (void)state;
    static const struct {
        const char *text, *keys;
    } cases[] = {
        {"instance-id: iid-1\n", ""},
        {"", ""},
        {"instance-id: iid-1\nlocal-hostname: web1\n", "HOSTNAME=web1\n"},
        {"hostname: web2\n", "HOSTNAME=web2\n"},
        {"hostname: web2\nlocal-hostname: web1\n", "HOSTNAME=web1\n"},
        {"local-hostname:\n", ""},
        {"{\n\"instance-id\": \"iid-local01\",\n\"local-hostname\": \"web3\"\n}\n", "HOSTNAME=web3\n"},
        {"public-keys:\n- ssh-ed25519 AAAA x\ninstance-id: 3\n", ""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_free char *keys = keys_of(seed_meta_data, cases[i].text);
        assert_string_equal(keys, cases[i].keys);
    }
    cleanup_config struct config config = {0};
    cleanup_config_problems struct config_problems problems = {0};
    assert_int_equal(seed_meta_data("a: |\n", 5, &config, &problems), -EINVAL);
    assert_int_equal(problems.items[0].line, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(network_shapes), cmocka_unit_test(network_problems), cmocka_unit_test(more_interfaces_than_digits),
        cmocka_unit_test(netmasks),       cmocka_unit_test(meta_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
