// SPDX-License-Identifier: Apache-2.0
// Distributions cut their kernels into packages and leave options out: found while building, not by a machine that does not start.
#include "builder/kernel.h"
#include "common/buf.h"
#include "common/file.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define CONFIG_MAX_BYTES (4 << 20)

bool kernel_has_option(const char *tree, const char *option) {
    cleanup_free char *path = str_printf("%s/config", tree), *line = str_printf("\n%s=y\n", option), *text = NULL;
    struct err ignored;
    return file_read(AT_FDCWD, path, CONFIG_MAX_BYTES, &text, NULL, &ignored) < 0 || strstr(text, line);
}

// As the lists in images/modules name them.
static bool is_needed(const char *module) {
    static const char *const needed[] = {"dm_mod", "dm_verity", "squashfs", "overlay", "ext4"};
    for (size_t i = 0; i < ARRAY_SIZE(needed); i++)
        if (strcmp(needed[i], module) == 0)
            return true;
    return false;
}

int kernel_verify(const char *tree, const struct strings *missing, bool is_gzip, struct err *err) {
    for (unsigned i = 0; i < missing->count; i++)
        if (is_needed(missing->items[i]))
            return err_set(err, -ENOENT,
                           "%s: the kernel has no module %s, and no machine could start with it; `kernel:` must name a package that brings "
                           "it, too (as `kernel` does for Enterprise Linux, and kernel-core does not)",
                           strrchr(tree, '/') + 1, missing->items[i]);
    if (!is_gzip && !kernel_has_option(tree, "CONFIG_SQUASHFS_ZSTD"))
        return err_set(err, -ENOTSUP, "%s: the kernel reads no squashfs with zstd; the image definition must say `compression: gzip`",
                       strrchr(tree, '/') + 1);
    return 0;
}
