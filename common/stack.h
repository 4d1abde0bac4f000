// SPDX-License-Identifier: Apache-2.0
// What webops needs to know of a stack to run it: keys, files, ports, units, data, health, hooks. Written as overlays/<name>/stack.yaml, carried
// in the image as usr/lib/webops/stacks/<name>.json with its templates in usr/lib/webops/stacks/<name>/. Format: docs/FORMATS.md, "Stacks".
#pragma once
#include "common/buf.h"
#include "common/schema.h"
#include "common/template.h"
#include <sys/types.h>

#define STACK_DIR "usr/lib/webops/stacks" // in the image
#define STACK_OVERRIDE_DIR "webops/templates" // <stack>/<template>: the operator's own, instead of the image's
#define STACK_MAX_STACKS 32
#define STACK_MAX_BYTES (256 << 10) // of one JSON file
#define STACK_FORMAT 1

struct stack_list { // of texts
    char **items;
    size_t count;
};

struct stack_key {
    struct schema_key schema; // all texts are owned by the stack
    bool is_required; // when the stack is enabled
    char *required_when; // key that makes this one required, too, while it is true or set; NULL = none
    char *at_least; // of an integer: "KEY + 2*KEY", what it must not be below; NULL = none
    char *pattern; // POSIX extended regular expression over the whole value; NULL = none
};

// A template and where its text goes.
struct stack_file {
    char *template; // file name below the stack's templates
    char *path; // absolute; below /etc or /run (both tmpfs)
    char *owner; // "user:group"; NULL = root:root
    mode_t mode; // no rights for others when the template uses a secret
    enum template_format format;
    char *when; // key that must be true or set; NULL = always
};

enum stack_protocol { STACK_TCP, STACK_UDP };
struct stack_port {
    char *port; // number, range "49152-49215", or a key of type integer
    enum stack_protocol protocol;
    char *from; // "any", "local" (not opened, only reserved), or a key that lists networks, addresses or peers; unset key: nobody
    char *when; // as above
};

enum stack_on_change { STACK_RESTART, STACK_RELOAD, STACK_KEEP };
struct stack_unit {
    char *unit;
    enum stack_on_change on_change; // what happens when one of the stack's files changed while it runs
    char *when;
};

struct stack_data { // a directory on state: made when missing, kept by uninstall, deleted by --purge
    char *path; // absolute, below /var/lib, /var/log, /var/cache or /srv
    char *owner;
    mode_t mode;
};

struct stack_sysctl {
    char *name; // "vm.overcommit_memory"
    long value;
};

enum stack_check_kind { STACK_CHECK_UNIT, STACK_CHECK_TCP, STACK_CHECK_HTTP, STACK_CHECK_COMMAND };
struct stack_check { // texts may hold {{…}} as templates of format word
    char *name;
    enum stack_check_kind kind;
    char *unit; // unit: must be active
    char *address; // tcp: "127.0.0.1:2379"; a loopback address only
    char *url; // http: plain http to a loopback address only
    unsigned expect; // http status; 0 = 200
    struct stack_list command; // exit status 0; absolute program
    char *user; // who runs the command; NULL = root
    unsigned timeout_seconds; // of one try; 0 = 10
    char *when;
};

enum stack_event { STACK_BEFORE_UPDATE, STACK_BEFORE_REBOOT, STACK_AFTER_START, STACK_EVENTS };
struct stack_hook {
    enum stack_event event;
    struct stack_list command;
    char *user;
    unsigned timeout_seconds; // 0 = 60
    bool is_required; // a failure refuses the update or restart (which --force overrides); else it is a warning
    char *when;
};

