// SPDX-License-Identifier: Apache-2.0
// webops-image plan: the build graph with the reason for every node that would be built.
#include "builder/build.h"
#include "builder/verbs.h"
#include "common/buf.h"
#include "common/jsontext.h"
#include <jansson.h>

static void print_json(const struct build *build, bool current) {
    json_t *nodes = json_array();
    for (unsigned i = 0; i < build->graph.count; i++) {
        const struct node *node = &build->graph.nodes[i];
        json_array_append_new(nodes, json_pack("{s:s, s:s, s:s, s:b, s:o}", "kind", node->kind, "label", node->label, "key", node->key,
                                               "cached", node->cached, "reason", jsontext(node->reason)));
    }
    json_t *plan = json_pack("{s:s, s:s, s:o, s:b}", "profile", build->recipe.profile->name, "version", build->recipe.profile->version,
                             "nodes", nodes, "outputs_current", current);
    char *text = json_dumps(plan, JSON_INDENT(2));
    puts(text ?: "{}");
    free(text);
    json_decref(plan);
}

static void print_table(const struct build *build, bool current) {
    for (unsigned i = 0; i < build->graph.count; i++) {
        const struct node *node = &build->graph.nodes[i];
        printf("%-24s %.12s  %s%s\n", node->label, node->key, node->cached ? "cached" : "build: ", node->reason ?: "");
    }
    printf("%-24s %12s  %s\n", "outputs", "", current ? "in place" : "build");
}

int verb_plan(const struct verb *self, int argc, char **argv) {
    cleanup_build struct build build = {0};
    int code = build_verb_start(self, argc, argv, &build);
    if (code >= 0)
        return code;
    bool current = build_outputs_current(&build);
    (build.options.json ? print_json : print_table)(&build, current);
    return EXIT_OK;
}
