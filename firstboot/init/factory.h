// SPDX-License-Identifier: Apache-2.0
// Factory copies: what the image ships below /var and the state partition does not have yet.
#pragma once
#include "common/err.h"

#define FACTORY_MAX_DEPTH 64

struct factory_counts {
    unsigned copied; // files, directories and symbolic links that were created
    unsigned skipped; // of other types, which are never copied
};

// Creates in `to_fd` whatever `from_fd` has and it has not, with owner, mode and modification time; overwrites and changes nothing that is
// there, and does not follow a symbolic link that stands where a directory is expected. Every entry appears under its name complete and
// on disk: after a power cut the next call goes on where this one stopped. Extended attributes are not copied.
int factory_copy(int from_fd, int to_fd, struct factory_counts *ret_counts, struct err *err) must_check nonnull(3, 4);
