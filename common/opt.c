// SPDX-License-Identifier: Apache-2.0
// Verbs and options from tables, over getopt_long.
#include "common/opt.h"
#include "common/buf.h"
#include "common/log.h"
#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <string.h>

#define MAX_OPTIONS 32
#define FIRST_LONG 256 // values of options without a letter start here, beyond any character

static const char *space_before(const char *word) {
    return *word ? " " : "";
}

static void print_usage(const struct verb *verb, const struct opt *options) {
    printf("Usage: %s%s%s%s%s%s\n\n%s\n", program_invocation_short_name, space_before(verb->name), verb->name,
           options[0].name ? " [OPTIONS]" : "", space_before(verb->arguments), verb->arguments, verb->help);
    printf("\nOptions:\n");
    for (const struct opt *opt = options; opt->name; opt++) {
        cleanup_free char *left = opt->letter
                                      ? str_printf("-%c, --%s%s%s", opt->letter, opt->name, opt->argument ? " " : "", opt->argument ?: "")
                                      : str_printf("    --%s%s%s", opt->name, opt->argument ? " " : "", opt->argument ?: "");
        printf("  %-30s %s\n", left, opt->help);
    }
    printf("  %-30s %s\n", "-h, --help", "show this text");
}

static void fill_long(const struct opt *options, struct option *longs, struct buf *shorts) {
    size_t count = 0;
    buf_add_str(shorts, "h");
    for (const struct opt *opt = options; opt->name; opt++, count++) {
        assert(count < MAX_OPTIONS && opt->letter != 'h');
        longs[count] = (struct option){opt->name, opt->kind != OPT_FLAG, NULL, FIRST_LONG + (int)count};
        if (opt->letter)
            buf_printf(shorts, "%c%s", opt->letter, opt->kind != OPT_FLAG ? ":" : "");
    }
    longs[count] = (struct option){"help", 0, NULL, 'h'};
}

static int store(const struct opt *opt, const char *text) {
    char *end;
    switch (opt->kind) {
    case OPT_FLAG:
        *(bool *)opt->value = true;
        return 0;
    case OPT_TEXT:
        *(const char **)opt->value = text;
        return 0;
    case OPT_TEXTS: {
        struct opt_texts *texts = opt->value;
        if (texts->count == OPT_MAX_TEXTS) {
            fprintf(stderr, "%s: --%s is given more than %d times\n", program_invocation_short_name, opt->name, OPT_MAX_TEXTS);
            return -EINVAL;
        }
        texts->items[texts->count++] = text;
        return 0;
    }
    case OPT_NUMBER:
        errno = 0;
        long number = strtol(text, &end, 10);
        if (errno || *end || *text < '0' || *text > '9') {
            fprintf(stderr, "%s: --%s wants a whole number\n", program_invocation_short_name, opt->name);
            return -EINVAL;
        }
        *(long *)opt->value = number;
        return 0;
    }
    return -EINVAL;
}

static const struct opt *find_option(const struct opt *options, int code) {
    if (code >= FIRST_LONG)
        return &options[code - FIRST_LONG];
    for (const struct opt *opt = options; opt->name; opt++)
        if (opt->letter == code)
            return opt;
    return NULL;
}

int opt_parse(const struct verb *verb, const struct opt *options, int argc, char **argv, char ***ret_args, int *ret_count) {
    struct option longs[MAX_OPTIONS + 2] = {0};
    cleanup_buf struct buf shorts = {0};
    fill_long(options, longs, &shorts);
    optind = 0; // glibc: start over, also after an earlier verb of the same process (tests)
    for (int code; (code = getopt_long(argc, argv, buf_str(&shorts), longs, NULL)) != -1;) {
        if (code == 'h') {
            print_usage(verb, options);
            return EXIT_OK;
        }
        const struct opt *opt = code == '?' ? NULL : find_option(options, code);
        if (!opt || store(opt, optarg) < 0) {
            fprintf(stderr, "Try '%s%s%s --help'.\n", program_invocation_short_name, space_before(verb->name), verb->name);
            return EXIT_USAGE;
        }
    }
    int count = argc - optind;
    if (count < verb->min_args || (verb->max_args >= 0 && count > verb->max_args)) {
        fprintf(stderr, "%s%s%s: %s argument\nUsage: %s%s%s %s\n", program_invocation_short_name, space_before(verb->name), verb->name,
                count < verb->min_args ? "missing" : "unexpected", program_invocation_short_name, space_before(verb->name), verb->name,
                verb->arguments);
        return EXIT_USAGE;
    }
    *ret_args = argv + optind;
    *ret_count = count;
    return -1;
}

static void print_verbs(const char *program, const char *about, const struct verb *verbs, FILE *to) {
    fprintf(to, "Usage: %s VERB [OPTIONS] [ARGUMENTS]\n\n%s\n\nVerbs:\n", program, about);
    for (const struct verb *verb = verbs; verb->name; verb++) {
        cleanup_free char *left = str_printf("%s %s", verb->name, verb->arguments);
        fprintf(to, "  %-28s %s\n", left, verb->help);
    }
    fprintf(to, "\n'%s VERB --help' shows the options of a verb.\n", program);
}

static size_t count_verbs(const struct verb *verbs) {
    size_t count = 0;
    while (verbs[count].name)
        count++;
    return count;
}

int verb_main(const char *program, const char *about, const struct verb *verbs, int argc, char **argv) {
    if (argc < 2) {
        print_verbs(program, about, verbs, stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        print_verbs(program, about, verbs, stdout);
        return EXIT_OK;
    }
    const char *wanted = strcmp(argv[1], "--version") == 0 ? "version" : argv[1];
    for (const struct verb *verb = verbs; verb->name; verb++)
        if (strcmp(verb->name, wanted) == 0)
            return verb->run(verb, argc - 1, argv + 1);
    const char *near = nearest_word(argv[1], verbs, count_verbs(verbs), sizeof(*verbs));
    fprintf(stderr, "%s: there is no verb '%s'%s%s%s\nTry '%s --help'.\n", program, argv[1], near ? "; did you mean '" : "", near ?: "",
            near ? "'?" : "", program);
    return EXIT_USAGE;
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
