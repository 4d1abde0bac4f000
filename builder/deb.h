// SPDX-License-Identifier: Apache-2.0
// .deb files, small local repositories made of them, and private apt configurations: what both sides of the sandbox need of apt.
#pragma once
#include "builder/package_set.h"
#include "common/buf.h"
#include "common/err.h"

// The control paragraph of a .deb (deb(5): ar with control.tar.{gz,xz,zst}), ending in one newline. At most 1 MiB.
int deb_control(int dir_fd, const char *path, struct buf *ret_control, struct err *err) must_check nonnull(2, 3, 4);

#define DEB_STAND_IN_PREFIX "webops-stand-in-"
// Writes an empty package that provides `name` into directory `dir` (absolute); the same bytes every time. *ret_file is its file name.
int deb_stand_in(const char *dir, const char *name, char **ret_file, struct err *err) must_check nonnull(1, 2, 3, 4);

// A flat repository in `dir` (absolute, is created): an index of exactly `set`, and links to the files in `packages_dir`, which are there by hash. For
// "deb [trusted=yes] copy:DIR ./": the hashes in the index are those of the set, so apt refuses a damaged file.
int deb_repository(const char *dir, const char *packages_dir, const struct package_set *set, struct err *err) must_check
    nonnull(1, 2, 3, 4);

struct apt_root_options {
    const char *dir; // absolute, is created: lists, caches, apt.conf
    const char *architecture, *sources;
    const char *status; // dpkg status file; NULL = an empty one inside dir
    const char *archives; // where .deb files go, is created; NULL = inside dir
    const char *chroot; // where apt installs; NULL = it only resolves and downloads
};
// An apt configuration that knows nothing of the build host's; use it with APT_CONFIG=<dir>/apt.conf.
int apt_root_make(const struct apt_root_options *options, struct err *err) must_check nonnull(1, 2);
