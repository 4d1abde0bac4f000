// SPDX-License-Identifier: Apache-2.0
// Text from outside, such as names of files, as a JSON string.
#pragma once
#include <jansson.h>

// A string for any text: JSON is UTF-8, and of what is none each byte becomes "\xNN" (a backslash in the string). NULL gives null. The caller owns it;
// json_pack() takes it as "o".
json_t *jsontext(const char *text);
