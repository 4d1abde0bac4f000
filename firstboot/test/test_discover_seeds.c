// SPDX-License-Identifier: Apache-2.0
// Discovery: what may be on a seed, what is made of it, and where secrets come from.
#include "firstboot/test/discover.h"

static void links_on_a_volume_are_not_followed(void **state) {
    (void)state;
    cleanup_discovered struct discovered found = {0};
    add_device("sdb", "", "vfat", "WEBOPS");
    put("media/private", "HOSTNAME=stolen\n");
    put("media/sdb/.keep", "");
    assert_int_equal(symlinkat("../private", tree.fd, "media/sdb/config.env"), 0);
    discover(false, &found);
    assert_refused(&found, 0, "volume WEBOPS on sdb", 0, "config.env");
    assert_int_equal(unlinkat(tree.fd, "media/sdb/config.env", 0), 0);
    put("media/sdb/config.env", "HOSTNAME=a\n");
    put("media/sdb/secrets/.keep", "");
    assert_int_equal(symlinkat("../../private", tree.fd, "media/sdb/secrets/a.secret"), 0);
    discover(false, &found);
    assert_refused(&found, 0, "volume WEBOPS on sdb", 0, "a.secret");
    assert_false(file_exists(tree.fd, "webops/secrets"));
}

// Behind volumes; and the boot partition of whatever machine is on a disk beside it says nothing.
static void medium_is_a_source(void **state) {
    (void)state;
    cleanup_discovered struct discovered found = {0};
    put("run/webops/medium/webops/config.env", "HOSTNAME=medium\n" NEEDS_SECRET);
    put("run/webops/medium/webops/secrets/op.secret", HASH);
    put("media/sda2/config.env", "HOSTNAME=another-machine\n");
    add_device("sda2", "esp", "vfat", "ESP");
    add_device("sda5", "webops-state", "ext4", "");
    discover(false, &found);
    assert_found(&found, "medium", "medium");
    assert_file("webops/secrets/op.secret", HASH);
    assert_int_equal(unlinkat(tree.fd, "webops/config.env", 0), 0);
    put("media/sdb/config.env", "HOSTNAME=stick\n");
    add_device("sdb", "", "vfat", "WEBOPS");
    discover(false, &found);
    assert_found(&found, "volume WEBOPS on sdb", "stick");
}

static void nocloud_seed_merges_what_is_not_set(void **state) {
    (void)state;
    cleanup_discovered struct discovered found = {0};
    add_device("sr", "", "iso9660", "cidata");
    put("media/sr/user-data", "TIMEZONE=Europe/Berlin"); // without a final newline
    put("media/sr/meta-data", "{\n\"instance-id\": \"iid-local01\",\n\"local-hostname\": \"web7\"\n}\n"); // as cloud-localds writes it
    put("media/sr/network-config", "version: 2\nethernets:\n  eth0:\n    addresses: [192.0.2.7/24]\n    gateway4: 192.0.2.1\n");
    discover(false, &found);
    assert_found(&found, "seed cidata on sr", "web7");
    assert_file("webops/config.env", "TIMEZONE=Europe/Berlin\n# from meta-data\nHOSTNAME=web7\n# from network-config\n"
                                     "NET0_INTERFACE=eth0\nNET0_DHCP=false\nNET0_ADDRESS=192.0.2.7/24\nNET0_GATEWAY=192.0.2.1\n");
    assert_int_equal(unlinkat(tree.fd, "webops/config.env", 0), 0);
    put("media/sr/user-data", "HOSTNAME=own\nNET3_INTERFACE=eth5\n");
    discover(false, &found);
    assert_file("webops/config.env", "HOSTNAME=own\nNET3_INTERFACE=eth5\n");
}

static void nocloud_seed_problems_name_their_file(void **state) {
    (void)state;
    cleanup_discovered struct discovered found = {0};
    add_device("sr", "", "iso9660", "cidata");
    put("media/sr/meta-data", "instance-id: x\nlocal-hostname: not_a_name\n");
    put("media/sr/network-config", "version: 2\nethernets:\n  eth0:\n    addresses: [192.0.2.7]\nbonds:\n  b0: {}\n");
    discover(false, &found);
    assert_found(&found, "default", "from-default");
    assert_refused(&found, 0, "seed cidata on sr", 0, "meta-data:2: HOSTNAME: expected a host name");
    assert_refused(&found, 0, "seed cidata on sr", 0, "network-config:5: unknown section");
    put("media/sr/meta-data", "instance-id: x\nlocal-hostname: fine\n");
    put("media/sr/network-config", "version: 2\nethernets:\n  eth0:\n    addresses: [192.0.2.7]\n");
    discover(false, &found);
    assert_refused(&found, 0, "seed cidata on sr", 0, "network-config:3: NET0_ADDRESS: expected addresses with their prefix");
}

