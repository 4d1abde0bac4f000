// SPDX-License-Identifier: Apache-2.0
// http and https addresses, as far as fetching a file needs them (RFC 3986). Pure.
#pragma once
#include "common/err.h"
#include <stdbool.h>

#define URL_MAX_BYTES 2048

struct url {
    char *text; // as it was given, for messages
    bool is_tls;
    char *host; // an IPv6 address without its brackets
    char *port;
    char *authority; // what the Host header says: brackets, and the port unless it is the scheme's own
    char *target; // path and query: begins with '/'
};

// Whether the text is an address at all, and no path of a file.
bool url_is(const char *text) nonnull(1);
// -EINVAL: no address of this kind; users and passwords in it are refused, too. What follows a '#' is left out.
int url_parse(const char *text, struct url *ret_url, struct err *err) must_check nonnull(1, 2, 3);
// Where a redirection from `base` leads: another address, a path, or a path relative to that of `base`.
int url_join(const struct url *base, const char *reference, struct url *ret_url, struct err *err) must_check nonnull(1, 2, 3, 4);
// The name of a file beside another, for paths and addresses: "https://host/web.raw.zst?token" → "https://host/web.bmap?token". The first of
// `tails` (NULL-terminated) that the other ends with is cut off; what a '?' begins in an address stays behind.
char *url_beside(const char *text, const char *const *tails, const char *ending) nonnull(1, 2, 3);
void url_done(struct url *url);

#define cleanup_url cleanup(url_done)
