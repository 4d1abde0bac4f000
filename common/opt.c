// SPDX-License-Identifier: Apache-2.0
// Verbs and options from tables, over getopt_long.
#include "common/opt.h"
#include "common/buf.h"
#include "common/log.h"
#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#define MAX_OPTIONS 32
#define OWN_OPTIONS 2 // --help, and --version of programs that have no verbs
#define FIRST_LONG 256 // values of options without a letter start here, beyond any character
#define VERSION_CODE (FIRST_LONG + MAX_OPTIONS)

static const char *space_before(const char *word) {
    return *word ? " " : "";
}

// To standard error, with the names of program and verb before it.
static void complain(const struct verb *verb, const char *fmt, ...) printf_like(2, 3);
static void complain(const struct verb *verb, const char *fmt, ...) {
    va_list args;
    fprintf(stderr, "%s%s%s: ", program_invocation_short_name, space_before(verb->name), verb->name);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
}

static void print_usage(const struct verb *verb, const struct opt *options) {
    printf("Usage: %s%s%s%s%s%s\n\n%s\n", program_invocation_short_name, space_before(verb->name), verb->name,
           options[0].name ? " [OPTIONS]" : "", space_before(verb->arguments), verb->arguments, verb->help);
    printf("\nOptions:\n");
    for (const struct opt *opt = options; opt->name; opt++) {
        if (opt->kind == OPT_ELSEWHERE)
            continue;
        cleanup_free char *left = opt->letter
                                      ? str_printf("-%c, --%s%s%s", opt->letter, opt->name, opt->argument ? " " : "", opt->argument ?: "")
                                      : str_printf("    --%s%s%s", opt->name, opt->argument ? " " : "", opt->argument ?: "");
        printf("  %-30s %s\n", left, opt->help);
    }
    printf("  %-30s %s\n", "-h, --help", "show this text");
    if (!*verb->name)
        printf("  %-30s %s\n", "    --version", "print the version");
}

static void fill_long(const struct verb *verb, const struct opt *options, struct option *longs, struct buf *shorts) {
    // What getopt calls required, none and optional; the last one, so that it finds no fault with an option that is refused anyway.
    static const int wants[] = {[OPT_FLAG] = no_argument,         [OPT_ELSEWHERE] = optional_argument, [OPT_TEXT] = required_argument,
                                [OPT_NUMBER] = required_argument, [OPT_TEXTS] = required_argument,     [OPT_ROOT] = required_argument};
    static const char *const marks[] = {[no_argument] = "", [required_argument] = ":", [optional_argument] = "::"};
    size_t count = 0;
    buf_add_str(shorts, ":h");
    for (const struct opt *opt = options; opt->name; opt++, count++) {
        assert(count < MAX_OPTIONS && opt->letter != 'h');
        longs[count] = (struct option){opt->name, wants[opt->kind], NULL, FIRST_LONG + (int)count};
        if (opt->letter)
            buf_printf(shorts, "%c%s", opt->letter, marks[wants[opt->kind]]);
    }
    longs[count++] = (struct option){"help", no_argument, NULL, 'h'};
    if (!*verb->name)
        longs[count] = (struct option){"version", no_argument, NULL, VERSION_CODE};
}

static int store_number(const struct verb *verb, const struct opt *opt, const char *text) {
    char *end;
    errno = 0;
    long number = strtol(text, &end, 10);
    if (errno || *end || *text < '0' || *text > '9') {
        complain(verb, "--%s wants a whole number, not '%s'", opt->name, text);
        return -EINVAL;
    }
    *(long *)opt->value = number;
    return 0;
}

static int store_one_more(const struct verb *verb, const struct opt *opt, const char *text) {
    struct opt_texts *texts = opt->value;
    if (texts->count == OPT_MAX_TEXTS) {
        complain(verb, "--%s is given more than %d times", opt->name, OPT_MAX_TEXTS);
        return -EINVAL;
    }
    texts->items[texts->count++] = text;
    return 0;
}

static int store(const struct verb *verb, const struct opt *opt, const char *text) {
    switch (opt->kind) {
    case OPT_FLAG:
        *(bool *)opt->value = true;
        return 0;
    case OPT_TEXT:
    case OPT_ROOT:
        *(const char **)opt->value = text;
        return 0;
    case OPT_TEXTS:
        return store_one_more(verb, opt, text);
    case OPT_NUMBER:
        return store_number(verb, opt, text);
    case OPT_ELSEWHERE:
        complain(verb, "--%s is for %s", opt->name, (const char *)opt->value);
        return -EINVAL;
    }
    return -EINVAL;
}

