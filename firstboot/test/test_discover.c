// SPDX-License-Identifier: Apache-2.0
// Discovery on a tree of our own: order of the sources, what is remembered with which modes, what is refused and why. Volumes are
// directories below media/, "mounted" by a fake that opens them; their superblocks are files below dev/.
#include "common/buf.h"
#include "common/file.h"
#include "firstboot/candidate.h"
#include "firstboot/discover.h"
// cmocka.h wants these first.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>

#define FW "sys/firmware/qemu_fw_cfg/by_name/opt/org.webops"
#define HASH "$6$saltsalt$0123456789abcdef./ABCDEFGHIJKLMNOPQRSTUV\n"
#define NEEDS_SECRET "OPERATOR_PASSWORD_FILE=/webops/secrets/op.secret\n"

static struct {
    char path[64];
    int fd;
    unsigned opened, fetched, settled; // calls of the fakes
    bool is_slow; // a source that comes only while devices are waited for
    const char *userdata; // what the fake metadata service answers; NULL: it fails
} tree;

static void put(const char *path, const char *text) {
    struct err err = {0};
    cleanup_free char *dir = str_dup(path);
    *strrchr(dir, '/') = 0;
    if (file_mkdirs(tree.fd, dir, 0755, &err) < 0 || file_publish(tree.fd, path, text, strlen(text), 0644, &err) < 0)
        fail_msg("%s", err.text);
}

static char *get(const char *path) {
    struct err err = {0};
    char *text = NULL;
    size_t size;
    return file_read(tree.fd, path, 1 << 20, &text, &size, &err) < 0 ? str_dup("(missing)") : text;
}

static void assert_file(const char *path, const char *text) {
    cleanup_free char *found = get(path);
    assert_string_equal(found, text);
}

