// SPDX-License-Identifier: Apache-2.0
// Command lines as tables: one table of verbs, one table of options per verb; the same tables drive parsing and --help.
#pragma once
#include "common/err.h"
#include <stdbool.h>

enum { EXIT_OK = 0, EXIT_PERMANENT = 1, EXIT_USAGE = 2, EXIT_TEMPORARY = 75 };

// OPT_ROOT is the text of --root DIR of a verb for which the caller must be root while it stays "/". OPT_ELSEWHERE is an option of another form
// of the verb: it is refused, with the name of that form (`value`), and not shown.
enum opt_kind { OPT_FLAG, OPT_TEXT, OPT_NUMBER, OPT_TEXTS, OPT_ROOT, OPT_ELSEWHERE };
#define OPT_MAX_TEXTS 32
struct opt_texts { // of an option that may be given several times
    const char *items[OPT_MAX_TEXTS];
    int count;
};
// `value` points to a bool, a const char * (OPT_TEXT, OPT_ROOT), a long or a struct opt_texts, by kind, preset with its default.
struct opt {
    const char *name; // without "--"; NULL ends the table
    char letter; // 0 = none
    enum opt_kind kind;
    void *value;
    const char *argument; // what --help calls the argument; NULL for flags
    const char *help;
};

struct verb {
    const char *name; // NULL ends the table; "" = of a program that has no verbs
    const char *arguments; // positional arguments as --help shows them, one word each (alternatives are joined by " | "), "" = none
    int min_args, max_args; // of positional arguments; max_args < 0 = any number
    const char *help; // one line
    int (*run)(const struct verb *self, int argc, char **argv); // argv[0] is the verb's name; returns an exit code
};

// Parses argv[1…] against `options` (plus --help, and --version of a program that has no verbs), checks the count of positional arguments
// against `verb`, and that the caller is root where that is needed. Returns -1 to go on, with *ret_args / *ret_count naming the positional
// arguments inside argv; otherwise an exit code (help was printed, or an error).
int opt_parse(const struct verb *verb, const struct opt *options, int argc, char **argv, char ***ret_args, int *ret_count) must_check;
// main() of a program with verbs: finds argv[1] in `verbs`, handles --help, help [VERB], --version and a missing or unknown verb (the nearest
// one is suggested).
int verb_main(const char *program, const char *about, const struct verb *verbs, int argc, char **argv);
// The exit code of a program: `code`, or EXIT_PERMANENT with a message when that is EXIT_OK, but not all output could be written. verb_main() does
// it for all verbs, which need not look at what printf() returns.
int verb_finish(int code) must_check;
// Exit code for an error: EXIT_TEMPORARY for -EAGAIN, -EBUSY and -ETIMEDOUT, else EXIT_PERMANENT. Prints err through the log.
int verb_failed(int code, const struct err *err);
// The entry of `words` (NULL-terminated, `stride` bytes apart, each starting with a const char *) nearest to `word` by edit distance, NULL
// if none is near enough to be a typing mistake.
const char *nearest_word(const char *word, const void *words, size_t count, size_t stride);
