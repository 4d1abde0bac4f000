// SPDX-License-Identifier: Apache-2.0
// The config.env parser against tables of good and bad lines, hostile bytes, and a real shell as the second opinion.
#include "common/buf.h"
#include "common/config.h"
#include "common/file.h"
#include "common/run.h"
// cmocka.h wants these first.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

static void good_lines(void **state) {
    (void)state;
    static const struct {
        const char *text, *value; // of key A; NULL: not set
    } cases[] = {
        {"A=b", "b"},
        {"A=b\n", "b"},
        {"\n\n  \n\t\nA=b\n", "b"},
        {"A=\n", ""},
        {"A=   \n", ""},
        {"A=''\n", ""},
        {"A=\"\"\n", ""},
        {"A=b \t \n", "b"},
        {"A='b c'\n", "b c"},
        {"A='b c'  \n", "b c"},
        {"A='$HOME `x` \\ \" # ; * ~'\n", "$HOME `x` \\ \" # ; * ~"},
        {"A=\"it's\"\n", "it's"},
        {"A=\" b \"\n", " b "},
        {"A=a=b=c\n", "a=b=c"},
        {"A==\n", "="},
        {"A=%+,-./:=@_09azAZ\n", "%+,-./:=@_09azAZ"},
        {"A='gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\x98'\n", "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\x98"},
        {"# A=b\n   # A=c\n#\n", NULL},
        {"# it's an \"open $quote\nA=b\n", "b"},
        {"# bytes \x01\xff in a comment\nA=b\n", "b"},
        {"", NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_config struct config config = {0};
        cleanup_config_problems struct config_problems problems = {0};
        if (config_parse(cases[i].text, strlen(cases[i].text), &config, &problems) != 0)
            fail_msg("case %zu: %s", i, problems.items[0].text);
        const struct config_entry *entry = config_find(&config, "A");
        assert_int_equal(config.count, cases[i].value ? 1 : 0);
        if (cases[i].value)
            assert_string_equal(entry->value, cases[i].value);
        else
            assert_null(entry);
    }
}

static void bad_lines(void **state) {
    (void)state;
    static const struct {
        const char *line, *problem; // a part of the text
    } cases[] = {
        {"A", "no '='"},
        {"=b", "capital letters"},
        {"a=b", "capital letters"},
        {"1A=b", "capital letters"},
        {"_A=b", "capital letters"},
        {"A-B=c", "capital letters"},
        {"A.B=c", "capital letters"},
        {"A\xc3\x84=c", "capital letters"},
        {" A=b", "first column"},
        {"\tA=b", "first column"},
        {"A =b", "blanks before '='"},
        {"A= b", "blanks behind '='"},
        {"A=\tb", "blanks behind '='"},
        {"export A=b", "remove 'export'"},
        {"export\tA=b", "remove 'export'"},
        {"export A", "remove 'export'"},
        {"A=b c", "single quotes"},
        {"A=b # c", "single quotes"},
        {"A=#", "single quotes"},
        {"A=b#c", "single quotes"},
        {"A=$B", "single quotes"},
        {"A=${B}", "single quotes"},
        {"A=$(id)", "single quotes"},
        {"A=`id`", "single quotes"},
        {"A=b\\", "single quotes"},
        {"A=b\\ c", "single quotes"},
        {"A=~", "single quotes"},
        {"A=b:~", "single quotes"},
        {"A=*", "single quotes"},
        {"A=?", "single quotes"},
        {"A=[a]", "single quotes"},
        {"A={a,b}", "single quotes"},
        {"A=b;id", "single quotes"},
        {"A=b&", "single quotes"},
        {"A=b|c", "single quotes"},
        {"A=b<c", "single quotes"},
        {"A=b>c", "single quotes"},
        {"A=(b)", "single quotes"},
        {"A=!", "single quotes"},
        {"A=^", "single quotes"},
        {"A=b'c'", "single quotes"},
        {"A=b\"c\"", "single quotes"},
        {"A=\xc3\xbc", "single quotes"},
        {"A=\"$B\"", "single quotes"},
        {"A=\"`id`\"", "single quotes"},
        {"A=\"b\\\"", "single quotes"},
        {"A=\"b\\\\\"", "single quotes"},
        {"A='b", "not closed"},
        {"A='", "not closed"},
        {"A=\"", "not closed"},
        {"A=\"b'", "not closed"},
        {"A='b'c", "behind the closing quote"},
        {"A='b''c'", "behind the closing quote"},
        {"A='b' # c", "behind the closing quote"},
        {"A=\"b\"\"c\"", "behind the closing quote"},
        {"A='b\tc'", "control character"},
        {"A='b\x7f'", "control character"},
        {"A='b\x1b[0m'", "control character"},
        {"A='b\rc'", "control character"},
        {"A='\x80'", "not UTF-8"},
        {"A='\xc3'", "not UTF-8"},
        {"A='\xc0\x80'", "not UTF-8"},
        {"A='\xe0\x80\x80'", "not UTF-8"},
        {"A='\xed\xa0\x80'", "not UTF-8"},
        {"A='\xf4\x90\x80\x80'", "not UTF-8"},
        {"A='\xf5\x80\x80\x80'", "not UTF-8"},
        {"A='\xe2\x82'", "not UTF-8"},
        {"A='\xff'", "not UTF-8"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_free char *text = str_printf("FIRST=1\n%s\nLAST=1\n", cases[i].line);
        cleanup_config struct config config = {0};
        cleanup_config_problems struct config_problems problems = {0};
        assert_int_equal(config_parse(text, strlen(text), &config, &problems), -EINVAL);
        assert_int_equal(problems.count, 1);
        assert_int_equal(problems.items[0].line, 2);
        if (!strstr(problems.items[0].text, cases[i].problem))
            fail_msg("line %s: got '%s', wanted '%s'", cases[i].line, problems.items[0].text, cases[i].problem);
        assert_int_equal(config.count, 2); // the good lines are there
        assert_non_null(config_find(&config, "LAST"));
        assert_null(config_find(&config, "A"));
        assert_true(config_mentions(&config, "LAST"));
        bool is_key_good = strncmp(problems.items[0].text, "A: ", 3) == 0;
        assert_int_equal(config_mentions(&config, "A"), is_key_good);
    }
}

static void all_problems_at_once_in_order(void **state) {
    (void)state;
    static const char text[] = "\xef\xbb\xbf"
                               "A=1\r\n"
                               "A=2\r\n"
                               "b=1\n"
                               "C=\0\n"
                               "D='x\n"
                               "E=5\n";
    static const struct {
        unsigned line;
        const char *part;
    } expected[] = {{1, "byte order mark"}, {1, "CR LF"}, {2, "A: set twice, first in line 1"},
                    {3, "capital"},         {4, "NUL"},   {5, "D: the quote"}};
    cleanup_config struct config config = {0};
    cleanup_config_problems struct config_problems problems = {0};
    assert_int_equal(config_parse(text, sizeof(text) - 1, &config, &problems), -EINVAL);
    assert_int_equal(problems.count, ARRAY_SIZE(expected));
    for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
        assert_int_equal(problems.items[i].line, expected[i].line);
        assert_non_null(strstr(problems.items[i].text, expected[i].part));
    }
    assert_string_equal(config_find(&config, "A")->value, "1"); // the first one stays
    assert_int_equal(config_find(&config, "E")->line, 6);
}

static void messages_never_carry_values(void **state) {
    (void)state;
    static const char *const lines[] = {"A=hunter2$", "A=\"hunter2", "A='hunter2'x",    "hunter2",
                                        "A= hunter2", "hunter2=A",   "A='hunter2\xff'", "export hunter2"};
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        cleanup_config struct config config = {0};
        cleanup_config_problems struct config_problems problems = {0};
        assert_int_equal(config_parse(lines[i], strlen(lines[i]), &config, &problems), -EINVAL);
        assert_null(strstr(problems.items[0].text, "hunter2"));
    }
}

