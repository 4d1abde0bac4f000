// SPDX-License-Identifier: Apache-2.0
// The schema: every type by a table of good and bad values, unknown and secret keys, the rules over several keys, secret files, and
// the generated documents.
#include "common/buf.h"
#include "common/file.h"
#include "common/schema_types.h"
// cmocka.h wants these first.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define ED25519 "AAAAC3NzaC1lZDI1NTE5AAAAIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g"

#define SHA256 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// All problem texts of `text`, "LINE: text\n" each; the caller frees.
static char *problems_of(const struct schema *schema, const char *text) {
    cleanup_config struct config config = {0};
    cleanup_config_problems struct config_problems problems = {0};
    int code = schema_parse(schema, text, strlen(text), &config, &problems);
    assert_int_equal(code, problems.count ? -EINVAL : 0);
    struct buf buf = {0};
    for (size_t i = 0; i < problems.count; i++)
        buf_printf(&buf, "%u: %s\n", problems.items[i].line, problems.items[i].text);
    return buf_take(&buf);
}

struct value_case {
    const char *key;
    const char *good[12];
    const char *bad[20];
};

static const struct value_case value_cases[] = {
    {"HOSTNAME",
     {"a", "web-1", "db1.example.org", "1a", "A9"},
     {"", "-a", "a-", "a..b", ".a", "a.", "a_b", "10.0.0.1", "123", "a b", "\xc3\xbc",
      "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggg",
      "aaaaaaaaa.bbbbbbbbb.ccccccccc.ddddddddd.eeeeeeeee.fffffffff.ggggg"}},
    {"TIMEZONE",
     {"UTC", "Europe/Berlin", "Etc/GMT+2", "America/Argentina/Buenos_Aires"},
     {"", "/etc/localtime", "../x", "a/../b", "Europe//Berlin", "Europe/", "1/2", "U TC"}},
    {"NTP_SERVERS", {"", "a.example b.example", "192.0.2.1 2001:db8::1", " a  b "}, {"a,b", "a;b", "192.0.2.256", "x_y", "[::1]", "-a"}},
    {"DNS_SERVERS", {"", "192.0.2.53", "192.0.2.53 2001:db8::53"}, {"dns.example", "192.0.2.0/24", "192.0.2.1,192.0.2.2", "1.2.3", "::g"}},
    {"INSTALL_DISK", {"serial=A", "smallest", "by=nvme size>=100G largest"}, {"", "/dev/sda", "largest smallest", "size>=big"}},
    {"SSH_PORT", {"1", "22", "65535"}, {"", "0", "65536", "022", "+22", "-1", "22 ", "0x16", "99999999999999999999", "2e1", "22\xc2\xa0"}},
    {"SWAP_SIZE",
     {"0", "1", "512M", "4G", "1T", "1099511627776"},
     {"", "1.5G", "4g", "4GB", "G", "-1", "2T", "9999999999999999T", "4 G", "007"}},
    {"USER_MEMORY_MAX", {"64M", "2G", "1%", "80%", "100%"}, {"", "0%", "101%", "%", "5.5%", "-5%", "63M", "1000000000%", "80%%"}},
    {"ENABLE_FIREWALL", {"true", "false"}, {"", "yes", "no", "1", "0", "TRUE", "True", "on", "true "}},
    {"WATCHDOG", {"auto", "hardware", "softdog", "off"}, {"", "aut", "autox", "auto off", "AUTO", "none"}},
    {"FIREWALL_SSH_FROM",
     {"", "192.0.2.0/24", "0.0.0.0/0 ::/0", "2001:db8::/32"},
     {"192.0.2.0", "192.0.2.0/33", "2001:db8::/129", "192.0.2.0/", "192.0.2.0/024", "/24", "a/24", "192.0.2.0/-1", "192.0.2.0/24/24"}},
    {"FIREWALL_ALLOW_TCP",
     {"", "80", "80 443", "8000-8100", "1-65535"},
     {"0", "65536", "80,443", "90-80", "80-80", "80-", "-80", "http", "1-2-3", "80/tcp"}},
    {"UPDATE_URL",
     {"https://updates.example.org/edge", "http://192.0.2.1:8080/a/", "https://[2001:db8::1]/", "https://[2001:db8::1]:8443/x", "http://h"},
     {"", "ftp://a/", "file:///srv", "/srv/updates", "https://", "https:///x", "https://user@a.example/", "https://u:p@a.example/",
      "https://a.example:0/", "https://a.example:65536/", "https://a.example:/", "https://a_b/", "https://a.example/?x",
      "https://a.example/#x", "https://2001:db8::1/", "https://[2001:db8::1", "https://[192.0.2.1]/", "https://a.example/a b",
      "HTTPS://a.example/"}},
    {"HEALTH_LISTEN",
     {"", "127.0.0.1:9797", "0.0.0.0:80", "[::1]:9797", "[2001:db8::7]:65535"},
     {"127.0.0.1", ":9797", "9797", "localhost:9797", "::1:9797", "[::1]", "[127.0.0.1]:80", "127.0.0.1:0", "127.0.0.1:65536",
      "127.0.0.1:", "127.0.0.1:080", "127.0.0.1:80:81", "[::1]:80]", "127.0.0.1/8:80", "*:80"}},
    {"UPDATE_CHANNEL", {"stable", "2026.11-rc", "a"}, {"", "Stable", "-a", ".a", "a b", "a/b", "a_b"}},
    {"UPDATE_WINDOW", {"", "03:00-05:00", "Sun 03:00-05:00", "Mon-Fri 22:00-02:00"}, {"3-5", "03:00", "Sunday 03:00-05:00", "always"}},
    {"UPDATE_TRIES", {"1", "3", "9"}, {"0", "10", "", "three"}},
    {"OPERATOR_USER",
     {"ops", "_a", "a-b_9", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
     {"", "root", "Ops", "9a", "-a", "a b", "a:b", "a.b", "\xc3\xbc", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}},
    {"NET0_INTERFACE",
     {"eth0", "enp1s0f0", "52:54:00:12:34:56", "52:54:00:AB:cd:EF", "wan_1"},
     {"", "eth0.5", "averylongname016", "../x", "e th", "52:54:00:12:34", "52-54-00-12-34-56", "52:54:00:12:34:5g", "-x", "eth*"}},
    {"SSH_AUTHORIZED_KEYS",
     {"", "ssh-ed25519 " ED25519, "ssh-ed25519 " ED25519 " me@home; ssh-ed25519 " ED25519 " a b c", "ssh-ed25519 " ED25519 ";",
      " ; ssh-ed25519 " ED25519 " x"},
     {"x", "ssh-ed25519", "ssh-ed25519 ", "ssh-ed25519  " ED25519, "ssh-rsa " ED25519, "ssh-dss AAAAB3NzaC1kc3MA",
      "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5", "ssh-ed25519 " ED25519 "=", ED25519, "ssh-ed25519 " ED25519 "; bogus",
      "command=\"x\" ssh-ed25519 " ED25519, "ssh-ed25519 " ED25519 ", ssh-ed25519 " ED25519 ";x",
      "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8*"}},
    {"OPERATOR_PASSWORD_FILE",
     {"/webops/secrets/a.secret", "/webops/secrets/A-b_c.9.secret"},
     {"", "hunter2", "a.secret", "/webops/secrets/", "/webops/secrets/.secret", "/webops/secrets/a", "/webops/secrets/../a.secret",
      "/webops/secrets/b/a.secret", "/webops/secrets/.a.secret", "/etc/a.secret", "/webops/secrets//a.secret", "/webops/secrets/a b.secret",
      "/webops/secrets/a.secret ", "/webops/secretsa.secret"}},
};

static void values_by_type(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(value_cases); i++) {
        const struct value_case *c = &value_cases[i];
        for (size_t j = 0; j < ARRAY_SIZE(c->good) && c->good[j]; j++) {
            cleanup_free char *text = str_printf("%s='%s'\n", c->key, c->good[j]);
            cleanup_free char *problems = problems_of(&schema_base, text);
            if (problems[0])
                fail_msg("%s: %s", text, problems);
        }
        for (size_t j = 0; j < ARRAY_SIZE(c->bad) && c->bad[j]; j++) {
            cleanup_free char *text = str_printf("\n%s='%s'\n", c->key, c->bad[j]);
            cleanup_free char *problems = problems_of(&schema_base, text);
            cleanup_free char *start = str_printf("2: %s: ", c->key);
            if (strncmp(problems, start, strlen(start)) != 0 || strchr(problems, '\n')[1])
                fail_msg("%s: wanted one problem, got '%s'", text, problems);
        }
        cleanup_free char *canary = str_printf("%s='canary $(x) -----BEGIN'\n", c->key);
        cleanup_free char *problems = problems_of(&schema_base, canary);
        assert_true(problems[0] && !strstr(problems, "canary"));
    }
}

