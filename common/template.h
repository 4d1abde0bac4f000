// SPDX-License-Identifier: Apache-2.0
// The language of stacks' templates: substitution, lists, conditions, and quoting by the format of the file that is made, so that a value can
// never leave its place. Pure. The language: docs/STACKS.md, "Templates".
//   {{KEY}}                         value, quoted for the format; numbers and booleans plain
//   {{word KEY}}                    value unquoted, refused unless made of [A-Za-z0-9._:/%+@,=-]: to be part of a longer text
//   {{secret KEY}}                  content of the file that KEY names, without its last newline, quoted for the format
//   {{#if KEY}} {{#else}} {{/if}}   true, or set and not empty; also {{#if A == B}} and != with keys, fields and "literals"
//   {{#each KEY}} {{/each}}         over a list; inside: {{.}} an item, {{.name}} {{.address}} of a peer list, {{#sep}}, {{/sep}} between items
//   {{! comment}}                   nothing; a line that holds only a tag of the last three kinds vanishes with its newline
#pragma once
#include "common/buf.h"
#include "common/schema.h"

enum template_format {
    TEMPLATE_WORD, // every value as {{word}}
    TEMPLATE_YAML, // double-quoted scalar
    TEMPLATE_JSON,
    TEMPLATE_INI, // rest of a line, as systemd's files take it: no newline, no leading or trailing blank, no '\\' at the end, '%' doubled
    TEMPLATE_LINE, // rest of a line of a file that knows no quotes and no specifiers: as ini, but '%' stays
    TEMPLATE_ENV, // systemd's EnvironmentFile, readable by sh: double-quoted, one line
    TEMPLATE_SHELL, // single-quoted POSIX shell word
    TEMPLATE_NFT, // double-quoted nft string; refused where nft has no escape
    TEMPLATE_POSTGRESQL, // postgresql.conf: single-quoted, one line
    TEMPLATE_PGPASS, // ':' and '\' escaped; no newline
    TEMPLATE_RAW, // secrets as they are (keys, certificates); other values as {{word}}
    TEMPLATE_FORMATS
};

#define TEMPLATE_MAX_BYTES (256 << 10) // of a template, and of what it makes
#define TEMPLATE_MAX_DEPTH 8

// What a template can ask for. Both return NULL when unset; `key` is NUL-terminated.
struct template_values {
    const struct schema *schema;
    const struct config *config;
    // Content of the secret file behind a *_FILE key; the text stays the caller's. NULL = there are no secrets (a check at build time).
    const char *(*secret)(void *context, const char *key, size_t *ret_size);
    void *context;
};

// Appends to `ret_text`. Errors are "<name>:<line>: …": syntax, an unknown key, a value that the format cannot hold (the key is named, its
// value never), too large. On failure `ret_text` is as before.
int template_render(const char *name, const char *text, size_t size, enum template_format format, const struct template_values *values,
                    struct buf *ret_text, struct err *err) must_check nonnull(1, 2, 5, 6, 7);
// The same errors as far as they do not depend on values: for a build. *ret_uses_secret says whether {{secret}} occurs.
int template_check(const char *name, const char *text, size_t size, enum template_format format, const struct schema *schema,
                   bool *ret_uses_secret, struct err *err) must_check nonnull(1, 2, 5, 6, 7);
// "yaml" → TEMPLATE_YAML; -1 when unknown.
int template_format_find(const char *word) nonnull(1);
const char *template_format_name(enum template_format format);