static void limits(void **state) {
    (void)state;
    enum { LONG = 1 << 20 };
    cleanup_free char *line = mem_array(LONG, 1);
    memset(line, 'x', LONG);
    memcpy(line, "OK=1\nA=", 7);
    cleanup_config struct config config = {0};
    cleanup_config_problems struct config_problems problems = {0};
    assert_int_equal(config_parse(line, LONG, &config, &problems), -EINVAL);
    assert_int_equal(problems.count, 1);
    assert_int_equal(problems.items[0].line, 2);
    assert_non_null(strstr(problems.items[0].text, "65536"));
    assert_int_equal(config.count, 1);
    config_done(&config);
    config_problems_done(&problems);

    line[CONFIG_MAX_BYTES - 1] = '\n'; // exactly as large as allowed
    assert_int_equal(config_parse(line, CONFIG_MAX_BYTES, &config, &problems), 0);
    assert_int_equal(strlen(config_find(&config, "A")->value), CONFIG_MAX_BYTES - 8);
    config_done(&config);
    assert_int_equal(config_parse(line, CONFIG_MAX_BYTES + 2, &config, &problems), -EINVAL);
    assert_int_equal(problems.items[0].line, 3);
}

static void long_keys_and_many_keys(void **state) {
    (void)state;
    cleanup_buf struct buf text = {0};
    for (int i = 0; i < CONFIG_KEY_BYTES; i++)
        buf_add_str(&text, "K");
    cleanup_free char *longest = str_dup(buf_str(&text));
    buf_printf(&text, "=1\nX%s=1\n", longest);
    for (int i = 0; i < 2 * CONFIG_MAX_ENTRIES; i++)
        buf_printf(&text, "K%d=\n", i);
    cleanup_config struct config config = {0};
    cleanup_config_problems struct config_problems problems = {0};
    assert_int_equal(config_parse(buf_str(&text), text.size, &config, &problems), -EINVAL);
    assert_int_equal(problems.count, 2);
    assert_string_equal(problems.items[0].text, "the key is too long");
    assert_non_null(strstr(problems.items[1].text, "more than"));
    assert_int_equal(config.count, CONFIG_MAX_ENTRIES);
    assert_non_null(config_find(&config, longest));
}

