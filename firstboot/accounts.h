// SPDX-License-Identifier: Apache-2.0
// The four account files as texts: the image's entries plus one operator. Pure.
#pragma once
#include "common/buf.h"
#include <stdbool.h>

struct account {
    const char *name;
    unsigned uid, gid;
    const char *password_hash; // NULL = no password, login by password impossible
};

// Whether the image itself has a user or group of that name (with another number than the operator's).
bool accounts_is_taken(const char *passwd, const char *group, const struct account *account) nonnull(1, 2, 3);
// *ret_gid: the group's number; untouched when there is no such group, or it has none.
bool accounts_find_group(const char *group, const char *name, unsigned *ret_gid) nonnull(1, 2, 3);
// The text with every former operator (same name or number) replaced by this one. Groups that let an operator read the journal get the
// operator as their only member.
void accounts_passwd(const char *text, const struct account *account, struct buf *ret_text) nonnull(1, 2, 3);
void accounts_group(const char *text, const struct account *account, struct buf *ret_text) nonnull(1, 2, 3);
void accounts_shadow(const char *text, const struct account *account, struct buf *ret_text) nonnull(1, 2, 3);
void accounts_gshadow(const char *text, const struct account *account, struct buf *ret_text) nonnull(1, 2, 3);
