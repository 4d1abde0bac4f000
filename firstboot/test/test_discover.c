// SPDX-License-Identifier: Apache-2.0
// Discovery: order of the sources, what is remembered with which modes, what an edit or a full state does.
#include "firstboot/test/discover.h"

static void nothing_but_the_default(void **state) {
    (void)state;
    cleanup_discovered struct discovered found = {0};
    discover(true, &found);
    assert_found(&found, "default", "from-default");
    assert_int_equal(found.refusal_count, 0);
    assert_false(file_exists(tree.fd, DISCOVER_CONFIG)); // not copied
    assert_false(file_exists(tree.fd, DISCOVER_RECORD));
    assert_int_equal(unlinkat(tree.fd, "usr/lib/webops/default.env", 0), 0);
    discover(true, &found);
    assert_found(&found, "default", "(none)");
    put("usr/lib/webops/default.env", "NONSENSE\n");
    discover(true, &found);
    assert_found(&found, "default", "(none)");
    assert_refused(&found, 0, "default", 1, "no '='");
}

// Every source at once; each is removed after it won, until the default is left.
static void order_of_sources(void **state) {
    (void)state;
    add_device("vda", "", "", "");
    add_device("vda2", "esp", "vfat", "ESP");
    add_device("vda5", "webops-state", "", "");
    add_device("sdc", "", "vfat", "WEBOPS");
    add_device("sdd1", "", "iso9660", "cidata");
    add_device("sde", "", "vfat", "CIDATA");
    put("webops/config.env", "HOSTNAME=from-state\n");
    put("media/vda2/config.env", "HOSTNAME=from-esp\n");
    put("media/sdc/config.env", "HOSTNAME=from-volume\n");
    put("media/sdd1/user-data", "HOSTNAME=from-seed\n");
    put("media/sde/user-data", "HOSTNAME=from-seed2\n");
    put(FW "/config/raw", "HOSTNAME=from-fwcfg\n");
    put("run/credentials/@system/webops.config", "HOSTNAME=from-credential\n");
    put("sys/class/dmi/id/sys_vendor", "Hetzner\n");
    tree.userdata = "TIMEZONE=UTC\n";
    static const struct {
        const char *source, *hostname, *file; // what to remove afterwards
    } steps[] = {
        {"state", "from-state", ""},
        {"ESP (vda2)", "from-esp", "media/vda2/config.env"},
        {"volume WEBOPS on sdc", "from-volume", "media/sdc/config.env"},
        {"seed cidata on sdd1", "from-seed", "media/sdd1/user-data"},
        {"seed CIDATA on sde", "from-seed2", "media/sde/user-data"},
        {"fw_cfg", "from-fwcfg", FW "/config/raw"},
        {"credentials", "from-credential", "run/credentials/@system/webops.config"},
        {"Hetzner metadata", "from-hetzner", ""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        cleanup_discovered struct discovered found = {0};
        discover(true, &found);
        assert_found(&found, steps[i].source, steps[i].hostname);
        assert_int_equal(found.refusal_count, 0);
        discover(true, &found); // remembered: from now on it is the state's own
        assert_found(&found, "state", steps[i].hostname);
        if (steps[i].file[0])
            assert_int_equal(unlinkat(tree.fd, steps[i].file, 0), 0);
        assert_int_equal(unlinkat(tree.fd, DISCOVER_CONFIG, 0), 0);
    }
}

static void metadata_only_late_and_only_there(void **state) {
    (void)state;
    cleanup_discovered struct discovered found = {0};
    put("sys/class/dmi/id/sys_vendor", "Hetzner\n");
    tree.userdata = "HOSTNAME=mine\n";
    discover(false, &found);
    assert_found(&found, "default", "from-default");
    assert_int_equal(tree.fetched, 0);
    put("sys/class/dmi/id/sys_vendor", "QEMU\n");
    discover(true, &found);
    assert_found(&found, "default", "from-default");
    assert_int_equal(tree.fetched, 0);
    put("sys/class/dmi/id/sys_vendor", "Hetzner\n");
    tree.userdata = "";
    discover(true, &found); // a server without user data
    assert_found(&found, "default", "from-default");
    assert_int_equal(found.refusal_count, 0);
    tree.userdata = NULL;
    discover(true, &found);
    assert_refused(&found, 0, "Hetzner metadata", 0, "no answer");
    tree.userdata = "#cloud-config\nhostname: x\n";
    discover(true, &found);
    assert_refused(&found, 0, "Hetzner metadata", 1, "a cloud-config");
    tree.userdata = "HOSTNAME=mine";
    discover(true, &found);
    assert_found(&found, "Hetzner metadata", "mine");
}

static void esp_of_another_disk_is_not_ours(void **state) {
    (void)state;
    cleanup_discovered struct discovered found = {0};
    add_device("sda2", "esp", "vfat", "ESP");
    add_device("sda3", "webops-a", "vfat", "WEBOPS"); // a slot is never a seed
    add_device("vda5", "webops-state", "", "");
    add_device("vdb", "", "vfat", "OTHER");
    add_device("loop0", "", "vfat", "WEBOPS");
    put("media/sda2/config.env", "HOSTNAME=foreign\n");
    put("media/sda3/config.env", "HOSTNAME=foreign\n");
    put("media/loop0/config.env", "HOSTNAME=foreign\n");
    discover(true, &found);
    assert_found(&found, "default", "from-default");
    assert_int_equal(tree.opened, 0); // nothing was even mounted
}

// A copy of our disk is attached beside it: the one whose state partition is mounted counts, not the first by name.
static void esp_beside_the_mounted_state(void **state) {
    (void)state;
    cleanup_discovered struct discovered found = {0};
    struct stat st;
    static const char *const devices[] = {"vda2", "vdb2"};
    for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
        cleanup_free char *path = str_printf("media/%s/config.env", devices[i]), *text = str_printf("HOSTNAME=%s\n", devices[i]);
        add_device(devices[i], "esp", "vfat", "ESP");
        put(path, text);
    }
    add_device("vda5", "webops-state", "", "");
    add_device("vdb5", "webops-state", "", "");
    put("webops/.keep", "");
    put("sys/dev/block/.keep", "");
    assert_int_equal(fstatat(tree.fd, "webops", &st, 0), 0);
    cleanup_free char *link = str_printf("sys/dev/block/%u:%u", major(st.st_dev), minor(st.st_dev));
    assert_int_equal(symlinkat("../../devices/pci0/block/vdb/vdb5", tree.fd, link), 0);
    discover(false, &found);
    assert_found(&found, "ESP (vdb2)", "vdb2");
    assert_int_equal(unlinkat(tree.fd, link, 0), 0); // cannot be told: the first by name
    assert_int_equal(unlinkat(tree.fd, DISCOVER_CONFIG, 0), 0);
    discover(false, &found);
    assert_found(&found, "ESP (vda2)", "vda2");
}

