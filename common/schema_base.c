// SPDX-License-Identifier: Apache-2.0
// The keys every machine understands: names, defaults and the help texts that become docs/CONFIG.md. What a key does is in firstboot/.
#include "common/schema.h"
#include "common/schema_rules.h"

#define MIB (1024LL * 1024)
#define GIB (1024 * MIB)

static const struct schema_key system_keys[] = {
    {"HOSTNAME", SCHEMA_HOSTNAME, "webops", "System", "Name of the machine, with or without a domain.", 0, 0, NULL},
    {"TIMEZONE", SCHEMA_TIMEZONE, "UTC", "System", "Time zone of the system clock's display and of timers.", 0, 0, NULL},
    {"NTP_SERVERS", SCHEMA_HOST_LIST, "0.pool.ntp.org 1.pool.ntp.org 2.pool.ntp.org 3.pool.ntp.org", "System",
     "Time servers for chrony. Empty: the clock is not synchronised.", 0, 0, NULL},
    {"JOURNAL_MAX_SIZE", SCHEMA_SIZE, "200M", "System", "What the persistent journal may take of the state partition.", 16 * MIB, 64 * GIB,
     NULL},
    {"HEALTH_TIMEOUT", SCHEMA_INTEGER, "300", "System", "Seconds after boot in which the machine must become healthy.", 10, 3600, NULL},
    {"HEALTH_LISTEN", SCHEMA_LISTEN, "127.0.0.1:9797", "System",
     "Address and port where `/health` and `/metrics` are served by HTTP. Empty: nowhere.", 0, 0, NULL},
    {"HEALTH_FROM", SCHEMA_CIDR_LIST, NULL, "System",
     "Networks that the firewall lets reach HEALTH_LISTEN when that is no loopback address. Unset or empty: none.", 0, 0, NULL},
    {.name = NULL},
};

static const struct schema_key network_keys[] = {
    {"DNS_SERVERS", SCHEMA_ADDRESS_LIST, NULL, "Network", "Name servers for all interfaces, in addition to those that DHCP names.", 0, 0,
     NULL},
    {"DNS_SEARCH", SCHEMA_HOST_LIST, NULL, "Network", "Domains that are tried behind a name without a dot.", 0, 0, NULL},
    {"NET#_INTERFACE", SCHEMA_INTERFACE, NULL, "Network",
     "Interface that the other NET#_ keys with this digit are about, by kernel name or MAC address. Without any such key every wired "
     "interface uses DHCP; with one, interfaces that are not named keep doing so.",
     0, 0, NULL},
    {"NET#_DHCP", SCHEMA_BOOL, NULL, "Network",
     "Whether this interface asks DHCP (IPv4 and IPv6). Default: true, but false if NET#_ADDRESS is given.", 0, 0, NULL},
    {"NET#_ADDRESS", SCHEMA_CIDR_LIST, NULL, "Network", "Static addresses with prefix length, IPv4 and IPv6 mixed.", 0, 0, NULL},
    {"NET#_GATEWAY", SCHEMA_ADDRESS_LIST, NULL, "Network",
     "Default gateways, at most one each for IPv4 and IPv6. Must lie in the network of a NET#_ADDRESS; reached directly if that address is "
     "a /32 or /128, or if it is link-local.",
     0, 0, NULL},
    {"NET#_DNS", SCHEMA_ADDRESS_LIST, NULL, "Network", "Name servers that are asked through this interface.", 0, 0, NULL},
    {"NET#_VLAN", SCHEMA_INTEGER, NULL, "Network",
     "VLAN id: the other NET#_ keys with this digit are about this VLAN on top of NET#_INTERFACE.", 1, 4094, NULL},
    {"NET#_MTU", SCHEMA_INTEGER, NULL, "Network", "Largest packet of this interface, in bytes. Default: what the driver or DHCP says.", 576,
     65535, NULL},
    {.name = NULL},
};

