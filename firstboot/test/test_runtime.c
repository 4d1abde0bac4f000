// SPDX-License-Identifier: Apache-2.0
// Which services hear of which changed file, kernel parameters on a root of our own, and growth, swap, identity and facts.
#include "firstboot/test/support.h"
#include "firstboot/facts.h"
#include "firstboot/grow.h"
#include "firstboot/identity.h"
#include "firstboot/runtime.h"
#include "firstboot/swap.h"
#include "firstboot/test/disk.h"
#include <errno.h>
#include <unistd.h>

static size_t reactions_to(const char *path, bool is_early, const struct runtime_reaction **ret_reactions) {
    char *changed[] = {(char *)path};
    const struct apply apply = {.changed = changed, .changed_count = 1};
    return runtime_plan_reactions(&apply, is_early, ret_reactions, 8);
}

static void services_hear_of_their_files(void **state) {
    (void)state;
    const struct runtime_reaction *reactions[8];
    assert_int_equal(reactions_to("etc/nftables.conf", false, reactions), 1);
    assert_string_equal(reactions[0]->argv[0], "nft");
    assert_int_equal(reactions_to("etc/ssh/sshd_config.d/10-webops.conf", false, reactions), 1);
    assert_string_equal(reactions[0]->argv[2], "ssh.service");
    assert_int_equal(reactions_to("etc/hostname", false, reactions), 0);
    assert_int_equal(reactions_to("etc/systemd/system/webops-http.socket.d/90-webops.conf", false, reactions), 2);
    assert_string_equal(reactions[0]->argv[1], "daemon-reload");
    assert_string_equal(reactions[1]->argv[2], "webops-http.socket");
}

static void the_early_stage_disturbs_nobody(void **state) {
    (void)state;
    const struct runtime_reaction *reactions[8];
    assert_int_equal(reactions_to("etc/nftables.conf", true, reactions), 0);
    assert_int_equal(reactions_to("etc/systemd/network/80-webops-dhcp.network", true, reactions), 0);
    assert_int_equal(reactions_to("etc/systemd/system.conf.d/90-webops.conf", true, reactions), 1); // systemd has read it before
    assert_string_equal(reactions[0]->argv[1], "daemon-reexec");
    assert_int_equal(reactions_to("etc/systemd/system/webops-http.socket.d/90-webops.conf", true, reactions), 1);
    assert_string_equal(reactions[0]->argv[1], "daemon-reload");
}

static void a_command_runs_once(void **state) {
    (void)state;
    const struct runtime_reaction *reactions[8];
    char *changed[] = {(char *)"etc/systemd/system/webops-http.socket.d/90-webops.conf",
                       (char *)"etc/systemd/system/user-.slice.d/90-webops.conf"};
    const struct apply apply = {.changed = changed, .changed_count = 2};
    assert_int_equal(runtime_plan_reactions(&apply, false, reactions, 8), 2);
    assert_string_equal(reactions[0]->argv[1], "daemon-reload");
    assert_string_equal(reactions[1]->argv[1], "restart");
}

static void parameters_are_set_once(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    static const struct plan_sysctl wanted[] = {{"vm.swappiness", 10}, {"net.ipv4.tcp_keepalive_time", 300}, {"vm.missing", 1}};
    char name[256] = "";
    gethostname(name, sizeof(name) - 1);
    const struct plan plan = {.sysctls = (struct plan_sysctl *)wanted, .sysctl_count = 3, .hostname = name};
    support_write(&root, "proc/sys/vm/swappiness", "60\n");
    support_write(&root, "proc/sys/net/ipv4/tcp_keepalive_time", "300\n");
    for (int turn = 0; turn < 2; turn++) {
        cleanup_apply struct apply apply = {.root_fd = root.fd, .stage = "manual"};
        cleanup_buf struct buf errors = {0};
        runtime_apply(&apply, &plan, &errors);
        assert_int_equal(apply.changed_count, turn == 0 ? 1 : 0);
        assert_non_null(strstr(buf_str(&errors), "vm/missing")); // said, and the others were set
    }
    cleanup_free char *text = support_read(&root, "proc/sys/vm/swappiness");
    assert_string_equal(text, "10\n");
}

