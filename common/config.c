// SPDX-License-Identifier: Apache-2.0
// The config.env parser: bytes to entries plus every problem. What a key means is schema.c's business.
#include "common/config.h"
#include "common/buf.h"
#include "common/log.h"
#include "common/utf8.h"
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

struct parser {
    struct config *config;
    struct config_problems *problems;
    unsigned line;
    bool said_crlf, said_full;
};

void config_done(struct config *config) {
    for (size_t i = 0; i < config->count; i++) {
        free(config->entries[i].key);
        explicit_bzero(config->entries[i].value, strlen(config->entries[i].value)); // a secret may have been put here by mistake
        free(config->entries[i].value);
    }
    free(config->entries);
    for (size_t i = 0; i < config->broken_count; i++)
        free(config->broken[i]);
    free(config->broken);
    *config = (struct config){0};
}

void config_problems_done(struct config_problems *problems) {
    for (size_t i = 0; i < problems->count; i++)
        free(problems->items[i].text);
    free(problems->items);
    *problems = (struct config_problems){0};
}

// Room for one more in an array whose capacity is the next power of two.
static void *grown(void *items, size_t count, size_t size) {
    return (count & (count - 1)) == 0 ? mem_resize(items, count ? count * 2 : 1, size) : items;
}

static void problem_insert(struct config_problems *problems, unsigned line, char *text) {
    problems->items = grown(problems->items, problems->count, sizeof(*problems->items));
    size_t at = problems->count++;
    for (; at > 0 && problems->items[at - 1].line > line; at--)
        problems->items[at] = problems->items[at - 1];
    problems->items[at] = (struct config_problem){line, text};
}

void config_problem_add(struct config_problems *problems, unsigned line, const char *fmt, ...) {
    if (problems->count >= CONFIG_MAX_PROBLEMS)
        return;
    if (problems->count == CONFIG_MAX_PROBLEMS - 1) {
        unsigned last = problems->items[problems->count - 1].line;
        problem_insert(problems, last > line ? last : line, str_dup("more problems than are listed here"));
        return;
    }
    va_list args;
    char *text = NULL;
    va_start(args, fmt);
    int length = vasprintf(&text, fmt, args);
    va_end(args);
    problem_insert(problems, line, length < 0 ? str_dup("out of memory") : text);
}

void config_problems_log(const struct config_problems *problems, const char *file) {
    for (size_t i = 0; i < problems->count; i++) {
        const struct config_problem *item = &problems->items[i];
        if (item->line == 0)
            log_error("%s: %s", file, item->text);
        else
            log_error("%s:%u: %s", file, item->line, item->text);
    }
}

const struct config_entry *config_find(const struct config *config, const char *key) {
    for (size_t i = 0; i < config->count; i++)
        if (strcmp(config->entries[i].key, key) == 0)
            return &config->entries[i];
    return NULL;
}

bool config_mentions(const struct config *config, const char *key) {
    for (size_t i = 0; i < config->broken_count; i++)
        if (strcmp(config->broken[i], key) == 0)
            return true;
    return config_find(config, key) != NULL;
}

static void broken_add(struct config *config, char *key) {
    config->broken = grown(config->broken, config->broken_count, sizeof(*config->broken));
    config->broken[config->broken_count++] = key;
}

static void entry_add(struct config *config, char *key, char *value, unsigned line) {
    config->entries = grown(config->entries, config->count, sizeof(*config->entries));
    config->entries[config->count++] = (struct config_entry){key, value, line};
}

