// SPDX-License-Identifier: Apache-2.0
// One function per value type. Values come from config_parse(): one line of UTF-8 without control characters.
#include "common/schema_types.h"
#include "common/buf.h"
#include "common/diskrule.h"
#include "common/window.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <net/if.h>
#include <string.h>

#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"

// Copies an item into a small buffer; false when it does not fit.
static bool copy_item(const char *text, size_t size, char *ret_text, size_t capacity) {
    if (size >= capacity)
        return false;
    memcpy(ret_text, text, size);
    ret_text[size] = 0;
    return true;
}

static bool is_made_of(const char *text, size_t size, const char *allowed) {
    for (size_t i = 0; i < size; i++)
        if (text[i] == 0 || !strchr(allowed, text[i]))
            return false;
    return size > 0;
}

static bool is_any(const struct schema_key *key, const char *value) {
    (void)key, (void)value;
    return true;
}

static bool is_bool(const struct schema_key *key, const char *value) {
    (void)key;
    return strcmp(value, "true") == 0 || strcmp(value, "false") == 0;
}

static bool is_in_range(const struct schema_key *key, int64_t number) {
    return (key->min == 0 && key->max == 0) || (number >= key->min && number <= key->max);
}

static bool is_integer(const struct schema_key *key, const char *value) {
    int64_t number;
    return schema_parse_number(value, false, &number) && is_in_range(key, number);
}

static bool is_size(const struct schema_key *key, const char *value) {
    int64_t number;
    return schema_parse_number(value, true, &number) && is_in_range(key, number);
}

static bool is_memory(const struct schema_key *key, const char *value) {
    size_t size = strlen(value);
    char digits[8];
    int64_t percent;
    if (size == 0 || value[size - 1] != '%')
        return is_size(key, value);
    return copy_item(value, size - 1, digits, sizeof(digits)) && schema_parse_number(digits, false, &percent) && percent >= 1 &&
           percent <= 100;
}

static bool is_choice(const struct schema_key *key, const char *value) {
    const char *word;
    size_t size;
    for (const char *cursor = key->choices; (word = schema_next_word(&cursor, &size));)
        if (size == strlen(value) && memcmp(word, value, size) == 0)
            return true;
    return false;
}

// RFC 1123: labels of 1 … 63 letters, digits and inner hyphens. The whole is bounded by the kernel's host name, or by DNS.
static bool is_host_name(const char *text, size_t size, size_t max_size) {
    if (size == 0 || size > max_size || !is_made_of(text, size, UPPER LOWER DIGITS "-."))
        return false;
    for (size_t start = 0; start <= size;) {
        const char *dot = memchr(text + start, '.', size - start);
        size_t end = dot ? (size_t)(dot - text) : size;
        if (end == start || end - start > 63 || text[start] == '-' || text[end - 1] == '-')
            return false;
        start = end + 1;
    }
    return !is_made_of(text, size, DIGITS "."); // that would be (half) an address
}

static bool is_hostname(const struct schema_key *key, const char *value) {
    (void)key;
    return is_host_name(value, strlen(value), 64);
}

static bool is_address_item(const char *text, size_t size) {
    struct schema_cidr cidr;
    return !memchr(text, '/', size) && schema_parse_cidr(text, size, &cidr);
}

static bool is_host_item(const char *text, size_t size) {
    return is_address_item(text, size) || is_host_name(text, size, 253);
}

static bool is_cidr_item(const char *text, size_t size) {
    struct schema_cidr cidr;
    return memchr(text, '/', size) && schema_parse_cidr(text, size, &cidr);
}

static bool is_port_item(const char *text, size_t size) {
    char copy[12];
    int64_t first, last;
    if (!copy_item(text, size, copy, sizeof(copy)))
        return false;
    char *dash = strchr(copy, '-');
    if (dash)
        *dash = 0;
    if (!schema_parse_number(copy, false, &first) || !schema_parse_number(dash ? dash + 1 : copy, false, &last))
        return false;
    return first >= 1 && first <= last && last <= 65535 && (!dash || first < last);
}

static bool is_list_of(bool (*is_item)(const char *, size_t), const char *value, const char *separators) {
    const char *item;
    size_t size;
    for (const char *cursor = value; (item = schema_next_item(&cursor, separators, &size));)
        if (!is_item(item, size))
            return false;
    return true;
}

static bool is_host_list(const struct schema_key *key, const char *value) {
    (void)key;
    return is_list_of(is_host_item, value, " ");
}

static bool is_address(const struct schema_key *key, const char *value) {
    (void)key;
    return is_address_item(value, strlen(value));
}

