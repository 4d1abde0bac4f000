// SPDX-License-Identifier: Apache-2.0
// Where a bundle's bytes come from: a local file or block device, or an http(s) address read by webops-fetch, which runs unprivileged.
// What arrives here proves nothing until its hash is checked.
#pragma once
#include "common/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct source; // opaque

struct source_range {
    uint64_t offset, bytes;
};
struct source_traffic {
    uint64_t bytes; // of bodies received, repeated ones included; of a file: read
    unsigned requests;
    bool is_whole; // the server ignores ranges: the file is streamed once from its start
};

// `location`: a path, or http(s)://…. Nothing is read yet.
int source_open(const char *location, struct source **ret_source, struct err *err) must_check nonnull(1, 2, 3);
// The same with another program than the machine's webops-fetch, and options for it (NULL-terminated; NULL = none); both must outlive
// the source.
struct source_options {
    const char *program;
    const char *const *arguments;
};
int source_open_with(const char *location, const struct source_options *options, struct source **ret_source, struct err *err) must_check
    nonnull(1, 2, 3, 4);
void source_close(struct source *source);
// -EAGAIN of any of these: trying later may help (network, server, a file that changed under way). -EIO: it will not.
// At most `size` bytes from `offset`; fewer only at the end of the file. Returns how many, -EAGAIN when trying later may help.
int source_read(struct source *source, uint64_t offset, void *data, size_t size, struct err *err) must_check nonnull(1, 3, 5);
// Streams ranges (ascending, disjoint) in order. `take` gets each range's bytes in pieces, from its start to its end; what it returns below
// zero ends the reading. Ranges with a gap under 8 KiB are asked for as one. Continues after a cut where it was.
int source_stream(struct source *source, const struct source_range *ranges, size_t count,
                  int (*take)(void *context, size_t range, const void *data, size_t size, struct err *err), void *context,
                  struct err *err) must_check nonnull(1, 2, 4, 6);
// Reads a small file whole, as a channel file is: more than `max_bytes` is -EFBIG. *ret_data is NUL-terminated; the caller frees it.
int source_load(struct source *source, size_t max_bytes, char **ret_data, size_t *ret_size, struct err *err) must_check nonnull(1, 3, 4, 5);
void source_traffic(const struct source *source, struct source_traffic *ret_traffic) nonnull(1, 2);

static inline void source_close_p(struct source **source) {
    source_close(*source);
}
#define cleanup_source cleanup(source_close_p)
