// SPDX-License-Identifier: Apache-2.0
#include "common/jsontext.h"
#include "common/buf.h"
#include "common/utf8.h"
#include <string.h>

json_t *jsontext(const char *text) {
    cleanup_buf struct buf clean = {0};
    if (!text)
        return json_null();
    for (size_t left = strlen(text), length; left; text += length, left -= length) {
        length = utf8_length((const unsigned char *)text, left);
        if (length)
            buf_add(&clean, text, length);
        else
            buf_printf(&clean, "\\x%02x", (unsigned char)*text);
        length += !length;
    }
    return json_string(buf_str(&clean));
}
