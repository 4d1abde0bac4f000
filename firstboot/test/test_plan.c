// SPDX-License-Identifier: Apache-2.0
#include "firstboot/test/support.h"
#include "firstboot/facts.h"
#include <errno.h>

#define HEADER "# Rendered by webops from config.env.\n"
#define KEY1 "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJcZkW0J3cXkbMKAmOQ5dpoMRjm1QqEQm6nM8dyc7Xzv a@b"
#define KEY2 "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJcZkW0J3cXkbMKAmOQ5dpoMRjm1QqEQm6nM8dyc7Xzw c@d"

static void defaults_are_complete(void **state) {
    (void)state;
    static const char *const expected[] = {
        "etc/chrony/chrony.conf",
        "etc/group",
        "etc/gshadow",
        "etc/hostname",
        "etc/hosts",
        "etc/issue.d/10-webops.issue",
        "etc/localtime",
        "etc/nftables.conf",
        "etc/passwd",
        "etc/security/limits.d/90-webops.conf",
        "etc/shadow",
        "etc/ssh/authorized_keys.d/ops",
        "etc/ssh/sshd_config.d/10-webops.conf",
        "etc/sudoers.d/90-webops",
        "etc/sysctl.d/90-webops.conf",
        "etc/systemd/network/80-webops-dhcp.network",
        "etc/systemd/system/user-.slice.d/90-webops.conf",
        "etc/timezone",
        "home/ops",
    };
    cleanup_plan struct plan plan = support_plan("");
    assert_int_equal(plan.count, ARRAY_SIZE(expected));
    for (size_t i = 0; i < plan.count; i++)
        assert_string_equal(plan.entries[i].path, expected[i]); // sorted, each once
}

static void hostname_and_hosts(void **state) {
    (void)state;
    cleanup_plan struct plan plan = support_plan("HOSTNAME=db1.example.org\n");
    assert_string_equal(support_content(&plan, "etc/hostname"), "db1.example.org\n");
    assert_string_equal(plan.hostname, "db1.example.org");
    assert_string_equal(support_content(&plan, "etc/hosts"),
                        "127.0.0.1 localhost\n127.0.1.1 db1.example.org db1\n"
                        "::1 localhost ip6-localhost ip6-loopback\nff02::1 ip6-allnodes\nff02::2 ip6-allrouters\n");
}

static void timezone_is_a_link(void **state) {
    (void)state;
    cleanup_plan struct plan plan = support_plan("TIMEZONE=Europe/Berlin\n");
    const struct plan_entry *entry = plan_find(&plan, "etc/localtime");
    assert_int_equal(entry->kind, PLAN_LINK);
    assert_string_equal(entry->content, "../usr/share/zoneinfo/Europe/Berlin");
    assert_string_equal(support_content(&plan, "etc/timezone"), "Europe/Berlin\n");
}

static void unknown_zone_costs_only_itself(void **state) {
    (void)state;
    struct facts facts = support_facts;
    facts.has_zone = false;
    cleanup_plan struct plan plan = support_plan_with("HOSTNAME=kept\nTIMEZONE=Mars/Olympus\n", &facts, 1);
    assert_string_equal(plan_find(&plan, "etc/localtime")->content, "../usr/share/zoneinfo/UTC");
    assert_string_equal(plan.hostname, "kept");
}

static void chrony_lists_servers(void **state) {
    (void)state;
    cleanup_plan struct plan plan = support_plan("NTP_SERVERS='ntp1.example 192.0.2.1'\n"), none = support_plan("NTP_SERVERS=\n");
    assert_non_null(strstr(support_content(&plan, "etc/chrony/chrony.conf"), "server ntp1.example iburst\nserver 192.0.2.1 iburst\n"));
    assert_null(strstr(support_content(&none, "etc/chrony/chrony.conf"), "server "));
}

static void journal_only_when_it_differs(void **state) {
    (void)state;
    static const char path[] = "etc/systemd/journald.conf.d/90-webops.conf";
    cleanup_plan struct plan same = support_plan("JOURNAL_MAX_SIZE=200M\n"), other = support_plan("JOURNAL_MAX_SIZE=1G\n");
    assert_null(plan_find(&same, path));
    assert_string_equal(support_content(&other, path), HEADER "[Journal]\nSystemMaxUse=1G\n");
}

