// SPDX-License-Identifier: Apache-2.0
// Everything is made in a hidden directory beside the wanted one, which then gets its name. Three certificates per node, because three
// accounts hold their keys: etcd twice (members know each other by a common name that clients do not have), PostgreSQL with Patroni once.
#include "builder/clusterkeys.h"
#include "builder/dirswap.h"
#include "builder/tempdir.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/log.h"
#include "common/schema_types.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <string.h>
#include <sys/stat.h>

#define PASSWORD_BYTES 24
#define SECRETS "secrets"
#define MARK "cluster.env" // what renewal has to know

static const char *const passwords[] = {"postgres-superuser", "postgres-replication", "postgres-rewind"};

static const struct {
    const char *file; // <file>-cert.secret, <file>-key.secret
    const char *common_name; // NULL = the node's
} leaves[] = {{"etcd", NULL}, {"etcd-peer", "etcd-peer"}, {"postgres", NULL}};

static bool is_type(enum schema_type type, const char *value) {
    const struct schema_key key = {.name = "", .type = type};
    return schema_types[type].is_valid(&key, value);
}

static bool is_ipv4(const char *text) {
    struct schema_cidr address;
    return !strchr(text, '/') && schema_parse_cidr(text, strlen(text), &address) && address.family == AF_INET;
}

static int check_nodes(const struct cluster_request *request, struct err *err) {
    if (request->node_count % 2 == 0 || request->node_count > CLUSTER_MAX_NODES)
        return err_set(err, -EINVAL, "%zu nodes: etcd needs an odd number of them, 1 to %d", request->node_count, CLUSTER_MAX_NODES);
    for (size_t i = 0; i < request->node_count; i++) {
        const struct cluster_node *node = &request->nodes[i];
        if (!is_type(SCHEMA_NAME, node->name) || !is_type(SCHEMA_HOSTNAME, node->name))
            return err_set(err, -EINVAL, "node '%s': expected a host name of a-z, 0-9 and '-'", node->name);
        if (!is_ipv4(node->address))
            return err_set(err, -EINVAL, "node %s: '%s' is no IPv4 address", node->name, node->address);
        for (size_t j = 0; j < i; j++)
            if (strcmp(node->name, request->nodes[j].name) == 0 || strcmp(node->address, request->nodes[j].address) == 0)
                return err_set(err, -EINVAL, "node %s: its name or address is given twice", node->name);
    }
    return 0;
}

int cluster_check(const struct cluster_request *request, struct err *err) {
    if (!is_type(SCHEMA_NAME, request->name))
        return err_set(err, -EINVAL, "'%s': the cluster's name is made of a-z, 0-9, '-' and '.', at most 63", request->name);
    if (!request->vip != !request->interface)
        return err_set(err, -EINVAL, "an address that follows the leader needs an interface, and the other way round");
    cleanup_free char *address = request->vip ? str_printf("%.*s", (int)strcspn(request->vip, "/"), request->vip) : NULL;
    if (request->vip && (!is_type(SCHEMA_CIDR, request->vip) || !is_ipv4(address)))
        return err_set(err, -EINVAL, "'%s': expected an IPv4 address with prefix length, such as 192.0.2.10/24", request->vip);
    if (request->interface && (!is_type(SCHEMA_INTERFACE, request->interface) || strchr(request->interface, ':')))
        return err_set(err, -EINVAL, "'%s': expected the kernel's name of an interface", request->interface);
    if (request->ca_days < 1 || request->ca_days > 100L * 365 || request->node_days < 1 || request->node_days > request->ca_days)
        return err_set(err, -EINVAL, "days: the CA lives up to %ld, the nodes' certificates no longer than the CA", 100L * 365);
    return check_nodes(request, err);
}

static int publish_secret(int secrets_fd, const char *name, const char *part, const char *text, struct err *err) {
    cleanup_free char *file = str_printf("%s%s.secret", name, part);
    return file_publish(secrets_fd, file, text, strlen(text), 0600, err);
}