static void growth_is_needed_or_not(void **state) {
    (void)state;
    const uint64_t disk = 20480 * 2048ULL; // 20 GiB
    struct grow_facts facts = {.disk_sectors = disk, .start = 4096, .size = 2048, .partition = 5};
    assert_true(grow_is_needed(&facts));
    facts.size = disk - 2048 - facts.start; // to the last whole MiB before the backup GPT
    assert_false(grow_is_needed(&facts));
    facts.size -= 2047;
    assert_false(grow_is_needed(&facts));
    facts.size -= 1;
    assert_true(grow_is_needed(&facts));
    assert_false(grow_is_needed(&(struct grow_facts){0}));
    assert_false(grow_is_needed(&(struct grow_facts){.disk_sectors = 10, .start = 1, .size = 1}));
}

static void growth_reads_sysfs(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    cleanup_config struct config record = {0}, none = {0};
    cleanup_config_problems struct config_problems problems = {0};
    static const char text[] = "DISK=/dev/vda\nSTATE_DEVICE=/dev/vda5\nSTATE_MODE=rw\n";
    struct err err;
    assert_int_equal(config_parse(text, sizeof(text) - 1, &record, &problems), 0);
    assert_int_equal(grow_state(root.fd, &none, &err), 0); // no machine of ours
    assert_int_equal(grow_state(root.fd, &record, &err), -ENOENT);
    assert_non_null(strstr(err.text, "sys/class/block/vda/size"));
    support_write(&root, "sys/class/block/vda/size", "41943040\n");
    support_write(&root, "sys/class/block/vda5/start", "4096\n");
    support_write(&root, "sys/class/block/vda5/size", "41936896\n");
    support_write(&root, "sys/class/block/vda5/partition", "5\n");
    assert_int_equal(grow_state(root.fd, &record, &err), 0); // reaches the end
    support_write(&root, "sys/class/block/vda/size", "many\n");
    assert_int_equal(grow_state(root.fd, &record, &err), -EINVAL);
}

