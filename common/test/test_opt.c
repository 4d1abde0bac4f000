// SPDX-License-Identifier: Apache-2.0
// Command lines: options of every kind, counts of arguments, --help, verbs and the nearest word.
#include "common/opt.h"
#include "common/log.h"
#include "common/test/support.h"
#include <errno.h>
#include <limits.h>
#include <unistd.h>

// What the options of the verb below were set to.
static struct {
    bool force, quiet, fast;
    const char *output;
    long jobs;
} set;

static const struct opt options[] = {
    {"force", 'f', OPT_FLAG, &set.force, NULL, "overwrite what is there"},
    {"quiet", 0, OPT_FLAG, &set.quiet, NULL, "print errors only"},
    {"output", 'o', OPT_TEXT, &set.output, "FILE", "where the image goes"},
    {"jobs", 0, OPT_NUMBER, &set.jobs, "N", "how many at a time"},
    {"fast", 0, OPT_FLAG, &set.fast, NULL, "take less time"},
    {"elsewhere", 'e', OPT_ELSEWHERE, (void *)"the moon", "N", "not shown here"},
    {0},
};
static const struct verb build = {"build", "PROFILE [PROFILE]", 1, 2, "Bakes an image.", NULL};

struct outcome {
    int code, count;
    char **args;
    char *out, *error; // freed by the caller
};

// opt_parse() over the words of `line`; `words` holds them.
static void parse(const struct verb *verb, const struct opt *table, const char *line, char **words, char **ret_copy, struct outcome *ret) {
    struct redirect redirect;
    int argc = 0;
    *ret_copy = str_dup(line);
    for (char *word = strtok(*ret_copy, " "); word; word = strtok(NULL, " "))
        words[argc++] = word;
    words[argc] = NULL;
    *ret = (struct outcome){.count = -1};
    redirect_begin(&redirect);
    ret->code = opt_parse(verb, table, argc, words, &ret->args, &ret->count);
    redirect_end(&redirect, &ret->out, &ret->error);
}

static void outcome_done(struct outcome *outcome) {
    free(outcome->out);
    free(outcome->error);
}

static const struct {
    const char *line;
    bool force, quiet;
    const char *output;
    long jobs;
    int count;
    const char *first;
} option_cases[] = {
    {"build p", false, false, "default", 4, 1, "p"},
    {"build -f p", true, false, "default", 4, 1, "p"},
    {"build --force --quiet p", true, true, "default", 4, 1, "p"},
    {"build -o file p", false, false, "file", 4, 1, "p"},
    {"build -ofile p", false, false, "file", 4, 1, "p"},
    {"build -fo file p q", true, false, "file", 4, 2, "p"},
    {"build --output=file p", false, false, "file", 4, 1, "p"},
    {"build --output file p", false, false, "file", 4, 1, "p"},
    {"build --output= p", false, false, "", 4, 1, "p"},
    {"build --output a --output b p", false, false, "b", 4, 1, "p"},
    {"build --jobs 0 p", false, false, "default", 0, 1, "p"},
    {"build --jobs=17 p", false, false, "default", 17, 1, "p"},
    {"build --jobs=9223372036854775807 p", false, false, "default", LONG_MAX, 1, "p"},
    {"build p --force", true, false, "default", 4, 1, "p"},
    {"build p -f q", true, false, "default", 4, 2, "p"},
    {"build -- --force", false, false, "default", 4, 1, "--force"},
    {"build -", false, false, "default", 4, 1, "-"},
};

