// SPDX-License-Identifier: Apache-2.0
// A configuration that was found but not yet trusted: its text and its secrets in memory, then the check, then the durable copy.
#pragma once
#include "common/buf.h"
#include "common/schema.h"

#define CANDIDATE_MAX_SECRETS 64

struct secret {
    char *name; // passes schema_is_secret_name()
    char *data;
    size_t size;
};

struct candidate {
    char *source; // for people
    bool is_present; // false: the source exists but holds no configuration
    struct buf text; // config.env
    struct secret *secrets;
    size_t secret_count;
    char *sealed; // an envelope of further secrets; NULL = none
    size_t sealed_size;
    struct config_problems problems;
};

void candidate_done(struct candidate *candidate); // wipes the memory
// Reads a regular file, never through a symbolic link. -ENOENT (without a problem) when it is not there. The caller frees *ret_data.
int candidate_read_file(int dir_fd, const char *name, size_t max_bytes, char **ret_data, size_t *ret_size, struct err *err) must_check
    nonnull(2, 4, 5, 6);
// Takes over `data` (size bytes). A name that is there already keeps its first content; a bad name or size becomes a problem.
void candidate_add_secret(struct candidate *candidate, const char *name, char *data, size_t size) nonnull(1, 2, 3);
// Adds every file of the directory `path` below dir_fd whose name is a secret's; a missing directory adds none.
void candidate_add_secrets(struct candidate *candidate, int dir_fd, const char *path) nonnull(1, 3);
// The whole check, secret files included. 0 and *ret_config, or -EINVAL with candidate->problems.
// The secrets are laid out as files in a private directory below run/webops for that, which is removed again.
int candidate_check(struct candidate *candidate, const struct schema *schema, int root_fd, struct config *ret_config) must_check
    nonnull(1, 2, 4);
// Copies secrets, the record of the source, and last config.env to the state partition.
int candidate_remember(const struct candidate *candidate, int root_fd, struct err *err) must_check nonnull(1, 3);

#define cleanup_candidate cleanup(candidate_done)