static off_t size_of(const struct support_root *root, const char *path) {
    struct stat st;
    return fstatat(root->fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -1 : st.st_size;
}

static void swap_file_follows_its_size(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    struct err err;
    assert_int_equal(swap_apply(root.fd, 0, false, &err), 0);
    assert_int_equal(swap_apply(root.fd, 1 << 20, false, &err), 1);
    assert_int_equal(size_of(&root, SWAP_PATH), 1 << 20);
    assert_int_equal(swap_apply(root.fd, 1 << 20, false, &err), 0);
    assert_int_equal(swap_apply(root.fd, (2 << 20) + 5, false, &err), 1); // whole pages
    assert_int_equal(size_of(&root, SWAP_PATH), 2 << 20);
    cleanup_fd int fd = openat(root.fd, SWAP_PATH, O_RDONLY);
    char magic[10];
    assert_int_equal(pread(fd, magic, 10, 4086), 10);
    assert_memory_equal(magic, "SWAPSPACE2", 10);
    assert_int_equal(swap_apply(root.fd, 0, false, &err), 1);
    assert_int_equal(size_of(&root, SWAP_PATH), -1);
}

static void swap_never_fills_the_disk(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    struct err err;
    assert_int_equal(swap_apply(root.fd, 1 << 20, false, &err), 1);
    assert_int_equal(swap_apply(root.fd, 1ULL << 55, false, &err), -ENOSPC);
    assert_non_null(strstr(err.text, "SWAP_SIZE"));
    assert_int_equal(size_of(&root, SWAP_PATH), 1 << 20); // the old one stays
    assert_int_equal(size_of(&root, SWAP_PATH ".new"), -1);
}

// A tenth stays free; what the old file occupies counts as free, because it goes.
static void swap_leaves_a_tenth(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    struct err err;
    disk_free_bytes = 2 << 20;
    assert_int_equal(swap_apply(root.fd, (2 << 20) + (64 << 10), false, &err), -ENOSPC);
    assert_int_equal(size_of(&root, SWAP_PATH), -1);
    assert_int_equal(swap_apply(root.fd, 2 << 20, false, &err), 1);
    assert_int_equal(swap_apply(root.fd, (4 << 20) + (64 << 10), false, &err), -ENOSPC);
    assert_int_equal(swap_apply(root.fd, 4 << 20, false, &err), 1);
    disk_free_bytes = 0;
}

static void swap_lines_are_whole_names(void **state) {
    (void)state;
    static const char swaps[] = "Filename\tType\n/var/lib/webops/swapfile2 file 1\n/dev/vdb partition 2\n";
    assert_false(swap_is_listed(swaps, "/" SWAP_PATH));
    assert_true(swap_is_listed(swaps, "/dev/vdb"));
    assert_false(swap_is_listed("", "/dev/vdb"));
}

static void host_keys_are_made_once(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    struct err err;
    struct stat st;
    support_write(&root, IDENTITY_SSH ".new/ssh_host_ed25519_key", "half"); // of a run that was cut
    assert_int_equal(identity_make_host_keys(root.fd, &err), 1);
    cleanup_free char *first = support_read(&root, IDENTITY_SSH "/ssh_host_ed25519_key.pub");
    assert_int_equal(fstatat(root.fd, IDENTITY_SSH "/ssh_host_ecdsa_key", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(fstatat(root.fd, IDENTITY_SSH, &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_false(file_exists(root.fd, IDENTITY_SSH ".new"));
    assert_int_equal(identity_make_host_keys(root.fd, &err), 0);
    cleanup_free char *second = support_read(&root, IDENTITY_SSH "/ssh_host_ed25519_key.pub");
    assert_string_equal(first, second);
    assert_null(strstr(first, "@")); // no build host in the comment
}

static void facts_of_a_root(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    cleanup_config struct config config = {0};
    cleanup_config_problems struct config_problems problems = {0};
    cleanup_facts struct facts_store store = {0};
    static const char text[] = "TIMEZONE=Europe/Berlin\nSSH_AUTHORIZED_KEYS_FILE=/webops/secrets/keys.secret\n";
    struct err err;
    assert_int_equal(schema_parse(&schema_base, text, sizeof(text) - 1, &config, &problems), 0);
    assert_int_equal(facts_gather(root.fd, &schema_base, &config, true, &store, &err), -ENOENT);
    assert_non_null(strstr(err.text, "SSH_AUTHORIZED_KEYS_FILE"));
    support_write(&root, "webops/secrets/keys.secret", "ssh-ed25519 AAAA\n");
    support_write(&root, "etc/passwd", "root:x:0:0::/root:/bin/sh\n");
    support_write(&root, "usr/share/zoneinfo/Europe/Berlin", "TZif");
    support_write(&root, "sys/class/watchdog/watchdog0/identity", "Software Watchdog\n");
    support_write(&root, "sys/class/watchdog/watchdog1/identity", "i6300ESB timer\n");
    assert_int_equal(facts_gather(root.fd, &schema_base, &config, true, &store, &err), 0);
    assert_string_equal(store.facts.authorized_keys, "ssh-ed25519 AAAA\n");
    assert_string_equal(store.facts.passwd, "root:x:0:0::/root:/bin/sh\n");
    assert_string_equal(store.facts.group, ""); // absent
    assert_null(store.facts.password_hash);
    assert_true(store.facts.has_zone);
    assert_int_equal(store.facts.hardware_watchdogs, 1);
    assert_int_equal(store.facts.hardware_watchdog, 1);
    assert_true(store.facts.has_softdog);
    assert_int_equal(store.facts.softdog, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(services_hear_of_their_files), cmocka_unit_test(the_early_stage_disturbs_nobody),
        cmocka_unit_test(a_command_runs_once),          cmocka_unit_test(parameters_are_set_once),
        cmocka_unit_test(growth_is_needed_or_not),      cmocka_unit_test(growth_reads_sysfs),
        cmocka_unit_test(swap_file_follows_its_size),   cmocka_unit_test(swap_never_fills_the_disk),
        cmocka_unit_test(swap_leaves_a_tenth),          cmocka_unit_test(swap_lines_are_whole_names),
        cmocka_unit_test(host_keys_are_made_once),      cmocka_unit_test(facts_of_a_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
