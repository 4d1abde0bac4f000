// SPDX-License-Identifier: Apache-2.0
// What `webops update` was pointed at: a bundle, a channel file, or a published directory, as file or address; and the verified head of it.
#pragma once
#include "common/manifest.h"
#include "firstboot/update/source.h"
#include <stdbool.h>

enum location_kind { LOCATION_BUNDLE, LOCATION_CHANNEL };
struct location {
    enum location_kind kind;
    bool is_local; // a path
    char base[1024]; // of a channel: the directory, with '/' at its end
    char head[1152]; // what is read first: the bundle, or the channel file
};
// `text`: …/ or a directory: its <channel>.channel; ….channel: that file; anything else: a bundle. -EINVAL: too long, a strange scheme.
// `is_directory`: what the file system says about a path without '/' at its end.
int location_parse(const char *text, bool is_directory, const char *channel, struct location *ret_location, struct err *err) must_check
    nonnull(1, 3, 4, 5);
// Where the bundle of a channel's manifest lies: <base><profile>-<version>.bundle. -EINVAL when the version cannot be a file name.
int location_bundle(const struct location *location, const struct manifest *manifest, char *ret_text, size_t capacity,
                    struct err *err) must_check nonnull(1, 2, 3, 5);

// Reads the head (bounded), has it verified by webops-verify, and opens the bundle. `time`: for certificates, seconds since 1970.
struct located {
    struct source *source; // of the bundle
    uint64_t payload_offset;
    struct manifest manifest; // verified
    char *signer;
};
int location_open(const struct location *location, int root_fd, int64_t time, struct located *ret_located, struct err *err) must_check
    nonnull(1, 4, 5);
void located_done(struct located *located);

#define cleanup_located cleanup(located_done)