static void test_options(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(option_cases); i++) {
        char *words[16];
        cleanup_free char *copy = NULL;
        cleanup(outcome_done) struct outcome outcome;
        set = (__typeof__(set)){.output = "default", .jobs = 4};
        parse(&build, options, option_cases[i].line, words, &copy, &outcome);
        if (outcome.code != -1 || set.force != option_cases[i].force || set.quiet != option_cases[i].quiet ||
            set.jobs != option_cases[i].jobs)
            fail_msg("'%s' was misread", option_cases[i].line);
        assert_string_equal(set.output, option_cases[i].output);
        assert_int_equal(outcome.count, option_cases[i].count);
        assert_string_equal(outcome.args[0], option_cases[i].first);
        assert_string_equal(outcome.out, "");
        assert_string_equal(outcome.error, "");
    }
}

static void test_usage_errors(void **state) {
    (void)state;
    static const struct {
        const char *line, *text;
    } cases[] = {
        {"build", "test_opt build: missing argument: PROFILE\n"},
        {"build a b c", "test_opt build: unexpected argument: c\n"},
        {"build --force", "missing argument: PROFILE\n"},
        {"build --nonsense p", "test_opt build: unknown option --nonsense\nTry 'test_opt build --help'.\n"},
        {"build --ouput p", "test_opt build: unknown option --ouput; did you mean --output?\n"},
        {"build --ouput=x p", "unknown option --ouput; did you mean --output?\n"},
        {"build --hepl", "unknown option --hepl; did you mean --help?\n"},
        {"build --version", "unknown option --version\n"},
        {"build -x p", "test_opt build: unknown option -x\n"},
        {"build -fx p", "test_opt build: unknown option -x\n"},
        {"build p --output", "--output requires an argument: FILE\n"},
        {"build p -o", "--output requires an argument: FILE\n"},
        {"build --force=yes p", "--force takes no argument\n"},
        {"build --help=yes p", "--help takes no argument\n"},
        {"build -e p", "test_opt build: --elsewhere is for the moon\n"},
        {"build --elsewhere p", "--elsewhere is for the moon\n"},
        {"build --elsewhere=5 p", "--elsewhere is for the moon\n"},
        {"build --jo p --jobs=x", "--jobs wants a whole number, not 'p'\n"},
        {"build --job=x p", "--jobs wants a whole number, not 'x'\n"},
        {"build --f", "--f can mean --force, --fast\n"},
        {"build --jobs p", "--jobs wants a whole number"},
        {"build --jobs= p", "--jobs wants a whole number"},
        {"build --jobs=-1 p", "--jobs wants a whole number"},
        {"build --jobs=+1 p", "--jobs wants a whole number"},
        {"build --jobs=-0 p", "--jobs wants a whole number"},
        {"build --jobs=1k p", "--jobs wants a whole number"},
        {"build --jobs=0x10 p", "--jobs wants a whole number"},
        {"build --jobs=1.5 p", "--jobs wants a whole number"},
        {"build --jobs=9223372036854775808 p", "--jobs wants a whole number"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char *words[16];
        cleanup_free char *copy = NULL;
        cleanup(outcome_done) struct outcome outcome;
        set = (__typeof__(set)){.jobs = 4};
        parse(&build, options, cases[i].line, words, &copy, &outcome);
        if (outcome.code != EXIT_USAGE)
            fail_msg("'%s' gave %d", cases[i].line, outcome.code);
        assert_contains(outcome.error, cases[i].text);
        assert_contains(outcome.error, "build");
        assert_string_equal(outcome.out, "");
        assert_int_equal(outcome.count, -1); // untouched
        assert_int_equal(set.jobs, 4);
    }
}

// A number with a blank before it cannot be written as one word above.
static void test_number_with_blank(void **state) {
    (void)state;
    char *words[] = {(char *)"build", (char *)"--jobs", (char *)" 5", (char *)"p", NULL}, **args = NULL;
    int count = 0;
    struct redirect redirect;
    cleanup_free char *out = NULL, *error = NULL;
    set.jobs = 4;
    redirect_begin(&redirect);
    int code = opt_parse(&build, options, 4, words, &args, &count);
    redirect_end(&redirect, &out, &error);
    assert_int_equal(code, EXIT_USAGE);
    assert_int_equal(set.jobs, 4);
}

static void test_argument_counts(void **state) {
    (void)state;
    static const struct {
        int min, max, given, code;
    } cases[] = {{0, 0, 0, -1},  {0, 0, 1, EXIT_USAGE}, {1, 1, 0, EXIT_USAGE},  {1, 1, 1, -1},  {1, 1, 2, EXIT_USAGE},
                 {0, -1, 0, -1}, {0, -1, 9, -1},        {2, -1, 1, EXIT_USAGE}, {2, -1, 9, -1}, {2, 3, 4, EXIT_USAGE}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char *words[16];
        cleanup_free char *copy = NULL;
        cleanup_buf struct buf line = {0};
        cleanup(outcome_done) struct outcome outcome;
        const struct verb verb = {"v", "ARGUMENT", cases[i].min, cases[i].max, "", NULL};
        buf_add_str(&line, "v");
        for (int n = 0; n < cases[i].given; n++)
            buf_add_str(&line, " a");
        parse(&verb, options, buf_str(&line), words, &copy, &outcome);
        assert_int_equal(outcome.code, cases[i].code);
        if (cases[i].code < 0)
            assert_int_equal(outcome.count, cases[i].given);
        else
            assert_contains(outcome.error, " v ARGUMENT\n");
    }
}

// Which word of the usage line is missing.
static void test_missing_word(void **state) {
    (void)state;
    static const struct {
        const char *arguments, *line, *word;
    } rows[] = {{"PLACE IMAGE | BUILD", "v", "PLACE"},
                {"PLACE IMAGE | BUILD", "v a", "IMAGE | BUILD"},
                {"IMAGE | BUNDLE | DISK DIR", "v", "IMAGE | BUNDLE | DISK"},
                {"IMAGE | BUNDLE | DISK DIR", "v a", "DIR"},
                {"check|doc [FILE]", "v", "check|doc"},
                {"FILE...", "v a", "FILE..."}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char *words[16];
        cleanup_free char *copy = NULL, *wanted = str_printf("test_opt v: missing argument: %s\n", rows[i].word);
        cleanup(outcome_done) struct outcome outcome;
        const struct verb verb = {"v", rows[i].arguments, 2, 2, "", NULL};
        parse(&verb, options, rows[i].line, words, &copy, &outcome);
        assert_int_equal(outcome.code, EXIT_USAGE);
        assert_contains(outcome.error, wanted);
    }
}

static const char *root_dir;
static const struct opt root_options[] = {{"root", 0, OPT_ROOT, &root_dir, "DIR", "another tree"}, {0}};

static void check_root_line(const char *line, int code, const char *error) {
    char *words[16];
    cleanup_free char *copy = NULL;
    cleanup(outcome_done) struct outcome outcome;
    const struct verb verb = {"apply", "[STACK]", 0, 1, "", NULL};
    root_dir = "/";
    parse(&verb, root_options, line, words, &copy, &outcome);
    assert_int_equal(outcome.code, code);
    assert_string_equal(outcome.error, error);
}

static void test_root(void **state) {
    (void)state;
    static const char needs_root[] = "test_opt: apply needs root: sudo test_opt apply\n";
    bool was_root = geteuid() == 0;
    if (was_root) {
        check_root_line("apply", -1, "");
        assert_int_equal(seteuid(65534), 0);
    }
    check_root_line("apply", EXIT_PERMANENT, needs_root);
    check_root_line("apply --root / hello", EXIT_PERMANENT, needs_root);
    check_root_line("apply --root /tmp", -1, "");
    check_root_line("apply --help", EXIT_OK, "");
    check_root_line("apply a b", EXIT_USAGE, "test_opt apply: unexpected argument: b\nUsage: test_opt apply [STACK]\n");
    if (was_root)
        assert_int_equal(seteuid(0), 0);
}

static void test_help_names_every_option(void **state) {
    (void)state;
    static const char *const lines[] = {"build --help", "build -h", "build p q r --help", "build --jobs 3 --help"};
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        char *words[16];
        cleanup_free char *copy = NULL;
        cleanup(outcome_done) struct outcome outcome;
        parse(&build, options, lines[i], words, &copy, &outcome);
        assert_int_equal(outcome.code, EXIT_OK);
        assert_string_equal(outcome.error, "");
        assert_contains(outcome.out, " build [OPTIONS] PROFILE [PROFILE]\n\nBakes an image.\n");
        assert_contains(outcome.out, "  -o, --output FILE ");
        assert_contains(outcome.out, "  -f, --force  ");
        assert_contains(outcome.out, "      --jobs N  ");
        assert_contains(outcome.out, "  -h, --help  ");
        for (const struct opt *opt = options; opt->name; opt++)
            if (opt->kind == OPT_ELSEWHERE) {
                assert_null(strstr(outcome.out, opt->name));
            } else {
                assert_contains(outcome.out, opt->name);
                assert_contains(outcome.out, opt->help);
            }
        assert_null(strstr(outcome.out, "--version"));
    }
}