static int make_leaf(const struct cluster_request *request, const struct cluster_node *node, size_t index, const struct certificate *ca,
                     int secrets_fd, struct err *err) {
    bool has_vip = request->vip && strcmp(leaves[index].file, "postgres") == 0;
    cleanup_free char *names = str_printf("IP:%s,IP:127.0.0.1,DNS:%s,DNS:localhost%s%.*s", node->address, node->name, has_vip ? ",IP:" : "",
                                          has_vip ? (int)strcspn(request->vip, "/") : 0, has_vip ? request->vip : "");
    const struct certificate_request wanted = {.kind = CERTIFICATE_NODE,
                                               .name = leaves[index].common_name ? leaves[index].common_name : node->name,
                                               .not_before = request->not_before,
                                               .not_after = request->not_before + (int64_t)request->node_days * CLUSTER_DAY,
                                               .issuer = ca,
                                               .alternative_names = names};
    cleanup_certificate struct certificate made = {0};
    cleanup_free char *key = NULL, *pem = NULL;
    int r = certificate_make(&wanted, &made, err);
    if (r >= 0)
        r = certificate_format(&made, &key, &pem, err);
    if (r >= 0)
        r = publish_secret(secrets_fd, leaves[index].file, "-key", key, err);
    if (r >= 0)
        r = publish_secret(secrets_fd, leaves[index].file, "-cert", pem, err);
    if (key)
        OPENSSL_cleanse(key, strlen(key));
    return r < 0 ? err_prefix(err, r, "%s of %s", leaves[index].file, node->name) : 0;
}

static int make_leaves(const struct cluster_request *request, const struct cluster_node *node, const struct certificate *ca, int secrets_fd,
                       struct err *err) {
    int r = 0;
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(leaves); i++)
        r = make_leaf(request, node, i, ca, secrets_fd, err);
    return r;
}

static int make_passwords(char ret_texts[ARRAY_SIZE(passwords)][2 * PASSWORD_BYTES + 1], struct err *err) {
    uint8_t bytes[PASSWORD_BYTES];
    for (size_t i = 0; i < ARRAY_SIZE(passwords); i++) {
        if (RAND_priv_bytes(bytes, sizeof(bytes)) != 1)
            return certificate_error(err, -EIO, "random bytes");
        for (size_t j = 0; j < sizeof(bytes); j++)
            snprintf(&ret_texts[i][2 * j], 3, "%02x", bytes[j]);
    }
    OPENSSL_cleanse(bytes, sizeof(bytes));
    return 0;
}

static void add_peers(const struct cluster_request *request, const char *key, struct buf *text) {
    buf_printf(text, "%s='", key);
    for (size_t i = 0; i < request->node_count; i++)
        buf_printf(text, "%s%s=%s", i ? " " : "", request->nodes[i].name, request->nodes[i].address);
    buf_add_str(text, "'\n");
}

static void format_config(const struct cluster_request *request, const struct cluster_node *node, struct buf *text) {
    static const char *const secrets[][2] = {{"ETCD_CA_FILE", "cluster-ca"},
                                             {"ETCD_CERT_FILE", "etcd-cert"},
                                             {"ETCD_KEY_FILE", "etcd-key"},
                                             {"ETCD_PEER_CERT_FILE", "etcd-peer-cert"},
                                             {"ETCD_PEER_KEY_FILE", "etcd-peer-key"},
                                             {"PATRONI_CA_FILE", "cluster-ca"},
                                             {"PATRONI_REPLICATION_PASSWORD_FILE", "postgres-replication"},
                                             {"PATRONI_REWIND_PASSWORD_FILE", "postgres-rewind"},
                                             {"POSTGRES_SUPERUSER_PASSWORD_FILE", "postgres-superuser"},
                                             {"POSTGRES_CERT_FILE", "postgres-cert"},
                                             {"POSTGRES_KEY_FILE", "postgres-key"}};
    buf_printf(text, "# Node %s of cluster %s. Add what is this machine's own: network, operator, memory settings, POSTGRES_CLIENTS.\n",
               node->name, request->name);
    buf_printf(text, "HOSTNAME=%s\n", node->name);
    if (request->ssh_keys)
        buf_add_str(text, "SSH_AUTHORIZED_KEYS_FILE=" SCHEMA_SECRETS_DIR "/ssh.secret\n");
    buf_add_str(text, "# softdog is Patroni's; a watchdog of the hardware stays with systemd.\nWATCHDOG=hardware-or-off\n");
    buf_printf(text, "ETCD_ENABLED=true\nETCD_NAME=%s\nETCD_CLUSTER=%s\n", node->name, request->name);
    add_peers(request, "ETCD_PEERS", text);
    buf_printf(text, "PATRONI_ENABLED=true\nPATRONI_NAME=%s\nPATRONI_CLUSTER_NAME=%s\n", node->name, request->name);
    add_peers(request, "PATRONI_PEERS", text);
    if (request->vip)
        buf_printf(text, "PATRONI_VIP=%s\nPATRONI_VIP_INTERFACE=%s\n", request->vip, request->interface);
    for (size_t i = 0; i < ARRAY_SIZE(secrets); i++)
        buf_printf(text, "%s=" SCHEMA_SECRETS_DIR "/%s.secret\n", secrets[i][0], secrets[i][1]);
}

