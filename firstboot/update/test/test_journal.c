// SPDX-License-Identifier: Apache-2.0
// What the engine remembers on state: read back as written, and every kind of damage is found, kept aside and not used.
#include "firstboot/test/support.h"
#include "common/test/manifest_seed.h"
#include "firstboot/update/generationinfo.h"
#include "firstboot/update/journal.h"
#include "firstboot/update/record.h"
#include <errno.h>
#include <jansson.h>
#include <sys/stat.h>

static struct err failure;

static void assert_ok(int r) {
    if (r < 0)
        fail_msg("%s", failure.text);
}

static struct journal journal_seed(void) {
    struct journal journal = {.state = JOURNAL_TRIAL, .slot = BOOT_SLOT_B, .tries = 3, .started = 1795000000, .changed = 1795000100};
    manifest_seed(&journal.manifest, 3);
    strcpy(journal.from_version, "2026.10");
    memset(journal.from_root_hash, 0x77, 32);
    strcpy(journal.location, "/srv/a place/x'y.bundle");
    journal.wants_reboot = true;
    return journal;
}

static void assert_same_journal(const struct journal *a, const struct journal *b) {
    assert_int_equal(a->state, b->state);
    assert_int_equal(a->slot, b->slot);
    assert_int_equal(a->tries, b->tries);
    assert_int_equal(a->started, b->started);
    assert_int_equal(a->changed, b->changed);
    assert_int_equal(a->wants_reboot, b->wants_reboot);
    assert_string_equal(a->from_version, b->from_version);
    assert_memory_equal(a->from_root_hash, b->from_root_hash, 32);
    assert_string_equal(a->manifest.version, b->manifest.version);
    assert_string_equal(a->manifest.cmdline, b->manifest.cmdline);
    assert_memory_equal(&a->manifest.layers[2].data, &b->manifest.layers[2].data, sizeof(a->manifest.layers[2].data));
}

