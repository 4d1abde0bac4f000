// SPDX-License-Identifier: Apache-2.0
// Any bytes as a block map: refused, or one whose ranges are in order and inside the image.
#include "builder/flash/bmap.h"
#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct err err;
    cleanup_bmap struct bmap bmap = {0};
    if (bmap_parse((const char *)data, size, "fuzz", &bmap, &err) < 0)
        return 0;
    uint64_t end = 0, mapped = 0;
    for (size_t i = 0; i < bmap.count; i++) {
        assert(bmap.ranges[i].offset >= end && bmap.ranges[i].size > 0);
        end = bmap.ranges[i].offset + bmap.ranges[i].size;
        mapped += bmap.ranges[i].size;
    }
    assert(end <= bmap.image_bytes && mapped == bmap.mapped_bytes);
    return 0;
}
