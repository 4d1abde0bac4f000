// SPDX-License-Identifier: Apache-2.0
// What may stand in config.env: one table of keys (name, type, default, help), the check against it, and typed access with defaults.
// Stacks add their keys to the same struct schema (common/stack.h). No I/O but schema_check_files.
#pragma once
#include "common/config.h"
#include <stdint.h>

enum schema_type {
    SCHEMA_TEXT,
    SCHEMA_BOOL, // true | false
    SCHEMA_INTEGER, // decimal, min … max
    SCHEMA_SIZE, // bytes, with K, M, G, T (powers of 1024)
    SCHEMA_MEMORY, // a SCHEMA_SIZE, or a percentage "1%" … "100%"
    SCHEMA_WORD, // one of `choices`
    SCHEMA_HOSTNAME, // RFC 1123
    SCHEMA_HOST_LIST, // blank-separated host names or addresses
    SCHEMA_ADDRESS, // IPv4 or IPv6 address
    SCHEMA_ADDRESS_LIST, // blank-separated
    SCHEMA_CIDR, // address/prefix
    SCHEMA_CIDR_LIST,
    SCHEMA_PORT_LIST, // blank-separated ports and ranges "8000-8100"
    SCHEMA_TIMEZONE,
    SCHEMA_INTERFACE, // kernel interface name or MAC address
    SCHEMA_USER, // POSIX user name
    SCHEMA_SSH_KEYS, // public keys, separated by ';'
    SCHEMA_PATH, // absolute path
    SCHEMA_NAME, // [a-z0-9][a-z0-9.-]*, at most 63 characters
    SCHEMA_URL, // http or https, without user, query and fragment
    SCHEMA_WINDOW, // common/window.h; empty: always
    SCHEMA_SECRET_FILE, // a path under /webops/secrets ending in .secret; *_FILE keys only
    SCHEMA_PEER_LIST, // blank-separated name=address, each name once; address: IPv4, IPv6 or host name
    SCHEMA_LISTEN, // 192.0.2.7:80 or [2001:db8::7]:80; empty: nowhere
    SCHEMA_DISK, // which disk to install to: common/diskrule.h
    SCHEMA_SHA256, // 64 hexadecimal digits
    SCHEMA_TYPES // how many there are
};

struct schema_key {
    const char *name; // "NET#_ADDRESS": '#' stands for one digit 0 … 9
    enum schema_type type;
    const char *fallback; // default as text; NULL = unset
    const char *group; // heading in docs/CONFIG.md
    const char *help; // one or two sentences, ends with a full stop
    int64_t min, max; // SCHEMA_INTEGER and SCHEMA_SIZE; both 0 = unbounded
    const char *choices; // SCHEMA_WORD: "auto off"
};

struct schema;
struct stack_set;
// A check over several keys; adds what it finds to `problems`.
typedef void schema_rule(const struct schema *schema, const struct config *config, struct config_problems *problems);

struct schema {
    const struct schema_key *const *tables; // NULL-terminated list of tables, each ended by name == NULL
    schema_rule *const *rules; // NULL-terminated list; NULL = no rules
    const struct stack_set *stacks; // whose keys are among the tables, for the rules (common/stack.h); NULL = none
};

// The keys of every machine (base and hardening).
extern const struct schema schema_base;
// Raised when a config.env that was right would no longer be: a key goes away or its values become fewer. In generation.env and manifest.
#define SCHEMA_VERSION 1

#define SCHEMA_SECRETS_DIR "/webops/secrets"
#define SCHEMA_SECRET_MAX_BYTES (64 << 10)
// Longest file name of a secret, with NUL.
#define SCHEMA_SECRET_NAME_BYTES 128

// All problems at once: unknown key (with the nearest known one), bad value by type, secret given as a value, keys that need each other.
// 0, or -EINVAL when `problems` grew.
int schema_check(const struct schema *schema, const struct config *config, struct config_problems *problems) must_check nonnull(1, 2, 3);
// Secret files named by *_FILE keys: present under `secrets_fd` (a directory descriptor of the secrets directory, -1 if there is none),
// regular, no rights for group and others, owned by root (or by us, when not root), at most SCHEMA_SECRET_MAX_BYTES, not empty. The file
// behind OPERATOR_PASSWORD_FILE must hold a crypt(3) hash, one behind a …_KEYS_FILE no private key. `dir` is what problems call the directory.
// 0, or -EINVAL when `problems` grew.
int schema_check_files(const struct schema *schema, const struct config *config, int secrets_fd, const char *dir,
                       struct config_problems *problems) must_check nonnull(1, 2, 4, 5);
// config_parse() and schema_check() in one: what every reader of a config.env does.
int schema_parse(const struct schema *schema, const char *text, size_t size, struct config *ret_config,
                 struct config_problems *problems) must_check nonnull(1, 4, 5);
// A complete name ("NET0_ADDRESS"); NULL when unknown.
const struct schema_key *schema_find(const struct schema *schema, const char *name) nonnull(1, 2);

// Value or default; NULL when neither is set. The key must be in the schema (assert). Of a checked config an empty value is possible for
// texts and lists only: "none", as against the default.
const char *schema_text(const struct schema *schema, const struct config *config, const char *name) nonnull(1, 2, 3);
// Of a config that passed schema_check(); false and 0 when neither value nor default is set.
bool schema_bool(const struct schema *schema, const struct config *config, const char *name) nonnull(1, 2, 3);
int64_t schema_integer(const struct schema *schema, const struct config *config, const char *name) nonnull(1, 2, 3); // INTEGER and SIZE
// The file name below the secrets directory that a SCHEMA_SECRET_FILE value names; NULL when it is no such path. Points into `path`.
const char *schema_secret_name(const char *path) nonnull(1);
// Whether `name` may be the file name of a secret: [A-Za-z0-9][A-Za-z0-9._-]*.secret, below SCHEMA_SECRET_NAME_BYTES.
bool schema_is_secret_name(const char *name) nonnull(1);
// By its name alone: whether the value of such a key would be a secret. Not so with …_FILE and …_KEYS.
bool schema_names_secret(const char *name) nonnull(1);
// Markdown of every key, by group: docs/CONFIG.md.
struct buf;
void schema_format_markdown(const struct schema *schema, struct buf *buf) nonnull(1, 2);
