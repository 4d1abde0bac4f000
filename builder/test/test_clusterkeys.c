// SPDX-License-Identifier: Apache-2.0
// The secrets of a cluster: what is in the directory and who may read it, what nodes share and what they do not, renewal, refusals.
#include "builder/clusterkeys.h"
#include "builder/test/support.h"
#include "builder/verbs.h"
#include "common/config.h"
#include "common/schema.h"

#define FROM 1700000000

static const struct cluster_node nodes[] = {{"n1", "192.0.2.1"}, {"n2", "192.0.2.2"}, {"n3", "192.0.2.3"}};
static const struct cluster_request request = {.name = "demo",
                                               .nodes = nodes,
                                               .node_count = 3,
                                               .vip = "192.0.2.10/24",
                                               .interface = "eth0",
                                               .ssh_keys = "ssh-ed25519 AAAA me\n",
                                               .not_before = FROM,
                                               .ca_days = 100,
                                               .node_days = 50};

static char *read_text(const char *dir, const char *path) {
    struct err err = {0};
    char *text = NULL;
    cleanup_free char *full = str_printf("%s/%s", dir, path);
    assert_ok(file_read(AT_FDCWD, full, 1 << 20, &text, NULL, &err));
    return text;
}

static void verify(const char *dir, const char *node, const char *file, const char *address, const char *purpose) {
    cleanup_free char *ca = str_printf("%s/ca.pem", dir), *pem = str_printf("%s/nodes/%s/secrets/%s-cert.secret", dir, node, file);
    cleanup_free char *ok = tool(RUN_ARGV("openssl", "verify", "-attime", "1700100000", "-x509_strict", "-purpose", purpose, "-verify_ip",
                                          address, "-CAfile", ca, pem));
    assert_contains(ok, ": OK");
}

static void test_files(void **state) {
    struct err err = {0};
    struct stat st;
    cleanup_free char *dir = scratch_file(*state, "deep/demo");
    assert_ok(cluster_make(dir, &request, &err));
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    cleanup_free char *open = tool(RUN_ARGV("find", dir, "-type", "f", "-perm", "/077", "-printf", "%P\n"));
    assert_string_equal(open, "ca.pem\n");
    cleanup_free char *count = tool(RUN_ARGV("find", dir, "-path", "*/n2/secrets/*.secret", "-printf", "."));
    assert_int_equal(strlen(count), 11);
    for (size_t i = 0; i < ARRAY_SIZE(nodes); i++) {
        static const char *const files[] = {"etcd", "etcd-peer", "postgres"};
        for (size_t j = 0; j < ARRAY_SIZE(files); j++) {
            verify(dir, nodes[i].name, files[j], nodes[i].address, "sslserver");
            verify(dir, nodes[i].name, files[j], "127.0.0.1", "sslclient");
        }
        verify(dir, nodes[i].name, "postgres", "192.0.2.10", "sslserver");
    }
    cleanup_free char *peer = str_printf("%s/nodes/n1/secrets/etcd-peer-cert.secret", dir);
    cleanup_free char *subject = tool(RUN_ARGV("openssl", "x509", "-noout", "-subject", "-enddate", "-in", peer));
    assert_contains(subject, "CN = etcd-peer\n");
    assert_contains(subject, "Jan  3 22:13:20 2024"); // 50 days
}

static void test_shared(void **state) {
    struct err err = {0};
    cleanup_free char *dir = scratch_file(*state, "demo");
    assert_ok(cluster_make(dir, &request, &err));
    static const struct {
        const char *file;
        bool is_shared;
    } cases[] = {{"cluster-ca", true}, {"postgres-superuser", true}, {"postgres-replication", true}, {"postgres-rewind", true},
                 {"ssh", true},        {"etcd-key", false},          {"etcd-peer-key", false},       {"postgres-key", false}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_free char *one = str_printf("nodes/n1/secrets/%s.secret", cases[i].file);
        cleanup_free char *other = str_printf("nodes/n2/secrets/%s.secret", cases[i].file);
        cleanup_free char *left = read_text(dir, one), *right = read_text(dir, other);
        assert_int_equal(strcmp(left, right) == 0, cases[i].is_shared);
    }
    cleanup_free char *super = read_text(dir, "nodes/n1/secrets/postgres-superuser.secret");
    cleanup_free char *rewind = read_text(dir, "nodes/n1/secrets/postgres-rewind.secret");
    assert_int_equal(strlen(super), 48);
    assert_string_not_equal(super, rewind);
}

