// SPDX-License-Identifier: Apache-2.0
// Any text as the name of a boot entry: what is taken for ours formats back to the same name.
#include "common/buf.h"
#include "firstboot/update/entryname.h"
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    cleanup_buf struct buf text = {0};
    struct entryname name;
    char again[ENTRYNAME_BYTES];
    buf_add(&text, data, size);
    if (!entryname_parse(buf_str(&text), &name))
        return 0;
    if (name.left > ENTRYNAME_MAX_COUNT || name.done > ENTRYNAME_MAX_COUNT || (!name.is_counted && (name.left || name.done)))
        abort();
    entryname_format(&name, again);
    if (strcmp(again, buf_str(&text)) != 0)
        abort();
    return 0;
}
