// SPDX-License-Identifier: Apache-2.0
// Factory copies: what the image ships below /var and the state partition does not have yet.
#pragma once
#include "common/err.h"

#define FACTORY_MAX_DEPTH 64
#define FACTORY_STAGING ".webops-factory" // directory at the top of the target while files are on their way

struct factory_counts {
    unsigned copied; // files, directories and symbolic links that were created
    unsigned skipped; // of other types, which are never copied
};

// Creates in `to_fd` whatever `from_fd` has and it has not, with owner and mode, files and links also with their modification time;
// overwrites and changes nothing that is there, and does not follow a symbolic link that stands where a directory is expected. A name
// appears only when what it names is complete and on disk, so after a power cut the next call goes on where this one stopped. Extended
// attributes are not copied. Two processes must not do this to one target at once; `from_fd` must not change meanwhile.
int factory_copy(int from_fd, int to_fd, struct factory_counts *ret_counts, struct err *err) must_check nonnull(3, 4);