// Without stacks the base schema knows none of the stacks' keys, but every line must be one that a config.env may hold.
static void test_config(void **state) {
    struct err err = {0};
    cleanup_config struct config config = {0};
    cleanup_config_problems struct config_problems problems = {0};
    cleanup_free char *dir = scratch_file(*state, "demo");
    assert_ok(cluster_make(dir, &request, &err));
    cleanup_free char *text = read_text(dir, "nodes/n2/config.env");
    assert_int_equal(config_parse(text, strlen(text), &config, &problems), 0);
    static const char *const pairs[][2] = {
        {"HOSTNAME", "n2"},
        {"WATCHDOG", "hardware-or-off"},
        {"ETCD_NAME", "n2"},
        {"PATRONI_PEERS", "n1=192.0.2.1 n2=192.0.2.2 n3=192.0.2.3"},
        {"PATRONI_VIP", "192.0.2.10/24"},
        {"PATRONI_VIP_INTERFACE", "eth0"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(pairs); i++)
        assert_string_equal(config_find(&config, pairs[i][0])->value, pairs[i][1]);
    for (size_t i = 0; i < config.count; i++) {
        const char *name = schema_secret_name(config.entries[i].value);
        cleanup_free char *path = str_printf("%s/nodes/n2/secrets/%s", dir, name ? name : "");
        if (strstr(config.entries[i].key, "_FILE"))
            assert_true(name && file_exists(AT_FDCWD, path));
    }
}

static void test_renew(void **state) {
    static const char *const kept[] = {"nodes/n1/secrets/postgres-superuser.secret", "nodes/n1/secrets/cluster-ca.secret",
                                       "nodes/n1/config.env", "ca.key"};
    struct err err = {0};
    char *before[ARRAY_SIZE(kept)];
    cleanup_free char *dir = scratch_file(*state, "demo"), *names = NULL;
    assert_ok(cluster_make(dir, &request, &err));
    for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
        before[i] = read_text(dir, kept[i]);
    cleanup_free char *old = read_text(dir, "nodes/n3/secrets/etcd-key.secret");
    assert_ok(cluster_renew(dir, FROM + 10 * CLUSTER_DAY, 60, &names, &err));
    assert_string_equal(names, "n1 n2 n3");
    for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
        cleanup_free char *after = read_text(dir, kept[i]);
        assert_string_equal(after, before[i]);
        free(before[i]);
    }
    cleanup_free char *new = read_text(dir, "nodes/n3/secrets/etcd-key.secret"),
                      *pem = str_printf("%s/nodes/n3/secrets/postgres-cert.secret", dir);
    assert_string_not_equal(old, new);
    cleanup_free char *end = tool(RUN_ARGV("openssl", "x509", "-noout", "-enddate", "-in", pem));
    assert_contains(end, "Jan 23 22:13:20 2024"); // 10 + 60 days
    cleanup_free char *ca = str_printf("%s/ca.pem", dir);
    cleanup_free char *ok = tool(RUN_ARGV("openssl", "verify", "-attime", "1701000000", "-verify_ip", "192.0.2.10", "-CAfile", ca, pem));
    assert_contains(ok, ": OK");
    // The CA ends 100 days after it began.
    free(names);
    names = NULL;
    assert_int_equal(cluster_renew(dir, FROM + 50 * CLUSTER_DAY, 60, &names, &err), -EINVAL);
    assert_contains(err.text, "outlive");
    cleanup_free char *same = read_text(dir, "nodes/n3/secrets/etcd-key.secret");
    assert_string_equal(same, new);
    cleanup_free char *none = scratch_file(*state, "none");
    assert_int_equal(cluster_renew(none, FROM, 60, &names, &err), -ENOENT);
    assert_contains(err.text, "holds no secrets of a cluster");
}

static void assert_fit(const char *dir, const char *node) {
    cleanup_free char *key = str_printf("%s/nodes/%s/secrets/etcd-key.secret", dir, node),
                      *pem = str_printf("%s/nodes/%s/secrets/etcd-cert.secret", dir, node);
    cleanup_free char *of_key = tool(RUN_ARGV("openssl", "pkey", "-pubout", "-in", key)),
                      *of_pem = tool(RUN_ARGV("openssl", "x509", "-noout", "-pubkey", "-in", pem));
    assert_string_equal(of_key, of_pem);
}

// All nodes' secrets are made before the first one is touched.
static void test_renew_all_or_nothing(void **state) {
    struct err err = {0};
    cleanup_free char *dir = scratch_file(*state, "demo"), *names = NULL, *last = str_printf("%s/nodes/n3/secrets", dir),
                      *away = str_printf("%s/away", dir);
    assert_ok(cluster_make(dir, &request, &err));
    cleanup_free char *before = read_text(dir, "nodes/n1/secrets/etcd-key.secret");
    assert_int_equal(rename(last, away), 0);
    assert_ok(file_publish(AT_FDCWD, last, "", 0, 0600, &err));
    assert_true(cluster_renew(dir, FROM, 60, &names, &err) < 0);
    assert_contains(err.text, "nothing was renewed");
    cleanup_free char *after = read_text(dir, "nodes/n1/secrets/etcd-key.secret");
    assert_string_equal(before, after);
    cleanup_free char *left = tool(RUN_ARGV("find", dir, "-name", ".*"));
    assert_string_equal(left, "");
}

