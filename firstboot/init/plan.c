// SPDX-License-Identifier: Apache-2.0
// Parser of the init plan. Pure: bytes in, arrays out. Each line is one word from a table and its arguments, separated by single spaces.
#include "firstboot/init/plan.h"
#include <errno.h>
#include <string.h>

#define FIRST_LINE "webops-plan 1"

struct parser {
    struct plan plan;
    unsigned line; // from 1
    int stage; // of the line before: the order of words below never goes back
    struct err *err;
};

static int bad(struct parser *parser, const char *why) {
    return err_set(parser->err, -EINVAL, "plan line %u: %s", parser->line, why);
}

// Cuts the next word off *rest; NULL at the end.
static char *next_word(char **rest) {
    char *word = *rest;
    if (!word)
        return NULL;
    char *space = strchr(word, ' ');
    if (space)
        *space = '\0';
    *rest = space ? space + 1 : NULL;
    return word;
}

// Decimal, no sign, no leading zero, at most `max`; -1 for anything else.
static long parse_number(const char *word, long max) {
    if (!*word || (word[0] == '0' && word[1]))
        return -1;
    long value = 0;
    for (; *word; word++) {
        if (*word < '0' || *word > '9')
            return -1;
        value = value * 10 + (*word - '0');
        if (value > max)
            return -1;
    }
    return value;
}

// True for a path without empty, "." and ".." parts; one leading slash is allowed.
static int is_plain_path(const char *path) {
    if (*path == '/')
        path++;
    for (;;) {
        size_t size = strcspn(path, "/");
        if (size == 0 || (path[0] == '.' && (size == 1 || (size == 2 && path[1] == '.'))))
            return 0;
        if (!path[size])
            return 1;
        path += size + 1;
    }
}

static int parse_list(struct parser *parser, char *rest, struct plan_list *ret_list) {
    struct plan *plan = &parser->plan;
    struct plan_list list = {.first = plan->number_count};
    for (char *word; (word = next_word(&rest)); list.count++) {
        long number = parse_number(word, PLAN_MAX_MODULES);
        if (number < 0 || number >= (long)plan->module_count)
            return bad(parser, "no such module number");
        plan->numbers[plan->number_count++] = (uint16_t)number;
    }
    if (!list.count)
        return bad(parser, "no module numbers");
    *ret_list = list;
    return 0;
}

static int parse_module(struct parser *parser, char *rest) {
    struct plan *plan = &parser->plan;
    if (plan->module_count == PLAN_MAX_MODULES)
        return bad(parser, "too many modules");
    char *path = next_word(&rest);
    if (!path || !is_plain_path(path))
        return bad(parser, "not a path under /");
    plan->modules[plan->module_count++] = (struct plan_module){.path = path, .parameters = rest ? rest : ""};
    return 0;
}

static int parse_load(struct parser *parser, char *rest) {
    return parse_list(parser, rest, &parser->plan.load);
}

static int parse_alias(struct parser *parser, char *rest) {
    struct plan *plan = &parser->plan;
    if (plan->alias_count == PLAN_MAX_ALIASES)
        return bad(parser, "too many aliases");
    struct plan_alias alias = {.pattern = next_word(&rest)};
    if (!alias.pattern || !strchr(alias.pattern, ':'))
        return bad(parser, "not an alias pattern");
    alias.literal = (uint32_t)strcspn(alias.pattern, "*?[\\");
    int r = parse_list(parser, rest, &alias.modules);
    if (r == 0)
        plan->aliases[plan->alias_count++] = alias;
    return r;
}

static int parse_timeout(struct parser *parser, char *rest) {
    char *word = next_word(&rest);
    long seconds = word && !rest ? parse_number(word, PLAN_MAX_TIMEOUT_S) : -1;
    if (seconds < 1)
        return bad(parser, "a timeout is one number from 1 to 600");
    parser->plan.timeout_s = (unsigned)seconds;
    return 0;
}

