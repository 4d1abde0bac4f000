// SPDX-License-Identifier: Apache-2.0
// Stacks in the plan: files, owners, overrides, what one bad value costs; ports in the ruleset, which nft itself reads.
#include "firstboot/stack/test/machine.h"
#include "common/run.h"
#include "firstboot/stack/inputs.h"
#include "firstboot/stack/ports.h"
#include <errno.h>

struct planned {
    struct support_root root;
    struct stack_set set;
    struct config config;
    struct stack_inputs inputs;
    struct plan plan;
    struct config_problems problems;
};

static void planned_done(struct planned *planned) {
    plan_done(&planned->plan);
    stack_inputs_done(&planned->inputs);
    config_done(&planned->config);
    config_problems_done(&planned->problems);
    stack_set_done(&planned->set);
    support_root_done(&planned->root);
}

static void make(struct planned *planned, const char *config, void (*change)(const struct support_root *)) {
    struct config_problems refused = {0};
    struct err err = {0};
    *planned = (struct planned){.root = machine_make(config)};
    if (change)
        change(&planned->root);
    assert_int_equal(stack_set_load(planned->root.fd, &planned->set, &err), 0);
    assert_int_equal(schema_parse(&planned->set.schema, config, strlen(config), &planned->config, &refused), 0);
    stack_inputs_gather(planned->root.fd, &planned->set, &planned->config, &(struct stack_assume){0}, &planned->inputs);
    struct facts facts = support_facts;
    facts.stacks = &planned->inputs;
    assert_int_equal(plan_make(&planned->set.schema, &planned->config, &facts, &planned->plan, &planned->problems, &err), 0);
}

static const struct plan_stack *find(const struct planned *planned, const char *name) {
    for (size_t i = 0; i < planned->plan.stack_count; i++)
        if (strcmp(planned->plan.stacks[i].stack->name, name) == 0)
            return &planned->plan.stacks[i];
    fail_msg("%s is not planned", name);
    return NULL;
}

static void nothing_of_a_stack_that_is_off(void **state) {
    (void)state;
    cleanup(planned_done) struct planned planned;
    make(&planned, "STORE_PORT=4000\nSTORE_FROM=192.0.2.0/24\n", NULL);
    assert_null(plan_find(&planned.plan, "etc/default/store"));
    assert_null(plan_find(&planned.plan, "etc/sysctl.d/91-webops-stacks.conf"));
    assert_null(plan_find(&planned.plan, "etc/systemd/system/webops-stacks.service.d/90-webops.conf"));
    assert_int_equal(planned.plan.port_count, 0);
    assert_int_equal(planned.inputs.secret_count, 0); // not even read
    assert_null(strstr(support_content(&planned.plan, "etc/nftables.conf"), "4000"));
}

static void files_owners_and_units(void **state) {
    (void)state;
    cleanup(planned_done) struct planned planned;
    make(&planned, "STORE_ENABLED=true\nBASE_ENABLED=true\nBASE_PASSWORD_FILE=/webops/secrets/base.secret\n", NULL);
    const struct plan_entry *env = plan_find(&planned.plan, "etc/default/store"), *secret = plan_find(&planned.plan, "run/base/password");
    assert_int_equal(env->mode, 0640);
    assert_int_equal(env->uid, 0);
    assert_int_equal(env->gid, 4);
    assert_int_equal(secret->mode, 0400);
    assert_int_equal(secret->uid, 100);
    assert_string_equal(support_content(&planned.plan, "run/base/password"), "s3cret canary\n");
    assert_null(plan_find(&planned.plan, "etc/store/extra")); // its condition does not hold
    const char *order = support_content(&planned.plan, "etc/systemd/system/webops-stacks.service.d/90-webops.conf");
    assert_non_null(strstr(order, "[Unit]\nAfter=store.service\nAfter=store-backup.timer\n"));
    assert_non_null(strstr(order, "After=base.service\n"));
    assert_null(strstr(order, "solo"));
    const char *mount = support_content(&planned.plan, "etc/systemd/system/etc-store\\x2dkept.mount");
    assert_non_null(strstr(mount, "What=/var/lib/webops/persist/etc/store-kept\nWhere=/etc/store-kept\nType=none\nOptions=bind"));
}