static void network_default_is_dhcp(void **state) {
    (void)state;
    cleanup_plan struct plan plan = support_plan("");
    assert_string_equal(support_content(&plan, "etc/systemd/network/80-webops-dhcp.network"),
                        HEADER "[Match]\nType=ether\nKind=!*\nDriver=!dummy macvlan tun veth\n\n[Network]\nDHCP=yes\nIPv6AcceptRA=yes\n"
                               "\n[DHCPv4]\nClientIdentifier=mac\nUseMTU=yes\nUseHostname=no\n\n[DHCPv6]\nUseHostname=no\n");
}

static void network_static(void **state) {
    (void)state;
    cleanup_plan struct plan plan = support_plan("NET0_INTERFACE=eth0\nNET0_ADDRESS='192.0.2.7/24 2001:db8::7/64'\n"
                                                 "NET0_GATEWAY='192.0.2.1 fe80::1'\nNET0_DNS='192.0.2.53'\nNET0_MTU=1400\n");
    assert_string_equal(support_content(&plan, "etc/systemd/network/10-webops-net0.network"),
                        HEADER "[Match]\nName=eth0\n\n[Link]\nMTUBytes=1400\n\n[Network]\nDHCP=no\nIPv6AcceptRA=no\n"
                               "Address=192.0.2.7/24\nAddress=2001:db8::7/64\nIgnoreCarrierLoss=10s\nDNS=192.0.2.53\n"
                               "\n[Route]\nGateway=192.0.2.1\n\n[Route]\nGateway=fe80::1\nGatewayOnLink=yes\n");
}

static void network_host_route(void **state) {
    (void)state;
    cleanup_plan struct plan plan =
        support_plan("NET3_INTERFACE=52:54:00:12:34:56\nNET3_ADDRESS=192.0.2.7/32\nNET3_GATEWAY=172.31.1.1\nNET3_DHCP=true\n");
    const char *text = support_content(&plan, "etc/systemd/network/10-webops-net3.network");
    assert_non_null(strstr(text, "[Match]\nType=ether\nKind=!*\nDriver=!dummy macvlan tun veth\nMACAddress=52:54:00:12:34:56\n"));
    assert_non_null(strstr(text, "DHCP=yes\n"));
    assert_non_null(strstr(text, "Gateway=172.31.1.1\nGatewayOnLink=yes\n"));
}

static void network_vlans_on_one_parent(void **state) {
    (void)state;
    cleanup_plan struct plan plan = support_plan("NET1_INTERFACE=eth0\nNET1_VLAN=10\nNET1_ADDRESS=10.0.10.2/24\n"
                                                 "NET2_INTERFACE=eth0\nNET2_VLAN=20\n");
    assert_string_equal(support_content(&plan, "etc/systemd/network/10-webops-net1.netdev"),
                        HEADER "[NetDev]\nName=net1\nKind=vlan\n\n[VLAN]\nId=10\n");
    assert_string_equal(support_content(&plan, "etc/systemd/network/10-webops-net1-parent.network"),
                        HEADER "[Match]\nName=eth0\n\n[Network]\nLinkLocalAddressing=no\nIPv6AcceptRA=no\nVLAN=net1\nVLAN=net2\n");
    assert_null(plan_find(&plan, "etc/systemd/network/10-webops-net2-parent.network"));
    assert_non_null(strstr(support_content(&plan, "etc/systemd/network/10-webops-net2.network"), "[Match]\nName=net2\n"));
}

static void network_vlan_beside_its_parent(void **state) {
    (void)state;
    cleanup_plan struct plan plan = support_plan("NET0_INTERFACE=eth0\nNET1_INTERFACE=eth0\nNET1_VLAN=10\n");
    const char *parent = support_content(&plan, "etc/systemd/network/10-webops-net0.network");
    assert_non_null(strstr(parent, "DHCP=yes\n"));
    assert_non_null(strstr(parent, "VLAN=net1\n"));
    assert_null(plan_find(&plan, "etc/systemd/network/10-webops-net1-parent.network"));
}

