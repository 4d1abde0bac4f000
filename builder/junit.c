// SPDX-License-Identifier: Apache-2.0
// Writes the XML report. The hard part is other people's text: a console holds escape sequences and half characters.
#include "builder/junit.h"
#include <inttypes.h>
#include <string.h>

// Length of the UTF-8 character at `text` that XML 1.0 allows (section 2.2), 0 when there is none.
static size_t character_bytes(const unsigned char *text) {
    static const struct {
        unsigned char mask, lead, bytes;
        uint32_t least; // shorter forms of the same character are not UTF-8
    } forms[] = {{0x80, 0x00, 1, 0}, {0xe0, 0xc0, 2, 0x80}, {0xf0, 0xe0, 3, 0x800}, {0xf8, 0xf0, 4, 0x10000}};
    for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
        if ((text[0] & forms[i].mask) != forms[i].lead)
            continue;
        uint32_t c = text[0] & (unsigned char)~forms[i].mask;
        for (size_t k = 1; k < forms[i].bytes; k++) {
            if ((text[k] & 0xc0) != 0x80)
                return 0; // also stops at the end of the text
            c = c << 6 | (text[k] & 0x3f);
        }
        bool allowed = c == '\t' || c == '\n' || c == '\r' || (c >= 0x20 && c <= 0xd7ff) || (c >= 0xe000 && c <= 0xfffd) || c >= 0x10000;
        return allowed && c >= forms[i].least && c <= 0x10ffff && c != 0x7f ? forms[i].bytes : 0;
    }
    return 0;
}

static void add_escaped(const char *text, struct buf *xml) {
    static const char *const entities[] = {['&'] = "&amp;", ['<'] = "&lt;", ['>'] = "&gt;", ['"'] = "&quot;"};
    for (const unsigned char *c = (const unsigned char *)text; *c;) {
        size_t bytes = character_bytes(c);
        const char *entity = *c < ARRAY_SIZE(entities) ? entities[*c] : NULL;
        if (entity)
            buf_add_str(xml, entity);
        else if (bytes)
            buf_add(xml, c, bytes);
        else
            buf_add_str(xml, "?");
        c += bytes ? bytes : 1;
    }
}

static void add_attribute(const char *name, const char *text, struct buf *xml) {
    buf_printf(xml, " %s=\"", name);
    add_escaped(text, xml);
    buf_add_str(xml, "\"");
}

static void add_case(const char *suite, const struct junit_case *item, struct buf *xml) {
    buf_add_str(xml, "  <testcase");
    add_attribute("classname", suite, xml);
    add_attribute("name", item->name, xml);
    buf_printf(xml, " time=\"%.3f\">\n", (double)item->duration_ms / 1000);
    if (!item->was_run)
        buf_add_str(xml, "    <skipped/>\n");
    if (item->failure) {
        buf_add_str(xml, "    <failure");
        add_attribute("message", item->failure, xml);
        buf_add_str(xml, "/>\n");
    }
    if (item->output) {
        buf_add_str(xml, "    <system-out>");
        add_escaped(item->output, xml);
        buf_add_str(xml, "</system-out>\n");
    }
    buf_add_str(xml, "  </testcase>\n");
}

void junit_format(const char *suite, const struct junit_case *cases, size_t count, struct buf *xml) {
    size_t failures = 0, skipped = 0;
    int64_t total_ms = 0;
    for (size_t i = 0; i < count; i++) {
        failures += cases[i].failure != NULL;
        skipped += !cases[i].was_run;
        total_ms += cases[i].duration_ms;
    }
    buf_add_str(xml, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite");
    add_attribute("name", suite, xml);
    buf_printf(xml, " tests=\"%zu\" failures=\"%zu\" errors=\"0\" skipped=\"%zu\" time=\"%.3f\">\n", count, failures, skipped,
               (double)total_ms / 1000);
    for (size_t i = 0; i < count; i++)
        add_case(suite, &cases[i], xml);
    buf_add_str(xml, "</testsuite>\n");
}
