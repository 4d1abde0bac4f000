// SPDX-License-Identifier: Apache-2.0
// The NET#_ keys, as the renderers of networkd's and NetworkManager's files both read them. Pure.
#pragma once
#include "firstboot/render.h"

#define NET_DIGITS 10

// Name of a key of one digit, without allocating: net_key('0', "DNS") makes "NET0_DNS".
struct net_key {
    char name[24];
};
struct schema_cidr;
struct net_key net_key(int digit, const char *rest) nonnull(2);
const char *net_text(const struct render *in, int digit, const char *rest) nonnull(1, 3);
bool net_has(const struct render *in, int digit, const char *rest) nonnull(1, 3);
// By its own key; without one, when the digit has no address.
bool net_is_dhcp(const struct render *in, int digit) nonnull(1);
// Whether a gateway is outside every network of the addresses (a /32 has none) and has to be said to be on the link.
bool net_is_on_link(const char *addresses, const struct schema_cidr *gateway) nonnull(1, 2);
// Whether this digit's VLAN has to write the file of its parent interface: nobody else does, and it is the first of them.
bool net_needs_parent(const struct render *in, int digit) nonnull(1);

void render_networkmanager(const struct render *in) nonnull(1);
