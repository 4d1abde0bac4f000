// SPDX-License-Identifier: Apache-2.0
// The verbs as a caller sees them: exit codes, what they print, what they leave below --root.
#include "firstboot/test/support.h"
#include "common/log.h"
#include "firstboot/actionlog.h"
#include "firstboot/bootrecord.h"
#include "firstboot/rendered.h"
#include "firstboot/report.h"
#include "firstboot/test/disk.h"
#include "firstboot/verbs.h"
#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEY "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJcZkW0J3cXkbMKAmOQ5dpoMRjm1QqEQm6nM8dyc7Xzv a@b"
#define UPPER "run/webops/etc/upper"

static const struct verb apply_verb = {"apply", "", 0, 0, "", verb_apply};
static const struct verb status_verb = {"status", "", 0, 0, "", verb_status};
static const struct verb drift_verb = {"drift", "", 0, 0, "", verb_drift};
static const struct verb version_verb = {"version", "", 0, 0, "", verb_version};
static const struct verb health_verb = {"health", "", 0, 0, "", verb_health};

// Runs a verb with up to two options; *ret_text is what it printed, the caller frees it.
static int call(const struct verb *verb, const char *first, const char *second, char **ret_text) {
    char path[] = "/tmp/webops-test-out-XXXXXX";
    char *argv[] = {(char *)verb->name, (char *)first, (char *)second, NULL};
    struct err err;
    fflush(stdout);
    int kept = dup(STDOUT_FILENO), out = mkstemp(path);
    assert_true(kept >= 0 && out >= 0);
    assert_int_equal(dup2(out, STDOUT_FILENO), STDOUT_FILENO);
    int code = verb->run(verb, 1 + (first != NULL) + (second != NULL), argv);
    fflush(stdout);
    assert_int_equal(dup2(kept, STDOUT_FILENO), STDOUT_FILENO);
    close(kept);
    close(out);
    assert_int_equal(file_read(AT_FDCWD, path, 1 << 20, ret_text, NULL, &err), 0);
    unlink(path);
    return code;
}

static int call_quiet(const struct verb *verb, const char *first, const char *second) {
    cleanup_free char *text = NULL;
    return call(verb, first, second, &text);
}

// A root as the init leaves it, without the kernel's part.
static struct support_root machine_root(const char *config) {
    struct support_root root = support_root_make();
    struct err err;
    assert_int_equal(file_mkdirs(root.fd, "home", 0755, &err), 0);
    support_write(&root, BOOTRECORD_PATH, "SLOT=a\nPROFILE=test\nVERSION=1\nSEQUENCE=1\n");
    support_write(&root, "etc/passwd", support_facts.passwd);
    support_write(&root, "etc/group", support_facts.group);
    support_write(&root, "etc/shadow", support_facts.shadow);
    support_write(&root, "etc/gshadow", support_facts.gshadow);
    if (config)
        support_write(&root, "webops/config.env", config);
    return root;
}

static char *root_option(const struct support_root *root) {
    return str_printf("--root=%s", root->path);
}

// A member of the last stage's object in the report.
static json_t *last_report(const struct support_root *root, const char *name) {
    cleanup_json json_t *report = NULL;
    const json_t *last = report_load(root->fd, &report);
    assert_non_null(last);
    return json_incref(json_object_get(last, name));
}

static void apply_twice(void **state) {
    (void)state;
    cleanup_root struct support_root root = machine_root("HOSTNAME=one\nSSH_AUTHORIZED_KEYS='" KEY "'\n");
    cleanup_free char *option = root_option(&root);
    assert_int_equal(call_quiet(&apply_verb, option, NULL), EXIT_OK);
    cleanup_json json_t *first = last_report(&root, "changes"), *source = last_report(&root, "source");
    assert_true(json_integer_value(first) > 15);
    assert_string_equal(json_string_value(source), "state");
    assert_int_equal(call_quiet(&apply_verb, option, NULL), EXIT_OK);
    cleanup_json json_t *second = last_report(&root, "changes");
    assert_int_equal(json_integer_value(second), 0);
    cleanup_free char *keys = support_read(&root, "etc/ssh/authorized_keys.d/ops");
    assert_string_equal(keys, KEY "\n");
}

