// SPDX-License-Identifier: Apache-2.0
// Hostile values in every format: each is either refused (which ones: the table) or read back, unchanged and in its place, by the programs that
// own the format (read_back.py). Values come as secrets, which may hold any byte.
#include "common/template.h"
#include "common/template_quote.h"
#include "common/run.h"
#include "common/test/support.h"
#include <errno.h>

#define BIT(format) (1u << TEMPLATE_##format)
// Formats of one line per value.
#define LINES (BIT(INI) | BIT(LINE) | BIT(ENV) | BIT(NFT) | BIT(POSTGRESQL) | BIT(PGPASS))
// Formats that take the rest of a line.
#define ENDS (BIT(INI) | BIT(LINE))
#define UTF8 (BIT(YAML) | BIT(JSON) | BIT(INI) | BIT(LINE) | BIT(ENV) | BIT(NFT))

struct hostile {
    const char *value;
    unsigned refused; // by the formats of these bits; format word is seen to apart
};

static const struct hostile values[] = {
    {"", 0},
    {"plain", 0},
    {"two words", 0},
    {"0123", 0},
    {"true", 0},
    {"null", 0},
    {"~", 0},
    {"-", 0},
    {"- a", 0},
    {"? a", 0},
    {"!!python/object:os.system", 0},
    {"&anchor", 0},
    {"*alias", BIT(NFT)},
    {"*", BIT(NFT)},
    {"a: b", 0},
    {"a #b", 0},
    {"#a", 0},
    {";a", 0},
    {"| ", ENDS},
    {" leading", ENDS},
    {"trailing ", ENDS},
    {"\ttab", LINES},
    {"{{NAME}}", 0},
    {"{a: b, c: [d]}", 0},
    {"a, b] }", 0},
    {"\"", BIT(NFT)},
    {"a\", \"b\": \"c", BIT(NFT)},
    {"'", 0},
    {"''", 0},
    {"'; touch /tmp/webops-hostile; '", 0},
    {"$(touch /tmp/webops-hostile)", 0},
    {"`touch /tmp/webops-hostile`", 0},
    {"\"; touch /tmp/webops-hostile; \"", BIT(NFT)},
    {"${HOME} $HOME $$ !! ~root", 0},
    {"a && b || c > d < e | f & g", 0},
    {"\\", ENDS | BIT(NFT)},
    {"ends\\", ENDS | BIT(NFT)},
    {"ends\\\\", ENDS | BIT(NFT)},
    {"\\n\\x41\\u0041\\", ENDS | BIT(NFT)},
    {"\\n\\x41\\u0041\\'.", BIT(NFT)},
    {"'\\'' '\\", ENDS | BIT(NFT)},
    {"%n %H %% %", 0},
    {"100%", 0},
    {"5%%", 0},
    {"%", 0},
    {"[Service]", 0},
    {"=", 0},
    {"a:b:c", 0},
    {"a\\:b", BIT(NFT)},
    {"line\nline", LINES},
    {"\n[Service]\nExecStart=/bin/false", LINES},
    {"a\nafter: 3", LINES},
    {"a\r", LINES},
    {"a\x1b[2J", LINES},
    {"a\x7f", LINES},
    {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x94\x91", 0},
    {"a\xc2\x85"
     "b",
     0}, // line ends of YAML 1.1
    {"a\xe2\x80\xa8"
     "b\xe2\x80\xa9",
     0},
    {"\xef\xbb\xbf"
     "bom",
     0},
    {"\xff\xfe", UTF8},
    {"\xc0\xaf", UTF8},
    {"accept comment", 0},
    {"}; drop; #", 0},
};

struct format_case {
    enum template_format format;
    const char *template;
};

static const struct format_case formats[] = {
    {TEMPLATE_YAML,
     "before: 1\nvalue: {{secret V_FILE}}\nlist: [{{secret V_FILE}}, {{secret V_FILE}}]\n{{secret V_FILE}}: key\nafter:\n  - 2\n"},
    {TEMPLATE_JSON, "{\"before\": 1, \"value\": {{secret V_FILE}}, \"list\": [{{secret V_FILE}},{{secret V_FILE}}], \"after\": 2}\n"},
    {TEMPLATE_INI, "[Unit]\nDescription={{secret V_FILE}}\n[Service]\nExecStart=/bin/true\n"},
    {TEMPLATE_LINE, "[Unit]\nDescription={{secret V_FILE}}\n[Service]\nExecStart=/bin/true\n"},
    {TEMPLATE_ENV, "BEFORE=1\nVERSION_ID={{secret V_FILE}}\nBUILD_ID=2\nAFTER=2\n"},
    {TEMPLATE_SHELL, "v={{secret V_FILE}}\nset -- a {{secret V_FILE}} c # end\nprintf '%s[%s][%s]' $# \"$v\" \"$2\"\n"},
    {TEMPLATE_NFT, "table inet t {\n chain c {\n  accept comment {{secret V_FILE}}\n  drop\n }\n}\n"},
    {TEMPLATE_POSTGRESQL, "before = 1\nvalue = {{secret V_FILE}} # comment\nafter = '2'\n"},
    {TEMPLATE_PGPASS, "h:1:d:u:{{secret V_FILE}}\n*:1:{{secret V_FILE}}:{{secret V_FILE}}:second\n{{secret V_FILE}}:1:d:u:third\n"},
    {TEMPLATE_RAW, "{{secret V_FILE}}\n"},
};

static const struct schema_key keys[] = {
    {.name = "V_FILE", .type = SCHEMA_SECRET_FILE},
    {.name = "TEXT", .type = SCHEMA_TEXT},
    {.name = NULL},
};
static const struct schema_key *const tables[] = {keys, NULL};
static const struct schema schema = {.tables = tables};

static const char *find_value(void *context, const char *key, size_t *ret_size) {
    assert_string_equal(key, "V_FILE");
    const struct buf *value = context;
    *ret_size = value->size;
    return buf_str(value);
}

static int render(const struct format_case *format, const char *value, struct buf *ret_text, struct err *err) {
    struct config config = {0};
    cleanup_buf struct buf secret = {0};
    buf_printf(&secret, "%s\n", value);
    struct template_values source = {.schema = &schema, .config = &config, .secret = find_value, .context = &secret};
    return template_render("t", format->template, strlen(format->template), format->format, &source, ret_text, err);
}

static void put(const struct scratch *scratch, size_t number, const char *suffix, const char *text, size_t size) {
    cleanup_free char *name = str_printf("%zu.%s", number, suffix);
    struct err err = {0};
    int fd = file_open(scratch->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600, &err);
    assert_true(fd >= 0);
    assert_int_equal(file_write_all(fd, name, text, size, &err), 0);
    close(fd);
}

static void read_back(const struct format_case *format, const char *folder) {
    struct err err = {0};
    cleanup_free char *shown = NULL;
    struct run run = {.argv = RUN_ARGV("/usr/bin/python3", "common/test/read_back.py", template_format_name(format->format), folder)};
    if (run_capture(&run, 1 << 20, &shown, NULL, &err) < 0)
        fail_msg("%s", err.text);
}

static void hostile_values(const struct format_case *format) {
    struct scratch *scratch = NULL;
    assert_int_equal(scratch_setup((void **)&scratch), 0);
    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        cleanup_buf struct buf text = {0};
        struct err err = {0};
        int r = render(format, values[i].value, &text, &err);
        bool is_refused = values[i].refused & 1u << format->format;
        if (is_refused != (r < 0))
            fail_msg("%s: '%s': %s", template_format_name(format->format), values[i].value, r < 0 ? err.text : "is taken");
        if (r == 0) {
            put(scratch, i, "file", text.data, text.size);
            put(scratch, i, "value", values[i].value, strlen(values[i].value));
            continue;
        }
        assert_int_equal(r, -EINVAL);
        assert_int_equal(text.size, 0);
        assert_memory_equal(err.text, "t:", 2);
        assert_contains(err.text, ": V_FILE: ");
        if (strlen(values[i].value) > 1)
            assert_null(strstr(err.text, values[i].value));
    }
    read_back(format, scratch->path);
    assert_int_equal(access("/tmp/webops-hostile", F_OK), -1);
    assert_int_equal(scratch_teardown((void **)&scratch), 0);
}