static const struct schema_key access_keys[] = {
    {"OPERATOR_USER", SCHEMA_USER, "ops", "Access", "Name of the one user who may log in.", 0, 0, NULL},
    {"OPERATOR_PASSWORD_FILE", SCHEMA_SECRET_FILE, NULL, "Access",
     "File with the operator's password hash as `mkpasswd` or `openssl passwd -6` print it, for the console and sudo; SSH never takes "
     "passwords. Unset: no password, console login is locked.",
     0, 0, NULL},
    {"OPERATOR_SUDO", SCHEMA_BOOL, "true", "Access",
     "Whether the operator may become root with sudo. It asks for the password if OPERATOR_PASSWORD_FILE is given.", 0, 0, NULL},
    {"SSH_AUTHORIZED_KEYS", SCHEMA_SSH_KEYS, NULL, "Access", "Public keys that let the operator in, as one value, separated by ';'.", 0, 0,
     NULL},
    {"SSH_AUTHORIZED_KEYS_FILE", SCHEMA_SECRET_FILE, NULL, "Access",
     "File with further public keys, one per line as in authorized_keys. It lies among the secrets so that it travels with them.", 0, 0,
     NULL},
    {"SSH_PORT", SCHEMA_INTEGER, "22", "Access", "TCP port of the SSH server.", 1, 65535, NULL},
    {.name = NULL},
};

static const struct schema_key firewall_keys[] = {
    {"ENABLE_FIREWALL", SCHEMA_BOOL, "true", "Firewall",
     "Whether incoming connections are denied unless a key below, or an enabled stack, allows them. A cloud's metadata service stays "
     "closed to other users than root in either case.",
     0, 0, NULL},
    {"FIREWALL_SSH_FROM", SCHEMA_CIDR_LIST, NULL, "Firewall", "Networks that may reach SSH. Unset or empty: any.", 0, 0, NULL},
    {"FIREWALL_ALLOW_TCP", SCHEMA_PORT_LIST, NULL, "Firewall", "Further TCP ports that anyone may reach.", 0, 0, NULL},
    {"FIREWALL_ALLOW_UDP", SCHEMA_PORT_LIST, NULL, "Firewall", "Further UDP ports that anyone may reach.", 0, 0, NULL},
    {"SSH_RATE_LIMIT", SCHEMA_INTEGER, "10", "Firewall", "New SSH connections per minute that one address may open. 0: no limit.", 0, 10000,
     NULL},
    {.name = NULL},
};

static const struct schema_key resource_keys[] = {
    {"SWAP_SIZE", SCHEMA_SIZE, "0", "Resources", "Size of the swap file on the state partition. 0: none.", 0, 1024 * GIB, NULL},
    {"SWAPPINESS", SCHEMA_INTEGER, "10", "Resources", "vm.swappiness: how eagerly the kernel swaps.", 0, 200, NULL},
    {"LIMIT_NPROC", SCHEMA_INTEGER, "4096", "Resources", "Processes and threads that one logged-in user may have.", 64, 4194304, NULL},
    {"USER_MEMORY_MAX", SCHEMA_MEMORY, "80%", "Resources",
     "Memory that all processes of one logged-in user may take together. 100%: no limit.", 64 * MIB, 64 * 1024 * GIB, NULL},
    {"VM_DIRTY_BACKGROUND_RATIO", SCHEMA_INTEGER, "5", "Resources",
     "Percentage of memory with unwritten data at which the kernel starts to write. Must be below VM_DIRTY_RATIO.", 1, 99, NULL},
    {"VM_DIRTY_RATIO", SCHEMA_INTEGER, "15", "Resources", "Percentage of memory with unwritten data at which writers have to wait.", 2, 100,
     NULL},
    {.name = NULL},
};

