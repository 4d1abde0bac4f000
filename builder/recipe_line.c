// SPDX-License-Identifier: Apache-2.0
// Walks the events of a YAML text, keeping the path of each node, and remembers the line of the one nearest to what is wanted.
#include "builder/recipe_line.h"
#include "builder/recipe.h"
#include "common/buf.h"
#include "common/file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <yaml.h>

#define MAX_DEPTH 8

struct finder {
    yaml_parser_t parser;
    const char *wanted;
    size_t best; // length of the path of the node that was nearest
    unsigned line;
};

// Whether `path` is the wanted one or on the way to it.
static void consider(struct finder *finder, const char *path, const yaml_event_t *event) {
    size_t size = strlen(path);
    if (strncmp(finder->wanted, path, size) != 0 || (finder->wanted[size] && !strchr(".[", finder->wanted[size])) || size < finder->best)
        return;
    finder->best = size;
    finder->line = (unsigned)event->start_mark.line + 1;
}

static bool walk(struct finder *finder, const yaml_event_t *event, const char *path, unsigned depth);

static bool walk_child(struct finder *finder, yaml_event_t *event, bool is_mapping, const char *path, unsigned depth) {
    consider(finder, path, event); // in a mapping this is the key
    if (is_mapping) {
        yaml_event_delete(event);
        if (!yaml_parser_parse(&finder->parser, event))
            return false;
    }
    bool goes_on = walk(finder, event, path, depth);
    yaml_event_delete(event);
    return goes_on;
}

// One child after the other until the list or mapping ends.
static bool walk_children(struct finder *finder, bool is_mapping, const char *path, unsigned depth) {
    for (unsigned i = 0;; i++) {
        yaml_event_t event;
        if (!yaml_parser_parse(&finder->parser, &event))
            return false;
        if (event.type == YAML_SEQUENCE_END_EVENT || event.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&event);
            return true;
        }
        const char *key = event.type == YAML_SCALAR_EVENT ? (const char *)event.data.scalar.value : "";
        cleanup_free char *child = is_mapping ? str_printf("%s%s%s", path, *path ? "." : "", key) : str_printf("%s[%u]", path, i);
        if (!walk_child(finder, &event, is_mapping, child, depth))
            return false;
    }
}

static bool walk(struct finder *finder, const yaml_event_t *event, const char *path, unsigned depth) {
    bool is_mapping = event->type == YAML_MAPPING_START_EVENT;
    if (!is_mapping && event->type != YAML_SEQUENCE_START_EVENT)
        return event->type == YAML_SCALAR_EVENT;
    return depth < MAX_DEPTH && walk_children(finder, is_mapping, path, depth + 1);
}

unsigned recipe_line(const char *text, size_t size, const char *member) {
    struct finder finder = {.wanted = member, .line = 1};
    yaml_event_t event;
    if (!yaml_parser_initialize(&finder.parser))
        abort();
    yaml_parser_set_input_string(&finder.parser, (const unsigned char *)text, size);
    bool is_node = false;
    while (!is_node && yaml_parser_parse(&finder.parser, &event)) {
        is_node = event.type != YAML_STREAM_START_EVENT && event.type != YAML_DOCUMENT_START_EVENT;
        if (is_node)
            (void)walk(&finder, &event, "", 0);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&finder.parser);
    return finder.line;
}

struct recipe_place recipe_within(const struct recipe_place *place, const char *list, unsigned index) {
    struct recipe_place here = *place;
    snprintf(here.within, sizeof(here.within), "%.40s[%u].", list, index); // lists of mappings are one level deep
    return here;
}

int recipe_complain(const struct recipe_place *place, const char *member, const char *format, ...) {
    char what[400];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    cleanup_free char *path = str_printf("%s%s", place->within, member);
    return err_set(place->err, -EINVAL, "%s:%u: %s: %s", place->name, recipe_line(place->text, place->size, path), path, what);
}

int recipe_blame(const char *path, const char *member, int code, struct err *err) {
    cleanup_free char *text = NULL;
    struct err ignored;
    size_t size = 0;
    if (file_read(AT_FDCWD, path, RECIPE_MAX_BYTES, &text, &size, &ignored) < 0)
        return err_prefix(err, code, "%s: %s", path, member);
    return err_prefix(err, code, "%s:%u: %s", path, recipe_line(text, size, member), member);
}