static void foreign_user_data_is_named(void **state) {
    (void)state;
    static const struct {
        const char *data, *name;
    } cases[] = {
        {"#cloud-config\nx: y\n", "a cloud-config"},
        {"#!/bin/bash\n", "a script"},
        {"#include\nhttp://x/\n", "an include list"},
        {"Content-Type: multipart/mixed\n", "a MIME"},
        {"## template: jinja\n", "a template"},
        {"{\"a\": 1}", "JSON"},
        {"\x1f\x8b\x08", "compressed"},
    };
    add_device("sr", "", "iso9660", "cidata");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_discovered struct discovered found = {0};
        put("media/sr/user-data", cases[i].data);
        discover(false, &found);
        assert_refused(&found, 0, "seed cidata on sr", 1, cases[i].name);
        assert_found(&found, "default", "from-default");
    }
    cleanup_discovered struct discovered found = {0};
    put("media/sr/config.env", "HOSTNAME=beside\n"); // stands beside a cloud-config: ours wins
    discover(false, &found);
    assert_found(&found, "seed cidata on sr", "beside");
}

// `config check` passes them: to it a comment is a comment.
static void a_first_comment_makes_no_other_format(void **state) {
    (void)state;
    static const char *const cases[] = {
        "## template: web servers\nHOSTNAME=ours\n",
        "#include the password file below\n\nHOSTNAME=ours\n",
        "#cloud-config is not used here\nHOSTNAME=ours\n",
        "#!/usr/bin/env webops\nHOSTNAME=ours\n",
    };
    add_device("sr", "", "iso9660", "cidata");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_discovered struct discovered found = {0};
        put("media/sr/user-data", cases[i]);
        discover(false, &found);
        assert_found(&found, "seed cidata on sr", "ours");
        assert_int_equal(unlinkat(tree.fd, DISCOVER_CONFIG, 0), 0);
    }
}

static void secrets_from_the_hypervisor_complete_any_source(void **state) {
    (void)state;
    cleanup_discovered struct discovered found = {0};
    add_device("sr", "", "iso9660", "cidata");
    put("media/sr/user-data", NEEDS_SECRET "SSH_AUTHORIZED_KEYS_FILE=/webops/secrets/keys.secret\n");
    put(FW "/secrets/op.secret/raw", HASH);
    put("run/credentials/@system/webops.secret.keys", "ssh-ed25519 x\n");
    put("run/credentials/@system/webops.secret.op.secret", "second, loses");
    put("run/credentials/@system/other.credential", "not ours");
    discover(false, &found);
    assert_string_equal(found.source, "seed cidata on sr");
    assert_file("webops/secrets/op.secret", HASH);
    assert_file("webops/secrets/keys.secret", "ssh-ed25519 x\n");
    assert_int_equal(mode_of("webops/secrets/keys.secret"), 0600);
}

static void bad_secrets_refuse_their_source(void **state) {
    (void)state;
    cleanup_free char *large = mem_array(SCHEMA_SECRET_MAX_BYTES + 2, 1);
    memset(large, 'x', SCHEMA_SECRET_MAX_BYTES + 1);
    const struct {
        const char *name, *content, *problem;
    } cases[] = {
        {"a b.secret", "x", "has a name"},
        {"-a.secret", "x", "has a name"},
        {"empty.secret", "", "is empty"},
        {"large.secret", large, "large.secret"},
    };
    add_device("sdb", "", "vfat", "WEBOPS");
    put("media/sdb/config.env", "HOSTNAME=a\n");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_discovered struct discovered found = {0};
        cleanup_free char *path = str_printf("media/sdb/secrets/%s", cases[i].name);
        put(path, cases[i].content);
        discover(false, &found);
        assert_refused(&found, 0, "volume WEBOPS on sdb", 0, cases[i].problem);
        assert_false(file_exists(tree.fd, DISCOVER_CONFIG));
        assert_int_equal(unlinkat(tree.fd, path, 0), 0);
    }
    struct err err;
    for (int i = 0; i <= CANDIDATE_MAX_SECRETS; i++) {
        cleanup_free char *path = str_printf("media/sdb/secrets/s%d.secret", i);
        put(path, "x");
    }
    cleanup_discovered struct discovered found = {0};
    discover(false, &found);
    assert_refused(&found, 0, "volume WEBOPS on sdb", 0, "one too many");
    assert_int_equal(file_remove_tree(tree.fd, "media/sdb/secrets", &err), 0);
}

