// SPDX-License-Identifier: Apache-2.0
// What is quoted of a tool's output, and the environment tools run in.
#include "builder/tool_log.h"
#include "builder/test/support.h"

static void expect_line(const char *text, size_t size, const char *line) {
    size_t length = 99;
    char *exact = mem_array(size ? size : 1, 1); // not terminated: AddressSanitizer watches its end
    memcpy(exact, text, size);
    const char *have = tool_log_line(exact, size, &length);
    if (length != strlen(line) || memcmp(have, line, length) != 0)
        fail_msg("'%.*s' instead of '%s'", (int)length, have, line);
    assert_true(have >= exact && have + length <= exact + size);
    free(exact);
}

static void test_ranks(void **state) {
    (void)state;
    static const char *const telling[] = {"E: x",    "dpkg: error: x", "tar: error: x", "ERROR: x",
                                          "FATAL x", "Err:1 x",        "x failed",      "cannot x"};
    for (size_t i = 0; i < ARRAY_SIZE(telling); i++) {
        cleanup_free char *text = str_printf("before\n%s\nafter\n", telling[i]);
        expect_line(text, strlen(text), telling[i]);
        cleanup_free char *full = str_printf("x: No space left on device\n%s\nafter\n", telling[i]);
        expect_line(full, strlen(full), "x: No space left on device");
        cleanup_free char *twice = str_printf("%s first\n%s\nafter\n", telling[i], telling[i]);
        expect_line(twice, strlen(twice), telling[i]);
    }
}

static void test_shapes(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"", ""},
        {"one", "one"},
        {"one\ntwo", "two"},
        {"one\r\ntwo\r\n", "two"},
        {"10%\r20%\r30%", "30%"},
        {"\t indented \n", "indented "},
        {"\n \n\t\r\n", ""},
        {"E: no newline at the end", "E: no newline at the end"},
        {"one\n\n\n   ", "one"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        expect_line(cases[i][0], strlen(cases[i][0]), cases[i][1]);
}

static int log_with(const char *text, size_t size) {
    struct err err = {0};
    int fd = tool_log_open(&err);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_ok(file_write_all(fd, "log", text, size, &err));
    return fd;
}

static void test_append(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"", "mksquashfs: exit status 1"},
        {"\n\n", "mksquashfs: exit status 1"},
        {"chatter\nFATAL ERROR: bad\nbye\n", "mksquashfs: exit status 1: FATAL ERROR: bad"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err err = {"mksquashfs: exit status 1"};
        cleanup_fd int fd = log_with(cases[i][0], strlen(cases[i][0]));
        tool_log_append(fd, &err);
        assert_string_equal(err.text, cases[i][1]);
    }
    struct err err = {"unchanged"};
    tool_log_append(-1, &err);
    assert_string_equal(err.text, "unchanged");
}

// Megabytes of output: the end is read, a line is cut, the error object never overflows.
static void test_append_much(void **state) {
    (void)state;
    cleanup_buf struct buf text = {0};
    buf_add_str(&text, "E: too long ago\n");
    while (text.size < 1 << 20)
        buf_add_str(&text, "unpacking something or other\n");
    buf_add_str(&text, "E: recent\nlast\n");
    cleanup_fd int fd = log_with(buf_str(&text), text.size);
    struct err err = {"tool"};
    tool_log_append(fd, &err);
    assert_string_equal(err.text, "tool: E: recent");
    cleanup_free char *wide = mem_array(5000, 1);
    memset(wide, 'x', 4999);
    cleanup_fd int second = log_with(wide, 4999);
    struct err cut = {"tool"};
    tool_log_append(second, &cut);
    assert_int_equal(strlen(cut.text), strlen("tool: ") + 400);
    struct err full;
    memset(full.text, 'y', sizeof(full.text));
    full.text[sizeof(full.text) - 1] = 0;
    tool_log_append(second, &full);
    assert_int_equal(strlen(full.text), sizeof(full.text) - 1);
    assert_null(strchr(full.text, 'x'));
}

static unsigned count_of(char *const *env, const char *entry) {
    unsigned count = 0;
    for (; *env; env++)
        count += strcmp(*env, entry) == 0;
    return count;
}

static void test_environment(void **state) {
    (void)state;
    static const char *const dropped[] = {"LANG",       "LANGUAGE",       "LC_TIME",         "SOURCE_DATE_EPOCH",
                                          "APT_CONFIG", "TMPDIR",         "DEBIAN_PRIORITY", "DEBCONF_DEBUG",
                                          "DPKG_ROOT",  "MTOOLS_NO_VFAT", "MTOOLSRC"};
    static const char *const kept[] = {"LANGX", "XLANG", "MY_TMPDIR", "http_proxy"};
    for (size_t i = 0; i < ARRAY_SIZE(dropped); i++)
        setenv(dropped[i], "test-value", 1);
    for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
        setenv(kept[i], "test-value", 1);
    cleanup_tool_env char **env = tool_env((const char *const[]){"APT_CONFIG=/ours", "SOURCE_DATE_EPOCH=1", NULL});
    for (size_t i = 0; i < ARRAY_SIZE(dropped); i++) {
        cleanup_free char *entry = str_printf("%s=test-value", dropped[i]);
        assert_int_equal(count_of(env, entry), 0);
        unsetenv(dropped[i]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
        cleanup_free char *entry = str_printf("%s=test-value", kept[i]);
        assert_int_equal(count_of(env, entry), 1);
        unsetenv(kept[i]);
    }
    static const char *const always[] = {"LC_ALL=C.UTF-8", "TZ=UTC", "DEBIAN_FRONTEND=noninteractive", "APT_CONFIG=/ours",
                                         "SOURCE_DATE_EPOCH=1"};
    for (size_t i = 0; i < ARRAY_SIZE(always); i++)
        assert_int_equal(count_of(env, always[i]), 1);
}

// The host's own time zone must not survive beside ours: which of two a program sees is its libc's choice.
static void test_one_time_zone(void **state) {
    (void)state;
    setenv("TZ", "Antarctica/Troll", 1);
    cleanup_tool_env char **env = tool_env((const char *const[]){NULL});
    unsigned count = 0;
    for (char **v = env; *v; v++)
        count += strncmp(*v, "TZ=", 3) == 0;
    unsetenv("TZ");
    assert_int_equal(count, 1);
    assert_int_equal(count_of(env, "TZ=UTC"), 1);
}

static void test_free_twice(void **state) {
    (void)state;
    char **env = tool_env((const char *const[]){"A=1", NULL});
    tool_env_free(&env);
    assert_null(env);
    tool_env_free(&env);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranks),       cmocka_unit_test(test_shapes),      cmocka_unit_test(test_append),
        cmocka_unit_test(test_append_much), cmocka_unit_test(test_environment), cmocka_unit_test(test_one_time_zone),
        cmocka_unit_test(test_free_twice),
    };
    return cmocka_run_group_tests_name("tool_log", tests, NULL, NULL);
}