static void early_then_late(void **state) {
    (void)state;
    cleanup_root struct support_root root = machine_root("SWAP_SIZE=1M\n");
    cleanup_free char *option = root_option(&root);
    assert_int_equal(call_quiet(&apply_verb, option, "--stage=early"), EXIT_OK);
    assert_true(file_exists(root.fd, "etc/hostname"));
    assert_true(file_exists(root.fd, "var/lib/webops/ssh/ssh_host_ed25519_key"));
    assert_true(file_exists(root.fd, "webops/.webops/current"));
    assert_false(file_exists(root.fd, "var/lib/webops/swapfile")); // needs the room that comes later
    assert_int_equal(call_quiet(&apply_verb, option, "--stage=late"), EXIT_OK);
    assert_true(file_exists(root.fd, "var/lib/webops/swapfile"));
    cleanup_json json_t *changes = last_report(&root, "changes");
    assert_int_equal(json_integer_value(changes), 1);
}

static void a_changed_configuration(void **state) {
    (void)state;
    cleanup_root struct support_root root = machine_root("HOSTNAME=one\n");
    cleanup_free char *option = root_option(&root);
    assert_int_equal(call_quiet(&apply_verb, option, NULL), EXIT_OK);
    support_write(&root, "webops/config.env", "HOSTNAME=two\nOPERATOR_SUDO=false\n");
    assert_int_equal(call_quiet(&apply_verb, option, NULL), EXIT_OK);
    cleanup_json json_t *changes = last_report(&root, "changes");
    assert_int_equal(json_integer_value(changes), 3); // hostname, hosts, and no sudo rule
    assert_false(file_exists(root.fd, "etc/sudoers.d/90-webops"));
}

static void a_broken_configuration_keeps_the_last_good_one(void **state) {
    (void)state;
    cleanup_root struct support_root root = machine_root("HOSTNAME=good\n");
    cleanup_free char *option = root_option(&root);
    assert_int_equal(call_quiet(&apply_verb, option, "--stage=early"), EXIT_OK);
    support_write(&root, "webops/config.env", "HOSTNAME=good\nHOSTNAM=canary-value\nSWAPPINESS=many\n");
    assert_int_equal(call_quiet(&apply_verb, option, "--stage=early"), EXIT_OK); // never a failed unit
    cleanup_free char *hostname = support_read(&root, "etc/hostname"), *log = support_read(&root, REPORT_PATH);
    assert_string_equal(hostname, "good\n");
    cleanup_json json_t *problems = last_report(&root, "problems"), *source = last_report(&root, "source"),
                        *errors = last_report(&root, "errors");
    assert_int_equal(json_array_size(problems), 2);
    assert_non_null(strstr(json_string_value(json_array_get(problems, 0)), ":2: HOSTNAM"));
    assert_non_null(strstr(json_string_value(json_array_get(problems, 1)), ":3: SWAPPINESS"));
    assert_string_equal(json_string_value(source), "last good");
    assert_int_equal(json_array_size(errors), 0);
    assert_null(strstr(log, "canary-value"));
    assert_int_equal(call_quiet(&apply_verb, option, NULL), EXIT_PERMANENT); // by hand it is an error
}

static void no_configuration_at_all(void **state) {
    (void)state;
    cleanup_root struct support_root root = machine_root(NULL);
    cleanup_free char *option = root_option(&root);
    assert_int_equal(call_quiet(&apply_verb, option, "--stage=early"), EXIT_OK);
    cleanup_json json_t *has_config = last_report(&root, "has_config");
    assert_true(json_is_false(has_config));
    cleanup_free char *issue = support_read(&root, "etc/issue.d/10-webops.issue"),
                      *network = support_read(&root, "etc/systemd/network/80-webops-dhcp.network");
    assert_non_null(strstr(issue, "no config.env was found"));
    assert_non_null(strstr(network, "DHCP=yes"));
}

