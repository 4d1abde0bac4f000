// SPDX-License-Identifier: Apache-2.0
// What the image ships against what webops renders, and both against the programs that will read them. nft, visudo and systemd-analyze are
// build dependencies; sshd is not, because installing it opens a port of the build host, and the QEMU scenarios ask the machine's own.
#include "firstboot/test/support.h"
#include "common/run.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

static char *repository_file(const char *path) {
    struct err err;
    char *text = NULL;
    if (file_read(AT_FDCWD, path, 1 << 20, &text, NULL, &err) < 0)
        fail_msg("%s (tests run in the repository's root)", err.text);
    return text;
}

static void succeeds(const char *const *argv) {
    struct err err;
    cleanup_free char *output = NULL;
    const struct run command = {.argv = argv, .timeout_ms = 60000};
    if (run_capture(&command, 1 << 20, &output, NULL, &err) < 0)
        fail_msg("%s", err.text);
}

static void the_images_firewall_is_the_default(void **state) {
    (void)state;
    cleanup_plan struct plan plan = support_plan("");
    cleanup_free char *shipped = repository_file("overlays/base/files/etc/nftables.conf");
    assert_string_equal(support_content(&plan, "etc/nftables.conf"), shipped);
}

// Renders a configuration into a root and returns a path in it.
static char *written(const struct support_root *root, const char *config, const char *path) {
    cleanup_plan struct plan plan = support_plan(config);
    support_write(root, path, support_content(&plan, path));
    return str_printf("%s/%s", root->path, path);
}

static void nft_takes_every_ruleset(void **state) {
    (void)state;
    static const char *const configs[] = {
        "", "ENABLE_FIREWALL=false\n", "SSH_RATE_LIMIT=0\n",
        "FIREWALL_SSH_FROM='192.0.2.0/24 2001:db8::/32 198.51.100.7/32'\nFIREWALL_ALLOW_TCP='80 8000-8100'\n"
        "FIREWALL_ALLOW_UDP=53\nSSH_PORT=2222\n",
        "FIREWALL_SSH_FROM=2001:db8::/32\n"};
    cleanup_root struct support_root root = support_root_make();
    for (size_t i = 0; i < ARRAY_SIZE(configs); i++) {
        cleanup_free char *path = written(&root, configs[i], "etc/nftables.conf");
        // A user and network namespace of its own: nft needs rights, and must not touch the build host.
        succeeds(RUN_ARGV("unshare", "-r", "-n", "nft", "-c", "-f", path));
    }
}

static void loading_twice_is_loading_once(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    cleanup_free char *path = written(&root, "", "etc/nftables.conf");
    succeeds(RUN_ARGV("unshare", "-r", "-n", "nft", "-f", path, "-f", path));
}

static void sudo_takes_the_rule(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    cleanup_free char *path = written(&root, "OPERATOR_USER=web-1_x\n", "etc/sudoers.d/90-webops");
    succeeds(RUN_ARGV("/usr/sbin/visudo", "-c", "-q", "-f", path));
}

static void sshd_takes(const struct facts *facts, const char *where) {
    if (access("/usr/sbin/sshd", X_OK) < 0) {
        print_message("no sshd on this host: test_plan has compared the text\n");
        return;
    }
    mkdir("/run/sshd", 0755); // root's sshd wants to see it even for a check
    cleanup_root struct support_root root = support_root_make();
    cleanup_plan struct plan plan = support_plan_with("", facts, 0);
    cleanup_free char *key = str_printf("%s/key", root.path), *path = str_printf("%s/sshd_config", root.path);
    succeeds(RUN_ARGV("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key));
    cleanup_buf struct buf text = {0};
    const char *settings = support_content(&plan, where);
    for (const char *line = settings; *line; line += strcspn(line, "\n") + 1)
        if (strncmp(line, "HostKey ", 8) == 0) // the machine's own, which are not here
            buf_printf(&text, "HostKey %s\n", key);
        else
            buf_printf(&text, "%.*s\n", (int)strcspn(line, "\n"), line);
    support_write(&root, "sshd_config", buf_str(&text));
    succeeds(RUN_ARGV("/usr/sbin/sshd", "-t", "-f", path));
}

static void sshd_takes_the_settings(void **state) {
    (void)state;
    struct facts facts = support_facts;
    sshd_takes(&facts, "etc/ssh/sshd_config.d/10-webops.conf");
    facts.sshd_includes_nothing = true;
    sshd_takes(&facts, "etc/ssh/sshd_config");
}

// systemd 239 kills what calls something that it does not know to be in @system-service, where it should say that there is no such call: a C library newer
// than the distribution's (`runtime: bundled`) would get no further than its first child.
static void filters_know_newer_libraries(void **state) {
    (void)state;
    static const char *const units[] = {"webops-health.service", "webops-monitor.service", "webops-stacks.service",
                                        "webops-stacks-retry.service", "webops-http@.service"};
    static const char *const calls[] = {" clone3", " close_range", " faccessat2", " pidfd_open", " rseq"};
    for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
        cleanup_free char *path = str_printf("overlays/base/files/usr/lib/systemd/system/%s", units[i]), *text = repository_file(path);
        char *filter = strstr(text, "\nSystemCallFilter=@system-service");
        assert_non_null(filter);
        filter[1 + strcspn(filter + 1, "\n")] = 0;
        for (size_t call = 0; call < ARRAY_SIZE(calls); call++)
            if (!strstr(filter, calls[call]))
                fail_msg("%s: SystemCallFilter= should have%s", units[i], calls[call]);
    }
}

static void systemd_takes_the_units(void **state) {
    (void)state;
    static const char *const units[] = {"webops-early.service", "webops.service", "webops-health.service"};
    cleanup_root struct support_root root = support_root_make();
    for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
        cleanup_free char *source = str_printf("overlays/base/files/usr/lib/systemd/system/%s", units[i]), *text = repository_file(source);
        assert_non_null(strstr(text, "ExecStart=/usr/sbin/webops "));
        support_write(&root, units[i], text);
    }
    // The program is not installed here: its place is taken by one that is.
    for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
        cleanup_free char *text = support_read(&root, units[i]);
        for (char *at; (at = strstr(text, "/usr/sbin/webops "));)
            memcpy(at, "/usr/bin/env true", 17);
        support_write(&root, units[i], text);
        cleanup_free char *path = str_printf("%s/%s", root.path, units[i]);
        succeeds(RUN_ARGV("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", path));
    }
}

