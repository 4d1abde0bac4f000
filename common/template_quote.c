// SPDX-License-Identifier: Apache-2.0
// One function per format. What a format has no escape for is refused: nothing is ever dropped or replaced in a value.
#include "common/template_quote.h"
#include "common/utf8.h"
#include <stdbool.h>
#include <string.h>

static const char no_control[] = "a line end or another control character cannot be written into this file";
static const char no_utf8[] = "what is no UTF-8 text cannot be written into this file";
static const char no_nul[] = "a NUL byte cannot be written into this file";

static bool is_control(char c) {
    return (unsigned char)c < 0x20 || c == 0x7f;
}

static bool has_control(const char *text, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (is_control(text[i]))
            return true;
    return false;
}

static bool is_utf8(const char *text, size_t size) {
    for (size_t at = 0, length = 0; at < size; at += length) {
        length = utf8_length((const unsigned char *)text + at, size - at);
        if (length == 0)
            return false;
    }
    return true;
}

// Every byte of `special` gets `escape` in front.
static void add_escaped(struct buf *buf, const char *text, size_t size, const char *special, char escape) {
    for (size_t i = 0; i < size; i++) {
        if (text[i] && strchr(special, text[i]))
            buf_add(buf, &escape, 1);
        buf_add(buf, text + i, 1);
    }
}

static const char *quote_raw(const char *text, size_t size, struct buf *buf) {
    buf_add(buf, text, size);
    return NULL;
}

// Code points that YAML does not print, or takes for a line end.
static bool is_unprintable(uint32_t code) {
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x2028 || code == 0x2029 || code == 0xfeff || code == 0xfffe ||
           code == 0xffff;
}

// A JSON string; with \u for whatever YAML is particular about it is a YAML scalar, too.
static const char *quote_json(const char *text, size_t size, struct buf *buf) {
    if (memchr(text, 0, size))
        return no_nul;
    if (!is_utf8(text, size))
        return no_utf8;
    buf_add_str(buf, "\"");
    for (size_t at = 0, length = 0; at < size; at += length) {
        length = utf8_length((const unsigned char *)text + at, size - at);
        uint32_t code = utf8_decode((const unsigned char *)text + at, length);
        if (is_unprintable(code))
            buf_printf(buf, "\\u%04x", code);
        else
            add_escaped(buf, text + at, length, "\"\\", '\\');
    }
    buf_add_str(buf, "\"");
    return NULL;
}

// What readers of such lines strip or join: blanks at both ends, a line that ends in a backslash.
static const char *quote_line(const char *text, size_t size, struct buf *buf) {
    if (has_control(text, size))
        return no_control;
    if (!is_utf8(text, size))
        return no_utf8;
    if (size > 0 && (text[0] == ' ' || text[size - 1] == ' '))
        return "a blank at its begin or end cannot be written into this file";
    if (size > 0 && text[size - 1] == '\\')
        return "a backslash at its end cannot be written into this file";
    buf_add(buf, text, size);
    return NULL;
}

// "50%": where systemd takes a percentage it knows no specifiers, and takes no "50%%"; elsewhere it leaves a '%' at the end alone.
static bool is_percentage(const char *text, size_t size) {
    return size > 1 && text[size - 1] == '%' && strspn(text, "0123456789") == size - 1;
}

static void add_specifiers_escaped(struct buf *buf, const char *text, size_t size) {
    add_escaped(buf, text, size, is_percentage(text, size) ? "" : "%", '%');
}

// systemd replaces specifiers ("%H"), too.
static const char *quote_ini(const char *text, size_t size, struct buf *buf) {
    cleanup_buf struct buf line = {0};
    const char *why = quote_line(text, size, &line);
    if (!why)
        add_specifiers_escaped(buf, text, size);
    return why;
}

// What systemd takes back from behind a backslash in double quotes; a shell agrees.
static const char *quote_env(const char *text, size_t size, struct buf *buf) {
    if (has_control(text, size))
        return no_control;
    if (!is_utf8(text, size))
        return no_utf8;
    buf_add_str(buf, "\"");
    add_escaped(buf, text, size, "\"\\`$", '\\');
    buf_add_str(buf, "\"");
    return NULL;
}