static void remembered_with_exact_modes(void **state) {
    (void)state;
    cleanup_discovered struct discovered found = {0};
    mode_t mask = umask(0);
    add_device("sdb", "", "vfat", "WEBOPS");
    put("media/sdb/config.env", "HOSTNAME=web1\n" NEEDS_SECRET);
    put("media/sdb/secrets/op.secret", HASH);
    put("media/sdb/secrets/README.txt", "not a secret");
    discover(false, &found);
    umask(mask);
    assert_found(&found, "volume WEBOPS on sdb", "web1");
    assert_file("webops/config.env", "HOSTNAME=web1\n" NEEDS_SECRET);
    assert_file("webops/secrets/op.secret", HASH);
    assert_file(DISCOVER_LAST_GOOD, "HOSTNAME=web1\n" NEEDS_SECRET);
    assert_false(file_exists(tree.fd, "webops/secrets/README.txt"));
    assert_int_equal(mode_of("webops/config.env"), 0600);
    assert_int_equal(mode_of("webops/secrets"), 0700);
    assert_int_equal(mode_of("webops/secrets/op.secret"), 0600);
    assert_int_equal(mode_of(DISCOVER_LAST_GOOD), 0600);
    assert_false(file_exists(tree.fd, "run/webops/incoming"));
    cleanup_free char *record = get(DISCOVER_RECORD);
    assert_non_null(strstr(record, "source: volume WEBOPS on sdb\nsha256: "));
    assert_non_null(strstr(record, "\ntime: 2"));
    // The source can go away, or another one come: nothing changes.
    put("media/sdb/config.env", "HOSTNAME=web2\n");
    tree.opened = 0;
    discover(false, &found);
    assert_found(&found, "state", "web1");
    assert_int_equal(tree.opened, 0);
}

