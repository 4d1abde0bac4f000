// SPDX-License-Identifier: Apache-2.0
// What a stack is made of. The order is that of the JSON.
#include "common/stack_table.h"
#include "common/schema_types.h"
#include <string.h>

static const char *const protocols[] = {[STACK_TCP] = "tcp", [STACK_UDP] = "udp"};
static const char *const changes[] = {[STACK_RESTART] = "restart", [STACK_RELOAD] = "reload", [STACK_KEEP] = "keep"};
static const char *const check_kinds[] = {
    [STACK_CHECK_UNIT] = "unit", [STACK_CHECK_TCP] = "tcp", [STACK_CHECK_HTTP] = "http", [STACK_CHECK_COMMAND] = "command"};
static const char *const events[] = {
    [STACK_BEFORE_UPDATE] = "before-update", [STACK_BEFORE_REBOOT] = "before-reboot", [STACK_AFTER_START] = "after-start"};

static int find_word(const char *const *words, int count, const char *word) {
    for (int i = 0; i < count; i++)
        if (strcmp(words[i], word) == 0)
            return i;
    return -1;
}

int stack_protocol_find(const char *word) {
    return find_word(protocols, ARRAY_SIZE(protocols), word);
}

int stack_on_change_find(const char *word) {
    return find_word(changes, ARRAY_SIZE(changes), word);
}

int stack_check_kind_find(const char *word) {
    return find_word(check_kinds, ARRAY_SIZE(check_kinds), word);
}

int stack_event_find(const char *word) {
    return find_word(events, ARRAY_SIZE(events), word);
}

const char *stack_event_name(enum stack_event event) {
    return events[event];
}

const char *stack_protocol_name(enum stack_protocol protocol) {
    return protocols[protocol];
}

static const char *protocol_name(int value) {
    return protocols[value];
}

static const char *change_name(int value) {
    return changes[value];
}

static const char *kind_name(int value) {
    return check_kinds[value];
}

static const char *event_name(int value) {
    return events[value];
}

static const char *type_name(int value) {
    return schema_types[value].word;
}

static const char *format_name(int value) {
    return template_format_name((enum template_format)value);
}

static const struct stack_words protocol_words = {stack_protocol_find, protocol_name, ARRAY_SIZE(protocols)},
                                change_words = {stack_on_change_find, change_name, ARRAY_SIZE(changes)},
                                kind_words = {stack_check_kind_find, kind_name, ARRAY_SIZE(check_kinds)},
                                event_words = {stack_event_find, event_name, ARRAY_SIZE(events)},
                                type_words = {schema_type_find, type_name, SCHEMA_TYPES},
                                format_words = {template_format_find, format_name, TEMPLATE_FORMATS};

