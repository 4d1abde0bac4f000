// SPDX-License-Identifier: Apache-2.0
// Where a generation's kernel and its modules come from.
#include "builder/build.h"
#include "common/run.h"
#include <dirent.h>
#include <errno.h>

// The one directory below `dir`; a base has one kernel.
static int only_entry(const char *dir, char **ret_path, struct err *err) {
    cleanup_dir DIR *handle = opendir(dir);
    cleanup_free char *found = NULL;
    if (!handle)
        return err_sys(err, -errno, "cannot list the kernel's modules in %s", dir);
    for (struct dirent *entry; (entry = readdir(handle));) {
        if (entry->d_name[0] == '.')
            continue;
        if (found)
            return err_set(err, -EINVAL,
                           "the base has more than one kernel in /usr/lib/modules; name one kernel package in the image definition");
        found = str_printf("%s/%s", dir, entry->d_name);
    }
    if (!found)
        return err_set(err, -ENOENT, "the base has no kernel modules; name a kernel package in the image definition");
    *ret_path = take_ptr(found);
    return 0;
}

struct node *build_kernel_node(const struct build *build) {
    const bool is_apart = build->recipe.layer_count && build->recipe.layers[0]->has_kernel;
    return build->layers[is_apart ? 1 : 0];
}

int build_extract_modules(const struct build *build, const char *to, char **ret_tree, struct err *err) {
    cleanup_free char *squashfs = graph_path(&build->cache, build_kernel_node(build), LAYER_SQUASHFS);
    cleanup_free char *target = str_printf("%s/tree", to);
    cleanup_free char *modules = str_printf("%s/usr/lib/modules", target);
    const struct run unpack = {.argv = RUN_ARGV("unsquashfs", "-n", "-no-xattrs", "-d", target, squashfs, "usr/lib/modules")};
    int r = run_quiet(&unpack, err);
    return r < 0 ? r : only_entry(modules, ret_tree, err);
}