struct stack {
    char *name, *summary, *enable; // enable: name of the key that switches it on; part of `keys`
    char *package; // whose version `webops status` shows; NULL = none
    unsigned start_timeout_seconds; // until its checks must pass after a start; 0 = 120
    struct stack_key *keys;
    size_t key_count;
    struct stack_list requires; // each "ETCD_ENABLED or ETCD_ENDPOINTS": one of these keys must be true or set; one of them must exist
    struct stack_list conflicts; // keys that must be neither; they need not exist
    struct stack_list persist; // absolute directories below /etc that keep what is written to them (bind-mounted from state)
    struct stack_file *files;
    size_t file_count;
    struct stack_port *ports;
    size_t port_count;
    struct stack_unit *units; // in start order
    size_t unit_count;
    struct stack_data *data;
    size_t data_count;
    struct stack_sysctl *sysctls;
    size_t sysctl_count;
    struct stack_check *checks;
    size_t check_count;
    struct stack_hook *hooks;
    size_t hook_count;
};

void stack_done(struct stack *stack);
void stack_free(struct stack *stack);
// Everything about one stack that a type cannot express: names, paths, modes, keys that do not exist (`base` and its own are known), key
// types where a port or network is wanted, regular expressions. The message begins with the member: "ports[1].from: …".
int stack_verify(const struct stack *stack, const struct schema *base, struct err *err) must_check nonnull(1, 2, 3);
// One JSON object, keys in fixed order, so that the same stack gives the same bytes.
void stack_format(const struct stack *stack, struct buf *json) nonnull(1, 2);
// Strict: unknown keys, wrong types and sizes are -EINVAL naming `name`.
int stack_parse(const char *json, size_t size, const char *name, struct stack *ret_stack, struct err *err) must_check nonnull(1, 3, 4, 5);
// "tcp" → STACK_TCP and the like: the words of the YAML and JSON formats, shared by both parsers. Return -1 when unknown.
int stack_protocol_find(const char *word) nonnull(1);
int stack_on_change_find(const char *word) nonnull(1);
int stack_check_kind_find(const char *word) nonnull(1);
int stack_event_find(const char *word) nonnull(1); // "before-update" …
const char *stack_event_name(enum stack_event event);
const char *stack_protocol_name(enum stack_protocol protocol);

// The stacks of one image, in start order: what a stack requires comes before it.
struct stack_set {
    struct stack **stacks;
    size_t count;
    struct schema schema; // base keys and those of all stacks; its rules check requirements, conflicts, ports, sysctls
    void *tables; // what the schema points to
};

void stack_set_done(struct stack_set *set);
// Takes the stacks over (also on failure). Refuses two of one name, a key that two define differently, and cycles ("a → b → a").
int stack_set_make(struct stack **stacks, size_t count, struct stack_set *ret_set, struct err *err) must_check nonnull(3, 4);
// stack_verify() of each with the schema of all. On failure *ret_index says which one it is.
int stack_set_verify(const struct stack_set *set, size_t *ret_index, struct err *err) must_check nonnull(1, 2, 3);
// All STACK_DIR/*.json below a root, verified. An absent directory is an empty set.
int stack_set_load(int root_fd, struct stack_set *ret_set, struct err *err) must_check nonnull(2, 3);
const struct stack *stack_set_find(const struct stack_set *set, const char *name) nonnull(1, 2);

// Of a config that passed schema_check(): whether the stack's enable key is true, whether a `when` holds (NULL: yes; key true or not empty).
bool stack_is_enabled(const struct stack_set *set, const struct stack *stack, const struct config *config) nonnull(1, 2, 3);
bool stack_holds(const struct stack_set *set, const char *when, const struct config *config) nonnull(1, 3);
// Whether `stack` needs `other` under this configuration: one of its requirements is met by other's enable key.
bool stack_needs(const struct stack_set *set, const struct stack *stack, const struct stack *other, const struct config *config)
    nonnull(1, 2, 3, 4);

// Whether one of the two says that it does not go with the other.
bool stack_conflicts(const struct stack *stack, const struct stack *other) nonnull(1, 2);

#define cleanup_stack_set cleanup(stack_set_done)