static void secrets_directory_made_by_hand_becomes_private(void **state) {
    (void)state;
    cleanup_discovered struct discovered found = {0};
    put("webops/secrets/old.secret", "kept");
    assert_int_equal(fchmodat(tree.fd, "webops/secrets", 0755, 0), 0);
    put(FW "/config/raw", NEEDS_SECRET);
    put(FW "/secrets/op.secret/raw", HASH);
    discover(false, &found);
    assert_string_equal(found.source, "fw_cfg");
    assert_int_equal(mode_of("webops/secrets"), 0700);
    assert_file("webops/secrets/old.secret", "kept");
}

static void invalid_sources_are_passed_over(void **state) {
    (void)state;
    cleanup_discovered struct discovered found = {0};
    add_device("sdb", "", "vfat", "WEBOPS");
    add_device("sdc", "", "vfat", "WEBOPS");
    add_device("sdd", "", "vfat", "WEBOPS");
    add_device("sde", "", "iso9660", "cidata");
    add_device("sdf", "", "iso9660", "cidata");
    put("media/sdb/config.env", "\nHOSTNAM=canary\nSSH_PORT=0\n");
    put("media/sdb/secrets/x.secret", "canary");
    put("media/sdc/config.env", "HOSTNAME=a\n" NEEDS_SECRET); // without the secret
    put("media/sdd/README", "no configuration at all"); // nothing there: not even reported
    put("media/sde/user-data", "#!/bin/sh\n");
    put("media/sde/meta-data", "instance-id: x\n");
    put("media/sdf/user-data", "HOSTNAME=good\n");
    discover(false, &found);
    assert_found(&found, "seed cidata on sdf", "good");
    assert_int_equal(found.refusal_count, 3);
    assert_refused(&found, 0, "volume WEBOPS on sdb", 2, "did you mean HOSTNAME?");
    assert_refused(&found, 0, "volume WEBOPS on sdb", 3, "SSH_PORT");
    assert_refused(&found, 1, "volume WEBOPS on sdc", 2, "does not exist");
    assert_refused(&found, 2, "seed cidata on sde", 1, "user-data is a script");
    assert_false(file_exists(tree.fd, "webops/secrets/x.secret"));
    for (size_t i = 0; i < found.refusal_count; i++)
        for (size_t j = 0; j < found.refusals[i].problems.count; j++)
            assert_null(strstr(found.refusals[i].problems.items[j].text, "canary"));
}

static void a_volume_that_cannot_be_opened(void **state) {
    (void)state;
    cleanup_discovered struct discovered found = {0};
    add_device("sdb", "", "vfat", "WEBOPS"); // no media/sdb
    discover(false, &found);
    assert_found(&found, "default", "from-default");
    assert_refused(&found, 0, "volume WEBOPS on sdb", 0, "No such file");
}

// After a rollback to a generation without a stack its keys are unknown. They must not take the rest away.
static void keys_of_another_generation(void **state) {
    (void)state;
    cleanup_discovered struct discovered found = {0};
    static const char text[] = "ETCD_ENABLED=true\nHOSTNAME=kept\nETCD_NAME=n1\n";
    put("webops/config.env", text);
    put(DISCOVER_LAST_GOOD, text); // as the other generation left it
    discover(false, &found);
    assert_found(&found, "last good", "kept");
    assert_int_equal(found.config.count, 1);
    assert_refused(&found, 0, "state", 1, "ETCD_ENABLED"); // it is said
    put(DISCOVER_LAST_GOOD, "ETCD_ENABLED=true\nHOSTNAME=kept\nSSH_PORT=ssh\n"); // what is known must still be right
    discover(false, &found);
    assert_found(&found, "default", "from-default");
}

static void broken_edit_keeps_the_last_good(void **state) {
    (void)state;
    cleanup_discovered struct discovered found = {0};
    put("webops/config.env", "HOSTNAME=first\n" NEEDS_SECRET);
    put("webops/secrets/op.secret", HASH);
    assert_int_equal(fchmodat(tree.fd, "webops/secrets/op.secret", 0600, 0), 0);
    put(FW "/config/raw", "HOSTNAME=other\n");
    discover(false, &found);
    assert_found(&found, "state", "first");
    put("webops/config.env", "HOSTNAME=second\nSSH_PORT=ssh\n");
    discover(false, &found);
    assert_found(&found, "last good", "first"); // not fw_cfg
    assert_refused(&found, 0, "state", 2, "SSH_PORT");
    assert_file("webops/config.env", "HOSTNAME=second\nSSH_PORT=ssh\n"); // the operator's file is left alone
    put("webops/config.env", "HOSTNAME=third\n");
    discover(false, &found);
    assert_found(&found, "state", "third");
    assert_file(DISCOVER_LAST_GOOD, "HOSTNAME=third\n");
    // A secret with the wrong mode refuses the new file, and does not take the old one's network away.
    put("webops/config.env", "HOSTNAME=fourth\n" NEEDS_SECRET);
    assert_int_equal(fchmodat(tree.fd, "webops/secrets/op.secret", 0644, 0), 0);
    discover(false, &found);
    assert_found(&found, "last good", "third");
    assert_refused(&found, 0, "state", 2, "chmod 600");
    assert_int_equal(unlinkat(tree.fd, DISCOVER_LAST_GOOD, 0), 0);
    discover(false, &found);
    assert_found(&found, "default", "from-default");
}