#define MEMBER(kind, struct_, member, ...)                                                                                                 \
    { #member, STACK_KIND_##kind, offsetof(struct struct_, member), __VA_ARGS__ }
#define NAMED(name, kind, struct_, member, ...)                                                                                            \
    { name, STACK_KIND_##kind, offsetof(struct struct_, member), __VA_ARGS__ }
#define REQUIRED .is_required = true
#define OPTIONAL .is_required = false
#define END                                                                                                                                \
    { .name = NULL }

static const struct stack_member key_members[] = {
    NAMED("name", TEXT, stack_key, schema.name, REQUIRED),
    NAMED("type", WORD, stack_key, schema.type, REQUIRED, .words = &type_words),
    NAMED("required", BOOL, stack_key, is_required, OPTIONAL),
    MEMBER(TEXT, stack_key, required_when, OPTIONAL),
    NAMED("default", TEXT, stack_key, schema.fallback, OPTIONAL),
    NAMED("min", INT64, stack_key, schema.min, OPTIONAL),
    NAMED("max", INT64, stack_key, schema.max, OPTIONAL),
    MEMBER(TEXT, stack_key, at_least, OPTIONAL),
    NAMED("choices", WORDS, stack_key, schema.choices, OPTIONAL),
    MEMBER(TEXT, stack_key, pattern, OPTIONAL),
    NAMED("help", TEXT, stack_key, schema.help, REQUIRED),
    END,
};

static const struct stack_member file_members[] = {
    MEMBER(TEXT, stack_file, template, REQUIRED),
    MEMBER(TEXT, stack_file, path, REQUIRED),
    MEMBER(TEXT, stack_file, owner, OPTIONAL),
    MEMBER(MODE, stack_file, mode, REQUIRED),
    MEMBER(WORD, stack_file, format, REQUIRED, .words = &format_words),
    MEMBER(TEXT, stack_file, when, OPTIONAL),
    END,
};

static const struct stack_member port_members[] = {
    MEMBER(TEXT, stack_port, port, REQUIRED),
    MEMBER(WORD, stack_port, protocol, OPTIONAL, .words = &protocol_words),
    MEMBER(TEXT, stack_port, from, REQUIRED),
    MEMBER(TEXT, stack_port, when, OPTIONAL),
    END,
};

static const struct stack_member unit_members[] = {
    MEMBER(TEXT, stack_unit, unit, REQUIRED),
    MEMBER(WORD, stack_unit, on_change, OPTIONAL, .words = &change_words),
    MEMBER(TEXT, stack_unit, when, OPTIONAL),
    END,
};

static const struct stack_member data_members[] = {
    MEMBER(TEXT, stack_data, path, REQUIRED),
    MEMBER(TEXT, stack_data, owner, OPTIONAL),
    MEMBER(MODE, stack_data, mode, REQUIRED),
    END,
};

static const struct stack_member sysctl_members[] = {
    MEMBER(TEXT, stack_sysctl, name, REQUIRED),
    MEMBER(LONG, stack_sysctl, value, REQUIRED),
    END,
};

static const struct stack_member check_members[] = {
    MEMBER(TEXT, stack_check, name, REQUIRED),
    MEMBER(WORD, stack_check, kind, REQUIRED, .words = &kind_words),
    MEMBER(TEXT, stack_check, unit, OPTIONAL),
    MEMBER(TEXT, stack_check, address, OPTIONAL),
    MEMBER(TEXT, stack_check, url, OPTIONAL),
    MEMBER(UNSIGNED, stack_check, expect, OPTIONAL),
    MEMBER(TEXTS, stack_check, command, OPTIONAL),
    MEMBER(TEXT, stack_check, user, OPTIONAL),
    NAMED("timeout", UNSIGNED, stack_check, timeout_seconds, OPTIONAL),
    MEMBER(TEXT, stack_check, when, OPTIONAL),
    END,
};

static const struct stack_member hook_members[] = {
    MEMBER(WORD, stack_hook, event, REQUIRED, .words = &event_words),
    MEMBER(TEXTS, stack_hook, command, REQUIRED),
    MEMBER(TEXT, stack_hook, user, OPTIONAL),
    NAMED("timeout", UNSIGNED, stack_hook, timeout_seconds, OPTIONAL),
    NAMED("required", BOOL, stack_hook, is_required, OPTIONAL),
    MEMBER(TEXT, stack_hook, when, OPTIONAL),
    END,
};

#define LIST(name, array, count, item, table)                                                                                              \
    NAMED(name, LIST, stack, array, .members = table, .size = sizeof(struct item), .count_offset = offsetof(struct stack, count))

const struct stack_member stack_members[] = {
    MEMBER(TEXT, stack, name, REQUIRED),
    MEMBER(TEXT, stack, summary, REQUIRED),
    MEMBER(TEXT, stack, enable, REQUIRED),
    MEMBER(TEXT, stack, package, OPTIONAL),
    NAMED("start_timeout", UNSIGNED, stack, start_timeout_seconds, OPTIONAL),
    LIST("keys", keys, key_count, stack_key, key_members),
    MEMBER(TEXTS, stack, requires, OPTIONAL),
    MEMBER(TEXTS, stack, conflicts, OPTIONAL),
    MEMBER(TEXTS, stack, persist, OPTIONAL),
    LIST("files", files, file_count, stack_file, file_members),
    LIST("ports", ports, port_count, stack_port, port_members),
    LIST("units", units, unit_count, stack_unit, unit_members),
    LIST("data", data, data_count, stack_data, data_members),
    LIST("sysctls", sysctls, sysctl_count, stack_sysctl, sysctl_members),
    LIST("health", checks, check_count, stack_check, check_members),
    LIST("hooks", hooks, hook_count, stack_hook, hook_members),
    END,
};