static void test_help_without_options(void **state) {
    (void)state;
    static const struct opt none[] = {{0}};
    const struct verb verb = {"version", "", 0, 0, "Prints the version.", NULL};
    char *words[16];
    cleanup_free char *copy = NULL;
    cleanup(outcome_done) struct outcome outcome;
    parse(&verb, none, "version --help", words, &copy, &outcome);
    assert_int_equal(outcome.code, EXIT_OK);
    assert_contains(outcome.out, " version\n\nPrints the version.\n");
    assert_null(strstr(outcome.out, "[OPTIONS]"));
}

static int ran_argc;
static char **ran_argv;
static const struct verb *ran_verb;
static int note(const struct verb *self, int argc, char **argv) {
    ran_verb = self;
    ran_argc = argc;
    ran_argv = argv;
    return 42;
}

static const struct verb verbs[] = {
    {"build", "PROFILE", 1, 1, "Bakes an image.", note},
    {"plan", "PROFILE", 1, 1, "Shows what build would do.", note},
    {"version", "", 0, 0, "Prints the version.", note},
    {0},
};

// A program that has no verbs names none.
static void test_program_without_verbs(void **state) {
    (void)state;
    static const struct verb program = {"", "IMAGE", 1, 1, "Does one thing.", NULL};
    static const struct {
        const char *line, *out, *error;
    } rows[] = {{"prog --help", "Usage: test_opt [OPTIONS] IMAGE\n", ""},
                {"prog --help", "      --version  ", ""},
                {"prog --version", "test_opt " WEBOPS_VERSION "\n", ""},
                {"prog --version=1", "", "test_opt: --version takes no argument\n"},
                {"prog", "", "test_opt: missing argument: IMAGE\nUsage: test_opt IMAGE\n"},
                {"prog --none", "", "test_opt: unknown option --none\nTry 'test_opt --help'."}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct outcome outcome;
        cleanup_free char *copy = NULL;
        char *words[8];
        parse(&program, options, rows[i].line, words, &copy, &outcome);
        assert_contains(outcome.out, rows[i].out);
        assert_contains(outcome.error, rows[i].error);
        outcome_done(&outcome);
    }
}

