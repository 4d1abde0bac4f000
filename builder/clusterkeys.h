// SPDX-License-Identifier: Apache-2.0
// What the nodes of a database cluster must share and prove: a CA that the operator keeps, and for every node a config.env with its secret
// files. Made at once or not at all. What is in the directory: docs/stacks/patroni.md, "Secrets".
#pragma once
#include "builder/certificate.h"

struct cluster_node {
    const char *name, *address;
};

struct cluster_request {
    const char *name; // of the cluster
    const struct cluster_node *nodes;
    size_t node_count;
    const char *vip, *interface; // NULL = no address that follows the leader
    const char *ssh_keys; // text of an authorized_keys file; NULL = none
    int64_t not_before; // seconds since 1970
    long ca_days, node_days;
};

#define CLUSTER_DAY 86400
#define CLUSTER_MAX_NODES 15
#define CLUSTER_CA "ca" // .key, .pem
#define CLUSTER_NODES "nodes" // <name>/config.env, <name>/secrets/*.secret

// "n1=192.0.2.1 n2=192.0.2.2" as nodes, whose texts point into `text`, which is cut up. 0 when an item has no '=' or there are too many.
size_t cluster_split_nodes(char *text, struct cluster_node ret_nodes[CLUSTER_MAX_NODES]) nonnull(1, 2);
// -EINVAL: a name, an address, one node of a kind twice, two nodes or another even number.
int cluster_check(const struct cluster_request *request, struct err *err) must_check nonnull(1, 2);
// `dir` must not exist, or be empty: -EEXIST. -EINVAL as cluster_check().
int cluster_make(const char *dir, const struct cluster_request *request, struct err *err) must_check nonnull(1, 2, 3);
// New keys and certificates, by the same CA, for every node of a directory that cluster_make() made; all else there stays. Each node's secrets are
// replaced at once, after those of all nodes were made; what a kill left is put right by the next call. *ret_names lists the nodes, separated by
// blanks, for the caller to free.
int cluster_renew(const char *dir, int64_t not_before, long node_days, char **ret_names, struct err *err) must_check nonnull(1, 4, 5);
