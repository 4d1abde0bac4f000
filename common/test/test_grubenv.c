// SPDX-License-Identifier: Apache-2.0
// GRUB environments: what is written is read by GRUB's own tool and back; every flipped bit and every shorter length is refused.
#include "common/test/support.h"
#include "common/grubenv.h"
#include "common/run.h"
#include <errno.h>

static const struct grubenv trial = {.number = 41, .good = 'a', .trial = 'b', .tries_left = 3, .tries_done = 0};

static void assert_same(const struct grubenv *a, const struct grubenv *b) {
    assert_int_equal(a->number, b->number);
    assert_int_equal(a->good, b->good);
    assert_int_equal(a->trial, b->trial);
    assert_int_equal(a->tries_left, b->tries_left);
    assert_int_equal(a->tries_done, b->tries_done);
}

static void round_trips(void **state) {
    (void)state;
    static const struct grubenv envs[] = {
        {1, 'a', 0, 0, 0}, {2, 'b', 'a', 9, 0}, {GRUBENV_MAX_NUMBER, 'a', 'b', 0, 9}, {10, 'b', 0, 0, 0}, {7, 'a', 'b', 2, 1}};
    for (unsigned i = 0; i < ARRAY_SIZE(envs); i++) {
        uint8_t bytes[GRUBENV_BYTES];
        struct grubenv again;
        struct err err = {0};
        grubenv_format(&envs[i], bytes);
        assert_int_equal(grubenv_parse(bytes, sizeof(bytes), &again, &err), 0);
        assert_same(&again, &envs[i]);
        for (unsigned at = 512; at < GRUBENV_BYTES; at++)
            assert_int_equal(bytes[at], '#'); // the second sector never changes
    }
}

// As grub.cfg's save_env writes them: the same lines, values changed.
static void grub_writes_and_reads_it(void **state) {
    const struct scratch *scratch = *state;
    cleanup_free char *path = str_printf("%s/env", scratch->path), *list = NULL, *bytes = NULL;
    uint8_t block[GRUBENV_BYTES];
    struct grubenv env;
    struct err err = {0};
    size_t size = 0;
    grubenv_format(&trial, block);
    assert_int_equal(file_publish(AT_FDCWD, path, block, sizeof(block), 0644, &err), 0);
    const struct run show = {.argv = RUN_ARGV("grub-editenv", path, "list")};
    assert_int_equal(run_capture(&show, 4096, &list, NULL, &err), 0);
    assert_string_equal(list, "webops_number=41\nwebops_good=a\nwebops_trial=b\nwebops_left=3\nwebops_done=0\nwebops_check=41:a:b:3:0\n");
    const struct run set = {.argv = RUN_ARGV("grub-editenv", path, "set", "webops_left=2", "webops_done=1", "webops_check=41:a:b:2:1")};
    assert_int_equal(run_quiet(&set, &err), 0);
    assert_int_equal(file_read(AT_FDCWD, path, 4096, &bytes, &size, &err), 0);
    assert_int_equal(grubenv_parse((uint8_t *)bytes, size, &env, &err), 0);
    assert_same(&env, &(struct grubenv){41, 'a', 'b', 2, 1});
}