// The image says which of the two configures its network.
static void networkmanager_profiles(void **state) {
    (void)state;
    struct facts facts = support_facts;
    facts.has_networkmanager = true;
    cleanup_plan struct plan plan =
        support_plan_with("NET0_INTERFACE=52:54:00:12:34:56\nNET0_ADDRESS='192.0.2.7/24 2001:db8::7/64'\n"
                          "NET0_GATEWAY='192.0.2.1 fe80::1'\nNET0_DNS='192.0.2.53 2001:db8::53'\nNET0_MTU=1400\n"
                          "NET1_INTERFACE=eth1\nNET1_VLAN=10\nNET1_ADDRESS=10.0.10.2/24\nDNS_SERVERS=192.0.2.9\n"
                          "DNS_SEARCH='a.example b.example'\n",
                          &facts, 0);
    static const char directory[] = "etc/NetworkManager/system-connections/";
    assert_string_equal(
        support_content(&plan, "etc/NetworkManager/system-connections/webops-net0.nmconnection"),
        HEADER "[connection]\nid=webops-net0\ntype=ethernet\n\n[ethernet]\nmac-address=52:54:00:12:34:56\nmtu=1400\n"
               "\n[ipv4]\nmethod=manual\naddress1=192.0.2.7/24\nroute1=0.0.0.0/0,192.0.2.1\ndns=192.0.2.53\n"
               "dns-search=a.example;b.example\n"
               "\n[ipv6]\nmethod=manual\naddress1=2001:db8::7/64\nroute1=::/0,fe80::1\nroute1_options=onlink=true\ndns=2001:db8::53\n");
    assert_string_equal(support_content(&plan, "etc/NetworkManager/system-connections/webops-net1.nmconnection"), HEADER
                        "[connection]\nid=webops-net1\ntype=vlan\ninterface-name=net1\n\n[vlan]\nid=10\nparent=eth1\n\n[ethernet]\n"
                        "\n[ipv4]\nmethod=manual\naddress1=10.0.10.2/24\ndns-search=a.example;b.example\n\n[ipv6]\nmethod=link-local\n");
    assert_string_equal(support_content(&plan, "etc/NetworkManager/system-connections/webops-net1-parent.nmconnection"), HEADER
                        "[connection]\nid=webops-net1-parent\ntype=ethernet\ninterface-name=eth1\n\n[ipv4]\nmethod=disabled\n\n[ipv6]\n"
                        "method=disabled\n");
    assert_string_equal(
        support_content(&plan, "etc/NetworkManager/conf.d/90-webops.conf"),
        HEADER "[main]\nno-auto-default=*\nhostname-mode=none\n\n[global-dns]\nsearches=a.example,b.example\n\n[global-dns-domain-*]\n"
               "servers=192.0.2.9\n");
    for (size_t i = 0; i < plan.count; i++) {
        assert_int_not_equal(strncmp(plan.entries[i].path, "etc/systemd/network/", 20), 0);
        if (strncmp(plan.entries[i].path, directory, strlen(directory)) == 0)
            assert_int_equal(plan.entries[i].mode, 0600); // others are refused
    }
}

// NetworkManager refuses a profile that names servers or search domains of a family which the card has not.
static void networkmanager_profiles_of_one_family(void **state) {
    (void)state;
    struct facts facts = support_facts;
    facts.has_networkmanager = true;
    cleanup_plan struct plan plan =
        support_plan_with("NET0_INTERFACE=eth0\nNET0_ADDRESS=2001:db8::7/64\nNET0_DNS='192.0.2.53 2001:db8::53'\n"
                          "NET1_INTERFACE=eth1\nNET1_DHCP=false\nDNS_SEARCH=a.example\n",
                          &facts, 0);
    assert_string_equal(support_content(&plan, "etc/NetworkManager/system-connections/webops-net0.nmconnection"),
                        HEADER "[connection]\nid=webops-net0\ntype=ethernet\ninterface-name=eth0\n\n[ethernet]\n"
                               "\n[ipv4]\nmethod=disabled\n# cannot be asked from a card without an address of their kind: dns=192.0.2.53\n"
                               "\n[ipv6]\nmethod=manual\naddress1=2001:db8::7/64\ndns=2001:db8::53\ndns-search=a.example\n");
    assert_string_equal(support_content(&plan, "etc/NetworkManager/system-connections/webops-net1.nmconnection"),
                        HEADER "[connection]\nid=webops-net1\ntype=ethernet\ninterface-name=eth1\n\n[ethernet]\n"
                               "\n[ipv4]\nmethod=disabled\n\n[ipv6]\nmethod=link-local\n");
}

static void dns_for_all(void **state) {
    (void)state;
    cleanup_plan struct plan plan = support_plan("DNS_SERVERS='192.0.2.53 2001:db8::53'\nDNS_SEARCH=example.org\n");
    assert_string_equal(support_content(&plan, "etc/systemd/resolved.conf.d/90-webops.conf"),
                        HEADER "[Resolve]\nDNS=192.0.2.53\nDNS=2001:db8::53\nDomains=example.org\n");
}

