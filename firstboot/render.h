// SPDX-License-Identifier: Apache-2.0
// What renderers share: their input, how they add to a plan, and the guard that keeps a value inside its target format.
#pragma once
#include "firstboot/plan.h"

struct render {
    const struct schema *schema;
    const struct config *config;
    const struct facts *facts;
    struct plan *plan;
};
typedef void render_fn(const struct render *in);

// One per concern; the table in plan.c runs them in order.
render_fn render_hostname, render_timezone, render_chrony, render_journal, render_network, render_dns, render_ssh, render_user, render_sudo,
    render_firewall, render_limits, render_sysctl, render_watchdog, render_swap, render_issue, render_stacks, render_http;

// Take over the buffer's text.
void render_file(const struct render *in, const char *path, mode_t mode, struct buf *content) nonnull(1, 2, 4);
void render_link(const struct render *in, const char *path, const char *target) nonnull(1, 2, 3);
struct plan_entry *render_entry(const struct render *in, enum plan_kind kind, const char *path, mode_t mode) nonnull(1, 3);
// Remembers that `key`'s value does not fit its target format: the whole plan is then refused.
void render_problem(const struct render *in, const char *key, const char *what) nonnull(1, 2, 3);

const char *render_text(const struct render *in, const char *key) nonnull(1, 2); // "" when unset
bool render_bool(const struct render *in, const char *key) nonnull(1, 2);
int64_t render_integer(const struct render *in, const char *key) nonnull(1, 2);
bool render_is_set(const struct render *in, const char *key) nonnull(1, 2); // set and not empty, or has a default

// Adds a value made of [A-Za-z0-9._:/%+@,=-] only, which is harmless in every format here (ini, sudoers, nft, passwd, sshd_config, chrony.conf);
// any other byte is a render_problem(). The schema is stricter; this is the second fence.
void render_word(const struct render *in, struct buf *buf, const char *key, const char *text, size_t size) nonnull(1, 2, 3, 4);
// Host (as in the value, without brackets) and port of a SCHEMA_LISTEN key. False when it is empty.
struct render_listen {
    const char *host;
    size_t host_size;
    bool is_v6, is_loopback;
    long port;
};
bool render_listen(const struct render *in, const char *key, struct render_listen *ret_listen) must_check nonnull(1, 2, 3);
// For each item of a blank-separated list value: prefix, item, suffix.
void render_list(const struct render *in, struct buf *buf, const char *key, const char *prefix, const char *suffix) nonnull(1, 2, 3, 4, 5);