static bool is_address_list(const struct schema_key *key, const char *value) {
    (void)key;
    return is_list_of(is_address_item, value, " ");
}

static bool is_cidr(const struct schema_key *key, const char *value) {
    (void)key;
    return is_cidr_item(value, strlen(value));
}

static bool is_cidr_list(const struct schema_key *key, const char *value) {
    (void)key;
    return is_list_of(is_cidr_item, value, " ");
}

static bool is_port_list(const struct schema_key *key, const char *value) {
    (void)key;
    return is_list_of(is_port_item, value, " ");
}

// A name below /usr/share/zoneinfo: "Europe/Berlin", "Etc/GMT+2". Whether it exists there only the machine knows.
static bool is_timezone(const struct schema_key *key, const char *value) {
    (void)key;
    size_t size = strlen(value);
    return size <= 64 && is_made_of(value, size, UPPER LOWER DIGITS "_+-/") && isalpha((unsigned char)value[0]) && value[size - 1] != '/' &&
           !strstr(value, "//");
}

static bool is_mac(const char *value) {
    if (strlen(value) != 17)
        return false;
    for (size_t i = 0; i < 17; i++)
        if (i % 3 == 2 ? value[i] != ':' : !isxdigit((unsigned char)value[i]))
            return false;
    return true;
}

static bool is_interface(const struct schema_key *key, const char *value) {
    (void)key;
    size_t size = strlen(value);
    return is_mac(value) || (size < IFNAMSIZ && is_made_of(value, size, UPPER LOWER DIGITS "_-") && value[0] != '-');
}

static bool is_user(const struct schema_key *key, const char *value) {
    (void)key;
    size_t size = strlen(value);
    return size <= 32 && is_made_of(value, size, LOWER DIGITS "_-") && (islower((unsigned char)value[0]) || value[0] == '_') &&
           strcmp(value, "root") != 0;
}

// The key's own bytes repeat its type: a 4-byte length and the name, so the base64 text has a fixed beginning (RFC 4253, 6.6).
static const struct {
    const char *name, *start;
} ssh_types[] = {
    {"ssh-ed25519", "AAAAC3NzaC1lZDI1NTE5"},
    {"ssh-rsa", "AAAAB3NzaC1yc2EA"},
    {"ecdsa-sha2-nistp256", "AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYA"},
    {"ecdsa-sha2-nistp384", "AAAAE2VjZHNhLXNoYTItbmlzdHAzODQA"},
    {"ecdsa-sha2-nistp521", "AAAAE2VjZHNhLXNoYTItbmlzdHA1MjEA"},
    {"sk-ssh-ed25519@openssh.com", "AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29t"},
    {"sk-ecdsa-sha2-nistp256@openssh.com", "AAAAInNrLWVjZHNhLXNoYTItbmlzdHAyNTZAb3BlbnNzaC5jb20"},
};

static bool is_base64(const char *text, size_t size) {
    size_t padding = 0;
    while (padding < 2 && padding < size && text[size - 1 - padding] == '=')
        padding++;
    return size % 4 == 0 && size >= 68 && is_made_of(text, size - padding, UPPER LOWER DIGITS "+/");
}

// "type base64 [comment]": options in front (command=…, from=…) are not for this file, since a ';' or a quote in them would be ambiguous.
static bool is_ssh_key(const char *text, size_t size) {
    const char *blank = memchr(text, ' ', size);
    if (!blank)
        return false;
    size_t name_size = (size_t)(blank - text);
    const char *body = blank + 1;
    const char *end = memchr(body, ' ', size - name_size - 1);
    size_t body_size = end ? (size_t)(end - body) : size - name_size - 1;
    for (size_t i = 0; i < ARRAY_SIZE(ssh_types); i++) {
        size_t start_size = strlen(ssh_types[i].start);
        if (name_size == strlen(ssh_types[i].name) && memcmp(text, ssh_types[i].name, name_size) == 0)
            return body_size > start_size && memcmp(body, ssh_types[i].start, start_size) == 0 && is_base64(body, body_size);
    }
    return false;
}

static bool is_ssh_keys(const struct schema_key *key, const char *value) {
    (void)key;
    return is_list_of(is_ssh_key, value, ";");
}

static bool is_path(const struct schema_key *key, const char *value) {
    (void)key;
    size_t size = strlen(value);
    return value[0] == '/' && size < 4096 && size > 1 && value[size - 1] != '/' && !strstr(value, "//") && !strstr(value, "/../") &&
           !strstr(value, "/./") && (size < 3 || strcmp(value + size - 3, "/..") != 0);
}

