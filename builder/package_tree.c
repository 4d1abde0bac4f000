// SPDX-License-Identifier: Apache-2.0
#include "builder/package_tree.h"
#include <errno.h>

#define TREE_BYTES_PER_PACKAGE_BYTE 8 // unpacked size of compressed packages
#define TREE_BYTES_PER_SQUASHFS_BYTE 5
#define TREE_MIN_BYTES (UINT64_C(256) << 20)

uint64_t package_tree_bytes(const struct package_set *set) {
    uint64_t bytes = TREE_MIN_BYTES;
    for (size_t i = 0; i < set->count; i++)
        bytes += set->packages[i].size_bytes * TREE_BYTES_PER_PACKAGE_BYTE;
    return bytes;
}

int package_layer_bytes(const struct layer_request *request, uint64_t *ret_bytes, struct err *err) {
    uint64_t bytes = package_tree_bytes(request->set);
    for (size_t i = 0; i < request->lower_count; i++) {
        struct layer_info info;
        int r = layer_info_load(request->lower[i], &info, err);
        if (r < 0)
            return r;
        bytes += info.bytes * TREE_BYTES_PER_SQUASHFS_BYTE;
    }
    *ret_bytes = bytes;
    return 0;
}

int package_refuse_offline(const struct package *package, struct err *err) {
    return err_set(err, -EAGAIN, "package %s %s is not in the cache: an offline build needs one online build before it", package->name,
                   package->version);
}