static void state_that_is_no_file(void **state) {
    (void)state;
    cleanup_discovered struct discovered found = {0};
    put("elsewhere/config.env", "HOSTNAME=linked\n");
    put("webops/.keep", "");
    assert_int_equal(symlinkat("../elsewhere/config.env", tree.fd, "webops/config.env"), 0);
    discover(false, &found);
    assert_found(&found, "default", "from-default");
    assert_refused(&found, 0, "state", 0, "config.env");
    assert_int_equal(unlinkat(tree.fd, "webops/config.env", 0), 0);
    assert_int_equal(mkfifoat(tree.fd, "webops/config.env", 0600), 0); // must not block
    discover(false, &found);
    assert_refused(&found, 0, "state", 0, "not a regular file");
}

// A driver that comes late: the second look finds what the first one missed, and its complaints are forgotten.
static void devices_are_waited_for_once(void **state) {
    (void)state;
    cleanup_discovered struct discovered found = {0};
    put(FW "/config/raw", "HOSTNAME=slow\n" NEEDS_SECRET);
    tree.is_slow = true;
    discover(true, &found); // late: no waiting
    assert_found(&found, "default", "from-default");
    assert_int_equal(tree.settled, 0);
    discover(false, &found);
    assert_found(&found, "fw_cfg", "slow");
    assert_int_equal(found.refusal_count, 0);
    assert_int_equal(tree.settled, 1);
    discover(false, &found); // state has it now
    assert_found(&found, "state", "slow");
    assert_int_equal(tree.settled, 1);
    put("webops/config.env", "nonsense\n");
    discover(false, &found); // decided by the last good one: no waiting either
    assert_found(&found, "last good", "slow");
    assert_int_equal(tree.settled, 1);
}

// A stick counts more than what lies on the medium, however late it comes.
static void the_medium_waits_for_a_stick(void **state) {
    (void)state;
    cleanup_discovered struct discovered found = {0};
    put("run/webops/medium/webops/config.env", "HOSTNAME=general\n");
    put(FW "/config/raw", "HOSTNAME=own\n" NEEDS_SECRET);
    tree.is_slow = true; // until its secret is there it is refused
    discover(false, &found);
    assert_found(&found, "fw_cfg", "own");
    assert_int_equal(tree.settled, 1);
    discover(false, &found);
    assert_found(&found, "state", "own");
    assert_int_equal(tree.settled, 1);
}

// State that cannot be written: the configuration is still applied, and the failure is said.
static void state_that_cannot_be_written(void **state) {
    (void)state;
    cleanup_discovered struct discovered found = {0};
    const struct discover settings = {.root_fd = tree.fd, .schema = &schema_base};
    struct err err = {0};
    assert_int_equal(file_publish(tree.fd, "webops", "", 0, 0644, &err), 0); // a file where the directory should be
    put(FW "/config/raw", "HOSTNAME=a\n");
    assert_true(discover_config(&settings, &found, &err) < 0);
    assert_non_null(strstr(err.text, "could not be remembered"));
    assert_found(&found, "fw_cfg", "a");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(nothing_but_the_default),
        TEST(order_of_sources),
        TEST(metadata_only_late_and_only_there),
        TEST(esp_of_another_disk_is_not_ours),
        TEST(esp_beside_the_mounted_state),
        TEST(remembered_with_exact_modes),
        TEST(secrets_directory_made_by_hand_becomes_private),
        TEST(invalid_sources_are_passed_over),
        TEST(a_volume_that_cannot_be_opened),
        TEST(keys_of_another_generation),
        TEST(broken_edit_keeps_the_last_good),
        TEST(state_that_is_no_file),
        TEST(devices_are_waited_for_once),
        TEST(the_medium_waits_for_a_stick),
        TEST(state_that_cannot_be_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