static bool is_name_item(const char *text, size_t size) {
    return size <= 63 && is_made_of(text, size, LOWER DIGITS ".-") && isalnum((unsigned char)text[0]);
}

static bool is_name(const struct schema_key *key, const char *value) {
    (void)key;
    return is_name_item(value, strlen(value));
}

// "host[:port]", where a host is a name, an IPv4 address or [an IPv6 address].
static bool is_authority(const char *text, size_t size) {
    struct schema_cidr cidr;
    const char *bracket = memchr(text, ']', size);
    const char *colon = memrchr(text, ':', size);
    int64_t port = 1;
    char digits[8];
    if (colon && (!bracket || colon > bracket)) {
        if (!copy_item(colon + 1, (size_t)(text + size - colon - 1), digits, sizeof(digits)) || !schema_parse_number(digits, false, &port))
            return false;
        size = (size_t)(colon - text);
    }
    if (port < 1 || port > 65535)
        return false;
    if (size > 2 && text[0] == '[' && text[size - 1] == ']')
        return !memchr(text, '/', size) && schema_parse_cidr(text + 1, size - 2, &cidr) && cidr.family == AF_INET6;
    return !bracket && !memchr(text, ':', size) && is_host_item(text, size);
}

static bool is_url(const struct schema_key *key, const char *value) {
    (void)key;
    size_t scheme = strncmp(value, "https://", 8) == 0 ? 8 : strncmp(value, "http://", 7) == 0 ? 7 : 0;
    const char *rest = value + scheme;
    return scheme > 0 && strlen(value) < 1024 && is_authority(rest, strcspn(rest, "/")) && !strpbrk(rest, " ?#@\\\"'<>|`{}");
}

static bool is_listen(const struct schema_key *key, const char *value) {
    (void)key;
    const char *colon = strrchr(value, ':'), *bracket = strrchr(value, ']');
    bool is_v6 = value[0] == '[';
    if (!colon || is_v6 != (bracket && bracket + 1 == colon))
        return false;
    size_t size = (size_t)(colon - value);
    return is_authority(value, strlen(value)) && (is_v6 || is_address_item(value, size));
}

static bool is_window(const struct schema_key *key, const char *value) {
    (void)key;
    struct window window;
    return *value == 0 || window_parse(value, &window);
}

static bool is_secret_file(const struct schema_key *key, const char *value) {
    (void)key;
    return schema_secret_name(value) != NULL;
}

bool schema_parse_peer(const char *item, size_t size, struct schema_peer *ret_peer) {
    const char *equals = memchr(item, '=', size);
    if (!equals)
        return false;
    struct schema_peer peer = {.name = item, .address = equals + 1, .name_size = (size_t)(equals - item)};
    peer.address_size = size - peer.name_size - 1;
    if (!is_name_item(peer.name, peer.name_size) || !is_host_item(peer.address, peer.address_size))
        return false;
    *ret_peer = peer;
    return true;
}

static bool has_peer(const char *list, const char *end, const struct schema_peer *peer) {
    const char *item;
    size_t size;
    struct schema_peer other;
    for (const char *cursor = list; (item = schema_next_word(&cursor, &size)) && item < end;)
        if (schema_parse_peer(item, size, &other) && other.name_size == peer->name_size &&
            memcmp(other.name, peer->name, peer->name_size) == 0)
            return true;
    return false;
}

static bool is_peer_list(const struct schema_key *key, const char *value) {
    (void)key;
    const char *item;
    size_t size;
    struct schema_peer peer;
    for (const char *cursor = value; (item = schema_next_word(&cursor, &size));)
        if (!schema_parse_peer(item, size, &peer) || has_peer(value, item, &peer))
            return false;
    return true;
}

static bool is_disk(const struct schema_key *key, const char *value) {
    struct diskrule rule;
    struct err ignored;
    (void)key;
    return diskrule_parse(value, &rule, &ignored) == 0;
}

static bool is_sha256(const struct schema_key *key, const char *value) {
    (void)key;
    return strlen(value) == 64 && is_made_of(value, 64, DIGITS "abcdef");
}

bool schema_is_secret_name(const char *name) {
    static const char suffix[] = ".secret";
    size_t size = strlen(name), tail = sizeof(suffix) - 1;
    return size > tail && size < SCHEMA_SECRET_NAME_BYTES && is_made_of(name, size, UPPER LOWER DIGITS "._-") &&
           isalnum((unsigned char)name[0]) && strcmp(name + size - tail, suffix) == 0;
}