static const char *quote_shell(const char *text, size_t size, struct buf *buf) {
    if (memchr(text, 0, size))
        return no_nul;
    buf_add_str(buf, "'");
    for (size_t i = 0; i < size; i++)
        buf_add(buf, text[i] == '\'' ? "'\\''" : text + i, text[i] == '\'' ? 4 : 1);
    buf_add_str(buf, "'");
    return NULL;
}

// nft has no escape inside quotes, and a '*' at the end of a quoted interface name matches more than itself.
static const char *quote_nft(const char *text, size_t size, struct buf *buf) {
    if (has_control(text, size))
        return no_control;
    if (!is_utf8(text, size))
        return no_utf8;
    for (size_t i = 0; i < size; i++)
        if (strchr("\"\\*", text[i]))
            return "a double quote, backslash or asterisk cannot be written into this file";
    buf_add_str(buf, "\"");
    buf_add(buf, text, size);
    buf_add_str(buf, "\"");
    return NULL;
}

// As a string of SQL, but a backslash escapes, too.
static const char *quote_postgresql(const char *text, size_t size, struct buf *buf) {
    if (has_control(text, size))
        return no_control;
    buf_add_str(buf, "'");
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\'' || text[i] == '\\')
            buf_add(buf, text + i, 1);
        buf_add(buf, text + i, 1);
    }
    buf_add_str(buf, "'");
    return NULL;
}

// A field that is "*" matches everything, a line that begins with '#' nothing.
static const char *quote_pgpass(const char *text, size_t size, struct buf *buf) {
    if (has_control(text, size))
        return no_control;
    if (size > 0 && (text[0] == '#' || (text[0] == '*' && size == 1)))
        buf_add_str(buf, "\\");
    add_escaped(buf, text, size, ":\\", '\\');
    return NULL;
}

static const struct {
    const char *name;
    const char *(*quote)(const char *text, size_t size, struct buf *buf); // NULL: values are words
    bool has_specifiers;
} formats[TEMPLATE_FORMATS] = {
    [TEMPLATE_WORD] = {"word", NULL, false},
    [TEMPLATE_YAML] = {"yaml", quote_json, false},
    [TEMPLATE_JSON] = {"json", quote_json, false},
    [TEMPLATE_INI] = {"ini", quote_ini, true},
    [TEMPLATE_LINE] = {"line", quote_line, false},
    [TEMPLATE_ENV] = {"env", quote_env, false},
    [TEMPLATE_SHELL] = {"shell", quote_shell, false},
    [TEMPLATE_NFT] = {"nft", quote_nft, false},
    [TEMPLATE_POSTGRESQL] = {"postgresql", quote_postgresql, false},
    [TEMPLATE_PGPASS] = {"pgpass", quote_pgpass, false},
    [TEMPLATE_RAW] = {"raw", quote_raw, false},
};

const char *template_quote(enum template_format format, const char *text, size_t size, struct buf *buf) {
    if (!formats[format].quote)
        return template_quote_word(format, text, size, buf);
    return formats[format].quote(text, size, buf);
}

const char *template_quote_word(enum template_format format, const char *text, size_t size, struct buf *buf) {
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:/%+@,=-";
    if (size == 0)
        return "an empty value cannot be a word";
    for (size_t i = 0; i < size; i++)
        if (text[i] == 0 || !strchr(allowed, text[i]))
            return "only letters, digits and . _ : / % + @ , = - can be written here";
    if (formats[format].has_specifiers)
        add_specifiers_escaped(buf, text, size);
    else
        buf_add(buf, text, size);
    return NULL;
}

int template_format_find(const char *word) {
    for (int i = 0; i < TEMPLATE_FORMATS; i++)
        if (strcmp(formats[i].name, word) == 0)
            return i;
    return -1;
}

const char *template_format_name(enum template_format format) {
    return formats[format].name;
}
