// SPDX-License-Identifier: Apache-2.0
// The way from normalised entries to a finished layer directory: normaliser and mksquashfs as one pipe, then index and info file.
#pragma once
#include "builder/layer_files.h"
#include "builder/normalise.h"
#include "builder/sandbox.h"
#include "builder/squashfs.h"

struct layer_output {
    struct normalise *normalise; // entries: layer_output_add()
    struct squashfs squashfs;
    char *dir;
    int dir_fd;
};

// options->side_fd and ->epoch are filled in from `dir` and `format`.
int layer_output_open(const char *dir, const struct layer_format *format, const struct normalise_options *options,
                      struct layer_output *ret_output, struct err *err) must_check nonnull(1, 2, 3, 4, 5);
// normalise_add(); when mksquashfs went away, the reason is what it said of it (a full disk), not our broken pipe.
int layer_output_add(struct layer_output *output, const struct normalise_entry *entry, struct err *err) must_check nonnull(1, 2, 3);
// Copies a sandbox's stream and waits for it; of several failures the one that came first in the pipe is reported.
int layer_output_stream(struct layer_output *output, struct sandbox *sandbox, struct err *err) must_check nonnull(1, 2, 3);
// Ends stream and mksquashfs and writes LAYER_INDEX and LAYER_INFO; `set` names the layer's own packages (NULL = none).
struct package_set;
int layer_output_finish(struct layer_output *output, const struct package_set *set, struct err *err) must_check nonnull(1, 3);
// Undoes everything that was not finished; harmless after layer_output_finish().
void layer_output_done(struct layer_output *output);

// Merged index of finished layers, base first.
int layer_lower_index(const char *const *lower, size_t count, struct index *ret_index, struct err *err) must_check nonnull(3, 4);

#define cleanup_layer_output cleanup(layer_output_done)
