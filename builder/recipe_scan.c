// SPDX-License-Identifier: Apache-2.0
// What libcyaml lets pass or says without a line: a text that is no YAML, aliases, a second document, a text with a NUL in it.
#include "builder/recipe_yaml.h"
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <yaml.h>

// Bytes that are no text at all have an offset only.
static unsigned line_of_problem(const yaml_parser_t *parser, const char *text, size_t size) {
    unsigned line = 1;
    if (parser->error != YAML_READER_ERROR)
        return (unsigned)parser->problem_mark.line + 1;
    for (size_t i = 0; i < size && i < parser->problem_offset; i++)
        line += text[i] == '\n';
    return line;
}

// A tab is what most often "cannot start any token".
static const char *advise(const yaml_parser_t *parser) {
    return parser->problem && strstr(parser->problem, "cannot start any token") ? " (a tab? indent with blanks)" : "";
}

static int complain_of_syntax(const yaml_parser_t *parser, const char *text, size_t size, const char *name, struct err *err) {
    (void)err_set(err, -EINVAL, "%s:%u: this is not YAML: %s%s", name, line_of_problem(parser, text, size),
                  parser->problem ?: "out of memory", advise(parser));
    if (!parser->context || parser->error == YAML_READER_ERROR || parser->context_mark.line == parser->problem_mark.line)
        return -EINVAL;
    size_t end = strlen(err->text);
    snprintf(err->text + end, sizeof(err->text) - end, " (%s, from line %zu on)", parser->context, parser->context_mark.line + 1);
    return -EINVAL;
}

static const char *problem_of(const yaml_event_t *event, unsigned *documents) {
    if (event->type == YAML_DOCUMENT_START_EVENT && ++*documents > 1)
        return "a second document begins here, which nobody would read: a recipe is one";
    if (event->type == YAML_ALIAS_EVENT)
        return "an alias (*name): write the value itself";
    if (event->type == YAML_SCALAR_EVENT && memchr(event->data.scalar.value, 0, event->data.scalar.length))
        return "a text with a NUL character in it";
    return NULL;
}

int recipe_yaml_scan(const char *text, size_t size, const char *name, struct err *err) {
    yaml_parser_t parser;
    yaml_event_t event;
    unsigned documents = 0;
    int r = 0;
    if (!yaml_parser_initialize(&parser))
        abort();
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
    for (bool is_end = false; r >= 0 && !is_end;) {
        if (!yaml_parser_parse(&parser, &event)) {
            r = complain_of_syntax(&parser, text, size, name, err);
            break;
        }
        const char *problem = problem_of(&event, &documents);
        if (problem)
            r = err_set(err, -EINVAL, "%s:%zu: %s", name, event.start_mark.line + 1, problem);
        is_end = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return r;
}