void config_set(struct config *config, const char *key, const char *value, unsigned line) {
    char *copy = str_dup(value);
    for (size_t i = 0; i < config->count; i++) {
        if (strcmp(config->entries[i].key, key) != 0)
            continue;
        free(config->entries[i].value);
        config->entries[i].value = copy;
        config->entries[i].line = line;
        return;
    }
    entry_add(config, str_dup(key), copy, line);
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

static bool is_upper(char c) {
    return c >= 'A' && c <= 'Z';
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_key(const char *text, size_t size) {
    if (size == 0 || !is_upper(text[0]))
        return false;
    for (size_t i = 1; i < size; i++)
        if (!is_upper(text[i]) && !is_digit(text[i]) && text[i] != '_')
            return false;
    return true;
}

// Bytes that no shell gives a meaning to, anywhere in an unquoted value.
static bool is_bare(char c) {
    return is_upper(c) || is_digit(c) || (c >= 'a' && c <= 'z') || (c != 0 && strchr("%+,-./:=@_", c));
}

// What is wrong with these bytes as text; NULL if nothing is.
static const char *text_problem(const char *text, size_t size) {
    for (size_t at = 0; at < size;) {
        unsigned char c = (unsigned char)text[at];
        if (c < 0x20 || c == 0x7f)
            return "the value has a control character (a tab, for instance)";
        size_t length = utf8_length((const unsigned char *)text + at, size - at);
        if (length == 0)
            return "the value is not UTF-8 text";
        at += length;
    }
    return NULL;
}

static const char *quoted_problem(const char *text, size_t size, size_t *ret_size) {
    char quote = text[0];
    const char *end = memchr(text + 1, quote, size - 1);
    if (!end)
        return "the quote is not closed on this line";
    if (end != text + size - 1)
        return "there is text behind the closing quote (a comment needs a line of its own)";
    *ret_size = size - 2;
    for (const char *c = text + 1; quote == '"' && c < end; c++)
        if (strchr("$`\\", *c))
            return "in double quotes a shell would expand this value: put it in single quotes";
    return text_problem(text + 1, *ret_size);
}

static const char *bare_problem(const char *text, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (!is_bare(text[i]))
            return "a shell would split or expand this value: put it in single quotes";
    return NULL;
}

// Checks the text behind '=', of which trailing blanks are cut already. NULL and *ret_value, or what is wrong.
static const char *parse_value(const char *text, size_t size, char **ret_value) {
    bool quoted = size > 0 && (text[0] == '\'' || text[0] == '"');
    size_t inner = size;
    const char *problem = quoted ? quoted_problem(text, size, &inner) : bare_problem(text, size);
    if (!problem)
        *ret_value = str_printf("%.*s", (int)inner, quoted ? text + 1 : text);
    return problem;
}

static const char *key_problem(const char *text, size_t size) {
    if (size >= 7 && strncmp(text, "export", 6) == 0 && is_blank(text[6]))
        return "remove 'export': a line is just KEY=value";
    const char *equals = memchr(text, '=', size);
    if (!equals)
        return "no '=': a line is KEY=value, or a comment that starts with '#'";
    size_t length = (size_t)(equals - text);
    if (is_blank(text[0]))
        return "blanks before the key: it starts in the first column";
    if (length > 0 && is_blank(equals[-1]))
        return "blanks before '=': write KEY=value";
    if (!is_key(text, length))
        return "the key is not made of capital letters, digits and '_', starting with a letter";
    return length > CONFIG_KEY_BYTES ? "the key is too long" : NULL;
}

static void store(struct parser *parser, const char *key, size_t key_size, char *value) {
    cleanup_free char *name = str_printf("%.*s", (int)key_size, key);
    const struct config_entry *earlier = config_find(parser->config, name);
    if (earlier) {
        config_problem_add(parser->problems, parser->line, "%s: set twice, first in line %u", name, earlier->line);
    } else if (parser->config->count >= CONFIG_MAX_ENTRIES) {
        if (!parser->said_full)
            config_problem_add(parser->problems, parser->line, "more than %d keys", CONFIG_MAX_ENTRIES);
        parser->said_full = true;
    } else {
        entry_add(parser->config, take_ptr(name), value, parser->line);
        return;
    }
    explicit_bzero(value, strlen(value));
    free(value);
}

static void parse_pair(struct parser *parser, const char *text, size_t size) {
    const char *problem = key_problem(text, size);
    if (problem) {
        config_problem_add(parser->problems, parser->line, "%s", problem);
        return;
    }
    size_t key_size = (size_t)((const char *)memchr(text, '=', size) - text);
    const char *value = text + key_size + 1;
    size_t value_size = size - key_size - 1;
    char *parsed = NULL;
    if (value_size > 0 && is_blank(value[0]))
        problem = "blanks behind '=': write KEY=value";
    else
        problem = parse_value(value, value_size, &parsed);
    if (!problem) {
        store(parser, text, key_size, parsed);
        return;
    }
    config_problem_add(parser->problems, parser->line, "%.*s: %s", (int)key_size, text, problem);
    if (parser->config->broken_count < CONFIG_MAX_ENTRIES)
        broken_add(parser->config, str_printf("%.*s", (int)key_size, text));
}

static void parse_line(struct parser *parser, const char *text, size_t size) {
    if (memchr(text, 0, size)) {
        config_problem_add(parser->problems, parser->line, "a NUL byte: this is not a text file");
        return;
    }
    if (size > 0 && text[size - 1] == '\r') {
        size--;
        if (!parser->said_crlf)
            config_problem_add(parser->problems, parser->line, "Windows line ends (CR LF) from this line on: save the file with LF only");
        parser->said_crlf = true;
    }
    while (size > 0 && is_blank(text[size - 1]))
        size--;
    size_t indent = 0;
    while (indent < size && is_blank(text[indent]))
        indent++;
    if (indent < size && text[indent] != '#')
        parse_pair(parser, text, size);
}

int config_parse(const char *text, size_t size, struct config *ret_config, struct config_problems *problems) {
    static const char bom[] = {'\xef', '\xbb', '\xbf'};
    *ret_config = (struct config){0};
    size_t before = problems->count;
    struct parser parser = {.config = ret_config, .problems = problems, .line = 1};
    size_t at = 0;
    if (size >= sizeof(bom) && memcmp(text, bom, sizeof(bom)) == 0) {
        config_problem_add(problems, 1, "the file starts with a byte order mark: save it as UTF-8 without BOM");
        at = sizeof(bom);
    }
    for (; at < size; parser.line++) {
        const char *end = memchr(text + at, '\n', size - at);
        size_t length = end ? (size_t)(end - text) - at : size - at;
        if (at + length + (end != NULL) > CONFIG_MAX_BYTES) {
            config_problem_add(problems, parser.line,
                               "the file is larger than %d bytes, of which the last is in this line: the rest was not read",
                               CONFIG_MAX_BYTES);
            break;
        }
        parse_line(&parser, text + at, length);
        at += length + 1;
    }
    return problems->count > before ? -EINVAL : 0;
}

int config_format_entry(const char *key, const char *value, struct buf *buf) {
    size_t size = strlen(value);
    if (!is_key(key, strlen(key)) || strlen(key) > CONFIG_KEY_BYTES || text_problem(value, size))
        return -EINVAL;
    if (!bare_problem(value, size))
        buf_printf(buf, "%s=%s\n", key, value);
    else if (!strchr(value, '\''))
        buf_printf(buf, "%s='%s'\n", key, value);
    else if (!strpbrk(value, "\"$`\\"))
        buf_printf(buf, "%s=\"%s\"\n", key, value);
    else
        return -EINVAL;
    return 0;
}