static const struct {
    const char *argument;
    int code;
    const char *ran, *out, *error;
} verb_cases[] = {
    {"build", 42, "build", "", ""},
    {"plan", 42, "plan", "", ""},
    {"version", 42, "version", "", ""},
    {"--version", 42, "version", "", ""},
    {"--help", EXIT_OK, NULL, "Shows what build would do.", ""},
    {"-h", EXIT_OK, NULL, "  build PROFILE ", ""},
    {"help", EXIT_OK, NULL, "About this.", ""},
    {"--help", EXIT_OK, NULL, "  version        Prints the version.\n", ""}, // as wide as the longest one, and two blanks
    {"--help", EXIT_OK, NULL, "      --version  ", ""},
    {NULL, EXIT_USAGE, NULL, "", "Usage: prog VERB"},
    {"biuld", EXIT_USAGE, NULL, "", "no verb 'biuld'; did you mean 'build'?"},
    {"Version", EXIT_USAGE, NULL, "", "did you mean 'version'?"},
    {"uild", EXIT_USAGE, NULL, "", "did you mean 'build'?"},
    {"frobnicate", EXIT_USAGE, NULL, "", "there is no verb 'frobnicate'\n"},
    {"", EXIT_USAGE, NULL, "", "there is no verb ''\n"},
    {"--force", EXIT_USAGE, NULL, "", "Try 'prog --help'"},
};

