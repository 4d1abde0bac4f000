// SPDX-License-Identifier: Apache-2.0
// What is remembered of stacks. On state: that one is uninstalled. Under /run: the configuration in force, what each stack does, and the
// digests of its files as rendered and as of its last start. Formats: docs/FORMATS.md, "State of stacks".
#pragma once
#include "common/stack.h"
#include <jansson.h>

#define STACK_STATE_DIR "var/lib/webops/stacks" // <name>.json: {"uninstalled": true, "time": …}
#define STACK_PERSIST_DIR "var/lib/webops/persist" // <path>: what is bind-mounted over it
#define STACK_RUN_DIR "run/webops/stacks" // <name>.json, <name>.planned, <name>.started
#define STACK_CONFIG_PATH "run/webops/config.env" // in force; 0600

enum stack_state { STACK_STOPPED, STACK_STARTING, STACK_RUNNING, STACK_WAITING, STACK_FAILED, STACK_STATES };
const char *stack_state_name(enum stack_state state); // "stopped" …

bool stack_state_is_uninstalled(int root_fd, const char *name) nonnull(2);
// 1 = changed, 0 = was so.
int stack_state_set_uninstalled(int root_fd, const char *name, bool is_uninstalled, struct err *err) must_check nonnull(2, 4);

// "<name>.planned" and "<name>.started" hold one digest each, 0600: it covers secrets. NULL when there is none; the caller frees it.
char *stack_digest_load(int root_fd, const char *name, const char *kind) nonnull(2, 3);
// A NULL digest removes the file.
int stack_digest_save(int root_fd, const char *name, const char *kind, const char *digest, struct err *err) must_check nonnull(2, 3, 5);

// {"state", "why", "since"}; `since` stays as long as the state does.
struct stack_record {
    enum stack_state state;
    char *why; // "" when all is well
    char *since; // "2026-11-26T14:00:00Z"
};
void stack_record_done(struct stack_record *record);
// A missing record is a stopped stack, since "".
void stack_record_load(int root_fd, const char *name, struct stack_record *ret_record) nonnull(2, 3);
int stack_record_save(int root_fd, const char *name, enum stack_state state, const char *why, struct err *err) must_check nonnull(2, 4, 5);

// The stacks of this image under the configuration in force: what health, hooks, status and the engine go by. Without a configuration in
// force (`webops apply` has not run) none is active.
struct stacks {
    struct stack_set set;
    struct config config;
    struct stacks_item {
        bool is_enabled, is_uninstalled;
        char *problem; // why its files could not be rendered; NULL = they could
    } * items; // in the set's order
    bool is_borrowed; // set and config are somebody else's
};
void stacks_done(struct stacks *stacks);
int stacks_load(int root_fd, struct stacks *ret_stacks, struct err *err) must_check nonnull(2, 3);
// Enabled and not uninstalled.
bool stacks_is_active(const struct stacks *stacks, size_t index) nonnull(1);
// Index in the set, or -ENOENT with the nearest name.
int stacks_find(const struct stacks *stacks, const char *name, struct err *err) must_check nonnull(1, 2, 3);
// Names of the active stacks in order, separated by ", "; "" when there are none.
char *stacks_active_names(const struct stacks *stacks) nonnull(1);

// The configuration in force, as text that config_parse() reads back.
int stack_config_save(int root_fd, const struct config *config, struct err *err) must_check nonnull(2, 3);

#define cleanup_stacks cleanup(stacks_done)
#define cleanup_stack_record cleanup(stack_record_done)
