// SPDX-License-Identifier: Apache-2.0
// The bill of materials of a generation: its packages by layer, as a plain list and as an SPDX 2.3 document.
#pragma once
#include "builder/identity.h"
#include "common/buf.h"
#include "common/err.h"
#include <stdbool.h>
#include <stdint.h>

struct bill_layer {
    const char *name, *version;
    const char *info_path; // LAYER_INFO of the layer (builder/layer_files.h)
};

struct bill_package {
    char *name, *version, *architecture, *source;
    unsigned layer; // index
};

struct bill {
    struct identity identity;
    const char *distribution; // namespace of package URLs: "debian"
    bool is_rpm; // the packages are rpm's
    uint64_t source_date_epoch;
    const struct bill_layer *layers;
    unsigned layer_count;
    struct bill_package *packages; // by layer, then by name and architecture
    unsigned count;
};

// Reads the layers' package lists into `bill`, whose other fields the caller has set (and owns).
int bill_load(struct bill *bill, struct err *err) must_check nonnull(1, 2);
void bill_done(struct bill *bill);
// One line per package: layer, name, version, architecture; separated by tabs.
void bill_format_list(const struct bill *bill, struct buf *text) nonnull(1, 2);
// SPDX 2.3 JSON with a package URL per package; no time but source_date_epoch, so the same packages give the same bytes.
int bill_format_spdx(const struct bill *bill, struct buf *text, struct err *err) must_check nonnull(1, 2, 3);

#define cleanup_bill cleanup(bill_done)
