// SPDX-License-Identifier: Apache-2.0
// Private directories (0700) for files on the way to somewhere, which may hold secrets. They are removed in the end, also when SIGINT, SIGTERM or SIGHUP
// ends the program; what cannot be noticed (SIGKILL, a power cut) leaves them to the next run that makes one of the same name in the same place. For the main thread: other threads have signals blocked.
#pragma once
#include "common/err.h"

// "$TMPDIR/webops-WHAT-XXXXXX", below /var/tmp without TMPDIR: what lies there may be large. *ret_path is for tempdir_done().
int tempdir_make(const char *what, char **ret_path, struct err *err) must_check nonnull(1, 2, 3);
// The same as ".BASE.webops-XXXXXX" beside it, for what gets its name by rename(2).
int tempdir_make_beside(const char *base, char **ret_path, struct err *err) must_check nonnull(1, 2, 3);
// Removes it with all that is in it, and frees the path. NULL, and one that is gone or was renamed, are fine.
void tempdir_done(char **path) nonnull(1);

#define cleanup_tempdir cleanup(tempdir_done)