static void problems_are_capped(void **state) {
    (void)state;
    cleanup_buf struct buf text = {0};
    for (int i = 0; i < 3 * CONFIG_MAX_PROBLEMS; i++)
        buf_add_str(&text, "?\n");
    cleanup_config struct config config = {0};
    cleanup_config_problems struct config_problems problems = {0};
    assert_int_equal(config_parse(buf_str(&text), text.size, &config, &problems), -EINVAL);
    assert_int_equal(problems.count, CONFIG_MAX_PROBLEMS);
    assert_int_equal(problems.items[CONFIG_MAX_PROBLEMS - 2].line, CONFIG_MAX_PROBLEMS - 1);
    assert_non_null(strstr(problems.items[CONFIG_MAX_PROBLEMS - 1].text, "more problems"));
}

// Every byte value at every position of a small file, and every truncation: no crash, and what is accepted is sane text.
static void hostile_bytes(void **state) {
    (void)state;
    static const char seed[] = "# c\nA='b c'\nBB=\"d\"\nC1=e\n";
    size_t size = sizeof(seed) - 1;
    for (size_t at = 0; at < size; at++)
        for (int byte = 0; byte < 256; byte++) {
            cleanup_free char *text = mem_array(size, 1); // exact size, so that ASan sees a read past the end
            memcpy(text, seed, size);
            text[at] = (char)byte;
            cleanup_config struct config config = {0};
            cleanup_config_problems struct config_problems problems = {0};
            int code = config_parse(text, size, &config, &problems);
            assert_int_equal(code, problems.count ? -EINVAL : 0);
            for (size_t i = 0; i < config.count; i++)
                for (const char *c = config.entries[i].value; *c; c++)
                    assert_true((unsigned char)*c >= ' ' && *c != 0x7f);
        }
    for (size_t cut = 0; cut <= size; cut++) {
        cleanup_free char *text = mem_array(cut, 1);
        memcpy(text, seed, cut);
        cleanup_config struct config config = {0};
        cleanup_config_problems struct config_problems problems = {0};
        int code = config_parse(text, cut, &config, &problems);
        assert_int_equal(code, problems.count ? -EINVAL : 0);
        assert_true(problems.count <= 1);
    }
}