static int open_secrets(int dir_fd, const char *node, struct err *err) {
    cleanup_free char *path = str_printf(CLUSTER_NODES "/%s/" SECRETS, node);
    int r = file_mkdirs(dir_fd, path, 0700, err);
    return r < 0 ? r : file_open(dir_fd, path, O_RDONLY | O_DIRECTORY, 0, err);
}

static int make_node(const struct cluster_request *request, const struct cluster_node *node, const struct certificate *ca,
                     char passwords_made[][2 * PASSWORD_BYTES + 1], int dir_fd, struct err *err) {
    cleanup_free char *key = NULL, *pem = NULL, *config = str_printf(CLUSTER_NODES "/%s/config.env", node->name);
    cleanup_buf struct buf text = {0};
    cleanup_fd int secrets_fd = open_secrets(dir_fd, node->name, err);
    int r = secrets_fd < 0 ? secrets_fd : certificate_format(ca, &key, &pem, err);
    if (key)
        OPENSSL_cleanse(key, strlen(key));
    if (r >= 0)
        r = publish_secret(secrets_fd, "cluster-ca", "", pem, err);
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(passwords); i++)
        r = publish_secret(secrets_fd, passwords[i], "", passwords_made[i], err);
    if (r >= 0 && request->ssh_keys)
        r = publish_secret(secrets_fd, "ssh", "", request->ssh_keys, err);
    if (r >= 0)
        r = make_leaves(request, node, ca, secrets_fd, err);
    format_config(request, node, &text);
    return r < 0 ? r : file_publish(dir_fd, config, text.data, text.size, 0600, err);
}

static int save_mark(const struct cluster_request *request, int dir_fd, struct err *err) {
    cleanup_buf struct buf text = {0};
    buf_printf(&text, "NAME=%s\n", request->name);
    add_peers(request, "NODES", &text);
    if (request->vip)
        buf_printf(&text, "VIP=%s\n", request->vip);
    return file_publish(dir_fd, MARK, text.data, text.size, 0600, err);
}

static int fill(const struct cluster_request *request, const char *dir, struct err *err) {
    cleanup_free char *name = str_printf("%.40s cluster CA", request->name); // a certificate's name is short
    const struct certificate_request wanted = {.kind = CERTIFICATE_CLUSTER,
                                               .name = name,
                                               .not_before = request->not_before,
                                               .not_after = request->not_before + (int64_t)request->ca_days * CLUSTER_DAY};
    cleanup_certificate struct certificate ca = {0};
    char texts[ARRAY_SIZE(passwords)][2 * PASSWORD_BYTES + 1];
    cleanup_fd int dir_fd = file_open(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, 0, err);
    int r = dir_fd < 0 ? dir_fd : certificate_make(&wanted, &ca, err);
    if (r >= 0)
        r = certificate_save(&ca, dir_fd, CLUSTER_CA, err);
    if (r >= 0)
        r = make_passwords(texts, err);
    for (size_t i = 0; r >= 0 && i < request->node_count; i++)
        r = make_node(request, &request->nodes[i], &ca, texts, dir_fd, err);
    OPENSSL_cleanse(texts, sizeof(texts));
    if (r >= 0)
        r = save_mark(request, dir_fd, err);
    if (r >= 0 && fsync(dir_fd) < 0)
        r = err_sys(err, -errno, "%s", dir);
    return r;
}

int cluster_make(const char *dir, const struct cluster_request *request, struct err *err) {
    int r = cluster_check(request, err);
    if (r < 0)
        return r;
    cleanup_free char *clean = str_dup(dir);
    for (size_t length = strlen(clean); length > 1 && clean[length - 1] == '/'; length--)
        clean[length - 1] = 0;
    const char *slash = strrchr(clean, '/');
    cleanup_free char *parent = slash ? str_printf("%.*s", (int)(slash == clean ? 1 : slash - clean), clean) : str_dup(".");
    cleanup_tempdir char *work = NULL;
    r = file_mkdirs(AT_FDCWD, parent, 0755, err);
    if (r < 0)
        return r;
    r = tempdir_make_beside(clean, &work, err);
    if (r >= 0)
        r = fill(request, work, err);
    if (r >= 0 && rename(work, clean) < 0) // an empty directory is replaced
        r = errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR
                ? err_set(err, -EEXIST, "%s exists already; secrets are never overwritten", clean)
                : err_sys(err, -errno, "cannot give %s its name", clean);
    return r;
}