static void every_damage_is_refused(void **state) {
    (void)state;
    uint8_t block[GRUBENV_BYTES + 1];
    struct grubenv env = {.number = 99};
    struct err err;
    grubenv_format(&trial, block);
    block[GRUBENV_BYTES] = '\n';
    for (unsigned bit = 0; bit < GRUBENV_BYTES * 8; bit++) {
        block[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(grubenv_parse(block, GRUBENV_BYTES, &env, &err), -EINVAL);
        block[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (unsigned size = 0; size < GRUBENV_BYTES; size++) {
        cleanup_free uint8_t *exact = mem_array(size + 1, 1);
        memcpy(exact, block, size);
        assert_int_equal(grubenv_parse(exact, size, &env, &err), -EINVAL);
    }
    assert_int_equal(grubenv_parse(block, GRUBENV_BYTES + 1, &env, &err), -EINVAL);
    assert_int_equal(env.number, 99); // untouched
}

static void make(uint8_t block[GRUBENV_BYTES], const char *text) {
    memset(block, '#', GRUBENV_BYTES);
    memcpy(block, text, strlen(text));
}

static void values_that_do_not_fit_are_refused(void **state) {
    (void)state;
#define BLOCK(number, good, trial, left, done, check)                                                                                      \
    "# GRUB Environment Block\nwebops_number=" number "\nwebops_good=" good "\nwebops_trial=" trial "\nwebops_left=" left                  \
    "\nwebops_done=" done "\nwebops_check=" check "\n"
    static const char *const bad[] = {
        BLOCK("0", "a", "b", "1", "1", "0:a:b:1:1"),
        BLOCK("2000000001", "a", "b", "1", "1", "2000000001:a:b:1:1"),
        BLOCK("99999999999999999999", "a", "b", "1", "1", "99999999999999999999:a:b:1:1"),
        BLOCK("-1", "a", "b", "1", "1", "-1:a:b:1:1"),
        BLOCK("01", "a", "b", "1", "1", "01:a:b:1:1"),
        BLOCK("1 ", "a", "b", "1", "1", "1 :a:b:1:1"),
        BLOCK("1", "c", "b", "1", "1", "1:c:b:1:1"),
        BLOCK("1", "a", "a", "1", "1", "1:a:a:1:1"),
        BLOCK("1", "a", "-", "1", "0", "1:a:-:1:0"),
        BLOCK("1", "a", "b", "10", "1", "1:a:b:10:1"),
        BLOCK("1", "a", "b", "1", "1", "1:a:b:1:2"),
        BLOCK("1", "aa", "b", "1", "1", "1:aa:b:1:1"),
        BLOCK("1", "a", "b", "1", "1", "1:a:b:1:1") "webops_check=1:a:b:1:1\n",
        BLOCK("1", "a", "b", "1", "1", "1:a:b:1:1") "prefix=(hd0)/evil\n",
        BLOCK("1", "a", "b", "1", "", "1:a:b:1:"),
        "# GRUB Environment Block\nwebops_number=1\n",
        "# GRUB Environment Block\n",
        "",
    };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        uint8_t block[GRUBENV_BYTES];
        struct grubenv env;
        struct err err;
        make(block, bad[i]);
        if (grubenv_parse(block, sizeof(block), &env, &err) != -EINVAL)
            fail_msg("taken: %s", bad[i]);
    }
    uint8_t block[GRUBENV_BYTES];
    struct grubenv env;
    struct err err;
    make(block, BLOCK("1", "a", "b", "1", "1", "1:a:b:1:1"));
    assert_int_equal(grubenv_parse(block, sizeof(block), &env, &err), 0);
}

static void the_newer_one_counts(void **state) {
    (void)state;
    static const struct {
        struct grubenv first, second;
        unsigned wanted; // 1 or 2
    } cases[] = {
        {{5, 'a', 0, 0, 0}, {4, 'b', 0, 0, 0}, 1},     {{5, 'a', 0, 0, 0}, {6, 'b', 0, 0, 0}, 2},
        {{9, 'a', 0, 0, 0}, {10, 'b', 0, 0, 0}, 2},    {{5, 'a', 'b', 3, 0}, {5, 'a', 'b', 2, 1}, 2},
        {{5, 'a', 'b', 1, 2}, {5, 'a', 'b', 2, 1}, 1},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        uint8_t first[GRUBENV_BYTES], second[GRUBENV_BYTES];
        struct grubenv env;
        struct err err;
        grubenv_format(&cases[i].first, first);
        grubenv_format(&cases[i].second, second);
        assert_int_equal(grubenv_choose(first, sizeof(first), second, sizeof(second), &env, &err), 0);
        assert_same(&env, cases[i].wanted == 1 ? &cases[i].first : &cases[i].second);
        assert_int_equal(grubenv_choose(first, sizeof(first), NULL, 0, &env, &err), 0);
        assert_same(&env, &cases[i].first);
        first[0] = 0;
        assert_int_equal(grubenv_choose(first, sizeof(first), second, sizeof(second), &env, &err), 0);
        assert_same(&env, &cases[i].second);
        assert_int_equal(grubenv_choose(first, sizeof(first), second, 0, &env, &err), -ENOENT);
        assert_contains(err.text, "1: GRUB environment: it does not begin as one");
        assert_int_equal(grubenv_choose(NULL, 0, NULL, 0, &env, &err), -ENOENT);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips),
        cmocka_unit_test_setup_teardown(grub_writes_and_reads_it, scratch_setup, scratch_teardown),
        cmocka_unit_test(every_damage_is_refused),
        cmocka_unit_test(values_that_do_not_fit_are_refused),
        cmocka_unit_test(the_newer_one_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
