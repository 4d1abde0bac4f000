// SPDX-License-Identifier: Apache-2.0
// What lsblk says of computers, and which disks may be written to.
#include "builder/flash/disks.h"
#include "builder/test/support.h"

#define FREE "\"type\": \"disk\", \"size\": 1000, \"log-sec\": 512, \"mountpoints\": [null]"

static void load(struct disks *disks) {
    struct err err = {0};
    cleanup_free char *json = NULL;
    assert_ok(file_read(AT_FDCWD, "builder/flash/test/lsblk.json", 1 << 20, &json, NULL, &err));
    assert_ok(disks_parse(json, disks, &err));
}

static void whole_disks_are_found(void **state) {
    (void)state;
    cleanup_disks struct disks disks = {0};
    cleanup_buf struct buf table = {0}, json = {0}, words = {0};
    load(&disks);
    assert_int_equal(disks.count, 11);
    disks_format(&disks, &table);
    assert_contains(buf_str(&table), "/dev/sda");
    assert_contains(buf_str(&table), "Model ?X");
    assert_contains(buf_str(&table), "/dev/sda1 is mounted at /boot\n");
    assert_null(strstr(buf_str(&table), "/dev/loop0"));
    assert_null(strstr(buf_str(&table), "/dev/sr0"));
    disks_format_json(&disks, &json);
    assert_contains(buf_str(&json), "\"serial\": \"SMALL\"");
    assert_contains(buf_str(&json), "\"use\": null");
    assert_null(strstr(buf_str(&json), "/dev/loop0"));
    disk_describe(&disks.items[8], &words);
    assert_string_equal(buf_str(&words), "Model ?X, 976.6 KiB, usb, no serial number");
}

static void what_speaks_against_it(void **state) {
    (void)state;
    static const struct {
        const char *serial;
        int code;
        const char *says;
    } rows[] = {
        {"SYSTEM", -EPERM, "/dev/sda is in use: /dev/sda1 is mounted at /boot"},
        {"SWAP", -EPERM, "/dev/sdb2 is swap"},
        {"RAID", -EPERM, "/dev/sdc1 is part of /dev/md0 (raid1)"},
        {"LOCKED", -EROFS, "/dev/sdd is read-only"},
        {"SMALL", -ENOSPC, "/dev/sde is too small: it has 999 bytes"},
        {"LARGE", -EINVAL, "sectors of 4096 bytes"},
        {"GOOD", 0, ""},
    };
    cleanup_disks struct disks disks = {0};
    load(&disks);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct err err = {0};
        const struct disk *disk = NULL;
        assert_ok(disks_choose(&disks, NULL, rows[i].serial, &disk, &err));
        assert_int_equal(disk_check(disk, 1000, &err), rows[i].code);
        assert_contains(err.text, rows[i].says);
    }
}

static void one_disk_is_meant(void **state) {
    struct scratch *scratch = *state;
    cleanup_free char *link = scratch_file(scratch, "by-id"), *real = scratch_file(scratch, "sdx"), *gone = scratch_file(scratch, "gone");
    cleanup_free char *json =
        str_printf("{\"blockdevices\": [{\"path\": \"%s\"," FREE ", \"serial\": \"ONE\"},"
                   "{\"path\": \"/dev/sdy\"," FREE ", \"serial\": \"TWIN\"},"
                   "{\"path\": \"/dev/sdz\"," FREE ", \"serial\": \"TWIN\"},"
                   "{\"path\": \"/dev/loop0\", \"type\": \"loop\", \"size\": 1, \"log-sec\": 512, \"serial\": \"LOOP\"}]}",
                   real);
    const struct {
        const char *path, *serial;
        int code;
        const char *says;
    } rows[] = {
        {real, NULL, 0, ""},
        {link, NULL, 0, ""},
        {link, "ONE", 0, ""},
        {NULL, "ONE", 0, ""},
        {link, "TWO", -ENOENT, "has the serial number ONE, and not TWO"},
        {gone, NULL, -ENOENT, "gone"},
        {"/dev/null", NULL, -ENOENT, "/dev/null is no whole disk"},
        {NULL, "NONE", -ENOENT, "no disk has the serial number NONE; there are: ONE ("},
        {NULL, "TWIN", -ENOTUNIQ, "/dev/sdy and /dev/sdz both have the serial number TWIN"},
        {NULL, "LOOP", -ENOENT, "no disk has"},
    };
    cleanup_disks struct disks disks = {0};
    struct err err = {0};
    put_file(real, "", 0);
    assert_int_equal(symlink(real, link), 0);
    assert_ok(disks_parse(json, &disks, &err));
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct disk *disk = NULL;
        err.text[0] = 0;
        int r = disks_choose(&disks, rows[i].path, rows[i].serial, &disk, &err);
        if (r != rows[i].code || !strstr(err.text, rows[i].says) || (r == 0 && strcmp(disk->path, real) != 0))
            fail_msg("row %zu: %d, %s", i, r, err.text);
    }
}

static void nonsense_is_refused(void **state) {
    (void)state;
    static const char *const texts[] = {"", "[]", "{}", "{\"blockdevices\": 1}", "lsblk: failed"};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct disks disks;
        struct err err = {0};
        assert_int_equal(disks_parse(texts[i], &disks, &err), -EINVAL);
    }
    cleanup_disks struct disks empty = {0};
    struct err err = {0};
    assert_ok(disks_parse("{\"blockdevices\": [{\"path\": 5}, 7, {\"type\": \"disk\", \"size\": -1}]}", &empty, &err));
    assert_int_equal(empty.count, 0);
}

// This computer's, by the real program.
static void lsblk_is_asked(void **state) {
    (void)state;
    cleanup_disks struct disks disks = {0};
    struct err err = {0};
    assert_ok(disks_load(&disks, &err));
    for (size_t i = 0; i < disks.count; i++)
        assert_true(strncmp(disks.items[i].path, "/dev/", 5) == 0 && disks.items[i].size > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_disks_are_found),
        cmocka_unit_test(what_speaks_against_it),
        cmocka_unit_test_setup_teardown(one_disk_is_meant, scratch_setup, scratch_teardown),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(lsblk_is_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