static void journal_is_read_back(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    struct journal journal = journal_seed(), loaded;
    for (enum journal_state s = JOURNAL_INSTALLING; s <= JOURNAL_REJECTED; s++) {
        journal.state = s;
        assert_ok(journal_save(root.fd, &journal, &failure));
        assert_ok(journal_load(root.fd, &loaded, &failure));
        assert_same_journal(&loaded, &journal);
        assert_string_equal(loaded.location, journal.location);
    }
    struct stat st;
    assert_int_equal(fstatat(root.fd, "var/lib/webops/update/journal", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(fstatat(root.fd, "var/lib/webops/update", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
}

static void no_journal_is_none(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    struct journal loaded;
    assert_ok(journal_load(root.fd, &loaded, &failure));
    assert_int_equal(loaded.state, JOURNAL_NONE);
}

static void put(const struct support_root *root, const char *path, const void *data, size_t size, mode_t mode) {
    assert_ok(file_publish(root->fd, path, data, size, mode, &failure));
}

#define JOURNAL UPDATE_DIR "/journal"

// U13: nothing, NULs, 0xFF, cut in half, one bit, half old and half new, others may write, no file at all.
static void damage_is_found(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    struct journal journal = journal_seed(), loaded;
    assert_ok(journal_save(root.fd, &journal, &failure));
    cleanup_free char *good = support_read(&root, JOURNAL);
    size_t size = strlen(good);
    journal.state = JOURNAL_REJECTED;
    journal.changed = 5;
    assert_ok(journal_save(root.fd, &journal, &failure));
    cleanup_free char *other = support_read(&root, JOURNAL);
    for (unsigned kind = 0; kind < 8; kind++) {
        cleanup_free char *bad = mem_array(size + 1, 1);
        memcpy(bad, good, size);
        size_t bad_size = size;
        mode_t mode = 0600;
        switch (kind) {
        case 0:
            bad_size = 0;
            break;
        case 1:
            memset(bad, 0, size);
            break;
        case 2:
            memset(bad, 0xff, size);
            break;
        case 3:
            bad_size = size / 2;
            break;
        case 4:
            bad[size / 3] ^= 1;
            break;
        case 5:
            memcpy(bad, other, 200);
            break;
        case 6:
            mode = 0622;
            break;
        case 7:
            bad[size - 2] ^= 1;
            break;
        }
        put(&root, JOURNAL, bad, bad_size, mode);
        assert_ok(journal_load(root.fd, &loaded, &failure));
        assert_int_equal(loaded.state, JOURNAL_NONE);
        assert_false(file_exists(root.fd, JOURNAL));
        assert_true(file_exists(root.fd, JOURNAL ".damaged"));
    }
    assert_ok(file_mkdirs(root.fd, JOURNAL "/x", 0755, &failure));
    assert_ok(journal_load(root.fd, &loaded, &failure));
    assert_int_equal(loaded.state, JOURNAL_NONE);
    assert_int_equal(symlinkat("/etc/passwd", root.fd, JOURNAL), 0);
    assert_ok(journal_load(root.fd, &loaded, &failure));
    assert_int_equal(loaded.state, JOURNAL_NONE);
}

// Every single bit of the file.
static void every_bit_counts(void **state) {
    (void)state;
    struct journal journal = journal_seed();
    cleanup_buf struct buf text = {0};
    cleanup_root struct support_root root = support_root_make();
    assert_ok(journal_format(&journal, &text, &failure));
    assert_ok(record_save(root.fd, JOURNAL, &text, &failure));
    cleanup_free char *good = support_read(&root, JOURNAL);
    size_t size = strlen(good), inner;
    assert_int_equal(record_check(good, size, &inner, &failure), 0);
    assert_int_equal(inner, text.size);
    for (size_t bit = 0; bit < 8 * size; bit += bit % 8 == 7 ? 25 : 1) {
        good[bit / 8] ^= (char)(1 << bit % 8);
        assert_int_equal(record_check(good, size, &inner, &failure), -EINVAL);
        good[bit / 8] ^= (char)(1 << bit % 8);
    }
}

// A right check value over nonsense: another version of the program, or a mistake of ours.
static void nonsense_is_put_aside(void **state) {
    (void)state;
    static const char *const texts[] = {"", "STATE=trial\n# manifest\n", "STATE=odd\nSLOT=b\n# manifest\n", "hello\n"};
    cleanup_root struct support_root root = support_root_make();
    struct journal loaded;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        cleanup_buf struct buf text = {0};
        buf_add_str(&text, texts[i]);
        assert_ok(record_save(root.fd, JOURNAL, &text, &failure));
        assert_ok(journal_load(root.fd, &loaded, &failure));
        assert_int_equal(loaded.state, JOURNAL_NONE);
        assert_true(file_exists(root.fd, JOURNAL ".damaged"));
        assert_false(file_exists(root.fd, JOURNAL));
    }
}

// A generation that is newer than the one that reads may write keys that this one does not know.
static void unknown_keys_do_not_matter(void **state) {
    (void)state;
    struct journal journal = journal_seed(), loaded;
    cleanup_buf struct buf text = {0}, longer = {0};
    assert_ok(journal_format(&journal, &text, &failure));
    buf_printf(&longer, "NEW_KEY=value\n%s", buf_str(&text));
    assert_ok(journal_parse(longer.data, longer.size, &loaded, &failure));
    assert_same_journal(&loaded, &journal);
}

static void attempts_are_counted_per_generation(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    struct attempts attempts;
    uint8_t first[32], second[32];
    memset(first, 1, 32);
    memset(second, 2, 32);
    assert_ok(attempts_load(root.fd, first, &attempts, &failure));
    assert_int_equal(attempts.early + attempts.init, 0);
    assert_ok(attempts_add(root.fd, first, "init", &failure));
    assert_ok(attempts_add(root.fd, first, "early", &failure));
    assert_ok(attempts_add(root.fd, second, "init", &failure));
    assert_ok(attempts_add(root.fd, first, "init", &failure));
    assert_ok(attempts_load(root.fd, first, &attempts, &failure));
    assert_int_equal(attempts.init, 2);
    assert_int_equal(attempts.early, 1);
    assert_ok(attempts_load(root.fd, second, &attempts, &failure));
    assert_int_equal(attempts.init, 1);
    assert_ok(attempts_clear(root.fd, &failure));
    assert_ok(attempts_clear(root.fd, &failure));
    assert_ok(attempts_load(root.fd, first, &attempts, &failure));
    assert_int_equal(attempts.init, 0);
}

static void torn_attempts_harm_nothing(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    struct attempts attempts;
    uint8_t hash[32];
    memset(hash, 0xab, 32);
    support_write(&root, ATTEMPTS_PATH, "init abab\nearly\n\n\xff\xff init abababababababab\ninit abababababab");
    assert_ok(attempts_add(root.fd, hash, "early", &failure));
    assert_ok(attempts_load(root.fd, hash, &attempts, &failure));
    assert_int_equal(attempts.init, 0);
    assert_int_equal(attempts.early, 1);
    cleanup_free char *path = str_printf("%s/%s", root.path, ATTEMPTS_PATH);
    assert_int_equal(truncate(path, 1 << 20), 0); // grown without end
    assert_ok(attempts_load(root.fd, hash, &attempts, &failure));
    assert_true(attempts.early > 100);
}

static struct rejection rejection_seed(unsigned char fill, const char *log) {
    struct rejection rejection = {.sequence = 43, .time = 1795000200, .stage = "health", .check = "sshd"};
    memset(rejection.root_hash, fill, 32);
    strcpy(rejection.profile, "edge");
    strcpy(rejection.version, "2026.12");
    strcpy(rejection.reason, "cannot connect to 'port 22': \"refused\" $x `y` \\ ü");
    rejection.log = log ? str_dup(log) : NULL;
    return rejection;
}

static void ledger_keeps_what_was_rejected(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    cleanup_rejection struct rejection one = rejection_seed(0x11, "first line\n\tsecond \x1b[31m line\n# third\n\nlast"), loaded = {0};
    assert_int_equal(ledger_find(root.fd, one.root_hash, &loaded, &failure), 0);
    assert_int_equal(ledger_last(root.fd, &loaded, &failure), 0);
    assert_ok(ledger_add(root.fd, &one, &failure));
    assert_int_equal(ledger_find(root.fd, one.root_hash, &loaded, &failure), 1);
    assert_string_equal(loaded.version, "2026.12");
    assert_string_equal(loaded.stage, "health");
    assert_string_equal(loaded.check, "sshd");
    assert_string_equal(loaded.reason, "cannot connect to \"port 22\": \"refused\" $x `y` \\ ??");
    assert_string_equal(loaded.log, "first line\n second ?[31m line\n# third\n\nlast\n");
    assert_int_equal(loaded.sequence, 43);
    assert_int_equal(loaded.time, 1795000200);
    assert_ok(ledger_remove(root.fd, one.root_hash, &failure));
    assert_ok(ledger_remove(root.fd, one.root_hash, &failure));
    assert_int_equal(ledger_find(root.fd, one.root_hash, &(struct rejection){0}, &failure), 0);
}

// By number, not by a clock that may jump.
static void ledger_knows_the_newest(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    for (unsigned char i = 0; i < LEDGER_MAX + 5; i++) {
        cleanup_rejection struct rejection next = rejection_seed((unsigned char)(i + 1), NULL), last = {0};
        next.time = 1000 - i;
        assert_ok(ledger_add(root.fd, &next, &failure));
        assert_int_equal(ledger_last(root.fd, &last, &failure), 1);
        assert_int_equal(last.root_hash[0], i + 1);
    }
    cleanup_rejection struct rejection found = {0}, kept = {0};
    uint8_t hash[32];
    memset(hash, 5, 32);
    assert_int_equal(ledger_find(root.fd, hash, &found, &failure), 0);
    memset(hash, 6, 32);
    assert_int_equal(ledger_find(root.fd, hash, &kept, &failure), 1);
}

static void long_logs_keep_their_end(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    cleanup_buf struct buf log = {0};
    for (int i = 0; i < 5000; i++)
        buf_printf(&log, "line %d\n", i);
    cleanup_rejection struct rejection one = rejection_seed(1, buf_str(&log)), loaded = {0};
    assert_ok(ledger_add(root.fd, &one, &failure));
    assert_int_equal(ledger_find(root.fd, one.root_hash, &loaded, &failure), 1);
    assert_true(strlen(loaded.log) <= REJECTION_LOG_BYTES);
    assert_true(strlen(loaded.log) > REJECTION_LOG_BYTES / 2);
    assert_string_equal(loaded.log + strlen(loaded.log) - 10, "line 4999\n");
    assert_int_equal(strncmp(loaded.log, "line ", 5), 0);
}

static void damaged_rejections_are_put_aside(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    cleanup_rejection struct rejection one = rejection_seed(1, NULL), two = rejection_seed(2, NULL), last = {0};
    assert_ok(ledger_add(root.fd, &one, &failure));
    assert_ok(ledger_add(root.fd, &two, &failure));
    char hex[65];
    hex_format(two.root_hash, 32, hex);
    cleanup_free char *path = str_printf(UPDATE_DIR "/rejected/%s", hex), *kept = str_printf("%s.damaged", path);
    put(&root, path, "", 0, 0600);
    assert_int_equal(ledger_last(root.fd, &last, &failure), 1);
    assert_int_equal(last.root_hash[0], 1);
    assert_true(file_exists(root.fd, kept));
}

#define BOOT_RECORD                                                                                                                        \
    "SLOT=a\nPROFILE=edge\nVERSION=1\nSEQUENCE=7\nROOT_HASH=1111111111111111111111111111111111111111111111111111111111111111\n"
#define GENERATION "COMPATIBLE=edge-amd64\nCHANNEL=stable\nCREATED=1700000000\nCONFIG_SCHEMA=1\nDEVELOPMENT_KEYS=true\n"

static void floors_never_sink(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    struct floors floors;
    support_write(&root, "run/webops/boot", BOOT_RECORD);
    support_write(&root, GENERATION_PATH, GENERATION);
    assert_ok(floors_load(root.fd, &floors, &failure));
    assert_int_equal(floors.sequence, 7);
    assert_int_equal(floors.time, 1700000000);
    assert_int_equal(floors.root_hash[0], 0x11);
    struct floors higher = {.sequence = 9, .time = 1800000000, .root_hash = {0x99}},
                  lower = {.sequence = 8, .time = 1, .root_hash = {0x88}};
    assert_ok(floors_raise(root.fd, &higher, &failure));
    assert_ok(floors_raise(root.fd, &lower, &failure));
    assert_ok(floors_load(root.fd, &floors, &failure));
    assert_int_equal(floors.sequence, 9);
    assert_int_equal(floors.time, 1800000000);
    assert_int_equal(floors.root_hash[0], 0x99);
    struct floors later = {.sequence = 3, .time = 1900000000};
    assert_ok(floors_raise(root.fd, &later, &failure));
    assert_ok(floors_load(root.fd, &floors, &failure));
    assert_int_equal(floors.sequence, 9);
    assert_int_equal(floors.time, 1900000000);
    put(&root, UPDATE_DIR "/floors", "SEQUENCE=1\n", 11, 0600);
    assert_ok(floors_load(root.fd, &floors, &failure));
    assert_int_equal(floors.sequence, 7);
}

static void generation_info_is_read(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    struct generation_info info;
    assert_ok(generation_info_load(root.fd, &info, &failure));
    assert_string_equal(info.compatible, "");
    support_write(&root, GENERATION_PATH, GENERATION);
    assert_ok(generation_info_load(root.fd, &info, &failure));
    assert_string_equal(info.compatible, "edge-amd64");
    assert_string_equal(info.channel, "stable");
    assert_int_equal(info.config_schema, 1);
    assert_true(info.is_development);
    support_write(&root, GENERATION_PATH, "COMPATIBLE=x\n");
    assert_int_equal(generation_info_load(root.fd, &info, &failure), -EINVAL);
    assert_non_null(strstr(failure.text, "generation.env: CREATED"));
}

static void history_is_appended(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    struct manifest manifest;
    manifest_seed(&manifest, 1);
    assert_ok(history_add(root.fd, "installing", &manifest, "from\nhere", &failure));
    int fd = openat(root.fd, HISTORY_PATH, O_WRONLY | O_APPEND);
    assert_int_equal(write(fd, "{\"torn", 6), 6);
    close(fd);
    assert_ok(history_add(root.fd, "committed", &manifest, NULL, &failure));
    json_t *events = history_read(root.fd);
    assert_int_equal(json_array_size(events), 2);
    assert_string_equal(json_string_value(json_object_get(json_array_get(events, 0), "detail")), "from\nhere");
    assert_string_equal(json_string_value(json_object_get(json_array_get(events, 1), "event")), "committed");
    assert_string_equal(json_string_value(json_object_get(json_array_get(events, 1), "version")), manifest.version);
    json_decref(events);
}

static void history_is_bounded(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    struct manifest manifest;
    struct stat now, before;
    char detail[4000];
    manifest_seed(&manifest, 1);
    memset(detail, 'x', sizeof(detail) - 1);
    detail[sizeof(detail) - 1] = 0;
    for (int i = 0; i < 200; i++)
        assert_ok(history_add(root.fd, "installing", &manifest, detail, &failure));
    assert_int_equal(fstatat(root.fd, HISTORY_PATH, &now, 0), 0);
    assert_int_equal(fstatat(root.fd, HISTORY_PATH ".1", &before, 0), 0);
    assert_true(now.st_size + before.st_size < 600 << 10);
}

static void trial_mark_is_one_line(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    uint8_t hash[32];
    memset(hash, 0xcd, 32);
    assert_ok(trial_mark_save(root.fd, NULL, &failure));
    assert_ok(trial_mark_save(root.fd, hash, &failure));
    cleanup_free char *text = support_read(&root, TRIAL_MARK_PATH);
    assert_string_equal(text, "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd\n");
    assert_ok(trial_mark_save(root.fd, NULL, &failure));
    assert_false(file_exists(root.fd, TRIAL_MARK_PATH));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(journal_is_read_back),
        cmocka_unit_test(no_journal_is_none),
        cmocka_unit_test(damage_is_found),
        cmocka_unit_test(every_bit_counts),
        cmocka_unit_test(nonsense_is_put_aside),
        cmocka_unit_test(unknown_keys_do_not_matter),
        cmocka_unit_test(attempts_are_counted_per_generation),
        cmocka_unit_test(torn_attempts_harm_nothing),
        cmocka_unit_test(ledger_keeps_what_was_rejected),
        cmocka_unit_test(ledger_knows_the_newest),
        cmocka_unit_test(long_logs_keep_their_end),
        cmocka_unit_test(damaged_rejections_are_put_aside),
        cmocka_unit_test(floors_never_sink),
        cmocka_unit_test(generation_info_is_read),
        cmocka_unit_test(history_is_appended),
        cmocka_unit_test(history_is_bounded),
        cmocka_unit_test(trial_mark_is_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
