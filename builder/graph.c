// SPDX-License-Identifier: Apache-2.0
// Looks up, explains and builds nodes.
#include "builder/graph.h"
#include "common/buf.h"
#include <assert.h>
#include <string.h>

void graph_done(struct graph *graph) {
    for (unsigned i = 0; i < graph->count; i++) {
        free(graph->nodes[i].label);
        free(graph->nodes[i].reason);
        inputs_done(&graph->nodes[i].inputs);
    }
    *graph = (struct graph){0};
}

struct node *graph_add(struct graph *graph, const char *kind, const char *label,
                       int (*build)(void *context, unsigned index, const char *dir, struct err *err), unsigned index) {
    assert(graph->count < GRAPH_MAX_NODES);
    struct node *node = &graph->nodes[graph->count++];
    *node = (struct node){.kind = kind, .label = str_dup(label), .build = build, .index = index};
    return node;
}

void graph_seal(struct node *node) {
    inputs_key(&node->inputs, node->key);
}

// Labels have blanks; file names of the cache do not.
static char *last_name(const struct node *node) {
    char *name = str_dup(node->label);
    for (char *c = name; *c; c++)
        if (*c == ' ' || *c == '/')
            *c = '-';
    return name;
}

static char *explain(const struct cache *cache, const char *profile, const struct node *node) {
    cleanup_free char *name = last_name(node);
    cleanup_inputs struct inputs before = {0};
    if (!cache_load_last(cache, profile, name, &before))
        return str_dup("not built before");
    cleanup_free char *difference = inputs_difference(&before, &node->inputs);
    return *difference ? take_ptr(difference) : str_dup("no longer in the cache");
}

void graph_check(struct graph *graph, const struct cache *cache, const char *profile) {
    for (unsigned i = 0; i < graph->count; i++) {
        struct node *node = &graph->nodes[i];
        node->cached = cache_has(cache, node->kind, node->key);
        free(node->reason);
        node->reason = node->cached ? NULL : explain(cache, profile, node);
    }
}

static int build_node(struct graph *graph, const struct cache *cache, struct node *node, bool *ret_built, struct err *err) {
    struct cache_entry entry = {.lock_fd = -1, .node_lock_fd = -1};
    int r = cache_begin(cache, node->kind, node->key, &entry, err);
    if (r != 0)
        return r < 0 ? r : 0;
    r = node->build(graph->context, node->index, entry.dir, err);
    if (r < 0) {
        cache_abort(&entry);
        return err_prefix(err, r, "%s", node->label);
    }
    *ret_built = true;
    return cache_commit(cache, &entry, &node->inputs, err);
}

static int run_node(struct graph *graph, const struct cache *cache, const char *profile, struct node *node, struct progress *progress,
                    struct err *err) {
    bool built = false;
    progress_start(progress, node->label);
    int r = build_node(graph, cache, node, &built, err);
    node->seconds = progress_end(progress, r < 0 ? "failed" : built ? "built" : "cached");
    if (r < 0)
        return r;
    cleanup_free char *name = last_name(node);
    return cache_save_last(cache, profile, name, &node->inputs, err);
}

int graph_run(struct graph *graph, const struct cache *cache, const char *profile, struct progress *progress, struct err *err) {
    for (unsigned i = 0; i < graph->count; i++) {
        int r = run_node(graph, cache, profile, &graph->nodes[i], progress, err);
        if (r < 0)
            return r;
    }
    return 0;
}

char *graph_path(const struct cache *cache, const struct node *node, const char *file) {
    return cache_path(cache, node->kind, node->key, file);
}
