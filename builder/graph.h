// SPDX-License-Identifier: Apache-2.0
// The build graph: nodes in build order, each with its inputs, its key and the function that makes it. Knows the cache, not what is built.
#pragma once
#include "builder/cache.h"
#include "builder/progress.h"

#define GRAPH_MAX_NODES 40

struct node {
    const char *kind; // room in the cache: "base", "layer", "initramfs", "slot", "uki"
    char *label; // what people read: "layer hardening"
    struct inputs inputs;
    char key[INPUTS_KEY_CHARS + 1]; // set by graph_check
    // Fills `dir` (an absolute path) with plain files. `context` is the graph's, `index` the node's own.
    int (*build)(void *context, unsigned index, const char *dir, struct err *err);
    unsigned index;
    bool cached; // in the cache when it was looked at
    char *reason; // why it is to be built; NULL when cached
    double seconds; // of this run
};

struct graph {
    struct node nodes[GRAPH_MAX_NODES];
    unsigned count;
    void *context;
};

void graph_done(struct graph *graph);
// Appends a node; `label` is copied. The inputs are filled in by the caller before the next graph_add that depends on its key.
struct node *graph_add(struct graph *graph, const char *kind, const char *label,
                       int (*build)(void *context, unsigned index, const char *dir, struct err *err), unsigned index) nonnull(1, 2, 3, 4);
// Computes the node's key from its inputs; call it when they are complete.
void graph_seal(struct node *node) nonnull(1);
// Looks every node up and says why the missing ones are missing, compared with the profile's last build.
void graph_check(struct graph *graph, const struct cache *cache, const char *profile) nonnull(1, 2, 3);
// Builds what is missing, in order, each published before the next begins, and remembers the inputs for the next explanation.
int graph_run(struct graph *graph, const struct cache *cache, const char *profile, struct progress *progress, struct err *err) must_check
    nonnull(1, 2, 3, 4, 5);
// Absolute path of a file of a node; the caller frees.
char *graph_path(const struct cache *cache, const struct node *node, const char *file) nonnull(1, 2, 3);

#define cleanup_graph cleanup(graph_done)