static void a_value_that_this_machine_cannot_have(void **state) {
    (void)state;
    cleanup_root struct support_root root = machine_root("OPERATOR_USER=sshd\nHOSTNAME=kept\n");
    cleanup_free char *option = root_option(&root);
    assert_int_equal(call_quiet(&apply_verb, option, "--stage=early"), EXIT_OK);
    cleanup_json json_t *problems = last_report(&root, "problems");
    assert_int_equal(json_array_size(problems), 1);
    assert_non_null(strstr(json_string_value(json_array_get(problems, 0)), "state:1: OPERATOR_USER"));
    cleanup_free char *hostname = support_read(&root, "etc/hostname");
    assert_string_equal(hostname, "kept\n");
}

static void settings_for_health(void **state) {
    (void)state;
    cleanup_root struct support_root root = machine_root("SSH_PORT=2222\nENABLE_FIREWALL=false\nHEALTH_TIMEOUT=33\nWATCHDOG=off\n");
    cleanup_free char *option = root_option(&root);
    assert_int_equal(call_quiet(&apply_verb, option, NULL), EXIT_OK);
    cleanup_json json_t *settings = last_report(&root, "settings");
    assert_int_equal(json_integer_value(json_object_get(settings, "ssh_port")), 2222);
    assert_int_equal(json_integer_value(json_object_get(settings, "health_timeout")), 33);
    assert_true(json_is_false(json_object_get(settings, "firewall")));
    assert_true(json_is_false(json_object_get(settings, "watchdog")));
}

static void a_failure_is_an_error_of_the_machine(void **state) {
    (void)state;
    cleanup_root struct support_root root = machine_root("");
    support_write(&root, "etc/chrony", "in the way");
    cleanup_free char *option = root_option(&root);
    assert_int_equal(call_quiet(&apply_verb, option, "--stage=early"), EXIT_PERMANENT);
    cleanup_json json_t *errors = last_report(&root, "errors");
    assert_int_equal(json_array_size(errors), 1);
    assert_true(file_exists(root.fd, "etc/timezone")); // the rest was done
}