static void ssh_is_closed(void **state) {
    (void)state;
    static const char *const lines[] = {"Port 2222\n",
                                        "AllowUsers web\n",
                                        "PasswordAuthentication no\n",
                                        "PermitRootLogin no\n",
                                        "MaxAuthTries 2\n",
                                        "AuthorizedKeysFile /etc/ssh/authorized_keys.d/%u\n",
                                        "HostKey /var/lib/webops/ssh/ssh_host_ed25519_key\n"};
    cleanup_plan struct plan plan = support_plan("SSH_PORT=2222\nOPERATOR_USER=web\n");
    const char *text = support_content(&plan, "etc/ssh/sshd_config.d/10-webops.conf");
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
        assert_non_null(strstr(text, lines[i]));
}

// Before OpenSSH 8.2 (Enterprise Linux 8) the file in the directory would say nothing to anybody.
static void ssh_is_closed_without_includes(void **state) {
    (void)state;
    struct facts facts = support_facts;
    facts.sshd_includes_nothing = true;
    cleanup_plan struct plan usual = support_plan("OPERATOR_USER=web\n"), plan = support_plan_with("OPERATOR_USER=web\n", &facts, 0);
    const char *part = support_content(&usual, "etc/ssh/sshd_config.d/10-webops.conf"),
               *whole = support_content(&plan, "etc/ssh/sshd_config");
    assert_memory_equal(part, whole, strlen(part));
    assert_string_equal(whole + strlen(part), "UsePAM yes\nChallengeResponseAuthentication no\nSubsystem sftp internal-sftp\n");
    assert_null(plan_find(&plan, "etc/ssh/sshd_config.d/10-webops.conf"));
    assert_null(plan_find(&usual, "etc/ssh/sshd_config"));
}

static void whether_sshd_includes_is_seen(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool includes_nothing;
    } cases[] = {
        {"Include /etc/ssh/sshd_config.d/*.conf\nPort 22\n", false},
        {"Port 22\n\n  include\t\"/etc/ssh/sshd_config.d/*.conf\"", false},
        {"Port 22\nUsePAM yes\n", true},
        {"#Include /etc/ssh/sshd_config.d/*.conf\n", true},
        {"Include /etc/ssh/other\n# /etc/ssh/sshd_config.d/\n", true},
        {"", true},
    };
    cleanup_root struct support_root root = support_root_make();
    cleanup_config struct config config = {0};
    for (size_t i = 0; i <= ARRAY_SIZE(cases); i++) {
        cleanup_facts struct facts_store store = {0};
        struct err err;
        if (i) // the first turn is without a file
            support_write(&root, "etc/ssh/sshd_config", cases[i - 1].text);
        assert_int_equal(facts_gather(root.fd, &schema_base, &config, true, &store, &err), 0);
        assert_int_equal(store.facts.sshd_includes_nothing, i && cases[i - 1].includes_nothing);
    }
}

static void keys_from_both_places(void **state) {
    (void)state;
    struct facts facts = support_facts;
    facts.authorized_keys = "# team\n" KEY2 "\n\n";
    cleanup_plan struct plan plan =
        support_plan_with("SSH_AUTHORIZED_KEYS='" KEY1 "'\nSSH_AUTHORIZED_KEYS_FILE=/webops/secrets/keys.secret\n", &facts, 0);
    const struct plan_entry *entry = plan_find(&plan, "etc/ssh/authorized_keys.d/ops");
    assert_string_equal(entry->content, KEY1 "\n" KEY2 "\n");
    assert_int_equal(entry->mode, 0644);
    assert_int_equal(entry->uid, 0);
    assert_null(plan_find(&plan, "etc/issue.d/10-webops.issue"));
}

static void key_file_with_control_characters(void **state) {
    (void)state;
    struct facts facts = support_facts;
    facts.authorized_keys = KEY1 "\rcommand=\"x\"\n";
    cleanup_plan struct plan plan = support_plan_with("SSH_AUTHORIZED_KEYS_FILE=/webops/secrets/keys.secret\n", &facts, 1);
    assert_string_equal(support_content(&plan, "etc/ssh/authorized_keys.d/ops"), "");
}