#define FORMAT_TEST(name, index)                                                                                                           \
    static void test_##name(void **state) {                                                                                                \
        (void)state;                                                                                                                       \
        hostile_values(&formats[index]);                                                                                                   \
    }
FORMAT_TEST(yaml, 0)
FORMAT_TEST(json, 1)
FORMAT_TEST(ini, 2)
FORMAT_TEST(line, 3)
FORMAT_TEST(env, 4)
FORMAT_TEST(shell, 5)
FORMAT_TEST(nft, 6)
FORMAT_TEST(postgresql, 7)
FORMAT_TEST(pgpass, 8)
FORMAT_TEST(raw, 9)

// No byte outside of the set passes as a word, in any format, and '%' is doubled where it means something.
static void test_words(void **state) {
    (void)state;
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:/%+@,=-";
    for (int format = 0; format < TEMPLATE_FORMATS; format++)
        for (int c = 0; c < 256; c++) {
            cleanup_buf struct buf buf = {0};
            char text[] = {'a', (char)c, 'b'};
            bool is_allowed = c && strchr(allowed, c);
            assert_int_equal(template_quote_word((enum template_format)format, text, 3, &buf) == NULL, is_allowed);
            bool is_doubled = c == '%' && format == TEMPLATE_INI;
            assert_string_equal(buf_str(&buf), !is_allowed ? "" : is_doubled ? "a%%b" : ((char[]){'a', (char)c, 'b', 0}));
        }
    cleanup_buf struct buf buf = {0};
    assert_non_null(template_quote_word(TEMPLATE_YAML, "", 0, &buf));
    assert_non_null(template_quote(TEMPLATE_WORD, "a b", 3, &buf));
    assert_int_equal(buf.size, 0);
}

