// SPDX-License-Identifier: Apache-2.0
// A machine for the tests of discovery, in a tree of our own: volumes are directories below media/, "mounted" by a fake that opens them; their
// superblocks are files below dev/.
#pragma once
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

static inline void put(const char *path, const char *text) {
    struct err err = {0};
    cleanup_free char *dir = str_dup(path);
    *strrchr(dir, '/') = 0;
    if (file_mkdirs(tree.fd, dir, 0755, &err) < 0 || file_publish(tree.fd, path, text, strlen(text), 0644, &err) < 0)
        fail_msg("%s", err.text);
}

static inline char *get(const char *path) {
    struct err err = {0};
    char *text = NULL;
    size_t size;
    return file_read(tree.fd, path, 1 << 20, &text, &size, &err) < 0 ? str_dup("(missing)") : text;
}

static inline void assert_file(const char *path, const char *text) {
    cleanup_free char *found = get(path);
    assert_string_equal(found, text);
}

static inline unsigned mode_of(const char *path) {
    struct stat st;
    return fstatat(tree.fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0 ? 0 : st.st_mode & 07777;
}

static inline int set_up(void **state) {
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

static inline int tear_down(void **state) {
    (void)state;
    struct err err;
    close(tree.fd);
    return file_remove_tree(AT_FDCWD, tree.path, &err);
}

// Superblocks: just the bytes that are looked at.
static inline void add_device(const char *name, const char *partition, const char *type, const char *label) {
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

static inline int fake_open(int root_fd, const char *device, const char *type, struct err *err) {
    cleanup_free char *path = str_printf("media/%s", strrchr(device, '/') + 1);
    tree.opened++;
    assert_true(strcmp(type, "vfat") == 0 || strcmp(type, "iso9660") == 0);
    return file_open(root_fd, path, O_RDONLY | O_DIRECTORY, 0, err);
}

static inline int fake_fetch(const char *url, size_t max_bytes, char **ret_text, size_t *ret_size, struct err *err) {
    tree.fetched++;
    assert_true(max_bytes > 0);
    if (!tree.userdata)
        return err_set(err, -EIO, "no answer");
    *ret_text = str_dup(strstr(url, "/metadata/hostname") ? "from-hetzner\n" : tree.userdata);
    *ret_size = strlen(*ret_text);
    return 0;
}

// What it "opens" is the pack itself.
static inline int fake_unseal(const char *key, size_t key_size, const char *envelope, size_t size, char **ret_text, size_t *ret_size,
                              struct err *err) {
    if (key_size != 4 || memcmp(key, "key\n", 4) != 0)
        return err_set(err, -EIO, "closed for others");
    *ret_text = str_printf("%.*s", (int)size, envelope);
    *ret_size = size;
    return 0;
}

static inline void fake_settle(int root_fd) {
    assert_int_equal(root_fd, tree.fd);
    tree.settled++;
    if (tree.is_slow)
        put(FW "/secrets/op.secret/raw", HASH);
}

static inline void discover(bool late, struct discovered *ret) {
    static const struct discover_io io = {fake_open, fake_fetch, fake_unseal, fake_settle};
    const struct discover settings = {.root_fd = tree.fd, .schema = &schema_base, .late = late, .io = &io};
    struct err err = {0};
    discovered_done(ret);
    if (discover_config(&settings, ret, &err) < 0)
        fail_msg("%s", err.text);
}

static inline void assert_found(const struct discovered *found, const char *source, const char *hostname) {
    const struct config_entry *entry = config_find(&found->config, "HOSTNAME");
    if (strcmp(found->source, source) != 0)
        fail_msg("from %s, not from %s; %s", found->source, source,
                 found->refusal_count ? found->refusals[found->refusal_count - 1].problems.items[0].text : "nothing refused");
    assert_string_equal(entry ? entry->value : "(none)", hostname);
}

static inline void assert_refused(const struct discovered *found, size_t index, const char *source, unsigned line, const char *problem) {
    assert_true(index < found->refusal_count);
    assert_string_equal(found->refusals[index].source, source);
    for (size_t i = 0; i < found->refusals[index].problems.count; i++) {
        const struct config_problem *item = &found->refusals[index].problems.items[i];
        if (item->line == line && strstr(item->text, problem))
            return;
    }
    fail_msg("%s: no problem '%s' in line %u, but '%s'", source, problem, line, found->refusals[index].problems.items[0].text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