static void test_verbs(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(verb_cases); i++) {
        char *argv[] = {(char *)"prog", (char *)verb_cases[i].argument, (char *)"--more", NULL};
        struct redirect redirect;
        cleanup_free char *out = NULL, *error = NULL;
        ran_verb = NULL;
        redirect_begin(&redirect);
        bool is_help = verb_cases[i].argument && strcmp(verb_cases[i].argument, "help") == 0;
        int code = verb_main("prog", "About this.", verbs, is_help ? 2 : verb_cases[i].argument ? 3 : 1, argv);
        redirect_end(&redirect, &out, &error);
        assert_int_equal(code, verb_cases[i].code);
        assert_contains(out, verb_cases[i].out);
        assert_contains(error, verb_cases[i].error);
        assert_int_equal(*out != 0, *verb_cases[i].out != 0);
        assert_int_equal(*error != 0, *verb_cases[i].error != 0);
        assert_int_equal(ran_verb != NULL, verb_cases[i].ran != NULL);
        if (!verb_cases[i].ran)
            continue;
        assert_string_equal(ran_verb->name, verb_cases[i].ran);
        assert_int_equal(ran_argc, 2); // argv[0] is the verb
        assert_ptr_equal(ran_argv, argv + 1);
    }
}

// "help VERB" is "VERB --help".
static void test_help_of_a_verb(void **state) {
    (void)state;
    char *argv[] = {(char *)"prog", (char *)"help", (char *)"plan", NULL};
    assert_int_equal(verb_main("prog", "About this.", verbs, 3, argv), 42);
    assert_string_equal(ran_verb->name, "plan");
    assert_int_equal(ran_argc, 2);
    struct redirect redirect;
    cleanup_free char *out = NULL, *error = NULL;
    argv[2] = (char *)"plna";
    redirect_begin(&redirect);
    assert_int_equal(verb_main("prog", "About this.", verbs, 3, argv), EXIT_USAGE);
    redirect_end(&redirect, &out, &error);
    assert_contains(error, "no verb 'plna'; did you mean 'plan'?");
}

// What is lost is no success, and a failure keeps its code.
static void test_lost_output(void **state) {
    (void)state;
    static const struct {
        const char *argument;
        int code;
        const char *error;
    } rows[] = {{"--help", EXIT_PERMANENT, "standard output cannot be written"}, {"build", 42, ""}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char *argv[] = {(char *)"prog", (char *)rows[i].argument, NULL};
        cleanup_free char *out = NULL, *error = NULL;
        struct redirect redirect;
        redirect_begin(&redirect);
        cleanup_fd int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
        dup2(full, STDOUT_FILENO);
        int code = verb_main("prog", "About this.", verbs, 2, argv);
        dup2(redirect.file[0], STDOUT_FILENO);
        clearerr(stdout);
        redirect_end(&redirect, &out, &error);
        assert_int_equal(code, rows[i].code);
        assert_contains(error, rows[i].error);
    }
}