static uint32_t next_random(uint32_t *seed) {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

// A random line out of pieces that matter to a shell; most are refused.
static void add_random_line(struct buf *buf, unsigned number, uint32_t *seed) {
    static const char *const pieces[] = {
        "a",    "B",     "7",       "'",   "\"", "'", "\"",  "$", "$HOME", "${X}", "`id`", "\\", " ",        "\t",
        "#",    "~",     ":",       "=",   "*",  "?", "[a]", "{", "}",     ";",    "&",    "|",  "<",        ">",
        "(",    ")",     "!",       "^",   "%",  "+", ",",   "-", ".",     "/",    "@",    "_",  "\xc3\xbc", "\xe2\x82\xac",
        "\x81", "'b c'", "\"d e\"", "it's"};
    unsigned start = next_random(seed) % 4;
    buf_printf(buf, "K%u=%s", number, start == 0 ? "'" : start == 1 ? "\"" : "");
    for (unsigned count = next_random(seed) % 6; count > 0; count--)
        buf_add_str(buf, pieces[next_random(seed) % ARRAY_SIZE(pieces)]);
    buf_add_str(buf, start == 0 ? "'\n" : start == 1 ? "\"\n" : "\n");
}

// What the shell says the accepted keys are, as "K1=<value>\n" lines.
static char *shell_opinion(const char *file, const struct config *config) {
    cleanup_buf struct buf script = {0};
    buf_printf(&script, "set -eu\n. \"$1\"\n");
    for (size_t i = 0; i < config->count; i++)
        buf_printf(&script, "printf '%s=%%s\\n' \"$%s\"\n", config->entries[i].key, config->entries[i].key);
    static const char *const env[] = {"PATH=/usr/bin:/bin", "HOME=/nowhere", "LC_ALL=C.UTF-8", NULL};
    struct err err = {0};
    char *answer = NULL;
    const struct run run = {.argv = RUN_ARGV("/bin/sh", "-c", buf_str(&script), "sh", file), .env = env, .timeout_ms = 20000};
    if (run_capture(&run, 4 << 20, &answer, NULL, &err) < 0)
        fail_msg("sh: %s", err.text);
    return answer;
}

static void agrees_with_a_shell(void **state) {
    (void)state;
    uint32_t seed = 2463534242u;
    cleanup_buf struct buf accepted = {0}, ours = {0};
    cleanup_config struct config all = {0};
    cleanup_config_problems struct config_problems none = {0};
    for (unsigned i = 0; all.count < 900 && i < 200000; i++) {
        cleanup_buf struct buf line = {0};
        add_random_line(&line, i, &seed);
        cleanup_config struct config config = {0};
        cleanup_config_problems struct config_problems problems = {0};
        if (config_parse(buf_str(&line), line.size, &config, &problems) < 0)
            continue;
        buf_add(&accepted, line.data, line.size);
        config_set(&all, config.entries[0].key, config.entries[0].value, i);
    }
    assert_int_equal(all.count, 900);
    config_done(&all);
    assert_int_equal(config_parse(buf_str(&accepted), accepted.size, &all, &none), 0);
    for (size_t i = 0; i < all.count; i++)
        buf_printf(&ours, "%s=%s\n", all.entries[i].key, all.entries[i].value);

    char path[] = "/tmp/webops-config-XXXXXX";
    cleanup_fd int fd = mkstemp(path);
    struct err err = {0};
    assert_true(fd >= 0);
    assert_int_equal(file_write_all(fd, path, accepted.data, accepted.size, &err), 0);
    cleanup_free char *theirs = shell_opinion(path, &all);
    unlink(path);
    assert_string_equal(theirs, buf_str(&ours));
}

static void formatted_entries_read_back(void **state) {
    (void)state;
    static const char *const good[] = {"",      "plain", "two words", "$HOME", "it's", "back\\slash", "\"quoted\"", "gr\xc3\xbc\xc3\x9f",
                                       " edge "};
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        cleanup_buf struct buf buf = {0};
        assert_int_equal(config_format_entry("KEY", good[i], &buf), 0);
        cleanup_config struct config config = {0};
        cleanup_config_problems struct config_problems problems = {0};
        assert_int_equal(config_parse(buf_str(&buf), buf.size, &config, &problems), 0);
        assert_string_equal(config_find(&config, "KEY")->value, good[i]);
    }
    cleanup_buf struct buf buf = {0};
    assert_int_equal(config_format_entry("KEY", "it's $5", &buf), -EINVAL);
    assert_int_equal(config_format_entry("KEY", "two\nlines", &buf), -EINVAL);
    assert_int_equal(config_format_entry("KEY", "\xff", &buf), -EINVAL);
    assert_int_equal(config_format_entry("key", "x", &buf), -EINVAL);
    assert_int_equal(config_format_entry("", "x", &buf), -EINVAL);
    assert_int_equal(buf.size, 0);
}

static void setting_replaces(void **state) {
    (void)state;
    cleanup_config struct config config = {0};
    config_set(&config, "A", "1", 3);
    config_set(&config, "B", "2", 4);
    config_set(&config, "A", "3", 0);
    assert_int_equal(config.count, 2);
    assert_string_equal(config_find(&config, "A")->value, "3");
    assert_int_equal(config_find(&config, "A")->line, 0);
    assert_null(config_find(&config, "C"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_lines),
        cmocka_unit_test(bad_lines),
        cmocka_unit_test(all_problems_at_once_in_order),
        cmocka_unit_test(messages_never_carry_values),
        cmocka_unit_test(limits),
        cmocka_unit_test(long_keys_and_many_keys),
        cmocka_unit_test(problems_are_capped),
        cmocka_unit_test(hostile_bytes),
        cmocka_unit_test(agrees_with_a_shell),
        cmocka_unit_test(formatted_entries_read_back),
        cmocka_unit_test(setting_replaces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
