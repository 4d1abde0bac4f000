// SPDX-License-Identifier: Apache-2.0
// What may stand in config.env: one table of keys (name, type, default, help), the check against it, and typed access with defaults.
// Stacks will add their keys to the same struct schema. No I/O but schema_check_files.
#pragma once
#include "common/config.h"
#include <stdint.h>

enum schema_type {
    SCHEMA_TEXT,
    SCHEMA_BOOL, // true | false
    SCHEMA_INTEGER, // decimal, min … max
    SCHEMA_SIZE, // bytes, with K, M, G, T (powers of 1024)
    SCHEMA_HOSTNAME, // RFC 1123
    SCHEMA_HOST_LIST, // blank-separated host names or addresses
    SCHEMA_ADDRESS, // IPv4 or IPv6 address
    SCHEMA_ADDRESS_LIST, // blank-separated
    SCHEMA_CIDR, // address/prefix
    SCHEMA_CIDR_LIST,
    SCHEMA_TIMEZONE,
    SCHEMA_INTERFACE, // kernel interface name or MAC address
    SCHEMA_USER, // POSIX user name
    SCHEMA_SSH_KEYS, // public keys, separated by ';'
    SCHEMA_PATH, // absolute path
    SCHEMA_SECRET_FILE, // a path under /webops/secrets ending in .secret; *_FILE keys only
};

struct schema_key {
    const char *name; // "NET#_ADDRESS": '#' stands for one digit 0 … 9
    enum schema_type type;
    const char *fallback; // default as text; NULL = unset
    const char *group; // heading in docs/CONFIG.md
    const char *help; // one or two sentences, ends with a full stop
    int64_t min, max; // SCHEMA_INTEGER and SCHEMA_SIZE; both 0 = unbounded
};

struct schema {
    const struct schema_key *const *tables; // NULL-terminated list of tables, each ended by name == NULL
};

// The keys of every machine (base and hardening).
extern const struct schema schema_base;

// All problems at once: unknown key (with the nearest known one), bad value by type, secret given as a value, keys that need each other.
int schema_check(const struct schema *schema, const struct config *config, struct config_problems *problems) must_check nonnull(1, 2, 3);
// Secret files named by *_FILE keys: present under `secrets_fd` (a directory descriptor of the secrets directory), regular, 0600, owned by
// root (or by us, when not root), at most 64 KiB, not empty.
int schema_check_files(const struct schema *schema, const struct config *config, int secrets_fd, struct config_problems *problems) must_check
    nonnull(1, 2, 4);
const struct schema_key *schema_find(const struct schema *schema, const char *name) nonnull(1, 2);

// Value or default; NULL when neither is set. The key must be in the schema (assert).
const char *schema_text(const struct schema *schema, const struct config *config, const char *key) nonnull(1, 2, 3);
// Of a config that passed schema_check().
bool schema_bool(const struct schema *schema, const struct config *config, const char *key) nonnull(1, 2, 3);
int64_t schema_integer(const struct schema *schema, const struct config *config, const char *key) nonnull(1, 2, 3); // INTEGER and SIZE
// Markdown of every key, by group: docs/CONFIG.md.
struct buf;
void schema_format_markdown(const struct schema *schema, struct buf *buf) nonnull(1, 2);
