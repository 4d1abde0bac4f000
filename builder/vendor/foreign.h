// SPDX-License-Identifier: Apache-2.0
// A disk image of somebody else, for `webops-image inspect`: what libguestfs sees on it.
#pragma once
#include "builder/vendor/report.h"

struct foreign {
    const char *format; // "raw" or "qcow2"
    uint64_t file_bytes; // used on the host's disk
    struct vendor_report report;
};

// -EMEDIUMTYPE when the file is no disk image at all (vendor_disk_format()): nothing was started then.
int foreign_load(const char *path, struct foreign *ret_foreign, struct err *err) must_check nonnull(1, 2, 3);
void foreign_done(struct foreign *foreign);
void foreign_format_text(const struct foreign *foreign, const char *path, bool packages, struct buf *text) nonnull(1, 2, 4);
void foreign_format_json(const struct foreign *foreign, struct buf *text) nonnull(1, 2);

#define cleanup_foreign cleanup(foreign_done)
