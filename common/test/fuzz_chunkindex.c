// SPDX-License-Identifier: Apache-2.0
// Whatever chunkindex_parse() accepts formats back to the same bytes. The object's size is what the head says, else nothing would pass.
#include "common/buf.h"
#include "common/chunkindex.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    cleanup_chunkindex struct chunkindex index = {0};
    cleanup_buf struct buf again = {0};
    struct err err;
    uint64_t object_bytes = 0;
    for (int i = 0; size >= CHUNKINDEX_FIXED_BYTES && i < 8; i++)
        object_bytes |= (uint64_t)data[16 + i] << (8 * i);
    if (chunkindex_parse(data, size, object_bytes, &index, &err) < 0)
        return 0;
    chunkindex_format(&index, &again);
    if (again.size != size || memcmp(again.data, data, size) != 0)
        abort();
    uint64_t end = 0;
    for (size_t i = 0; i < index.count; end += index.chunks[i++].bytes)
        if (index.chunks[i].offset != end || index.chunks[i].bytes == 0 || index.chunks[i].bytes > CHUNK_MAX_BYTES)
            abort();
    if (end != object_bytes)
        abort();
    return 0;
}