size_t cluster_split_nodes(char *text, struct cluster_node ret_nodes[CLUSTER_MAX_NODES]) {
    size_t count = 0;
    char *rest = NULL;
    for (char *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        char *equals = strchr(word, '=');
        if (!equals || count == CLUSTER_MAX_NODES)
            return 0;
        *equals = 0;
        ret_nodes[count++] = (struct cluster_node){word, equals + 1};
    }
    return count;
}

static int load_ca(const char *dir, struct certificate *ret_ca, struct err *err) {
    cleanup_free char *key = str_printf("%s/" CLUSTER_CA ".key", dir), *pem = str_printf("%s/" CLUSTER_CA ".pem", dir);
    int r = certificate_load_key(key, &ret_ca->key, err);
    return r < 0 ? r : certificate_load(pem, &ret_ca->x509, err);
}

static char *node_dir(const char *dir, const struct cluster_node *node) {
    return str_printf("%s/" CLUSTER_NODES "/%s", dir, node->name);
}

static int renew_beside(const char *dir, const struct cluster_request *request, const struct certificate *ca, struct err *err) {
    int r = 0;
    for (size_t i = 0; r >= 0 && i < request->node_count; i++) {
        cleanup_free char *parent = node_dir(dir, &request->nodes[i]);
        cleanup_fd int fd = -1;
        r = file_mkdirs(AT_FDCWD, parent, 0700, err);
        if (r >= 0)
            r = fd = dirswap_begin(parent, SECRETS, err);
        if (r >= 0)
            r = make_leaves(request, &request->nodes[i], ca, fd, err);
    }
    return r < 0 ? err_prefix(err, r, "nothing was renewed") : 0;
}

static int put_in_place(const char *dir, const struct cluster_request *request, struct err *err) {
    for (size_t i = 0; i < request->node_count; i++) {
        const struct cluster_node *node = &request->nodes[i];
        cleanup_free char *parent = node_dir(dir, node);
        int r = dirswap_end(parent, SECRETS, err);
        if (r < 0)
            return err_prefix(err, r, "%zu of %zu nodes have new certificates, %s was next; run it again", i, request->node_count,
                              node->name);
    }
    return 0;
}

// All that may fail comes first, beside what is there. What is left to do then is a rename for each node, after which its keys and
// certificates fit each other as they did before.
static int renew(const char *dir, const struct cluster_request *request, struct err *err) {
    cleanup_certificate struct certificate ca = {0};
    int r = load_ca(dir, &ca, err);
    if (r >= 0)
        r = renew_beside(dir, request, &ca, err);
    if (r >= 0)
        r = put_in_place(dir, request, err);
    for (size_t i = 0; r < 0 && i < request->node_count; i++) {
        cleanup_free char *parent = node_dir(dir, &request->nodes[i]);
        dirswap_drop(parent, SECRETS);
    }
    return r;
}

int cluster_renew(const char *dir, int64_t not_before, long node_days, char **ret_names, struct err *err) {
    cleanup_free char *path = str_printf("%s/" MARK, dir), *text = NULL;
    cleanup_config struct config config = {0};
    cleanup_config_problems struct config_problems problems = {0};
    struct cluster_node nodes[CLUSTER_MAX_NODES];
    size_t size = 0;
    int r = file_read(AT_FDCWD, path, CONFIG_READ_BYTES, &text, &size, err);
    if (r < 0)
        return err_prefix(err, r, "%s holds no secrets of a cluster", dir);
    if (config_parse(text, size, &config, &problems) < 0)
        return err_set(err, -EINVAL, "%s:%u: %s", path, problems.items[0].line, problems.items[0].text);
    const struct config_entry *name = config_find(&config, "NAME"), *list = config_find(&config, "NODES"),
                              *vip = config_find(&config, "VIP");
    cleanup_free char *copy = str_dup(list ? list->value : "");
    struct cluster_request request = {.name = name ? name->value : "",
                                      .nodes = nodes,
                                      .node_count = cluster_split_nodes(copy, nodes),
                                      .vip = vip ? vip->value : NULL,
                                      .interface = vip ? "any" : NULL, // not part of certificates
                                      .not_before = not_before,
                                      .ca_days = 100L * 365, // the CA is there: it says itself what may outlive it
                                      .node_days = node_days};
    r = cluster_check(&request, err);
    if (r >= 0)
        r = renew(dir, &request, err);
    if (r < 0)
        return err_prefix(err, r, "%s", dir);
    cleanup_buf struct buf names = {0};
    for (size_t i = 0; i < request.node_count; i++)
        buf_printf(&names, "%s%s", i ? " " : "", nodes[i].name);
    *ret_names = buf_take(&names);
    return 0;
}
