// SPDX-License-Identifier: Apache-2.0
// Whatever a mirror sends as repomd.xml: a number, or a refusal that says where.
#include "builder/dnf/repomd.h"
#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct err err = {0};
    uint64_t revision = 7;
    int r = repomd_revision(size ? (const char *)data : "", size, &revision, &err);
    assert(r < 0 ? revision == 7 && strncmp(err.text, "line ", 5) == 0 : revision <= INT64_MAX);
    return 0;
}
