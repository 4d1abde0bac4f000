// SPDX-License-Identifier: Apache-2.0
// Which path of a package tree goes where: renames, drops, the kernel. Pure, no I/O.
#pragma once
#include "builder/recipe.h"
#include "common/err.h"
#include <stdbool.h>
#include <sys/types.h>

enum normalise_action {
    NORMALISE_KEEP,
    NORMALISE_DROP,
    NORMALISE_EMPTY, // keep as an empty file
    NORMALISE_KERNEL, // hand to the caller, not part of the layer
    NORMALISE_LATER, // an excluded directory: only when something below it is kept
};

// Checks a path from outside and strips "./" and trailing slashes in place. -EINVAL for absolute paths, "..", control characters, invalid
// UTF-8, names over 255 and paths over 4000 bytes; "" is the root.
int normalise_clean_path(char *path, struct err *err) must_check nonnull(1, 2);
// The final place of a cleaned path: var → usr/share/factory/var, var/lib/dpkg → usr/lib/sysimage/dpkg, boot/config-X →
// usr/lib/modules/X/config. The caller frees.
char *normalise_rename(const char *path) nonnull(1);
// What happens to an entry at its final place. `mode` is its file type.
enum normalise_action normalise_rule(const char *path, mode_t mode, const struct strings *exclude) nonnull(1);
// The certificate that a package makes for the build host, and whether a symbolic link is the one to it.
#define NORMALISE_SNAKEOIL "etc/ssl/certs/ssl-cert-snakeoil.pem"
bool normalise_is_stale_link(const char *path, const char *target) nonnull(1, 2);
// Directories that every base has; ended by path == NULL.
struct normalise_mount_point {
    const char *path;
    mode_t mode;
};
extern const struct normalise_mount_point normalise_mount_points[];
// Printable form of a name for a message: control and non-ASCII bytes as \xNN, cut at 200 bytes. The caller frees.
char *normalise_printable(const char *text) nonnull(1);