// Drop-ins must say what the schema's defaults say: webops renders a file only for what differs from them.
static void the_images_defaults_are_the_schemas(void **state) {
    (void)state;
    const struct config none = {0};
    cleanup_free char *journal = repository_file("overlays/base/files/usr/lib/systemd/journald.conf.d/10-webops.conf");
    cleanup_free char *manager = repository_file("overlays/base/files/usr/lib/systemd/system.conf.d/10-webops.conf");
    cleanup_free char *size = str_printf("SystemMaxUse=%s\n", schema_text(&schema_base, &none, "JOURNAL_MAX_SIZE"));
    cleanup_free char *watchdog = str_printf("RuntimeWatchdogSec=%ss\n", schema_text(&schema_base, &none, "WATCHDOG_TIMEOUT"));
    assert_non_null(strstr(journal, size));
    assert_non_null(strstr(manager, watchdog));
}

static void http_without_rights(void **state) {
    (void)state;
    static const char *const units[] = {"webops-http@.service", "webops-http.socket", "webops-monitor.service", "webops-monitor.timer"};
    const struct config none = {0};
    cleanup_root struct support_root root = support_root_make();
    for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
        cleanup_free char *source = str_printf("overlays/base/files/usr/lib/systemd/system/%s", units[i]), *text = repository_file(source);
        static const struct {
            const char *program, *stand_in;
        } programs[] = {{"/usr/lib/webops/webops-http", "/usr/bin/true -----------"}, {"/usr/sbin/webops ", "/usr/bin/env true"}};
        for (size_t j = 0; j < ARRAY_SIZE(programs); j++)
            for (char *at; (at = strstr(text, programs[j].program));)
                memcpy(at, programs[j].stand_in, strlen(programs[j].stand_in));
        support_write(&root, units[i], text);
    }
    cleanup_free char *service = str_printf("%s/webops-http@.service", root.path), *socket = str_printf("%s/webops-http.socket", root.path);
    cleanup_free char *monitor = str_printf("%s/webops-monitor.service", root.path),
                      *timer = str_printf("%s/webops-monitor.timer", root.path);
    succeeds(RUN_ARGV("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", socket, monitor, timer));
    succeeds(RUN_ARGV("systemd-analyze", "security", "--offline=true", "--threshold=25", service));
    cleanup_free char *unit = support_read(&root, "webops-http.socket");
    cleanup_free char *listen = str_printf("\nListenStream=%s\n", schema_text(&schema_base, &none, "HEALTH_LISTEN"));
    assert_non_null(strstr(unit, listen));
    // Every start of a unit with these makes directories on state.
    cleanup_free char *http = support_read(&root, "webops-http@.service"), *half_minute = support_read(&root, "webops-monitor.service");
    assert_true(!strstr(http, "PrivateTmp=yes") && !strstr(http, "DynamicUser=yes") && !strstr(half_minute, "PrivateTmp=yes"));
}

static void modules_that_are_needed_are_not_blocked(void **state) {
    (void)state;
    static const char *const needed[] = {"squashfs", "overlay",   "ext4",      "vfat",    "iso9660",
                                         "isofs",    "dm_verity", "dm-verity", "softdog", "usb-storage"};
    cleanup_free char *text = repository_file("overlays/hardening/files/etc/modprobe.d/webops-hardening.conf");
    assert_non_null(strstr(text, "install sctp /bin/false\n"));
    for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
        cleanup_free char *line = str_printf("install %s ", needed[i]);
        assert_null(strstr(text, line));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_images_firewall_is_the_default),
        cmocka_unit_test(nft_takes_every_ruleset),
        cmocka_unit_test(loading_twice_is_loading_once),
        cmocka_unit_test(sudo_takes_the_rule),
        cmocka_unit_test(sshd_takes_the_settings),
        cmocka_unit_test(filters_know_newer_libraries),
        cmocka_unit_test(systemd_takes_the_units),
        cmocka_unit_test(the_images_defaults_are_the_schemas),
        cmocka_unit_test(http_without_rights),
        cmocka_unit_test(modules_that_are_needed_are_not_blocked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