static void parameters_of_a_stack_beat_the_base(void **state) {
    (void)state;
    cleanup(planned_done) struct planned planned;
    make(&planned, "STORE_ENABLED=true\nSWAPPINESS=50\n", NULL);
    assert_string_equal(support_content(&planned.plan, "etc/sysctl.d/91-webops-stacks.conf"),
                        "# Rendered by webops from config.env.\nvm.swappiness = 3\nvm.max_map_count = 262144\n");
    size_t found = 0;
    for (size_t i = 0; i < planned.plan.sysctl_count; i++)
        if (strcmp(planned.plan.sysctls[i].key, "vm.swappiness") == 0) {
            assert_int_equal(planned.plan.sysctls[i].value, 3);
            found++;
        }
    assert_int_equal(found, 1); // twice would be set twice by every run
}

static void write_good_override(const struct support_root *root) {
    support_write(root, STACK_OVERRIDE_DIR "/store/store.env", "MINE={{STORE_PORT}}\n");
}
static void write_bad_override(const struct support_root *root) {
    support_write(root, STACK_OVERRIDE_DIR "/store/store.env", "MINE={{STORE_PORT}}\n{{NOBODYS_KEY}}\n");
}
static void write_linked_override(const struct support_root *root) {
    struct err err;
    assert_int_equal(file_mkdirs(root->fd, STACK_OVERRIDE_DIR "/store", 0755, &err), 0);
    assert_int_equal(symlinkat("/etc/shadow", root->fd, STACK_OVERRIDE_DIR "/store/store.env"), 0);
}

static void the_operators_template(void **state) {
    (void)state;
    cleanup(planned_done) struct planned good, bad, linked;
    make(&good, "STORE_ENABLED=true\n", write_good_override);
    assert_string_equal(support_content(&good.plan, "etc/default/store"), "MINE=2379\n");
    assert_int_equal(good.problems.count, 0);
    make(&bad, "STORE_ENABLED=true\n", write_bad_override);
    assert_string_equal(support_content(&bad.plan, "etc/default/store"), "PORT=2379\n");
    assert_int_equal(bad.problems.count, 1);
    assert_non_null(strstr(bad.problems.items[0].text, "/webops/templates/store/store.env:2: "));
    assert_non_null(strstr(bad.problems.items[0].text, "the image's own template is used"));
    assert_null(find(&bad, "store")->problem);
    make(&linked, "STORE_ENABLED=true\n", write_linked_override);
    assert_string_equal(support_content(&linked.plan, "etc/default/store"), "PORT=2379\n");
    assert_int_equal(linked.problems.count, 1);
}

static void write_wordy_template(const struct support_root *root) {
    support_write(root, STACK_DIR "/store/store.env", "PORT={{word STORE_TEXT}}\n");
}
static void lose_template(const struct support_root *root) {
    unlinkat(root->fd, STACK_DIR "/store/store.env", 0);
}

static void one_bad_value_costs_one_stack(void **state) {
    (void)state;
    static const char config[] =
        "STORE_ENABLED=true\nSTORE_TEXT='canary value'\nSOLO_ENABLED=true\nSTORE_FROM=192.0.2.0/24\nHOSTNAME=kept\n";
    cleanup(planned_done) struct planned planned, lost;
    make(&planned, config, write_wordy_template);
    const struct plan_stack *store = find(&planned, "store");
    assert_non_null(strstr(store->problem, "STORE_TEXT"));
    assert_null(strstr(store->problem, "canary"));
    assert_string_equal(store->digest, "");
    assert_int_equal(plan_find(&planned.plan, "etc/default/store")->kind, PLAN_KEEP);
    assert_int_equal(planned.problems.count, 1);
    assert_int_equal(planned.problems.items[0].line, 1); // of what switches it on
    assert_null(find(&planned, "solo")->problem);
    assert_string_equal(support_content(&planned.plan, "etc/hostname"), "kept\n");
    assert_int_equal(planned.plan.port_count, 1); // it may run with the files that it has
    make(&lost, config, lose_template);
    assert_non_null(strstr(find(&lost, "store")->problem, "this image has no such template"));
}