// Killed halfway: a copy that is not whole, and secrets that were moved away where two names cannot be exchanged.
static void test_renew_after_a_kill(void **state) {
    struct err err = {0};
    cleanup_free char *dir = scratch_file(*state, "demo"), *names = NULL, *secrets_dir = str_printf("%s/nodes/n2/secrets", dir),
                      *old = str_printf("%s/nodes/n2/.secrets.old", dir), *half = str_printf("%s/nodes/n2/.secrets.new", dir),
                      *torn = str_printf("%s/etcd-key.secret", half), *own = str_printf("%s/own.secret", secrets_dir);
    assert_ok(cluster_make(dir, &request, &err));
    assert_ok(file_publish(AT_FDCWD, own, "mine", 4, 0640, &err));
    cleanup_free char *password = read_text(dir, "nodes/n2/secrets/postgres-rewind.secret");
    assert_int_equal(rename(secrets_dir, old), 0);
    assert_int_equal(mkdir(half, 0700), 0);
    assert_ok(file_publish(AT_FDCWD, torn, "-----BEGIN", 10, 0600, &err));
    assert_ok(cluster_renew(dir, FROM, 60, &names, &err));
    for (size_t i = 0; i < ARRAY_SIZE(nodes); i++)
        assert_fit(dir, nodes[i].name);
    cleanup_free char *same = read_text(dir, "nodes/n2/secrets/postgres-rewind.secret");
    assert_string_equal(same, password);
    cleanup_free char *mode = tool(RUN_ARGV("stat", "-c", "%a", own, secrets_dir));
    assert_string_equal(mode, "640\n700\n");
    cleanup_free char *left = tool(RUN_ARGV("find", dir, "-name", ".*"));
    assert_string_equal(left, "");
}

static void test_refused(void **state) {
    const struct scratch *scratch = *state;
    static const struct cluster_node bad[][3] = {
        {{"n1", "192.0.2.1"}, {"n2", "192.0.2.2"}, {"n1", "192.0.2.3"}},
        {{"n1", "192.0.2.1"}, {"n2", "192.0.2.1"}, {"n3", "192.0.2.3"}},
        {{"n1", "192.0.2.1"}, {"n2", "node2.example"}, {"n3", "192.0.2.3"}},
        {{"n1", "192.0.2.1"}, {"n2", "2001:db8::2"}, {"n3", "192.0.2.3"}},
        {{"../n1", "192.0.2.1"}, {"n2", "192.0.2.2"}, {"n3", "192.0.2.3"}},
        {{"n1,IP:1.2.3.4", "192.0.2.1"}, {"n2", "192.0.2.2"}, {"n3", "192.0.2.3"}},
    };
    static const char *const says[] = {"given twice", "given twice", "no IPv4", "no IPv4", "host name", "host name"};
    struct err err = {0};
    cleanup_free char *dir = scratch_file(scratch, "demo");
    struct cluster_request wanted;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        wanted = request;
        wanted.nodes = bad[i];
        assert_int_equal(cluster_make(dir, &wanted, &err), -EINVAL);
        assert_contains(err.text, says[i]);
    }
    const struct {
        const char *name, *vip, *interface;
        size_t count;
        long ca_days, node_days;
        const char *says;
    } cases[] = {
        {"demo", NULL, NULL, 2, 10, 5, "odd number"},
        {"demo", NULL, NULL, 0, 10, 5, "odd number"},
        {"De mo", NULL, NULL, 3, 10, 5, "cluster's name"},
        {"demo", "192.0.2.10/24", NULL, 3, 10, 5, "needs an interface"},
        {"demo", NULL, "eth0", 3, 10, 5, "needs an interface"},
        {"demo", "192.0.2.10", "eth0", 3, 10, 5, "prefix length"},
        {"demo", "192.0.2.10/24", "00:00:5e:00:53:01", 3, 10, 5, "kernel's name"},
        {"demo", NULL, NULL, 3, 10, 11, "no longer than the CA"},
        {"demo", NULL, NULL, 3, 10, 0, "no longer than the CA"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        wanted = (struct cluster_request){.name = cases[i].name,
                                          .nodes = nodes,
                                          .node_count = cases[i].count,
                                          .vip = cases[i].vip,
                                          .interface = cases[i].interface,
                                          .not_before = FROM,
                                          .ca_days = cases[i].ca_days,
                                          .node_days = cases[i].node_days};
        if (cluster_make(dir, &wanted, &err) != -EINVAL || !strstr(err.text, cases[i].says))
            fail_msg("case %zu: %s", i, err.text);
    }
    cleanup_free char *left = tool(RUN_ARGV("find", scratch->path, "-mindepth", "1"));
    assert_string_equal(left, "");
}