// In the order in which they must stand.
static const struct word {
    const char *name;
    int once;
    int (*parse)(struct parser *parser, char *rest);
} words[] = {{"module", 0, parse_module}, {"load", 1, parse_load}, {"alias", 0, parse_alias}, {"timeout", 1, parse_timeout}};

static int check_bytes(struct parser *parser, const char *line, size_t size) {
    if (size == 0)
        return bad(parser, "empty");
    if (size > PLAN_MAX_LINE)
        return bad(parser, "longer than 4096 bytes");
    for (size_t i = 0; i < size; i++)
        if (line[i] < 0x20 || line[i] > 0x7e)
            return bad(parser, "a byte that is not printable ASCII");
    if (line[0] == ' ' || line[size - 1] == ' ' || strstr(line, "  "))
        return bad(parser, "words are separated by one space");
    return 0;
}

static int parse_line(struct parser *parser, char *line) {
    char *rest = strchr(line, ' ');
    if (rest)
        *rest++ = '\0';
    for (int i = 0; i < (int)ARRAY_SIZE(words); i++) {
        if (strcmp(words[i].name, line) != 0)
            continue;
        if (i < parser->stage || (i == parser->stage && words[i].once))
            return bad(parser, "out of order");
        parser->stage = i;
        return words[i].parse(parser, rest);
    }
    return bad(parser, "unknown word");
}

static int parse_lines(struct parser *parser, size_t size) {
    char *end = parser->plan.text + size;
    for (char *line = parser->plan.text; line < end;) {
        char *feed = memchr(line, '\n', (size_t)(end - line));
        parser->line++;
        if (!feed)
            return bad(parser, "no line feed at its end");
        *feed = '\0';
        int r = check_bytes(parser, line, (size_t)(feed - line));
        if (r == 0 && parser->line == 1)
            r = strcmp(line, FIRST_LINE) == 0 ? 0 : bad(parser, "expected \"" FIRST_LINE "\"");
        else if (r == 0)
            r = parse_line(parser, line);
        if (r < 0)
            return r;
        line = feed + 1;
    }
    parser->line++;
    return parser->plan.timeout_s ? 0 : bad(parser, "missing: the last line must be a timeout");
}

// One upper bound per array, from one sweep over the text, so that nothing grows while parsing.
static int allocate(struct plan *plan, const char *text, size_t size) {
    size_t lines = 1, spaces = 1;
    for (size_t i = 0; i < size; i++) {
        lines += text[i] == '\n';
        spaces += text[i] == ' ';
    }
    size_t modules = lines < PLAN_MAX_MODULES ? lines : PLAN_MAX_MODULES;
    size_t aliases = lines < PLAN_MAX_ALIASES ? lines : PLAN_MAX_ALIASES;
    plan->text = malloc(size + 1);
    plan->modules = calloc(modules, sizeof(*plan->modules));
    plan->aliases = calloc(aliases, sizeof(*plan->aliases));
    plan->numbers = calloc(spaces, sizeof(*plan->numbers));
    if (!plan->text || !plan->modules || !plan->aliases || !plan->numbers)
        return -ENOMEM;
    memcpy(plan->text, text, size);
    plan->text[size] = '\0';
    return 0;
}

int plan_parse(const char *text, size_t size, struct plan *ret_plan, struct err *err) {
    if (size == 0 || size > PLAN_MAX_BYTES)
        return err_set(err, -EINVAL, "plan: %zu bytes, expected 1 to %d", size, PLAN_MAX_BYTES);
    struct parser parser = {.err = err};
    int r = allocate(&parser.plan, text, size);
    if (r < 0)
        err_sys(err, r, "plan of %zu bytes", size);
    else
        r = parse_lines(&parser, size);
    if (r < 0)
        plan_done(&parser.plan);
    else
        *ret_plan = parser.plan;
    return r;
}

void plan_done(struct plan *plan) {
    free(plan->text);
    free(plan->modules);
    free(plan->aliases);
    free(plan->numbers);
    *plan = (struct plan){0};
}