static void a_secret_stays_where_it_belongs(void **state) {
    (void)state;
    static const char hash[] = "$6$canarycanary$0123456789abcdefghijklmnopqrstuvwxyz";
    cleanup_root struct support_root root = machine_root("OPERATOR_PASSWORD_FILE=/webops/secrets/p.secret\n");
    struct err err;
    assert_int_equal(file_mkdirs(root.fd, "webops/secrets", 0700, &err), 0);
    assert_int_equal(file_publish(root.fd, "webops/secrets/p.secret", hash, strlen(hash), 0600, &err), 0);
    cleanup_free char *option = root_option(&root);
    assert_int_equal(call_quiet(&apply_verb, option, NULL), EXIT_OK);
    static const char *const public[] = {"etc/passwd",  "etc/sudoers.d/90-webops",   ACTIONLOG_PATH, REPORT_PATH,
                                         RENDERED_PATH, "var/lib/webops/config.good"};
    for (size_t i = 0; i < ARRAY_SIZE(public); i++) {
        cleanup_free char *text = support_read(&root, public[i]);
        assert_null(strstr(text, "canary"));
    }
    cleanup_free char *shadow = support_read(&root, "etc/shadow");
    assert_non_null(strstr(shadow, hash));
    struct stat st;
    assert_int_equal(fstatat(root.fd, "etc/shadow", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
}

static void wrong_arguments(void **state) {
    (void)state;
    assert_int_equal(call_quiet(&apply_verb, "--stage=sometime", NULL), EXIT_USAGE);
    assert_int_equal(call_quiet(&apply_verb, "--nonsense", NULL), EXIT_USAGE);
    assert_int_equal(call_quiet(&apply_verb, "--root=/does/not/exist", NULL), EXIT_PERMANENT);
    assert_int_equal(call_quiet(&status_verb, "--root=/does/not/exist", NULL), EXIT_PERMANENT);
    assert_int_equal(call_quiet(&health_verb, "--nonsense", NULL), EXIT_USAGE);
}

static void status_prints_table_and_json(void **state) {
    (void)state;
    cleanup_root struct support_root root = machine_root("HOSTNAME=one\n");
    cleanup_free char *option = root_option(&root), *table = NULL, *text = NULL;
    assert_int_equal(call_quiet(&apply_verb, option, NULL), EXIT_OK);
    assert_int_equal(call(&status_verb, option, NULL, &table), EXIT_OK);
    assert_non_null(strstr(table, "generation   test 1, sequence 1, slot a\n"));
    assert_non_null(strstr(table, "config       state\n"));
    assert_int_equal(call(&status_verb, option, "--json", &text), EXIT_OK);
    cleanup_json json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    assert_string_equal(json_string_value(json_object_get(json, "slot")), "a");
    assert_int_equal(text[strlen(text) - 1], '\n');
}

static void drift_prints_and_tells_by_its_exit(void **state) {
    (void)state;
    cleanup_root struct support_root root = machine_root(NULL);
    cleanup_free char *option = root_option(&root), *none = NULL, *some = NULL, *text = NULL;
    assert_int_equal(call_quiet(&drift_verb, option, NULL), EXIT_PERMANENT); // no volatile /etc here
    support_write(&root, UPPER "/machine-id", "x");
    assert_int_equal(call(&drift_verb, option, NULL, &none), EXIT_OK);
    assert_string_equal(none, "no drift\n");
    support_write(&root, UPPER "/cron.d/mine", "x");
    assert_int_equal(call(&drift_verb, option, NULL, &some), EXIT_PERMANENT);
    assert_string_equal(some, "added    /etc/cron.d/mine\n");
    assert_int_equal(call(&drift_verb, option, "--json", &text), EXIT_PERMANENT);
    cleanup_json json_t *json = json_loads(text, 0, NULL);
    assert_int_equal(json_array_size(json), 1);
    assert_string_equal(json_string_value(json_object_get(json_array_get(json, 0), "path")), "/etc/cron.d/mine");
    assert_string_equal(json_string_value(json_object_get(json_array_get(json, 0), "kind")), "added");
}

static void version_is_one_line(void **state) {
    (void)state;
    cleanup_free char *text = NULL;
    assert_int_equal(call(&version_verb, NULL, NULL, &text), EXIT_OK);
    assert_string_equal(text, "webops " WEBOPS_VERSION "\n");
}

static void two_at_once_do_not_mix(void **state) {
    (void)state;
    cleanup_root struct support_root root = machine_root("HOSTNAME=one\n");
    cleanup_free char *option = root_option(&root);
    pid_t child = fork();
    assert_true(child >= 0);
    int mine = call_quiet(&apply_verb, option, NULL);
    if (child == 0)
        _exit(mine);
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(mine, EXIT_OK);
    cleanup_free char *log = support_read(&root, ACTIONLOG_PATH);
    const char *first = strstr(log, "\"object\":\"etc/hostname\"");
    assert_non_null(first);
    assert_null(strstr(first + 1, "\"object\":\"etc/hostname\"")); // whoever came second found it written
}

int main(void) {
    log_init("test", LOG_LEVEL_ERROR, false);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(apply_twice),
        cmocka_unit_test(early_then_late),
        cmocka_unit_test(a_changed_configuration),
        cmocka_unit_test(a_broken_configuration_keeps_the_last_good_one),
        cmocka_unit_test(no_configuration_at_all),
        cmocka_unit_test(a_value_that_this_machine_cannot_have),
        cmocka_unit_test(settings_for_health),
        cmocka_unit_test(a_failure_is_an_error_of_the_machine),
        cmocka_unit_test(a_secret_stays_where_it_belongs),
        cmocka_unit_test(wrong_arguments),
        cmocka_unit_test(status_prints_table_and_json),
        cmocka_unit_test(drift_prints_and_tells_by_its_exit),
        cmocka_unit_test(version_is_one_line),
        cmocka_unit_test(two_at_once_do_not_mix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
