// SPDX-License-Identifier: Apache-2.0
// Any bytes as a pack of secrets: refused as a whole, or names and sizes that a secret may have.
#include "common/schema.h"
#include "common/secretpack.h"
#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(void *context, const char *name, const char *data, size_t size) {
    const uint8_t *last = (const uint8_t *)data + size - 1; // readable
    *(size_t *)context += size + *last * 0u;
    assert(schema_is_secret_name(name) && size > 0 && size <= SCHEMA_SECRET_MAX_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct err err;
    size_t total = 0;
    if (secretpack_parse((const char *)data, size, check, &total, &err) < 0)
        assert(total == 0);
    assert(total <= size);
    return 0;
}