static const struct schema_key kernel_keys[] = {
    {"SYSCTL_HARDENING", SCHEMA_BOOL, "true", "Kernel",
     "Whether the hardened network and kernel settings are applied (no redirects, no source routes, strict reverse path, restricted dmesg "
     "and pointers).",
     0, 0, NULL},
    {"TCP_KEEPALIVE_TIME", SCHEMA_INTEGER, "300", "Kernel", "Seconds of silence after which a TCP connection is probed.", 1, 32767, NULL},
    {"TCP_KEEPALIVE_INTVL", SCHEMA_INTEGER, "30", "Kernel", "Seconds between two probes.", 1, 32767, NULL},
    {"TCP_KEEPALIVE_PROBES", SCHEMA_INTEGER, "5", "Kernel", "Unanswered probes after which the connection is dropped.", 1, 127, NULL},
    {"PANIC_TIMEOUT", SCHEMA_INTEGER, "10", "Kernel", "Seconds after a kernel panic until the machine reboots.", 1, 600, NULL},
    {"WATCHDOG", SCHEMA_WORD, "auto", "Kernel",
     "What restarts a machine that hangs. auto: the hardware's watchdog, the kernel's softdog if there is none. hardware-or-off leaves "
     "softdog to others, such as Patroni.",
     0, 0, "auto hardware hardware-or-off softdog off"},
    {"WATCHDOG_TIMEOUT", SCHEMA_INTEGER, "30", "Kernel", "Seconds without a sign of life until the watchdog acts.", 10, 600, NULL},
    {.name = NULL},
};

static const struct schema_key update_keys[] = {
    {"UPDATE_URL", SCHEMA_URL, NULL, "Updates",
     "Directory made by `webops-image publish`, where `webops update` looks for the channel's newest generation.", 0, 0, NULL},
    {"UPDATE_CHANNEL", SCHEMA_NAME, NULL, "Updates", "Channel that is followed. Unset: the one the running image was built for.", 0, 0,
     NULL},
    {"UPDATE_AUTO", SCHEMA_BOOL, "false", "Updates",
     "Whether updates are installed, and the machine restarted for them, without being asked. It needs UPDATE_URL.", 0, 0, NULL},
    {"UPDATE_WINDOW", SCHEMA_WINDOW, NULL, "Updates",
     "When UPDATE_AUTO may act, in local time. An end before the start lies on the next day. Unset or empty: at any time.", 0, 0, NULL},
    {"UPDATE_TRIES", SCHEMA_INTEGER, "3", "Updates",
     "How often a new generation may be started before it must be healthy; then the old one is started again.", 1, 9, NULL},
    {.name = NULL},
};

// What an installation medium does; an installed machine does not look at them.
static const struct schema_key install_keys[] = {
    {"INSTALL_DISK", SCHEMA_DISK, NULL, "Installation",
     "Disk that an installation medium writes to: one or more of `serial=S`, `path=/dev/…` (also `/dev/disk/by-id/…`), `by=nvme`, "
     "`size>=100G`, "
     "`size<=2T`, and `smallest` or `largest` of what is left. Exactly one disk must fit. Removable and USB disks are taken only when "
     "named by "
     "`serial=`, `path=` or `by=usb`. Unset: the medium shows the disks and writes nothing.",
     0, 0, NULL},
    {"INSTALL_CONFIRM", SCHEMA_TEXT, NULL, "Installation",
     "Consent to losing everything on that disk: `erase`, or the disk's serial number, which then must be right. Unset: nothing is "
     "written.",
     0, 0, NULL},
    {"INSTALL_EXISTING", SCHEMA_WORD, "keep", "Installation",
     "What happens when the disk holds an installed machine already, or data while the rule has neither `serial=` nor "
     "`path=/dev/disk/…`: keep leaves it alone, replace installs anew unless it holds a machine with the same generation.",
     0, 0, "keep replace"},
    {"INSTALL_IMAGE_URL", SCHEMA_URL, NULL, "Installation",
     "Address of a `.raw` or `.raw.zst` image, whose `.bmap` lies beside it. Unset: the image on the medium.", 0, 0, NULL},
    {"INSTALL_IMAGE_SHA256", SCHEMA_SHA256, NULL, "Installation",
     "SHA-256 of that `.bmap` file, which holds the hashes of the image. Needed with INSTALL_IMAGE_URL.", 0, 0, NULL},
    {"INSTALL_THEN", SCHEMA_WORD, "reboot", "Installation",
     "What follows a finished installation: reboot, poweroff, or wait for somebody to come.", 0, 0, "reboot poweroff wait"},
    {.name = NULL},
};

static const struct schema_key *const base_tables[] = {system_keys, network_keys, access_keys,  firewall_keys, resource_keys,
                                                       kernel_keys, update_keys,  install_keys, NULL};

const struct schema schema_base = {.tables = base_tables, .rules = schema_base_rules};
