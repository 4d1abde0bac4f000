// SPDX-License-Identifier: Apache-2.0
// A small reader for what stands in a NoCloud seed's meta-data and network-config: block mappings and lists, flow lists of scalars,
// plain and quoted scalars, or the same as JSON. Everything else of YAML (anchors, tags, block scalars, escapes, several documents) is
// refused with its line, because this runs on input from outside as root. Pure.
#pragma once
#include "common/config.h"

#define SEED_YAML_MAX_BYTES (64 << 10)
#define SEED_YAML_MAX_NODES 4096
#define SEED_YAML_MAX_DEPTH 16

enum seed_yaml_kind { SEED_SCALAR, SEED_LIST, SEED_MAP };

struct seed_yaml_node {
    enum seed_yaml_kind kind;
    unsigned line; // from 1; JSON: always 1
    char *key; // of a member of a map; else NULL
    char *text; // of a scalar; "" for an empty one
    size_t child, next; // index of the first member and of the next sibling; 0 = none
};

struct seed_yaml {
    struct seed_yaml_node *nodes; // [0] is the root
    size_t count;
};

void seed_yaml_done(struct seed_yaml *yaml);
// An empty text is an empty map. 0, or -EINVAL with one problem added.
int seed_yaml_parse(const char *text, size_t size, struct seed_yaml *ret_yaml, struct config_problems *problems) must_check nonnull(3, 4);
// The member `key` of a map, NULL if there is none or `node` is no map (or NULL).
const struct seed_yaml_node *seed_yaml_find(const struct seed_yaml *yaml, const struct seed_yaml_node *node, const char *key) nonnull(1, 3);
// First member, next sibling; NULL at the end (and of NULL).
const struct seed_yaml_node *seed_yaml_first(const struct seed_yaml *yaml, const struct seed_yaml_node *node) nonnull(1);
const struct seed_yaml_node *seed_yaml_next(const struct seed_yaml *yaml, const struct seed_yaml_node *node) nonnull(1);
// Text of a scalar member; NULL if it is missing or no scalar.
const char *seed_yaml_text(const struct seed_yaml *yaml, const struct seed_yaml_node *node, const char *key) nonnull(1, 3);

#define cleanup_seed_yaml cleanup(seed_yaml_done)