static const struct opt *find_option(const struct opt *options, int code) {
    if (code >= FIRST_LONG)
        return code < VERSION_CODE ? &options[code - FIRST_LONG] : NULL;
    for (const struct opt *opt = options; opt->name; opt++)
        if (opt->letter == code)
            return opt;
    return NULL;
}

// `word` as it was typed: --nam, --nam=value. Beginnings of names are names, unless several begin so.
static void complain_of_name(const struct verb *verb, const struct option *longs, const char *word) {
    size_t size = strcspn(word + 2, "="), count = 0;
    cleanup_free char *name = str_printf("%.*s", (int)size, word + 2);
    cleanup_buf struct buf begin_so = {0};
    for (; longs[count].name; count++)
        if (strncmp(longs[count].name, name, size) == 0)
            buf_printf(&begin_so, "%s--%s", begin_so.size ? ", " : "", longs[count].name);
    const char *near = nearest_word(name, longs, count, sizeof(*longs));
    if (begin_so.size)
        complain(verb, "--%s can mean %s", name, buf_str(&begin_so));
    else
        complain(verb, "unknown option --%s%s%s%s", name, near ? "; did you mean --" : "", near ?: "", near ? "?" : "");
}

// What getopt_long() found wrong, in our words. `optopt` is an option's code, a letter, or 0 for a long name that it does not know.
static void complain_of_option(const struct verb *verb, const struct opt *options, const struct option *longs, int code, char **argv) {
    const struct opt *opt = optopt ? find_option(options, optopt) : NULL;
    if (code == ':' && opt)
        complain(verb, "--%s requires an argument: %s", opt->name, opt->argument);
    else if (opt || optopt == VERSION_CODE || (optopt == 'h' && strncmp(argv[optind - 1], "--", 2) == 0))
        complain(verb, "--%s takes no argument", opt ? opt->name : optopt == 'h' ? "help" : "version");
    else if (optopt)
        complain(verb, "unknown option -%c", optopt);
    else
        complain_of_name(verb, longs, argv[optind - 1]);
}

// The word of `arguments` that stands for argument number `index`: what is joined by " | " is one.
static char *expected_word(const char *arguments, int index) {
    for (;; index--) {
        const char *end = arguments + strcspn(arguments, " ");
        while (strncmp(end, " | ", 3) == 0)
            end += 3 + strcspn(end + 3, " ");
        if (index == 0 || !*end)
            return str_printf("%.*s", (int)(end - arguments), arguments);
        arguments = end + 1;
    }
}

static int check_count(const struct verb *verb, char **args, int count) {
    bool is_missing = count < verb->min_args;
    if (!is_missing && (verb->max_args < 0 || count <= verb->max_args))
        return -1;
    cleanup_free char *expected = expected_word(verb->arguments, count);
    complain(verb, "%s argument: %s", is_missing ? "missing" : "unexpected", is_missing ? expected : args[verb->max_args]);
    fprintf(stderr, "Usage: %s%s%s%s%s\n", program_invocation_short_name, space_before(verb->name), verb->name,
            space_before(verb->arguments), verb->arguments);
    return EXIT_USAGE;
}

// Here, so that what goes wrong without root is not the first file that cannot be opened.
static int check_root(const struct verb *verb, const struct opt *options) {
    for (const struct opt *opt = options; opt->name; opt++) {
        if (opt->kind != OPT_ROOT || strcmp(*(const char **)opt->value, "/") != 0 || geteuid() == 0)
            continue;
        fprintf(stderr, "%s: %s needs root: sudo %s %s\n", program_invocation_short_name, verb->name, program_invocation_short_name,
                verb->name);
        return EXIT_PERMANENT;
    }
    return -1;
}

int opt_parse(const struct verb *verb, const struct opt *options, int argc, char **argv, char ***ret_args, int *ret_count) {
    struct option longs[MAX_OPTIONS + OWN_OPTIONS + 1] = {0};
    cleanup_buf struct buf shorts = {0};
    fill_long(verb, options, longs, &shorts);
    opterr = 0;
    optind = 0; // glibc: start over, also after an earlier verb of the same process (tests)
    for (int code; (code = getopt_long(argc, argv, buf_str(&shorts), longs, NULL)) != -1;) {
        if (code == 'h') {
            print_usage(verb, options);
            return EXIT_OK;
        }
        if (code == VERSION_CODE) {
            printf("%s " WEBOPS_VERSION "\n", program_invocation_short_name);
            return EXIT_OK;
        }
        bool is_wrong = code == '?' || code == ':';
        if (is_wrong)
            complain_of_option(verb, options, longs, code, argv);
        if (is_wrong || store(verb, find_option(options, code), optarg) < 0) {
            fprintf(stderr, "Try '%s%s%s --help'.\n", program_invocation_short_name, space_before(verb->name), verb->name);
            return EXIT_USAGE;
        }
    }
    int code = check_count(verb, argv + optind, argc - optind);
    if (code < 0)
        code = check_root(verb, options);
    if (code >= 0)
        return code;
    *ret_args = argv + optind;
    *ret_count = argc - optind;
    return -1;
}