static unsigned mode_of(const char *path) {
    struct stat st;
    return fstatat(tree.fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0 ? 0 : st.st_mode & 07777;
}

static int set_up(void **state) {
    (void)state;
    strcpy(tree.path, "/tmp/webops-discover-XXXXXX");
    if (!mkdtemp(tree.path))
        return -1;
    tree.fd = open(tree.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    tree.opened = tree.fetched = tree.settled = 0;
    tree.is_slow = false;
    tree.userdata = NULL;
    put("usr/lib/webops/default.env", "HOSTNAME=from-default\n");
    put("sys/class/block/.keep", "");
    return tree.fd < 0 ? -1 : 0;
}

static int tear_down(void **state) {
    (void)state;
    struct err err;
    close(tree.fd);
    return file_remove_tree(AT_FDCWD, tree.path, &err);
}

// Superblocks: just the bytes that are looked at.
static void add_device(const char *name, const char *partition, const char *type, const char *label) {
    cleanup_buf struct buf bytes = {0};
    cleanup_free char *zeros = mem_array(40960, 1);
    buf_add(&bytes, zeros, 40960);
    if (strcmp(type, "vfat") == 0) {
        memcpy(bytes.data, "\xeb\x3c\x90mkfs.fat\x00\x02\x04\x01\x00\x02\x00\x02", 19);
        memcpy(bytes.data + 22, "\x01\x00", 2);
        memset(bytes.data + 43, ' ', 11);
        memcpy(bytes.data + 43, label, strlen(label));
        memcpy(bytes.data + 54, "FAT12   ", 8);
        memcpy(bytes.data + 510, "\x55\xaa", 2);
    } else if (strcmp(type, "iso9660") == 0) {
        memcpy(bytes.data + 32768, "\1CD001\1", 7);
        memset(bytes.data + 32768 + 40, ' ', 32);
        memcpy(bytes.data + 32768 + 40, label, strlen(label));
    }
    struct err err = {0};
    size_t disk_size = strcspn(name, "0123456789");
    cleanup_free char *dev = str_printf("dev/%s", name), *link = str_printf("sys/class/block/%s", name);
    cleanup_free char *device = name[disk_size] ? str_printf("sys/devices/pci0/block/%.*s/%s", (int)disk_size, name, name)
                                                : str_printf("sys/devices/pci0/block/%s", name);
    cleanup_free char *target = str_printf("../../devices%s", device + strlen("sys/devices"));
    cleanup_free char *uevent = str_printf("%s/uevent", device), *marker = str_printf("%s/partition", device);
    cleanup_free char *uevent_text =
        *partition ? str_printf("DEVNAME=%s\nPARTNAME=%s\n", name, partition) : str_printf("DEVNAME=%s\n", name);
    put("dev/.keep", "");
    assert_int_equal(file_publish(tree.fd, dev, bytes.data, bytes.size, 0600, &err), 0);
    put(uevent, uevent_text);
    if (name[disk_size])
        put(marker, "1\n");
    assert_int_equal(symlinkat(target, tree.fd, link), 0);
}

static int fake_open(int root_fd, const char *device, const char *type, struct err *err) {
    cleanup_free char *path = str_printf("media/%s", strrchr(device, '/') + 1);
    tree.opened++;
    assert_true(strcmp(type, "vfat") == 0 || strcmp(type, "iso9660") == 0);
    return file_open(root_fd, path, O_RDONLY | O_DIRECTORY, 0, err);
}

static int fake_fetch(const char *url, size_t max_bytes, char **ret_text, size_t *ret_size, struct err *err) {
    tree.fetched++;
    assert_true(max_bytes > 0);
    if (!tree.userdata)
        return err_set(err, -EIO, "no answer");
    *ret_text = str_dup(strstr(url, "/metadata/hostname") ? "from-hetzner\n" : tree.userdata);
    *ret_size = strlen(*ret_text);
    return 0;
}

static void fake_settle(int root_fd) {
    assert_int_equal(root_fd, tree.fd);
    tree.settled++;
    if (tree.is_slow)
        put(FW "/secrets/op.secret/raw", HASH);
}

static void discover(bool late, struct discovered *ret) {
    static const struct discover_io io = {fake_open, fake_fetch, fake_settle};
    const struct discover settings = {.root_fd = tree.fd, .schema = &schema_base, .late = late, .io = &io};
    struct err err = {0};
    discovered_done(ret);
    if (discover_config(&settings, ret, &err) < 0)
        fail_msg("%s", err.text);
}

static void assert_found(const struct discovered *found, const char *source, const char *hostname) {
    const struct config_entry *entry = config_find(&found->config, "HOSTNAME");
    if (strcmp(found->source, source) != 0)
        fail_msg("from %s, not from %s; %s", found->source, source,
                 found->refusal_count ? found->refusals[found->refusal_count - 1].problems.items[0].text : "nothing refused");
    assert_string_equal(entry ? entry->value : "(none)", hostname);
}

static void assert_refused(const struct discovered *found, size_t index, const char *source, unsigned line, const char *problem) {
    assert_true(index < found->refusal_count);
    assert_string_equal(found->refusals[index].source, source);
    for (size_t i = 0; i < found->refusals[index].problems.count; i++) {
        const struct config_problem *item = &found->refusals[index].problems.items[i];
        if (item->line == line && strstr(item->text, problem))
            return;
    }
    fail_msg("%s: no problem '%s' in line %u, but '%s'", source, problem, line, found->refusals[index].problems.items[0].text);
}

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
#define test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        test(nothing_but_the_default),
        test(order_of_sources),
        test(metadata_only_late_and_only_there),
        test(esp_of_another_disk_is_not_ours),
        test(esp_beside_the_mounted_state),
        test(remembered_with_exact_modes),
        test(secrets_directory_made_by_hand_becomes_private),
        test(invalid_sources_are_passed_over),
        test(a_volume_that_cannot_be_opened),
        test(keys_of_another_generation),
        test(broken_edit_keeps_the_last_good),
        test(state_that_is_no_file),
        test(links_on_a_volume_are_not_followed),
        test(nocloud_seed_merges_what_is_not_set),
        test(nocloud_seed_problems_name_their_file),
        test(foreign_user_data_is_named),
        test(secrets_from_the_hypervisor_complete_any_source),
        test(bad_secrets_refuse_their_source),
        test(devices_are_waited_for_once),
        test(state_that_cannot_be_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
