// SPDX-License-Identifier: Apache-2.0
// How a value is written into each format of a template, so that it can never leave its place, or why it cannot be. Pure. The table of formats:
// docs/STACKS.md, "Templates".
#pragma once
#include "common/buf.h"
#include "common/template.h"

// Both append to `buf` and return NULL; or they leave it alone and return why the value does not fit, in words that complete "KEY: ".
const char *template_quote(enum template_format format, const char *text, size_t size, struct buf *buf) must_check nonnull(2, 4);
// The value as it is, if it is made of [A-Za-z0-9._:/%+@,=-] and not empty. In a format where '%' has a meaning it is doubled here, too.
const char *template_quote_word(enum template_format format, const char *text, size_t size, struct buf *buf) must_check nonnull(2, 4);
