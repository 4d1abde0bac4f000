// SPDX-License-Identifier: Apache-2.0
// What the jobs inside the sandbox share. They work in their own directory, which is the present one; `root` in it is the tree they install into.
#pragma once
#include "common/buf.h"
#include "common/err.h"
#include <stdbool.h>

int sandbox_make_dir(const char *path, struct err *err) must_check nonnull(1, 2);
// Unpacks a lower layer's squashfs and puts it on top of the list for mount_overlay().
int sandbox_unpack_lower(unsigned number, const char *squashfs, struct buf *lowerdir, struct err *err) must_check nonnull(2, 3, 4);
// The lower layers as `root`; what is written goes to `upper`.
int sandbox_mount_overlay(const char *lowerdir, struct err *err) must_check nonnull(1, 2);
// A path below `root` is made of directories, as far as it is there: from outside of the tree a link in it would lead into the build host.
int sandbox_check_directory(const char *path, struct err *err) must_check nonnull(1, 2);
// The same for all that every job writes to.
int sandbox_check_tree(struct err *err) must_check nonnull(1);
// What package scripts expect below `root`: /proc, /tmp, /run, some devices, and with `has_factory` /var, which a finished layer has elsewhere.
int sandbox_mount_inside(bool has_factory, struct err *err) must_check nonnull(2);
// Becomes tar: `tree` in a fixed order to standard output, without what is mounted in it.
int sandbox_stream(const char *tree, struct err *err) must_check nonnull(1, 2);

// rpm <epoch> <SELinux policy or -> <directory> <package cache> <squashfs…> -- <file…>: rpm's transaction of these files, into an empty tree without
// layers. What the policy says of files goes to the directory before anything is streamed.
int sandbox_job_rpm(int argc, char **argv, struct err *err) must_check nonnull(2, 3);
// disk <epoch> <SELinux policy or -> <directory> <rpm database> <package…>: a vendor's tree, a tar stream on standard input, without these packages.
int sandbox_job_disk(int argc, char **argv, struct err *err) must_check nonnull(2, 3);