// As the limits of slices take it: MemoryMax=50%.
static void test_percentage(void **state) {
    (void)state;
    static const char *const rows[][2] = {{"50%", "50%"},   {"100%", "100%"}, {"%", "%%"},
                                          {"5%%", "5%%%%"}, {"5%H", "5%%H"},  {"a5%", "a5%%"}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_buf struct buf value = {0}, word = {0};
        assert_null(template_quote(TEMPLATE_INI, rows[i][0], strlen(rows[i][0]), &value));
        assert_null(template_quote_word(TEMPLATE_INI, rows[i][0], strlen(rows[i][0]), &word));
        assert_string_equal(buf_str(&value), rows[i][1]);
        assert_string_equal(buf_str(&word), rows[i][1]);
    }
}

static void test_nul(void **state) {
    (void)state;
    for (int format = 0; format < TEMPLATE_FORMATS; format++) {
        cleanup_buf struct buf buf = {0};
        bool is_taken = template_quote((enum template_format)format, "a\0b", 3, &buf) == NULL;
        assert_int_equal(is_taken, format == TEMPLATE_RAW);
        assert_int_equal(buf.size, is_taken ? 3 : 0);
    }
}

static void test_names(void **state) {
    (void)state;
    for (int format = 0; format < TEMPLATE_FORMATS; format++)
        assert_int_equal(template_format_find(template_format_name((enum template_format)format)), format);
    assert_int_equal(template_format_find("yml"), -1);
    assert_int_equal(template_format_find(""), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_yaml),   cmocka_unit_test(test_json),       cmocka_unit_test(test_ini),   cmocka_unit_test(test_line),
        cmocka_unit_test(test_env),    cmocka_unit_test(test_shell),      cmocka_unit_test(test_nft),   cmocka_unit_test(test_postgresql),
        cmocka_unit_test(test_pgpass), cmocka_unit_test(test_raw),        cmocka_unit_test(test_words), cmocka_unit_test(test_nul),
        cmocka_unit_test(test_names),  cmocka_unit_test(test_percentage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
