// SPDX-License-Identifier: Apache-2.0
// Which addresses a redirect may lead to, and how an address is shown. Pure.
#pragma once
#include "common/err.h"
#include <stdbool.h>
#include <sys/socket.h>

// How many bytes of `url` may be in a message: without user, password and query, which may hold a token.
int address_shown(const char *url) nonnull(1);
// A redirect to `url`: http or https without user and password; only https when `must_be_https`.
int address_check_redirect(const char *url, bool must_be_https, bool *ret_is_https, struct err *err) must_check nonnull(1, 3, 4);
bool address_is_loopback(const struct sockaddr *address) nonnull(1);
// Never the target of a redirect: link-local addresses (metadata services of clouds), those of other metadata services, multicast and
// the unspecified address.
bool address_is_special(const struct sockaddr *address) nonnull(1);