const char *schema_secret_name(const char *path) {
    static const char dir[] = SCHEMA_SECRETS_DIR "/";
    if (strncmp(path, dir, sizeof(dir) - 1) != 0)
        return NULL;
    const char *name = path + sizeof(dir) - 1;
    return schema_is_secret_name(name) ? name : NULL;
}

const struct schema_type_info schema_types[SCHEMA_TYPES] = {
    [SCHEMA_TEXT] = {"text", "text", "text", is_any, true},
    [SCHEMA_BOOL] = {"bool", "true or false", "true or false", is_bool, false},
    [SCHEMA_INTEGER] = {"integer", "number", NULL, is_integer, false},
    [SCHEMA_SIZE] = {"size", "size", NULL, is_size, false},
    [SCHEMA_MEMORY] = {"memory", "size or percentage", "a size such as 512M or 2G, or a percentage of the memory from 1% to 100%",
                       is_memory, false},
    [SCHEMA_WORD] = {"word", "word", NULL, is_choice, false},
    [SCHEMA_HOSTNAME] = {"hostname", "host name", "a host name: letters, digits, inner hyphens, dots, at most 64 characters", is_hostname,
                         false},
    [SCHEMA_HOST_LIST] = {"host-list", "host names or addresses", "host names or IP addresses, separated by blanks", is_host_list, true},
    [SCHEMA_ADDRESS] = {"address", "address", "an IPv4 or IPv6 address", is_address, false},
    [SCHEMA_ADDRESS_LIST] = {"address-list", "addresses", "IPv4 or IPv6 addresses, separated by blanks", is_address_list, true},
    [SCHEMA_CIDR] = {"cidr", "address/prefix", "an address with its prefix length, such as 192.0.2.7/24", is_cidr, false},
    [SCHEMA_CIDR_LIST] = {"cidr-list", "addresses/prefixes",
                          "addresses with their prefix lengths, such as 192.0.2.7/24, separated by blanks", is_cidr_list, true},
    [SCHEMA_PORT_LIST] = {"port-list", "ports", "ports from 1 to 65535 or ranges such as 8000-8100, separated by blanks", is_port_list,
                          true},
    [SCHEMA_TIMEZONE] = {"timezone", "time zone", "a time zone such as UTC or Europe/Berlin", is_timezone, false},
    [SCHEMA_INTERFACE] = {"interface", "interface",
                          "an interface name of at most 15 characters, or a MAC address such as 52:54:00:12:34:56", is_interface, false},
    [SCHEMA_USER] = {"user", "user name",
                     "a user name: lower-case letters, digits, '_' and '-', not a digit first, at most 32 characters, not root", is_user,
                     false},
    [SCHEMA_SSH_KEYS] = {"ssh-keys", "public keys", "public SSH keys as in a .pub file (type, base64, comment), separated by ';'",
                         is_ssh_keys, true},
    [SCHEMA_PATH] = {"path", "path", "an absolute path", is_path, false},
    [SCHEMA_NAME] = {"name", "name", "a name: lower-case letters, digits, '.' and '-', at most 63 characters", is_name, false},
    [SCHEMA_URL] = {"url", "address", "an address http://HOST[:PORT]/PATH or https://…, without user, query and fragment", is_url, false},
    [SCHEMA_WINDOW] = {"window", "time window", "a time window such as 03:00-05:00, 'Sun 03:00-05:00' or 'Mon-Fri 22:00-02:00'", is_window,
                       true},
    [SCHEMA_SECRET_FILE] = {"secret-file", "secret file", "a path " SCHEMA_SECRETS_DIR "/<name>.secret", is_secret_file, false},
    [SCHEMA_PEER_LIST] = {"peer-list", "name=address pairs", "members as name=address, separated by blanks, each name once", is_peer_list,
                          true},
    [SCHEMA_LISTEN] = {"listen", "address:port", "an address and a port, such as 127.0.0.1:9797 or [::1]:9797", is_listen, true},
    [SCHEMA_DISK] = {"disk", "disk rule",
                     "words that choose one disk: serial=…, path=/dev/…, by=nvme, size>=100G, size<=2T, smallest, largest", is_disk, false},
    [SCHEMA_SHA256] = {"sha256", "SHA-256", "a SHA-256: 64 digits 0-9, a-f", is_sha256, false},
};

int schema_type_find(const char *word) {
    for (int i = 0; i < SCHEMA_TYPES; i++)
        if (strcmp(schema_types[i].word, word) == 0)
            return i;
    return -1;
}
