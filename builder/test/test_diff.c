// SPDX-License-Identifier: Apache-2.0
// Lists side by side: whatever their order, each key is added, removed, changed or the same.
#include "builder/diff.h"
#include "common/test/support.h"

// "b=1 a=2" as a list; a key without '=' has an empty value.
static void fill(const char *text, struct diff_list *list) {
    cleanup_free char *words = str_dup(text);
    char *rest = NULL;
    for (char *word = strtok_r(words, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        char *value = strchr(word, '=');
        if (value)
            *value++ = 0;
        diff_add(list, word, value ? value : "");
    }
}

static void changes_by_key(void **state) {
    (void)state;
    static const struct {
        const char *before, *after, *says;
    } rows[] = {
        {"", "", ""},
        {"a=1 b=2", "b=2 a=1", ""},
        {"", "a=1", "title\n  + a  1\n"},
        {"a=1", "", "title\n  - a  1\n"},
        {"a=1", "a=2", "title\n  ~ a  1 → 2\n"},
        {"quiet", "", "title\n  - quiet\n"},
        {"", "quiet", "title\n  + quiet\n"},
        {"c=1 a=1 b=1", "d=1 b=2 c=1", "title\n  - a  1\n  ~ b  1 → 2\n  + d  1\n"},
        {"console=tty0 console=ttyS0", "console=ttyS0 console=tty0", ""},
        {"console=tty0 console=ttyS0", "console=tty0", "title\n  - console  ttyS0\n"},
        {"console=tty0 console=ttyS0", "console=ttyS0", "title\n  - console  tty0\n"},
        {"x=1 x=2 x=2", "x=3 x=2", "title\n  ~ x  1 → 3\n  - x  2\n"},
        {"x=1", "x=1 x=1", "title\n  + x  1\n"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_diff_list struct diff_list before = {0}, after = {0};
        cleanup_free struct diff_change *changes = NULL;
        cleanup_buf struct buf text = {0};
        fill(rows[i].before, &before);
        fill(rows[i].after, &after);
        size_t count = diff_compare(&before, &after, &changes);
        diff_format("title", changes, count, &text);
        if (strcmp(buf_str(&text), rows[i].says) != 0)
            fail_msg("row %zu: %s", i, buf_str(&text));
    }
}

// The last console is /dev/console.
static void joined_keys_have_an_order(void **state) {
    (void)state;
    cleanup_diff_list struct diff_list before = {0}, after = {0};
    cleanup_free struct diff_change *changes = NULL;
    cleanup_buf struct buf text = {0};
    diff_join(&before, "console", "tty0");
    diff_join(&before, "quiet", "");
    diff_join(&before, "console", "ttyS0");
    diff_join(&after, "console", "ttyS0");
    diff_join(&after, "console", "tty0");
    diff_join(&after, "quiet", "");
    size_t count = diff_compare(&before, &after, &changes);
    diff_format("title", changes, count, &text);
    assert_string_equal(buf_str(&text), "title\n  ~ console  tty0 ttyS0 → ttyS0 tty0\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(changes_by_key), cmocka_unit_test(joined_keys_have_an_order)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