static void digests_follow_what_is_written(void **state) {
    (void)state;
    cleanup(planned_done) struct planned one, same, other;
    make(&one, "STORE_ENABLED=true\n", NULL);
    make(&same, "STORE_ENABLED=true\nSTORE_FROM=192.0.2.0/24\n", NULL);
    make(&other, "STORE_ENABLED=true\nSTORE_PORT=1\n", NULL);
    assert_int_equal(strlen(find(&one, "store")->digest), 64);
    assert_string_equal(find(&one, "store")->digest, find(&same, "store")->digest); // a port is no reason to restart
    assert_string_not_equal(find(&one, "store")->digest, find(&other, "store")->digest);
}

// nft reads the whole ruleset; without the right to ask the kernel it cannot, and then only the text is compared.
static void check_with_nft(const struct planned *planned) {
    struct err err;
    const struct plan_entry *entry = plan_find(&planned->plan, "etc/nftables.conf");
    support_write(&planned->root, "ruleset", entry->content);
    cleanup_free char *file = str_printf("%s/ruleset", planned->root.path);
    const struct run version = {.argv = RUN_ARGV("nft", "list", "tables"), .timeout_ms = 20000};
    const struct run check = {.argv = RUN_ARGV("nft", "-c", "-f", file), .timeout_ms = 20000};
    if (run_quiet(&version, &err) < 0)
        return;
    if (run_quiet(&check, &err) < 0)
        fail_msg("%s", err.text);
}

static void ports_of_all_stacks_in_one_ruleset(void **state) {
    (void)state;
    cleanup(planned_done) struct planned planned;
    make(&planned,
         "STORE_ENABLED=true\nSTORE_EXTRA=true\nSTORE_FROM='192.0.2.0/24 2001:db8::/32 192.0.2.0/24'\n"
         "STORE_PEERS='a=192.0.2.7 b=peer.example c=2001:db8::7'\nFIREWALL_ALLOW_TCP=80\n",
         NULL);
    const char *text = support_content(&planned.plan, "etc/nftables.conf");
    assert_non_null(strstr(text, "\t\ttcp dport { 80 } accept\n"
                                 "\t\tip saddr { 192.0.2.0/24 } tcp dport 2379 accept comment \"store\"\n"
                                 "\t\tip6 saddr { 2001:db8::/32 } tcp dport 2379 accept comment \"store\"\n"
                                 "\t\tip saddr { 192.0.2.7 } udp dport 2380-2381 accept comment \"store\"\n"
                                 "\t\tip6 saddr { 2001:db8::7 } udp dport 2380-2381 accept comment \"store\"\n"
                                 "\t\ttcp dport 7001 accept comment \"store\"\n\t}\n"));
    assert_null(strstr(text, "7000")); // only reserved
    assert_int_equal(planned.problems.count, 1);
    assert_int_equal(planned.problems.items[0].line, 4);
    assert_non_null(strstr(planned.problems.items[0].text, "STORE_PEERS: a host name opens no port of store"));
    check_with_nft(&planned);
    cleanup_buf struct buf words = {0};
    stack_ports_format(&planned.plan, &words);
    assert_non_null(strstr(buf_str(&words), "store: port 2379/tcp open from 192.0.2.0/24, 2001:db8::/32\n"));
    assert_non_null(strstr(buf_str(&words), "store: port 7001/tcp open from everywhere\n"));
}

static void nobody_may_connect_when_nobody_is_named(void **state) {
    (void)state;
    cleanup(planned_done) struct planned planned, off;
    make(&planned, "STORE_ENABLED=true\nSTORE_PEERS=''\n", NULL);
    assert_int_equal(planned.plan.port_count, 0);
    make(&off, "STORE_ENABLED=true\nSTORE_FROM=192.0.2.0/24\nENABLE_FIREWALL=false\n", NULL);
    assert_null(strstr(support_content(&off.plan, "etc/nftables.conf"), "2379"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_of_a_stack_that_is_off),      cmocka_unit_test(files_owners_and_units),
        cmocka_unit_test(parameters_of_a_stack_beat_the_base), cmocka_unit_test(the_operators_template),
        cmocka_unit_test(one_bad_value_costs_one_stack),       cmocka_unit_test(digests_follow_what_is_written),
        cmocka_unit_test(ports_of_all_stacks_in_one_ruleset),  cmocka_unit_test(nobody_may_connect_when_nobody_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
