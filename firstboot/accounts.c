// SPDX-License-Identifier: Apache-2.0
// passwd(5), group(5), shadow(5), gshadow(5): line by line, fields by ':'.
#include "firstboot/accounts.h"
#include <limits.h>
#include <string.h>

// The groups that Debian's journal and logs are readable for.
static const char *const operator_groups[] = {"adm", "systemd-journal"};

struct line {
    const char *text;
    size_t size;
};

static bool next_line(const char **cursor, struct line *ret_line) {
    if (!**cursor)
        return false;
    *ret_line = (struct line){*cursor, strcspn(*cursor, "\n")};
    *cursor += ret_line->size + ((*cursor)[ret_line->size] == '\n');
    return true;
}

// Field n (from 0) of a line; an empty one behind the last.
static struct line field(struct line line, int number) {
    while (number-- > 0) {
        const char *colon = memchr(line.text, ':', line.size);
        if (!colon)
            return (struct line){line.text + line.size, 0};
        line.size -= (size_t)(colon + 1 - line.text);
        line.text = colon + 1;
    }
    const char *colon = memchr(line.text, ':', line.size);
    return (struct line){line.text, colon ? (size_t)(colon - line.text) : line.size};
}

static bool is_text(struct line line, const char *text) {
    return line.size == strlen(text) && memcmp(line.text, text, line.size) == 0;
}

static bool is_number(struct line line, unsigned number) {
    char text[16];
    snprintf(text, sizeof(text), "%u", number);
    return is_text(line, text);
}

static bool has_taken(const char *text, const char *name, unsigned number) {
    struct line line;
    for (const char *cursor = text; next_line(&cursor, &line);)
        if (is_text(field(line, 0), name) && !is_number(field(line, 2), number))
            return true;
    return false;
}

bool accounts_is_taken(const char *passwd, const char *group, const struct account *account) {
    return has_taken(passwd, account->name, account->uid) || has_taken(group, account->name, account->gid);
}

static bool parse_number(struct line line, unsigned *ret_number) {
    unsigned number = 0;
    for (size_t i = 0; i < line.size; i++) {
        if (line.text[i] < '0' || line.text[i] > '9' || number > (UINT_MAX - 9) / 10)
            return false;
        number = number * 10 + (unsigned)(line.text[i] - '0');
    }
    *ret_number = number;
    return line.size > 0;
}

bool accounts_find_group(const char *group, const char *name, unsigned *ret_gid) {
    struct line line;
    for (const char *cursor = group; next_line(&cursor, &line);)
        if (is_text(field(line, 0), name))
            return parse_number(field(line, 2), ret_gid);
    return false;
}

static void add_line(struct buf *buf, struct line line) {
    buf_add(buf, line.text, line.size);
    buf_add_str(buf, "\n");
}

// passwd and group: number in field 2. shadow and gshadow have none, so a former operator is the one that passwd no longer names; it has
// no uid any more and is harmless, but the volatile /etc forgets it at the next boot anyway.
static void copy_others(const char *text, const struct account *account, bool has_number, unsigned number, struct buf *buf) {
    struct line line;
    for (const char *cursor = text; next_line(&cursor, &line);)
        if (!is_text(field(line, 0), account->name) && !(has_number && is_number(field(line, 2), number)))
            add_line(buf, line);
}

void accounts_passwd(const char *text, const struct account *account, struct buf *ret_text) {
    copy_others(text, account, true, account->uid, ret_text);
    buf_printf(ret_text, "%s:x:%u:%u:Operator:/home/%s:/bin/bash\n", account->name, account->uid, account->gid, account->name);
}

void accounts_shadow(const char *text, const struct account *account, struct buf *ret_text) {
    copy_others(text, account, false, 0, ret_text);
    buf_printf(ret_text, "%s:%s:::::::\n", account->name, account->password_hash ? account->password_hash : "!*");
}

// A line with less than the four fields of group(5) is no group; it stays as it is.
static bool has_members(struct line line) {
    unsigned colons = 0;
    for (size_t i = 0; i < line.size; i++)
        colons += line.text[i] == ':';
    return colons >= 3;
}

// Puts the operator as the one member into the operator's groups.
static void copy_groups(const char *text, const struct account *account, bool has_number, struct buf *buf) {
    cleanup_buf struct buf others = {0};
    copy_others(text, account, has_number, account->gid, &others);
    struct line line;
    for (const char *cursor = buf_str(&others); next_line(&cursor, &line);) {
        bool is_ours = false;
        for (size_t i = 0; i < ARRAY_SIZE(operator_groups); i++)
            is_ours = is_ours || (has_members(line) && is_text(field(line, 0), operator_groups[i]));
        if (is_ours)
            line.size = (size_t)(field(line, 3).text - line.text);
        buf_add(buf, line.text, line.size);
        buf_printf(buf, "%s\n", is_ours ? account->name : "");
    }
}

void accounts_group(const char *text, const struct account *account, struct buf *ret_text) {
    copy_groups(text, account, true, ret_text);
    buf_printf(ret_text, "%s:x:%u:\n", account->name, account->gid);
}

void accounts_gshadow(const char *text, const struct account *account, struct buf *ret_text) {
    copy_groups(text, account, false, ret_text);
    buf_printf(ret_text, "%s:!::\n", account->name);
}
