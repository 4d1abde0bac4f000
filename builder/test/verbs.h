// SPDX-License-Identifier: Apache-2.0
// Verbs as tests call them: with a command line, in this process, and what they printed.
#pragma once
#include "builder/verbs.h"
#include "common/run.h"
#include "common/test/support.h"
#include <getopt.h>

// `arguments` behind the verb's name, ended by NULL. Returns the exit code; the caller frees both texts.
static inline int verb_call(const struct verb *verb, const char *const *arguments, char **ret_out, char **ret_said) {
    char *argv[16] = {(char *)verb->name};
    int argc = 1;
    struct redirect redirect;
    for (; *arguments; arguments++) {
        assert_true(argc < (int)ARRAY_SIZE(argv) - 1);
        argv[argc++] = (char *)*arguments;
    }
    optind = 0;
    redirect_begin(&redirect);
    int code = verb->run(verb, argc, argv);
    redirect_end(&redirect, ret_out, ret_said);
    return code;
}

struct verb_case {
    const char *const *arguments;
    int code;
    const char *out, *said; // parts
};

static inline void verb_check(const struct verb *verb, const struct verb_case *cases, size_t count) {
    for (size_t i = 0; i < count; i++) {
        cleanup_free char *out = NULL, *said = NULL;
        int code = verb_call(verb, cases[i].arguments, &out, &said);
        if (code != cases[i].code)
            fail_msg("case %zu: exit code %d: %s%s", i, code, out, said);
        assert_contains(out, cases[i].out);
        assert_contains(said, cases[i].said);
    }
}

// Programs and data of the source tree in which the tests run; `test` is argv[0], build/builder/test/<name>.
static inline void verb_use_tree(const char *test) {
    const char *slash = strrchr(test, '/');
    cleanup_free char *programs = str_printf("%.*s/../..", slash ? (int)(slash - test) : 1, slash ? test : ".");
    setenv("WEBOPS_DATA", ".", 1);
    setenv("WEBOPS_PROGRAMS", programs, 1);
}
