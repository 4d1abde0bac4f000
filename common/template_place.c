// SPDX-License-Identifier: Apache-2.0
// One row per format says what its quotes, escapes and comments are. No parser of these formats: it is told apart where a value may stand, and what
// it cannot tell is refused.
#include "common/template_place.h"
#include <string.h>

enum comments { COMMENT_LINE, COMMENT_WORD, COMMENT_ANYWHERE }; // where one may begin

struct lexis {
    const char *quotes, *comment_marks;
    enum comments comments;
    const char *escaping_quotes; // quotes inside of which a backslash escapes
    bool is_escaping; // so it does outside of quotes
    bool is_quoted; // values bring quotes of their own
    bool is_joining; // two quoted texts beside each other are one
    const char *(*problem)(const struct place *place);
};

// A scalar begins behind an indicator; behind anything else its quotes are part of a plain scalar.
static bool yaml_scalar_begins(const struct place *place) {
    return place->last == 0 || place->last == PLACE_UNKNOWN || strchr("[{", place->last) || (place->last == ',' && place->depth > 0) ||
           (strchr(":-?", place->last) && place->is_spaced);
}

static const char *yaml_problem(const struct place *place) {
    return yaml_scalar_begins(place) ? NULL : "a value is a scalar of its own: it cannot follow other text ({{word …}} can)";
}

static const char *ini_problem(const struct place *place) {
    return place->has_equals ? NULL : "a value stands behind '=' ({{word …}} can stand elsewhere)";
}

static const char *line_problem(const struct place *place) {
    return place->last ? NULL : "a value cannot begin a line ({{word …}} can)";
}

// systemd takes quotes only at the begin of a value.
static const char *env_problem(const struct place *place) {
    bool follows = place->last && strchr((char[]){'=', '"', '\'', PLACE_VALUE, PLACE_UNKNOWN, 0}, place->last);
    return follows && !place->is_spaced ? NULL : "a value stands right behind '=' ({{word …}} can stand elsewhere)";
}

static const char *shell_problem(const struct place *place) {
    if (place->is_comment)
        return "a value may have several lines: it cannot stand in a comment";
    return place->last == '$' && !place->is_spaced ? "a value cannot stand behind '$'" : NULL;
}

static const struct lexis lexes[TEMPLATE_FORMATS] = {
    [TEMPLATE_WORD] = {"", "", COMMENT_LINE, "", false, false, true, NULL},
    [TEMPLATE_YAML] = {"\"'", "#", COMMENT_WORD, "\"", false, true, false, yaml_problem},
    [TEMPLATE_JSON] = {"\"", "", COMMENT_LINE, "\"", false, true, false, NULL},
    [TEMPLATE_INI] = {"", "#;", COMMENT_LINE, "", false, false, true, ini_problem},
    [TEMPLATE_LINE] = {"", "#;", COMMENT_LINE, "", false, false, true, line_problem},
    [TEMPLATE_ENV] = {"\"'", "#;", COMMENT_LINE, "\"", true, true, true, env_problem},
    [TEMPLATE_SHELL] = {"\"'`", "#", COMMENT_WORD, "\"`", true, true, true, shell_problem},
    [TEMPLATE_NFT] = {"\"", "#", COMMENT_ANYWHERE, "", false, true, false, NULL},
    [TEMPLATE_POSTGRESQL] = {"'", "#", COMMENT_ANYWHERE, "'", false, true, false, NULL},
    [TEMPLATE_PGPASS] = {"", "#", COMMENT_LINE, "", true, false, true, NULL},
    [TEMPLATE_RAW] = {"", "", COMMENT_LINE, "", false, false, true, NULL},
};

static void set_last(struct place *place, char last) {
    place->last = last;
    place->is_spaced = false;
}

static void begin_line(struct place *place) {
    place->is_comment = place->is_escaped = place->has_equals = false;
    set_last(place, 0);
}

static bool begins_comment(const struct lexis *lexis, const struct place *place, char c) {
    if (!strchr(lexis->comment_marks, c))
        return false;
    return place->last == 0 || lexis->comments == COMMENT_ANYWHERE || (lexis->comments == COMMENT_WORD && place->is_spaced);
}

static void inside_quotes(const struct lexis *lexis, struct place *place, char c) {
    if (c == '\\' && strchr(lexis->escaping_quotes, place->quote)) {
        place->is_escaped = true;
    } else if (c == place->quote) {
        place->quote = 0;
        set_last(place, c);
    }
}

static void outside_quotes(const struct lexis *lexis, enum template_format format, struct place *place, char c) {
    bool is_quote = strchr(lexis->quotes, c) && (format != TEMPLATE_YAML || yaml_scalar_begins(place));
    if (format == TEMPLATE_SHELL && c == '<' && place->last == '<' && !place->is_spaced)
        place->problem = "what stands in a here-document cannot be quoted: use printf";
    if (is_quote && !lexis->is_joining && place->last == PLACE_VALUE && !place->is_spaced)
        place->problem = "a quote stands right behind a value, which brings its own";
    place->is_escaped = lexis->is_escaping && c == '\\';
    place->quote = is_quote ? c : 0;
    place->depth += strchr("[{", c) ? 1 : strchr("]}", c) ? -1 : 0;
    place->has_equals = place->has_equals || c == '=';
    set_last(place, c);
}

static void place_char(const struct lexis *lexis, enum template_format format, struct place *place, char c) {
    if (c == '\n') {
        begin_line(place);
    } else if (place->is_comment) {
        return;
    } else if (place->is_escaped) {
        place->is_escaped = false;
        set_last(place, c);
    } else if (place->quote) {
        inside_quotes(lexis, place, c);
    } else if (c == ' ' || c == '\t') {
        place->is_spaced = true;
    } else if (begins_comment(lexis, place, c)) {
        place->is_comment = true;
    } else {
        outside_quotes(lexis, format, place, c);
    }
}

void place_text(enum template_format format, struct place *place, const char *text, size_t size) {
    for (size_t i = 0; i < size; i++)
        place_char(&lexes[format], format, place, text[i]);
}

void place_word(struct place *place) {
    place->is_escaped = false;
    if (!place->quote)
        set_last(place, 'w');
}

void place_value(struct place *place) {
    set_last(place, PLACE_VALUE);
}

const char *place_problem(enum template_format format, const struct place *place) {
    const struct lexis *lexis = &lexes[format];
    if (place->quote)
        return "a value brings its own quotes: it cannot stand inside of quotes ({{word …}} can)";
    if (place->is_escaped)
        return "a value cannot stand behind a backslash";
    bool touches = !place->is_spaced && place->last && strchr((char[]){'"', '\'', PLACE_VALUE, 0}, place->last);
    if (lexis->is_quoted && !lexis->is_joining && touches)
        return "a value brings its own quotes: it cannot stand right behind another";
    return lexis->problem ? lexis->problem(place) : NULL;
}

bool place_join(struct place *place, const struct place *before) {
    if (place->quote != before->quote || place->is_escaped != before->is_escaped || place->is_comment != before->is_comment ||
        place->depth != before->depth)
        return false;
    if (place->last != before->last || place->is_spaced != before->is_spaced)
        set_last(place, PLACE_UNKNOWN);
    place->has_equals = place->has_equals && before->has_equals;
    return true;
}
