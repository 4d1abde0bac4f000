// SPDX-License-Identifier: Apache-2.0
// The one decoder of UTF-8 for text from outside.
#pragma once
#include <stddef.h>
#include <stdint.h>

// Length of the sequence at `text` (RFC 3629: no overlong forms, no surrogates, up to U+10FFFF), 0 if there is none.
size_t utf8_length(const unsigned char *text, size_t size);
// The code point of a sequence whose length utf8_length() gave.
uint32_t utf8_decode(const unsigned char *text, size_t length);