static void test_verb_failed(void **state) {
    (void)state;
    static const struct {
        int error, code;
    } cases[] = {{-EAGAIN, EXIT_TEMPORARY}, {-EBUSY, EXIT_TEMPORARY},  {-ETIMEDOUT, EXIT_TEMPORARY}, {-EIO, EXIT_PERMANENT},
                 {-EINVAL, EXIT_PERMANENT}, {-ENOENT, EXIT_PERMANENT}, {-ENOSPC, EXIT_PERMANENT}};
    assert_int_equal(EXIT_OK, 0);
    assert_int_equal(EXIT_PERMANENT, 1);
    assert_int_equal(EXIT_USAGE, 2);
    assert_int_equal(EXIT_TEMPORARY, 75);
    log_init("prog", LOG_LEVEL_ERROR, false);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err err = {"the 100% reason"};
        struct redirect redirect;
        cleanup_free char *out = NULL, *error = NULL;
        redirect_begin(&redirect);
        int code = verb_failed(cases[i].error, &err);
        redirect_end(&redirect, &out, &error);
        assert_int_equal(code, cases[i].code);
        assert_string_equal(error, "prog: error: the 100% reason\n");
    }
}

static void test_nearest_word(void **state) {
    (void)state;
    static const char *const words[] = {"build", "plan", "inspect", "flash", "update", "PG_ENABLED", "K3S_ENABLED", "HOSTNAME"};
    static const struct {
        const char *word, *nearest;
    } cases[] = {
        {"build", "build"},
        {"biuld", "build"},
        {"buxld", "build"},
        {"builds", "build"},
        {"plam", "plan"},
        {"pla", "plan"},
        {"inspetc", "inspect"},
        {"flsh", "flash"},
        {"upgrade", "update"},
        {"HOSTNAM", "HOSTNAME"},
        {"HOST_NAME", "HOSTNAME"},
        {"PG_ENABLE", "PG_ENABLED"},
        {"K3_ENABLED", "K3S_ENABLED"},
        {"", NULL},
        {"x", NULL},
        {"xyz", NULL},
        {"completely", NULL},
        {"hostname", NULL},
        {"a-word-longer-than-any-option-or-verb-that-this-program-will-ever-have-to-know", NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *near = nearest_word(cases[i].word, words, ARRAY_SIZE(words), sizeof(*words));
        if (!near != !cases[i].nearest || (near && strcmp(near, cases[i].nearest) != 0))
            fail_msg("'%s' is nearest to %s", cases[i].word, near ? near : "nothing");
    }
    assert_null(nearest_word("build", words, 0, sizeof(*words)));
    assert_string_equal(nearest_word("pan", verbs, 3, sizeof(*verbs)), "plan"); // other strides
    static const char *const lengths[] = {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    assert_ptr_equal(nearest_word(lengths[0], lengths, 1, sizeof(*lengths)), lengths[0]); // 63 letters, the longest compared
    static const char *const letters[] = {"a", "ab"};
    assert_null(nearest_word("x", letters, 2, sizeof(*letters))); // one mistake, but nothing in common
    assert_string_equal(nearest_word("a", letters, 2, sizeof(*letters)), "a");
    static const char *const twins[] = {"cat", "bat"};
    assert_string_equal(nearest_word("rat", twins, 2, sizeof(*twins)), "cat"); // the first of equals
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_usage_errors),
        cmocka_unit_test(test_number_with_blank),
        cmocka_unit_test(test_argument_counts),
        cmocka_unit_test(test_missing_word),
        cmocka_unit_test(test_root),
        cmocka_unit_test(test_help_names_every_option),
        cmocka_unit_test(test_help_without_options),
        cmocka_unit_test(test_program_without_verbs),
        cmocka_unit_test(test_verbs),
        cmocka_unit_test(test_help_of_a_verb),
        cmocka_unit_test(test_lost_output),
        cmocka_unit_test(test_verb_failed),
        cmocka_unit_test(test_nearest_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
