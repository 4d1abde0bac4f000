// SPDX-License-Identifier: Apache-2.0
#include "builder/backend.h"
#include <assert.h>
#include <string.h>

const struct backend *backend_of(const struct recipe_image *image) {
    return backend_find(image->backend);
}

const struct backend *backend_find(const char *name) {
    static const struct backend *const backends[] = {&apt_backend, &dnf_backend, &vendor_backend};
    for (size_t i = 0; i < ARRAY_SIZE(backends); i++)
        if (strcmp(name, backends[i]->name) == 0)
            return backends[i];
    assert(!"recipe_check_image() lets no other backend pass");
    return NULL;
}
