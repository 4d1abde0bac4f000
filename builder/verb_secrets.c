// SPDX-License-Identifier: Apache-2.0
// webops-image secrets: the CA, certificates, passwords and configurations of a database cluster, and new certificates later.
#include "builder/clusterkeys.h"
#include "builder/verbs.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/log.h"
#include "common/schema.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define BACKDATE_DAYS 1 // for machines whose clock is a little slow; not at the expense of what was asked for

struct secrets_options {
    const char *name, *vip, *interface, *ssh_key;
    struct opt_texts nodes;
    long days, ca_days;
};

static void print_advice(const char *dir, const struct cluster_request *request) {
    printf("cluster %s in %s:\n"
           "  keep apart:   " CLUSTER_CA ".key, which signs nodes' certificates; whoever has it can join the cluster and read all data\n"
           "  to each node: " CLUSTER_NODES "/<name>/config.env and " CLUSTER_NODES "/<name>/secrets/, and to nobody else\n"
           "  to clients:   " CLUSTER_CA ".pem (sslrootcert), and the passwords that they need\n"
           "  in %ld days the nodes' certificates end: webops-image secrets renew %s\n",
           request->name, dir, request->node_days - BACKDATE_DAYS, dir);
}

static int new_cluster(const char *dir, const struct secrets_options *options) {
    struct err err = {0};
    struct cluster_node nodes[CLUSTER_MAX_NODES];
    cleanup_buf struct buf list = {0};
    cleanup_free char *keys = NULL, *text = NULL;
    for (int i = 0; i < options->nodes.count; i++)
        buf_printf(&list, "%s ", options->nodes.items[i]);
    text = buf_take(&list);
    struct cluster_request request = {.name = options->name,
                                      .nodes = nodes,
                                      .node_count = cluster_split_nodes(text, nodes),
                                      .vip = options->vip,
                                      .interface = options->interface,
                                      .not_before = (int64_t)time(NULL) - BACKDATE_DAYS * CLUSTER_DAY,
                                      .ca_days = options->ca_days + BACKDATE_DAYS,
                                      .node_days = options->days + BACKDATE_DAYS};
    int r = request.node_count == 0 ? err_set(&err, -EINVAL, "--node: expected NAME=ADDRESS, at most %d times", CLUSTER_MAX_NODES)
                                    : cluster_check(&request, &err);
    if (r < 0) {
        log_error("secrets new-cluster: %s", err.text);
        return EXIT_USAGE;
    }
    if (options->ssh_key)
        r = file_read(AT_FDCWD, options->ssh_key, SCHEMA_SECRET_MAX_BYTES, &keys, NULL, &err);
    if (r >= 0 && keys && strstr(keys, "PRIVATE KEY"))
        r = err_set(&err, -EINVAL, "%s is a private key; the public one belongs on machines", options->ssh_key);
    request.ssh_keys = keys;
    if (r >= 0)
        r = cluster_make(dir, &request, &err);
    if (r >= 0)
        print_advice(dir, &request);
    return r < 0 ? verb_failed(r, &err) : EXIT_OK;
}

static int renew(const char *dir, const struct secrets_options *options) {
    struct err err = {0};
    cleanup_free char *names = NULL;
    int r = cluster_renew(dir, (int64_t)time(NULL) - BACKDATE_DAYS * CLUSTER_DAY, options->days + BACKDATE_DAYS, &names, &err);
    if (r < 0)
        return verb_failed(r, &err);
    printf("new certificates for %s.\n"
           "One node after another: copy its secrets/ to /webops/secrets, run webops install, wait until webops health passes.\n",
           names);
    return EXIT_OK;
}

int verb_secrets(const struct verb *self, int argc, char **argv) {
    struct secrets_options values = {.days = 825, .ca_days = 3650};
    const struct opt options[] = {
        {"name", 'n', OPT_TEXT, &values.name, "NAME", "Name of the cluster."},
        {"node", 0, OPT_TEXTS, &values.nodes, "NAME=ADDRESS", "A node and its IPv4 address; give it once per node."},
        {"vip", 0, OPT_TEXT, &values.vip, "ADDRESS/LEN", "Address that follows the leader."},
        {"interface", 0, OPT_TEXT, &values.interface, "IF", "Interface of the nodes that gets it."},
        {"ssh-key", 0, OPT_TEXT, &values.ssh_key, "FILE", "Public keys that may log in on the nodes."},
        {"days", 0, OPT_NUMBER, &values.days, "N", "How long the nodes' certificates are valid (default: 825)."},
        {"ca-days", 0, OPT_NUMBER, &values.ca_days, "N", "The same of the CA (default: 3650)."},
        {0},
    };
    char **args;
    int count;
    int code = opt_parse(self, options, argc, argv, &args, &count);
    if (code >= 0)
        return code;
    bool is_new = strcmp(args[0], "new-cluster") == 0;
    if (!is_new && strcmp(args[0], "renew") != 0) {
        log_error("secrets: expected 'new-cluster DIR' or 'renew DIR'; see --help");
        return EXIT_USAGE;
    }
    if (values.days < 1 || values.ca_days < 1) {
        log_error("secrets: --days and --ca-days are 1 or more");
        return EXIT_USAGE;
    }
    if (is_new && (!values.name || values.nodes.count == 0)) {
        log_error("secrets new-cluster: --name and at least one --node are needed");
        return EXIT_USAGE;
    }
    if (!is_new && (values.name || values.nodes.count || values.vip || values.interface || values.ssh_key)) {
        log_error("secrets renew: takes --days only; the rest is known from the directory");
        return EXIT_USAGE;
    }
    return is_new ? new_cluster(args[1], &values) : renew(args[1], &values);
}