#define PACK(size) "webops-secrets 1\nop.secret " size "\n" HASH

// Secrets in an envelope on the seed, its key on another volume.
static void an_envelope_is_opened(void **state) {
    (void)state;
    static const struct {
        const char *key, *envelope, *problem; // NULL: taken
    } rows[] = {
        {NULL, PACK("53"), "secrets.cms is closed: no volume labelled WEBOPS or cidata has its key, secrets.key"},
        {"another\n", PACK("53"), "secrets.cms: closed for others"},
        {"key\n", "nonsense", "secrets.cms: this is no pack of secrets"},
        {"key\n", PACK("54"), "secrets.cms: the pack of secrets has missing bytes"},
        {"key\n", PACK("53"), NULL},
    };
    cleanup_discovered struct discovered found = {0};
    assert_int_equal(strlen(HASH), 53);
    add_device("sr0", "", "iso9660", "cidata");
    add_device("sdb1", "", "vfat", "WEBOPS");
    put("media/sdb1/.keep", "");
    put("media/sr0/user-data", "HOSTNAME=sealed\n" NEEDS_SECRET);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        put("media/sr0/secrets.cms", rows[i].envelope);
        if (rows[i].key)
            put("media/sdb1/secrets.key", rows[i].key);
        discover(false, &found);
        if (rows[i].problem)
            assert_refused(&found, found.refusal_count - 1, "seed cidata on sr0", 0, rows[i].problem);
        else
            assert_found(&found, "seed cidata on sr0", "sealed");
    }
    assert_file(DISCOVER_SECRETS "/op.secret", HASH);
    assert_int_equal(mode_of(DISCOVER_SECRETS "/op.secret"), 0600);
    assert_false(file_exists(tree.fd, DISCOVER_SECRETS "/secrets.key"));
    assert_false(file_exists(tree.fd, DISCOVER_SECRETS "/secrets.cms"));
}

// Whichever of several keys it is; what none of them opens says how many there were.
static void every_key_is_tried(void **state) {
    (void)state;
    static const char *const keys[] = {"media/sdb1/secrets.key", "media/sdc1/secrets.key", "media/sdd1/secrets.key"};
    cleanup_discovered struct discovered found = {0};
    add_device("sr0", "", "iso9660", "cidata");
    add_device("sdb1", "", "vfat", "WEBOPS");
    add_device("sdc1", "", "vfat", "WEBOPS");
    add_device("sdd1", "", "vfat", "cidata");
    put("media/sr0/user-data", "HOSTNAME=sealed\n" NEEDS_SECRET);
    put("media/sr0/secrets.cms", PACK("53"));
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        put(keys[i], "stale\n");
    discover(false, &found);
    assert_refused(&found, 0, "seed cidata on sr0", 0, "secrets.cms: 3 keys (secrets.key) were tried; the last one: closed for others");
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        put(keys[i], "key\n");
        discover(false, &found);
        assert_found(&found, "seed cidata on sr0", "sealed");
        assert_file(DISCOVER_SECRETS "/op.secret", HASH);
        put(keys[i], "stale\n");
        assert_int_equal(unlinkat(tree.fd, DISCOVER_CONFIG, 0), 0);
    }
    put("media/sr0/secrets.cms", "nonsense"); // which the last one opens
    put(keys[2], "key\n");
    discover(false, &found);
    assert_refused(&found, 0, "seed cidata on sr0", 0, "secrets.cms: this is no pack of secrets");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(links_on_a_volume_are_not_followed),
        TEST(medium_is_a_source),
        TEST(nocloud_seed_merges_what_is_not_set),
        TEST(nocloud_seed_problems_name_their_file),
        TEST(foreign_user_data_is_named),
        TEST(a_first_comment_makes_no_other_format),
        TEST(secrets_from_the_hypervisor_complete_any_source),
        TEST(bad_secrets_refuse_their_source),
        TEST(an_envelope_is_opened),
        TEST(every_key_is_tried),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