static void operator_account(void **state) {
    (void)state;
    cleanup_plan struct plan plan = support_plan("OPERATOR_USER=web\n");
    assert_non_null(strstr(support_content(&plan, "etc/passwd"), "\nweb:x:1000:1000:Operator:/home/web:/bin/bash\n"));
    assert_non_null(strstr(support_content(&plan, "etc/shadow"), "\nweb:!*:::::::\n"));
    assert_non_null(strstr(support_content(&plan, "etc/group"), "\nsystemd-journal:x:101:web\n"));
    const struct plan_entry *home = plan_find(&plan, "home/web");
    assert_int_equal(home->kind, PLAN_DIRECTORY);
    assert_int_equal(home->uid, OPERATOR_UID);
    assert_string_equal(support_content(&plan, "etc/sudoers.d/90-webops"), HEADER "web ALL=(ALL:ALL) NOPASSWD: ALL\n");
    assert_int_equal(plan_find(&plan, "etc/sudoers.d/90-webops")->mode, 0440);
}

// Who may read password hashes is the image's business.
static void shadows_are_as_in_the_image(void **state) {
    (void)state;
    static const struct {
        const char *group;
        mode_t mode;
        gid_t gid;
    } cases[] = {
        {"root:x:0:\nshadow:x:42:\n", 0640, 42},
        {"root:x:0:\nshadow:x:43:ops\nlast:x:44:", 0640, 43},
        {"root:x:0:\nx:x:42:\nshadows:x:41:\n", 0, 0},
        {"shadow\n", 0, 0},
        {"shadow:x:-1:\n", 0, 0},
        {"shadow:x:99999999999:\n", 0, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct facts facts = support_facts;
        facts.group = cases[i].group;
        cleanup_plan struct plan plan = support_plan_with("", &facts, 0);
        const char *const paths[] = {"etc/shadow", "etc/gshadow"};
        for (size_t j = 0; j < ARRAY_SIZE(paths); j++) {
            const struct plan_entry *entry = plan_find(&plan, paths[j]);
            assert_int_equal(entry->mode, cases[i].mode);
            assert_int_equal(entry->uid, 0);
            assert_int_equal(entry->gid, cases[i].gid);
        }
    }
}

static void operator_with_password(void **state) {
    (void)state;
    struct facts facts = support_facts;
    facts.password_hash = "$6$salt$hash\n";
    cleanup_plan struct plan plan = support_plan_with("OPERATOR_PASSWORD_FILE=/webops/secrets/p.secret\n", &facts, 0);
    assert_non_null(strstr(support_content(&plan, "etc/shadow"), "\nops:$6$salt$hash:::::::\n"));
    assert_string_equal(support_content(&plan, "etc/sudoers.d/90-webops"), HEADER "ops ALL=(ALL:ALL) ALL\n");
    facts.password_hash = "$6$salt$x:0:0:0\n";
    cleanup_plan struct plan hostile = support_plan_with("OPERATOR_PASSWORD_FILE=/webops/secrets/p.secret\n", &facts, 1);
    assert_non_null(strstr(support_content(&hostile, "etc/shadow"), "\nops:!*:::::::\n"));
}

static void operator_name_of_the_image(void **state) {
    (void)state;
    cleanup_plan struct plan plan = support_plan_with("OPERATOR_USER=sshd\n", &support_facts, 1);
    assert_non_null(strstr(support_content(&plan, "etc/passwd"), "\nops:x:1000:"));
    assert_non_null(strstr(support_content(&plan, "etc/passwd"), "\nsshd:x:100:"));
}

static void no_sudo(void **state) {
    (void)state;
    cleanup_plan struct plan plan = support_plan("OPERATOR_SUDO=false\n");
    assert_null(plan_find(&plan, "etc/sudoers.d/90-webops"));
}

static void limits_and_slice(void **state) {
    (void)state;
    static const char slice[] = "etc/systemd/system/user-.slice.d/90-webops.conf";
    cleanup_plan struct plan plan = support_plan("LIMIT_NPROC=512\nUSER_MEMORY_MAX=2G\n"), none = support_plan("USER_MEMORY_MAX=100%\n");
    assert_string_equal(support_content(&plan, "etc/security/limits.d/90-webops.conf"),
                        HEADER "* soft nproc 512\n* hard nproc 512\nroot soft nproc unlimited\nroot hard nproc unlimited\n");
    assert_string_equal(support_content(&plan, slice), HEADER "[Slice]\nMemoryMax=2G\n");
    assert_null(plan_find(&none, slice));
}

static void sysctls(void **state) {
    (void)state;
    cleanup_plan struct plan plan = support_plan("SWAPPINESS=1\nPANIC_TIMEOUT=7\nSYSCTL_HARDENING=false\n");
    assert_string_equal(support_content(&plan, "etc/sysctl.d/90-webops.conf"), HEADER
                        "kernel.panic = 7\nnet.ipv4.tcp_keepalive_intvl = 30\nnet.ipv4.tcp_keepalive_probes = 5\n"
                        "net.ipv4.tcp_keepalive_time = 300\nvm.dirty_background_ratio = 5\nvm.dirty_ratio = 15\nvm.swappiness = 1\n");
    assert_int_equal(plan.sysctl_count, 7);
    assert_string_equal(plan.sysctls[6].key, "vm.swappiness");
    assert_int_equal(plan.sysctls[6].value, 1);
    assert_string_equal(plan_find(&plan, "etc/sysctl.d/60-webops-hardening.conf")->content, "/dev/null");
}

static void watchdog(void **state) {
    (void)state;
    static const char path[] = "etc/systemd/system.conf.d/90-webops.conf";
    struct facts hardware = support_facts;
    hardware.hardware_watchdogs = 1;
    cleanup_plan struct plan soft = support_plan(""), hard = support_plan_with("WATCHDOG_TIMEOUT=60\n", &hardware, 0),
                             off = support_plan("WATCHDOG=off\n"), both = support_plan_with("WATCHDOG=softdog\n", &hardware, 0);
    assert_true(soft.needs_softdog);
    assert_null(plan_find(&soft, path));
    assert_false(hard.needs_softdog);
    assert_string_equal(support_content(&hard, path), HEADER "[Manager]\nRuntimeWatchdogSec=60s\n");
    assert_false(off.needs_softdog);
    assert_non_null(strstr(support_content(&off, path), "RuntimeWatchdogSec=off\n"));
    assert_true(both.needs_softdog);
    assert_non_null(strstr(support_content(&both, path), "WatchdogDevice=/dev/watchdog1\n"));
}

// The init loads softdog, so it is number 0 and the machine's own comes behind it.
static void watchdog_behind_softdog(void **state) {
    (void)state;
    static const char path[] = "etc/systemd/system.conf.d/90-webops.conf";
    static const struct {
        const char *config;
        unsigned hardware;
        const char *device; // NULL: the image's own settings will do
    } cases[] = {
        {"WATCHDOG=hardware-or-off\n", 1, "WatchdogDevice=/dev/watchdog1\n"},
        {"WATCHDOG=hardware-or-off\n", 0, "RuntimeWatchdogSec=off\nRebootWatchdogSec=off\n"}, // softdog is free for others
        {"", 0, NULL},
        {"", 1, "WatchdogDevice=/dev/watchdog1\n"},
        {"WATCHDOG=softdog\n", 0, NULL},
        {"WATCHDOG=softdog\n", 1, NULL},
        {"WATCHDOG=hardware\n", 1, "WatchdogDevice=/dev/watchdog1\n"},
        {"WATCHDOG=hardware\n", 0, "WatchdogDevice=/dev/watchdog1\n"}, // never softdog: the health check says that none is fed
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct facts facts = support_facts;
        facts.has_softdog = true;
        facts.hardware_watchdogs = facts.hardware_watchdog = cases[i].hardware;
        cleanup_plan struct plan plan = support_plan_with(cases[i].config, &facts, 0);
        assert_int_equal(plan_find(&plan, path) != NULL, cases[i].device != NULL);
        if (cases[i].device)
            assert_non_null(strstr(support_content(&plan, path), cases[i].device));
        assert_int_equal(plan.feeds_watchdog, !cases[i].device || !strstr(cases[i].device, "off"));
        assert_int_equal(plan.watchdog, cases[i].device && strstr(cases[i].device, "watchdog1"));
    }
    cleanup_plan struct plan off = support_plan("WATCHDOG=off\n");
    assert_false(off.feeds_watchdog);
    assert_null(strstr(support_content(&off, path), "WatchdogDevice"));
}

static void swap(void **state) {
    (void)state;
    cleanup_plan struct plan plan = support_plan("SWAP_SIZE=512M\n"), none = support_plan("");
    assert_int_equal(plan.swap_bytes, 512 << 20);
    assert_int_equal(none.swap_bytes, 0);
}

static void issue_says_what_is_missing(void **state) {
    (void)state;
    struct facts facts = support_facts;
    facts.has_config = false;
    cleanup_plan struct plan plan = support_plan_with("", &facts, 0);
    const char *text = support_content(&plan, "etc/issue.d/10-webops.issue");
    assert_non_null(strstr(text, "no config.env was found"));
    assert_non_null(strstr(text, "SSH_AUTHORIZED_KEYS"));
}

static void firewall_default(void **state) {
    (void)state;
    cleanup_plan struct plan plan = support_plan("");
    const char *text = support_content(&plan, "etc/nftables.conf");
    assert_non_null(strstr(text, "type filter hook input priority filter; policy drop;\n"));
    assert_non_null(strstr(text, "tcp dport 22 goto ssh\n"));
    assert_non_null(strstr(text, "add @ssh4 { ip saddr limit rate over 10/minute burst 10 packets } drop\n"));
    assert_non_null(strstr(text, "table inet webops\ndelete table inet webops\ntable inet webops {\n"));
    assert_non_null(strstr(text, "ip daddr 169.254.169.254 tcp dport 80 meta skuid != { 0, 65534 } drop\n"));
    assert_null(strstr(text, "flush ruleset")); // tables of others stay
}

static void firewall_sources_and_ports(void **state) {
    (void)state;
    cleanup_plan struct plan plan = support_plan("FIREWALL_SSH_FROM='192.0.2.0/24 2001:db8::/32 198.51.100.7/32'\nSSH_PORT=2222\n"
                                                 "FIREWALL_ALLOW_TCP='80 443 8000-8100'\nFIREWALL_ALLOW_UDP=53\nSSH_RATE_LIMIT=0\n");
    const char *text = support_content(&plan, "etc/nftables.conf");
    assert_non_null(strstr(text, "chain ssh {\n\t\tip saddr { 192.0.2.0/24, 198.51.100.7/32 } goto ssh_limit\n"
                                 "\t\tip6 saddr { 2001:db8::/32 } goto ssh_limit\n\t}\n"));
    assert_non_null(strstr(text, "chain ssh_limit {\n\t\taccept\n\t}\n"));
    assert_non_null(strstr(text, "tcp dport 2222 goto ssh\n\t\ttcp dport { 80, 443, 8000-8100 } accept\n\t\tudp dport { 53 } accept\n"));
}

static void health_listens_where_it_is_told(void **state) {
    (void)state;
    static const char path[] = "etc/systemd/system/webops-http.socket.d/90-webops.conf";
    static const struct {
        const char *config, *drop_in; // NULL: the image's own
        const char *rules; // NULL: none
    } cases[] = {
        {"", NULL, NULL},
        {"HEALTH_FROM=192.0.2.0/24\n", NULL, NULL}, // a loopback address
        {"HEALTH_LISTEN=''\nHEALTH_FROM=192.0.2.0/24\n", "[Unit]\n# HEALTH_LISTEN is empty.\nConditionPathExists=!/\n", NULL},
        {"HEALTH_LISTEN='[::1]:80'\nHEALTH_FROM=::/0\n", "[Socket]\nListenStream=\nListenStream=[::1]:80\n", NULL},
        {"HEALTH_LISTEN=0.0.0.0:9797\n", "[Socket]\nListenStream=\nListenStream=0.0.0.0:9797\n", NULL},
        {"HEALTH_LISTEN='[2001:db8::7]:9000'\nHEALTH_FROM='192.0.2.0/24 2001:db8::/32'\n",
         "[Socket]\nListenStream=\nListenStream=[2001:db8::7]:9000\n",
         "\t\tip saddr { 192.0.2.0/24 } tcp dport 9000 accept\n\t\tip6 saddr { 2001:db8::/32 } tcp dport 9000 accept\n"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_plan struct plan plan = support_plan(cases[i].config);
        if (cases[i].drop_in)
            assert_string_equal(support_content(&plan, path) + strlen(HEADER), cases[i].drop_in);
        else
            assert_null(plan_find(&plan, path));
        const char *firewall = support_content(&plan, "etc/nftables.conf");
        assert_true(cases[i].rules ? strstr(firewall, cases[i].rules) != NULL
                                   : !strstr(firewall, "dport 9797 accept") && !strstr(firewall, "dport 80 accept"));
    }
}

// Who on this machine may read a cloud's user data does not depend on what may come in.
static void firewall_off_guards_the_metadata_service_only(void **state) {
    (void)state;
    cleanup_plan struct plan plan = support_plan("ENABLE_FIREWALL=false\n");
    assert_string_equal(support_content(&plan, "etc/nftables.conf"),
                        "#!/usr/sbin/nft -f\n" HEADER "table inet webops\ndelete table inet webops\ntable inet webops {\n\tchain output {\n"
                        "\t\ttype filter hook output priority filter; policy accept;\n"
                        "\t\tip daddr 169.254.169.254 tcp dport 80 meta skuid != { 0, 65534 } drop\n\t}\n}\n");
}

// The schema would refuse these; the renderers must not need it.
static void hostile_values_never_leave_their_line(void **state) {
    (void)state;
    static const char *const keys[] = {"HOSTNAME",           "TIMEZONE",           "NTP_SERVERS",     "JOURNAL_MAX_SIZE",
                                       "OPERATOR_USER",      "DNS_SERVERS",        "DNS_SEARCH",      "FIREWALL_SSH_FROM",
                                       "FIREWALL_ALLOW_TCP", "FIREWALL_ALLOW_UDP", "USER_MEMORY_MAX", "SSH_AUTHORIZED_KEYS"};
    static const char *const values[] = {"a\nb=c", "x;y\n\taccept", "$(reboot)\n", "a`b`\n", "}\nflush ruleset\n{",
                                         "\x01",   "a\"b\n",        "a\\\nb"};
    for (size_t k = 0; k < ARRAY_SIZE(keys); k++)
        for (size_t v = 0; v < ARRAY_SIZE(values); v++) {
            struct config_entry entry = {(char *)keys[k], (char *)values[v], 1};
            struct config config = {.entries = &entry, .count = 1};
            cleanup_config_problems struct config_problems problems = {0};
            cleanup_plan struct plan plan = {0}, defaults = support_plan("");
            struct err err;
            assert_int_equal(plan_make(&schema_base, &config, &support_facts, &plan, &problems, &err), 0);
            assert_int_equal(problems.count, 1);
            assert_null(strstr(problems.items[0].text, values[v])); // no value in a message
            assert_int_equal(plan.count, defaults.count);
            for (size_t i = 0; i < plan.count; i++)
                if (plan.entries[i].kind != PLAN_DIRECTORY)
                    assert_string_equal(plan.entries[i].content, defaults.entries[i].content);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_complete),
        cmocka_unit_test(hostname_and_hosts),
        cmocka_unit_test(timezone_is_a_link),
        cmocka_unit_test(unknown_zone_costs_only_itself),
        cmocka_unit_test(chrony_lists_servers),
        cmocka_unit_test(journal_only_when_it_differs),
        cmocka_unit_test(network_default_is_dhcp),
        cmocka_unit_test(network_static),
        cmocka_unit_test(network_host_route),
        cmocka_unit_test(network_vlans_on_one_parent),
        cmocka_unit_test(network_vlan_beside_its_parent),
        cmocka_unit_test(networkmanager_profiles),
        cmocka_unit_test(networkmanager_profiles_of_one_family),
        cmocka_unit_test(dns_for_all),
        cmocka_unit_test(ssh_is_closed),
        cmocka_unit_test(ssh_is_closed_without_includes),
        cmocka_unit_test(whether_sshd_includes_is_seen),
        cmocka_unit_test(keys_from_both_places),
        cmocka_unit_test(key_file_with_control_characters),
        cmocka_unit_test(operator_account),
        cmocka_unit_test(shadows_are_as_in_the_image),
        cmocka_unit_test(operator_with_password),
        cmocka_unit_test(operator_name_of_the_image),
        cmocka_unit_test(no_sudo),
        cmocka_unit_test(limits_and_slice),
        cmocka_unit_test(sysctls),
        cmocka_unit_test(watchdog),
        cmocka_unit_test(watchdog_behind_softdog),
        cmocka_unit_test(swap),
        cmocka_unit_test(issue_says_what_is_missing),
        cmocka_unit_test(firewall_default),
        cmocka_unit_test(firewall_sources_and_ports),
        cmocka_unit_test(firewall_off_guards_the_metadata_service_only),
        cmocka_unit_test(health_listens_where_it_is_told),
        cmocka_unit_test(hostile_values_never_leave_their_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
