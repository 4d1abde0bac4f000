// SPDX-License-Identifier: Apache-2.0
// Rpm databases: of an image while it is built, and of a vendor's disk as a file of its own. Everything is done by rpm's own programs.
#pragma once
#include "builder/strings.h"
#include "common/err.h"
#include <stddef.h>

// Where images have theirs; rpm is told by --dbpath, because what is built into it differs by distribution.
#define RPM_DATABASE "/usr/lib/sysimage/rpm"
// The file of an SQLite database, which this builder's rpm writes (Enterprise Linux 8 has Berkeley DB, which it reads).
#define RPM_DATABASE_FILE "rpmdb.sqlite"

// The packages as a list in the format of dpkg's status, which builder and machine read of every image. `root` may be NULL (dbpath is then of this
// machine), else it is an absolute path and dbpath is below it. Imported keys, which rpm keeps as packages, are left out. The caller frees *ret_text.
int rpm_database_list(const char *root, const char *dbpath, char **ret_text, size_t *ret_size, struct err *err) must_check
    nonnull(2, 3, 4, 5);
// Whatever format the database in the directory has: it is RPM_DATABASE_FILE afterwards.
int rpm_database_convert(const char *dir, struct err *err) must_check nonnull(1, 2);
// Puts a copy of the file `from` into the empty directory `dir`, which then lists these packages (NAME-VERSION.ARCHITECTURE) no longer. -EINVAL when
// others depend on one of them.
int rpm_database_without(const char *from, const struct strings *packages, const char *dir, struct err *err) must_check nonnull(1, 2, 3, 4);
