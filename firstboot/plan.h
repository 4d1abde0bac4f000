// SPDX-License-Identifier: Apache-2.0
// What a machine should look like: pure functions from schema, configuration and facts to a list of files, kernel parameters and runtime
// settings. No I/O; firstboot/apply.c carries a plan out.
#pragma once
#include "common/buf.h"
#include "common/schema.h"
#include "common/sha256.h"
#include "firstboot/stack/inputs.h"
#include <sys/types.h>

// The operator's fixed numbers: files on the state partition keep their owner whatever the name becomes.
#define OPERATOR_UID 1000
#define OPERATOR_GID 1000

// Everything a renderer may know besides the configuration. Texts are never NULL in facts made by facts_gather().
struct facts {
    const char *passwd, *group, *shadow, *gshadow; // present account files
    const char *authorized_keys; // content of SSH_AUTHORIZED_KEYS_FILE; NULL when the key is unset
    const char *password_hash; // content of OPERATOR_PASSWORD_FILE; NULL when the key is unset
    bool has_zone; // TIMEZONE exists in the image's zone data
    bool has_config; // some source gave a configuration
    bool has_networkmanager; // it configures the network; otherwise systemd-networkd does
    bool sshd_includes_nothing; // sshd_config of the image names no directory of further files, as that of Enterprise Linux 8
    unsigned hardware_watchdogs, hardware_watchdog; // devices other than softdog: how many, and the number of the first
    bool has_softdog;
    unsigned softdog; // its number
    const struct stack_inputs *stacks; // NULL = none
};

// PLAN_KEEP: whatever stands there stays, as long as webops wrote it before.
enum plan_kind { PLAN_FILE, PLAN_LINK, PLAN_DIRECTORY, PLAN_KEEP };
struct plan_entry {
    enum plan_kind kind;
    char *path; // relative to the root
    char *content; // text of a file, target of a link, NULL for a directory
    size_t size; // of content, bytes
    mode_t mode;
    uid_t uid;
    gid_t gid;
};

struct plan_sysctl {
    const char *key; // "vm.swappiness"
    long value;
};

// A stack of the image as planned.
struct plan_stack {
    const struct stack *stack;
    bool is_enabled, is_uninstalled;
    char *problem; // why its files cannot be rendered: they stay as they are, and it is not started; NULL = they can
    char digest[2 * SHA256_BYTES + 1]; // of its files: path, mode, owner, content
};
static inline bool plan_stack_is_active(const struct plan_stack *stack) {
    return stack->is_enabled && !stack->is_uninstalled;
}

// A port that the firewall opens for a stack.
struct plan_port {
    const char *stack;
    char *port; // "2379" or "49152-49215"
    const char *protocol; // "tcp"
    bool is_any; // from everywhere
    char *from4, *from6; // else from these, as the inside of an nft set; "" = none
};

struct plan {
    struct plan_entry *entries; // sorted by path
    size_t count;
    struct plan_sysctl *sysctls;
    size_t sysctl_count;
    char *hostname;
    uint64_t swap_bytes; // 0 = no swap file
    bool needs_softdog;
    struct plan_stack *stacks; // in start order
    size_t stack_count;
    struct plan_port *ports;
    size_t port_count;
    struct config_problems stack_problems; // about values of stacks; they cost at most their stack
    bool feeds_watchdog; // systemd is to feed one,
    unsigned watchdog; // /dev/watchdog<this>
    const char *problem_key; // the first key whose value cannot be rendered; NULL when all could
    const char *problem; // why
};

void plan_done(struct plan *plan);
// Runs every renderer. A key whose value cannot be carried out on this machine (no such time zone, a user name that the image has) is added
// to `problems` and planned with its default instead: one wrong value never costs the rest. -EINVAL when even the defaults fail.
int plan_make(const struct schema *schema, const struct config *config, const struct facts *facts, struct plan *ret_plan,
              struct config_problems *problems, struct err *err) must_check nonnull(1, 2, 3, 4, 5, 6);
// NULL when the plan has no such path.
const struct plan_entry *plan_find(const struct plan *plan, const char *path) nonnull(1, 2);

#define cleanup_plan cleanup(plan_done)