static int secrets(const char *const *arguments, char **ret_out, char **ret_said) {
    static const struct verb verb = {"secrets", "new-cluster|renew DIR", 2, 2, "help", verb_secrets};
    char *argv[16] = {(char *)"secrets"};
    int argc = 1;
    struct redirect redirect;
    for (; *arguments; arguments++)
        argv[argc++] = (char *)*arguments;
    redirect_begin(&redirect);
    int code = verb_secrets(&verb, argc, argv);
    redirect_end(&redirect, ret_out, ret_said);
    return code;
}

static void test_verb(void **state) {
    struct err err = {0};
    cleanup_free char *dir = scratch_file(*state, "demo"), *key = scratch_file(*state, "key"), *not_there = scratch_file(*state, "no");
    assert_ok(file_publish(AT_FDCWD, key, "-----BEGIN OPENSSH PRIVATE KEY-----\n", 36, 0600, &err));
    const struct {
        const char *const *arguments;
        int code;
        const char *out, *said;
    } cases[] = {
        {RUN_ARGV("new-cluster", not_there, "--name", "demo"), EXIT_USAGE, "", "at least one --node"},
        {RUN_ARGV("new-cluster", not_there, "--name", "demo", "--node", "n1"), EXIT_USAGE, "", "NAME=ADDRESS"},
        {RUN_ARGV("new-cluster", not_there, "--name", "demo", "--node", "n1=192.0.2.1", "--node", "n2=192.0.2.2"), EXIT_USAGE, "",
         "secrets new-cluster: 2 nodes: etcd needs an odd number"},
        {RUN_ARGV("new-cluster", not_there, "--name", "demo", "--node", "n1=192.0.2.1", "--vip", "192.0.2.9/24"), EXIT_USAGE, "",
         "needs an interface"},
        {RUN_ARGV("new-cluster", not_there, "--name", "d", "--node", "n1=192.0.2.1", "--ssh-key", key), EXIT_PERMANENT, "", "private key"},
        {RUN_ARGV("new-cluster", dir, "--name", "demo", "--node", "n1=192.0.2.1"), EXIT_OK, "keep apart:   ca.key", ""},
        {RUN_ARGV("new-cluster", dir, "--name", "demo", "--node", "n1=192.0.2.1"), EXIT_PERMANENT, "", "never overwritten"},
        {RUN_ARGV("renew", dir, "--days", "0"), EXIT_USAGE, "", "1 or more"},
        {RUN_ARGV("renew", dir), EXIT_OK,
         "new certificates for n1.\nOne node after another: copy its secrets/ to /webops/secrets, run webops install, ", ""},
        {RUN_ARGV("renew", dir, "--name", "demo"), EXIT_USAGE, "", "takes --days only"},
        {RUN_ARGV("old-cluster", dir), EXIT_USAGE, "", "expected 'new-cluster DIR'"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_free char *out = NULL, *said = NULL;
        int code = secrets(cases[i].arguments, &out, &said);
        if (code != cases[i].code)
            fail_msg("case %zu: exit code %d: %s%s", i, code, out, said);
        assert_contains(out, cases[i].out);
        assert_contains(said, cases[i].said);
    }
    assert_false(file_exists(AT_FDCWD, not_there));
    // Backdated, and still good for as long as was asked for.
    cleanup_free char *short_dir = scratch_file(*state, "short"), *out = NULL, *said = NULL;
    assert_int_equal(secrets(RUN_ARGV("new-cluster", short_dir, "--name", "demo", "--node", "n1=192.0.2.1", "--days", "1"), &out, &said),
                     EXIT_OK);
    assert_contains(out, "in 1 days");
    cleanup_free char *pem = str_printf("%s/nodes/n1/secrets/etcd-cert.secret", short_dir);
    cleanup_free char *good = tool(RUN_ARGV("openssl", "x509", "-noout", "-checkend", "86000", "-in", pem));
    assert_contains(good, "will not expire");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_files, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_shared, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_config, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_renew, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_renew_all_or_nothing, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_renew_after_a_kill, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_refused, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_verb, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests_name("clusterkeys", tests, NULL, NULL);
}