static int verb_width(const struct verb *verb) {
    return (int)(strlen(verb->name) + strlen(space_before(verb->arguments)) + strlen(verb->arguments));
}

static void print_verbs(const char *program, const char *about, const struct verb *verbs, FILE *to) {
    int width = 0;
    for (const struct verb *verb = verbs; verb->name; verb++)
        if (verb_width(verb) > width)
            width = verb_width(verb);
    fprintf(to, "Usage: %s VERB [OPTIONS] [ARGUMENTS]\n\n%s\n\nVerbs:\n", program, about);
    for (const struct verb *verb = verbs; verb->name; verb++)
        fprintf(to, "  %s%s%-*s  %s\n", verb->name, space_before(verb->arguments),
                width - (int)(strlen(verb->name) + strlen(space_before(verb->arguments))), verb->arguments, verb->help);
    fprintf(to, "\nOptions:\n  -h, --help     show this text\n      --version  print the version\n");
    fprintf(to, "\n'%s VERB --help' shows the options of a verb.\n", program);
}

static size_t count_verbs(const struct verb *verbs) {
    size_t count = 0;
    while (verbs[count].name)
        count++;
    return count;
}

static int run_verb(const char *program, const struct verb *verbs, const char *name, int argc, char **argv) {
    const char *wanted = strcmp(name, "--version") == 0 ? "version" : name;
    for (const struct verb *verb = verbs; verb->name; verb++)
        if (strcmp(verb->name, wanted) == 0)
            return verb_finish(verb->run(verb, argc, argv));
    const char *near = nearest_word(name, verbs, count_verbs(verbs), sizeof(*verbs));
    fprintf(stderr, "%s: there is no verb '%s'%s%s%s\nTry '%s --help'.\n", program, name, near ? "; did you mean '" : "", near ?: "",
            near ? "'?" : "", program);
    return EXIT_USAGE;
}

int verb_main(const char *program, const char *about, const struct verb *verbs, int argc, char **argv) {
    if (argc < 2) {
        print_verbs(program, about, verbs, stderr);
        return EXIT_USAGE;
    }
    bool is_help = strcmp(argv[1], "help") == 0;
    if (is_help && argc > 2)
        return run_verb(program, verbs, argv[2], 2, (char *[]){argv[2], (char *)"--help", NULL});
    if (is_help || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_verbs(program, about, verbs, stdout);
        return verb_finish(EXIT_OK);
    }
    return run_verb(program, verbs, argv[1], argc - 1, argv + 1);
}

int verb_finish(int code) {
    errno = 0;
    bool is_lost = ferror(stdout) || fflush(stdout) != 0;
    if (!is_lost || code != EXIT_OK)
        return code;
    if (errno != EPIPE) // who went away (`| head`) wants to hear no more
        log_error("standard output cannot be written, so what was to be said is lost%s%s", errno ? ": " : "", errno ? strerror(errno) : "");
    return EXIT_PERMANENT;
}

int verb_failed(int code, const struct err *err) {
    log_error("%s", err->text);
    return code == -EAGAIN || code == -EBUSY || code == -ETIMEDOUT ? EXIT_TEMPORARY : EXIT_PERMANENT;
}

// Levenshtein distance with two rows; words longer than the rows never match.
#define MAX_WORD 64
static unsigned distance(const char *a, const char *b) {
    size_t a_length = strlen(a), b_length = strlen(b);
    if (a_length >= MAX_WORD || b_length >= MAX_WORD)
        return UINT_MAX;
    unsigned row[MAX_WORD + 1];
    for (unsigned j = 0; j <= b_length; j++)
        row[j] = j;
    for (unsigned i = 1; i <= a_length; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= b_length; j++) {
            unsigned above = row[j];
            unsigned best = diagonal + (a[i - 1] != b[j - 1]);
            if (above + 1 < best)
                best = above + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
            diagonal = above;
        }
    }
    return row[b_length];
}

const char *nearest_word(const char *word, const void *words, size_t count, size_t stride) {
    const char *best = NULL;
    unsigned best_distance = (unsigned)strlen(word) / 3 + 1; // one typing mistake in three letters
    for (size_t i = 0; i < count; i++) {
        const char *candidate = *(const char *const *)((const char *)words + i * stride);
        unsigned d = distance(word, candidate);
        // A distance of the whole word has nothing in common with it.
        if (d < strlen(word) && d <= best_distance && (!best || d < best_distance)) {
            best = candidate;
            best_distance = d;
        }
    }
    return best;
}