static void whole_files(void **state) {
    (void)state;
    static const struct {
        const char *text, *problems;
    } cases[] = {
        {"", ""},
        {"HOSTNAM=a\n", "1: HOSTNAM: unknown key; did you mean HOSTNAME?\n"},
        {"NET3_ADRESS=a\n",
         "1: NET3_ADRESS: unknown key; did you mean NET3_ADDRESS?\n1: NET3_ADRESS: needs NET3_INTERFACE, which is not set\n"},
        {"LD_PRELOAD=/x\nPATH=/x\nIFS=x\nBASH_ENV=x\n",
         "1: LD_PRELOAD: unknown key\n2: PATH: unknown key\n3: IFS: unknown key\n4: BASH_ENV: unknown key\n"},
        {"NET_INTERFACE=eth0\n", "1: NET_INTERFACE: unknown key; did you mean NET0_INTERFACE?\n"},
        {"OPERATOR_PASSWORD=hunter2\n", "1: OPERATOR_PASSWORD: a secret is never a value: give it as a file: "
                                        "OPERATOR_PASSWORD_FILE=/webops/secrets/operator-password.secret\n"},
        {"K3S_TOKEN=\n", "1: K3S_TOKEN: a secret is never a value: give it as a file: K3S_TOKEN_FILE=/webops/secrets/k3s-token.secret\n"},
        {"API_KEY=x\n", "1: API_KEY: a secret is never a value: give it as a file: API_KEY_FILE=/webops/secrets/api-key.secret\n"},
        {"HOSTNAME='-----BEGIN OPENSSH PRIVATE KEY-----'\n",
         "1: HOSTNAME: the value is a private key: put it into a file under /webops/secrets\n"},
        {"X='-----BEGIN RSA PRIVATE KEY-----'\n", "1: X: the value is a private key: put it into a file under /webops/secrets\n"},
        {"SSH_PORT=0\nSWAP_SIZE=x\nJOURNAL_MAX_SIZE=1M\n",
         "1: SSH_PORT: expected a whole number, from 1 to 65535\n2: SWAP_SIZE: expected a size such as 512M or 2G, from 0 to 1T\n"
         "3: JOURNAL_MAX_SIZE: expected a size such as 512M or 2G, from 16M to 64G\n"},
        {"WATCHDOG=x\n", "1: WATCHDOG: expected one of: auto hardware hardware-or-off softdog off\n"},
        // networks
        {"NET1_ADDRESS=192.0.2.1/24\nNET1_MTU=1500\n", "1: NET1_ADDRESS: needs NET1_INTERFACE, which is not set\n"},
        {"NET1_INTERFACE=a\nNET1_GATEWAY=192.0.2.1\n",
         "2: NET1_GATEWAY: needs NET1_ADDRESS, which is not set (DHCP brings its own gateway)\n"},
        {"NET1_INTERFACE=a\nNET1_ADDRESS=192.0.2.9/24\nNET1_GATEWAY=192.0.2.1\n", ""},
        {"NET1_INTERFACE=a\nNET1_ADDRESS=192.0.2.9/25\nNET1_GATEWAY=192.0.2.129\n",
         "3: NET1_GATEWAY: the IPv4 gateway is in no network of NET1_ADDRESS\n"},
        {"NET1_INTERFACE=a\nNET1_ADDRESS=192.0.2.9/32\nNET1_GATEWAY=172.31.1.1\n", ""},
        {"NET1_INTERFACE=a\nNET1_ADDRESS=2001:db8::9/64\nNET1_GATEWAY=fe80::1\n", ""},
        {"NET1_INTERFACE=a\nNET1_ADDRESS=192.0.2.9/24\nNET1_GATEWAY=fe80::1\n",
         "3: NET1_GATEWAY: the IPv6 gateway is in no network of NET1_ADDRESS\n"},
        {"NET1_INTERFACE=a\nNET1_ADDRESS='192.0.2.9/24 2001:db8::9/64'\nNET1_GATEWAY='2001:db8::1 192.0.2.1'\n", ""},
        {"NET1_INTERFACE=a\nNET1_ADDRESS=192.0.2.9/24\nNET1_GATEWAY='192.0.2.1 192.0.2.2'\n",
         "3: NET1_GATEWAY: more than one IPv4 gateway\n"},
        {"NET1_INTERFACE=a\nNET1_ADDRESS=2001:db8::9/64\nNET1_MTU=1279\n", "3: NET1_MTU: IPv6 needs at least 1280\n"},
        {"NET1_INTERFACE=a\nNET1_ADDRESS=192.0.2.9/24\nNET1_MTU=1279\n", ""},
        {"NET1_INTERFACE=a\nNET2_INTERFACE=A\n", "2: NET2_INTERFACE: the same interface as NET1_INTERFACE in line 1\n"},
        {"NET1_INTERFACE=a\nNET2_INTERFACE=a\nNET2_VLAN=7\n", ""},
        {"NET1_INTERFACE=a\nNET1_VLAN=7\nNET2_INTERFACE=a\nNET2_VLAN=7\n",
         "3: NET2_INTERFACE: the same interface and VLAN as NET1_INTERFACE in line 1\n"},
        {"NET1_INTERFACE=a\nNET1_VLAN=0\nNET2_INTERFACE=b\nNET2_VLAN=4095\n",
         "2: NET1_VLAN: expected a whole number, from 1 to 4094\n4: NET2_VLAN: expected a whole number, from 1 to 4094\n"},
        // a key whose line is broken is not called missing as well
        {"NET1_INTERFACE='a\nNET1_ADDRESS=192.0.2.9/24\n", "1: NET1_INTERFACE: the quote is not closed on this line\n"},
        {"NET1_INTERFACE=a\nNET1_ADDRESS=$A\nNET1_GATEWAY=192.0.2.1\n",
         "2: NET1_ADDRESS: a shell would split or expand this value: put it in single quotes\n"},
        {"UPDATE_AUTO=true\n", "1: UPDATE_AUTO: needs UPDATE_URL, which is not set\n"},
        {"UPDATE_AUTO=false\n", ""},
        {"INSTALL_IMAGE_URL=http://a.example/i.raw\n", "1: INSTALL_IMAGE_URL: needs INSTALL_IMAGE_SHA256, which is not set\n"},
        {"INSTALL_EXISTING=replace\nINSTALL_DISK=smallest\n", ""},
        {"INSTALL_IMAGE_URL=http://a.example/i.raw\nINSTALL_IMAGE_SHA256=" SHA256 "\n", ""},
        {"INSTALL_IMAGE_SHA256=" SHA256 "\n", "1: INSTALL_IMAGE_SHA256: needs INSTALL_IMAGE_URL, which is not set\n"},
        {"INSTALL_IMAGE_URL=http://a.example/i.raw\nINSTALL_IMAGE_SHA256=123\n",
         "2: INSTALL_IMAGE_SHA256: expected a SHA-256: 64 digits 0-9, a-f\n"},
        {"INSTALL_IMAGE_URL=http://a.example/i.raw\nINSTALL_IMAGE_SHA256=" SHA256 "\nINSTALL_EXISTING=replace\n",
         "3: INSTALL_EXISTING: replace with INSTALL_IMAGE_URL needs INSTALL_THEN=poweroff or wait: a medium that is started again would "
         "install "
         "again\n"},
        {"INSTALL_IMAGE_URL=http://a.example/i.raw\nINSTALL_IMAGE_SHA256=" SHA256 "\nINSTALL_EXISTING=replace\nINSTALL_THEN=wait\n", ""},
        {"SSH_PORT=2222\nHEALTH_LISTEN=0.0.0.0:2222\n", "2: HEALTH_LISTEN: its port is SSH_PORT\n"},
        {"SSH_PORT=9797\n", "1: SSH_PORT: is the port of HEALTH_LISTEN\n"},
        {"SSH_PORT=9797\nHEALTH_LISTEN=''\n", ""},
        {"UPDATE_AUTO=true\nUPDATE_URL=https://a.example/\n", ""},
        // ratios
        {"VM_DIRTY_RATIO=5\n", "1: VM_DIRTY_BACKGROUND_RATIO must be below VM_DIRTY_RATIO (the other has its default)\n"},
        {"VM_DIRTY_RATIO=40\nVM_DIRTY_BACKGROUND_RATIO=40\n", "2: VM_DIRTY_BACKGROUND_RATIO must be below VM_DIRTY_RATIO (both are set)\n"},
        {"VM_DIRTY_RATIO=6\n", ""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_free char *problems = problems_of(&schema_base, cases[i].text);
        assert_string_equal(problems, cases[i].problems);
    }
}

static void base_table_is_sound(void **state) {
    (void)state;
    for (const struct schema_key *const *table = schema_base.tables; *table; table++)
        for (const struct schema_key *key = *table; key->name; key++) {
            cleanup_free char *name = str_dup(key->name);
            if (strchr(name, '#'))
                *strchr(name, '#') = '7';
            assert_ptr_equal(schema_find(&schema_base, name), key); // found, and no other key hides it
            assert_int_equal(key->help[strlen(key->help) - 1], '.');
            assert_true(key->type != SCHEMA_WORD || key->choices);
            assert_true(key->min <= key->max);
            if (key->fallback && !schema_types[key->type].is_valid(key, key->fallback))
                fail_msg("%s: its default is not valid", key->name);
            size_t size = strlen(name);
            assert_true((size > 5 && strcmp(name + size - 5, "_FILE") == 0) == (key->type == SCHEMA_SECRET_FILE));
        }
    assert_null(schema_find(&schema_base, "NET_INTERFACE"));
    assert_null(schema_find(&schema_base, "NET10_INTERFACE"));
    assert_null(schema_find(&schema_base, "NET#_INTERFACE"));
    assert_null(schema_find(&schema_base, "HOSTNAME_"));
    assert_null(schema_find(&schema_base, ""));
}

static void typed_access(void **state) {
    (void)state;
    cleanup_config struct config config = {0};
    cleanup_config_problems struct config_problems problems = {0};
    static const char text[] = "SWAP_SIZE=2G\nENABLE_FIREWALL=false\nNTP_SERVERS=\nNET4_INTERFACE=eth9\nNET4_VLAN=12\n";
    assert_int_equal(schema_parse(&schema_base, text, sizeof(text) - 1, &config, &problems), 0);
    assert_int_equal(schema_integer(&schema_base, &config, "SWAP_SIZE"), 2LL << 30);
    assert_int_equal(schema_integer(&schema_base, &config, "SSH_PORT"), 22);
    assert_int_equal(schema_integer(&schema_base, &config, "NET4_VLAN"), 12);
    assert_int_equal(schema_integer(&schema_base, &config, "NET5_VLAN"), 0);
    assert_false(schema_bool(&schema_base, &config, "ENABLE_FIREWALL"));
    assert_true(schema_bool(&schema_base, &config, "SYSCTL_HARDENING"));
    assert_false(schema_bool(&schema_base, &config, "NET4_DHCP"));
    assert_string_equal(schema_text(&schema_base, &config, "NTP_SERVERS"), "");
    assert_string_equal(schema_text(&schema_base, &config, "HOSTNAME"), "webops");
    assert_string_equal(schema_text(&schema_base, &config, "NET4_INTERFACE"), "eth9");
    assert_null(schema_text(&schema_base, &config, "NET5_INTERFACE"));
}

static void numbers_round_trip(void **state) {
    (void)state;
    static const struct {
        int64_t number;
        const char *text;
    } cases[] = {{0, "0"},        {1, "1"},          {1023, "1023"},    {1024, "1K"},        {1025, "1025"},
                 {3 << 20, "3M"}, {5LL << 30, "5G"}, {7LL << 40, "7T"}, {1LL << 50, "1024T"}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char text[SCHEMA_NUMBER_BYTES];
        int64_t number = -1;
        schema_format_number(cases[i].number, true, text);
        assert_string_equal(text, cases[i].text);
        assert_true(schema_parse_number(text, true, &number));
        assert_int_equal(number, cases[i].number);
    }
    char text[SCHEMA_NUMBER_BYTES];
    schema_format_number(1024, false, text);
    assert_string_equal(text, "1024");
}

static void networks_contain(void **state) {
    (void)state;
    static const struct {
        const char *network, *address;
        bool inside;
    } cases[] = {
        {"192.0.2.0/24", "192.0.2.255", true},
        {"192.0.2.0/24", "192.0.3.0", false},
        {"192.0.2.77/28", "192.0.2.79", true},
        {"192.0.2.77/28", "192.0.2.80", false},
        {"0.0.0.0/0", "255.1.2.3", true},
        {"0.0.0.0/0", "::1", false},
        {"2001:db8::/33", "2001:db8:7fff::1", true},
        {"2001:db8::/33", "2001:db8:8000::1", false},
        {"192.0.2.1/32", "192.0.2.1", true},
        {"192.0.2.1/32", "192.0.2.0", false},
        {"::1/128", "::1", true},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct schema_cidr network, address;
        assert_true(schema_parse_cidr(cases[i].network, strlen(cases[i].network), &network));
        assert_true(schema_parse_cidr(cases[i].address, strlen(cases[i].address), &address));
        assert_int_equal(schema_cidr_contains(&network, &address), cases[i].inside);
    }
}

static void items_of_lists(void **state) {
    (void)state;
    static const struct {
        const char *list, *separators, *items; // items joined with '|'
    } cases[] = {{"", " ", ""},
                 {"   ", " ", ""},
                 {"a", " ", "a|"},
                 {" a  bc ", " ", "a|bc|"},
                 {"a b;c", ";", "a b|c|"},
                 {" a ; ;; b ;", ";", "a|b|"},
                 {";", ";", ""},
                 {"a,b", " ", "a,b|"}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_buf struct buf joined = {0};
        const char *item;
        size_t size;
        for (const char *cursor = cases[i].list; (item = schema_next_item(&cursor, cases[i].separators, &size));)
            buf_printf(&joined, "%.*s|", (int)size, item);
        assert_string_equal(buf_str(&joined), cases[i].items);
    }
}

static const char hash_text[] = "$6$saltsalt$0123456789abcdef./ABCDEFGHIJKLMNOPQRSTUV\n";

// A scratch secrets directory per test.
struct secrets {
    char path[64];
    int fd;
};

static int secrets_set_up(void **state) {
    struct secrets *secrets = mem_array(1, sizeof(*secrets));
    strcpy(secrets->path, "/tmp/webops-secrets-XXXXXX");
    assert_non_null(mkdtemp(secrets->path));
    secrets->fd = open(secrets->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(secrets->fd >= 0);
    *state = secrets;
    return 0;
}

static int secrets_tear_down(void **state) {
    struct secrets *secrets = *state;
    struct err err = {0};
    close(secrets->fd);
    int code = file_remove_tree(AT_FDCWD, secrets->path, &err);
    free(secrets);
    return code;
}

static char *file_problem(int secrets_fd, const char *text) {
    cleanup_config struct config config = {0};
    cleanup_config_problems struct config_problems problems = {0};
    assert_int_equal(schema_parse(&schema_base, text, strlen(text), &config, &problems), 0);
    int code = schema_check_files(&schema_base, &config, secrets_fd, SCHEMA_SECRETS_DIR "/", &problems);
    assert_int_equal(code, problems.count ? -EINVAL : 0);
    assert_true(problems.count <= 1);
    return str_dup(problems.count ? problems.items[0].text : "");
}

static void secret_files(void **state) {
    struct secrets *secrets = *state;
    static const struct {
        const char *content; // NULL: a size of 64 KiB + 1
        unsigned mode;
        const char *problem; // NULL: none
    } cases[] = {
        {hash_text, 0600, NULL},
        {hash_text, 0400, NULL},
        {hash_text, 0640, "chmod 600"},
        {hash_text, 0604, "chmod 600"},
        {hash_text, 0602, "chmod 600"},
        {hash_text, 0666, "chmod 600"},
        {"", 0600, "is empty"},
        {NULL, 0600, "64 KiB"},
        {"canary-plain-password\n", 0600, "openssl passwd"},
        {"$6$a$b\n", 0600, "openssl passwd"},
        {"$6$saltsalt$0123456789\n$6$saltsalt$0123456789\n", 0600, "openssl passwd"},
        {"$6$saltsalt$0123456789:canary\n", 0600, "openssl passwd"},
        {"$canary-canary-canary-canary\n", 0600, "openssl passwd"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_free char *large = mem_array(SCHEMA_SECRET_MAX_BYTES + 2, 1);
        memset(large, 'x', SCHEMA_SECRET_MAX_BYTES + 1);
        const char *content = cases[i].content ? cases[i].content : large;
        struct err err = {0};
        assert_int_equal(file_publish(secrets->fd, "p.secret", content, strlen(content), cases[i].mode, &err), 0);
        cleanup_free char *problem = file_problem(secrets->fd, "OPERATOR_PASSWORD_FILE=/webops/secrets/p.secret\n");
        if (!cases[i].problem)
            assert_string_equal(problem, "");
        else if (!strstr(problem, cases[i].problem))
            fail_msg("case %zu: got '%s'", i, problem);
        assert_null(strstr(problem, "canary"));
        // The same file as public keys: its content does not matter here.
        cleanup_free char *other = file_problem(secrets->fd, "SSH_AUTHORIZED_KEYS_FILE=/webops/secrets/p.secret\n");
        bool content_only = cases[i].problem && strstr(cases[i].problem, "openssl");
        assert_int_equal(other[0] != 0, cases[i].problem != NULL && !content_only);
    }
}

static void private_key_in_the_place_of_public_keys(void **state) {
    struct secrets *secrets = *state;
    static const struct {
        const char *content;
        bool is_good;
    } cases[] = {
        {"ssh-ed25519 " ED25519 " me\n", true},
        {"-----BEGIN OPENSSH PRIVATE KEY-----\ncanary\n-----END OPENSSH PRIVATE KEY-----\n", false},
        {"ssh-ed25519 " ED25519 "\n-----BEGIN RSA PRIVATE KEY-----\ncanary\n", false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err err = {0};
        assert_int_equal(file_publish(secrets->fd, "k.secret", cases[i].content, strlen(cases[i].content), 0600, &err), 0);
        cleanup_free char *problem = file_problem(secrets->fd, "SSH_AUTHORIZED_KEYS_FILE=/webops/secrets/k.secret\n");
        assert_int_equal(problem[0] == 0, cases[i].is_good);
        assert_null(strstr(problem, "canary"));
    }
}

static void secrets_that_are_no_files(void **state) {
    struct secrets *secrets = *state;
    static const char text[] = "OPERATOR_PASSWORD_FILE=/webops/secrets/p.secret\n";
    cleanup_free char *missing = file_problem(secrets->fd, text);
    assert_string_equal(missing, "OPERATOR_PASSWORD_FILE: /webops/secrets/p.secret does not exist");
    cleanup_free char *no_directory = file_problem(-1, text);
    assert_non_null(strstr(no_directory, "does not exist"));
    struct err err = {0};
    assert_int_equal(file_publish(secrets->fd, "real.secret", hash_text, strlen(hash_text), 0600, &err), 0);
    assert_int_equal(symlinkat("real.secret", secrets->fd, "p.secret"), 0);
    cleanup_free char *link = file_problem(secrets->fd, text);
    assert_non_null(strstr(link, "symbolic link"));
    assert_int_equal(unlinkat(secrets->fd, "p.secret", 0), 0);
    assert_int_equal(mkdirat(secrets->fd, "p.secret", 0700), 0);
    cleanup_free char *directory = file_problem(secrets->fd, text);
    assert_non_null(strstr(directory, "not a regular file"));
    assert_int_equal(unlinkat(secrets->fd, "p.secret", AT_REMOVEDIR), 0);
    assert_int_equal(mkfifoat(secrets->fd, "p.secret", 0600), 0); // must not block
    cleanup_free char *fifo = file_problem(secrets->fd, text);
    assert_non_null(strstr(fifo, "not a regular file"));
}

static void documents_are_current(void **state) {
    (void)state;
    cleanup_buf struct buf generated = {0};
    schema_format_markdown(&schema_base, &generated);
    struct err err = {0};
    cleanup_free char *committed = NULL;
    size_t size;
    assert_int_equal(file_read(AT_FDCWD, "docs/CONFIG.md", 1 << 20, &committed, &size, &err), 0);
    // The stacks' keys come behind; test_stacks.c in builder/test/ compares the whole.
    if (strncmp(committed, buf_str(&generated), generated.size) != 0)
        fail_msg("docs/CONFIG.md is not what the schema says: build/webops-image config doc > docs/CONFIG.md");
    for (const struct schema_key *const *table = schema_base.tables; *table; table++)
        for (const struct schema_key *key = *table; key->name; key++) {
            cleanup_free char *cell = str_printf("\n| `%s` |", key->name);
            assert_non_null(strstr(committed, cell));
        }
}

static void example_passes(void **state) {
    (void)state;
    struct err err = {0};
    cleanup_free char *text = NULL;
    size_t size;
    assert_int_equal(file_read(AT_FDCWD, "examples/config.env", CONFIG_READ_BYTES, &text, &size, &err), 0);
    cleanup_free char *problems = problems_of(&schema_base, text);
    assert_string_equal(problems, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_by_type),
        cmocka_unit_test(whole_files),
        cmocka_unit_test(base_table_is_sound),
        cmocka_unit_test(typed_access),
        cmocka_unit_test(numbers_round_trip),
        cmocka_unit_test(networks_contain),
        cmocka_unit_test(items_of_lists),
        cmocka_unit_test_setup_teardown(secret_files, secrets_set_up, secrets_tear_down),
        cmocka_unit_test_setup_teardown(private_key_in_the_place_of_public_keys, secrets_set_up, secrets_tear_down),
        cmocka_unit_test_setup_teardown(secrets_that_are_no_files, secrets_set_up, secrets_tear_down),
        cmocka_unit_test(documents_are_current),
        cmocka_unit_test(example_passes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
