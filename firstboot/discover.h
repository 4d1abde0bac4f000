// SPDX-License-Identifier: Apache-2.0
// Where the configuration comes from: the sources of docs/ARCHITECTURE.md in order, the first that has one wins. A configuration that
// passes the whole check is remembered on the state partition, secrets first, config.env last, so that its source can go away; one
// that does not is never taken, and its problems are reported. Applying it is not done here.
#pragma once
#include "common/schema.h"

#define DISCOVER_CONFIG "webops/config.env"
#define DISCOVER_SECRETS "webops/secrets"
#define DISCOVER_DEFAULT "usr/lib/webops/default.env" // the profile's, in the image; never copied
#define DISCOVER_LAST_GOOD "var/lib/webops/config.good" // the configuration of state that passed the check last
#define DISCOVER_RECORD "var/lib/webops/source" // "source: …", "sha256: …", "time: …", one per line

// What touches the system; NULL members of a `struct discover` mean the real thing. Tests put fakes here.
struct discover_io {
    // Opens the file system on `device` (relative to root_fd) read-only and returns a directory descriptor, or -errno.
    int (*open_volume)(int root_fd, const char *device, const char *type, struct err *err);
    // GET; at most `max_bytes`. The caller frees *ret_text.
    int (*fetch)(const char *url, size_t max_bytes, char **ret_text, size_t *ret_size, struct err *err);
    // Opens an envelope with a private key; the caller wipes and frees *ret_text.
    int (*unseal)(const char *key, size_t key_size, const char *envelope, size_t size, char **ret_text, size_t *ret_size, struct err *err);
    // Waits, for seconds at most, until devices that are known to the kernel have their drivers. May be NULL.
    void (*settle)(int root_fd);
};

struct discover {
    int root_fd; // "/" on a machine
    const struct schema *schema;
    bool late; // the network is up: metadata services may be asked; else, if nothing is found, devices are waited for and asked again
    bool is_dry_run; // a configuration that is found is not remembered
    const struct discover_io *io; // NULL: mount, webops-fetch, webops-unseal
};

struct discover_refusal {
    char *source;
    struct config_problems problems;
};

struct discovered {
    struct config config; // passed the whole check; may be empty, then every key has its default
    char *
        source; // "state", "last good", "ESP", "volume WEBOPS on sdb1", "seed cidata on sr0", "fw_cfg", "credentials", "medium", "Hetzner metadata", "default"
    struct discover_refusal *refusals; // what was found and not taken, in order of discovery
    size_t refusal_count;
};

// Always yields a configuration: with nothing usable it is the image's default, or an empty one. A negative code means only that a good
// configuration could not be remembered (state full or read-only; err says what); *ret is filled in even then.
int discover_config(const struct discover *discover, struct discovered *ret, struct err *err) must_check nonnull(1, 2, 3);
void discovered_done(struct discovered *discovered);
// One log line per problem: "source:line: text".
void discovered_log(const struct discovered *discovered) nonnull(1);

#define cleanup_discovered cleanup(discovered_done)
