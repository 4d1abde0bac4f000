// SPDX-License-Identifier: Apache-2.0
// Ports of stacks: from the configuration to the plan, from the plan to nft's and people's words. Pure.
#pragma once
#include "firstboot/render.h"

// Adds the ports of all active stacks, also of one whose files cannot be rendered: it may run with those it has. Host names among the sources are reported and left out: a firewall
// that asked the DNS would be as trustworthy as the DNS.
void stack_ports_plan(const struct render *in) nonnull(1);
// One rule per port and family, for the chain "input".
void stack_ports_nft(const struct plan *plan, struct buf *text) nonnull(1, 2);
// "etcd: port 2379/tcp open from 10.0.0.0/24", one per line.
void stack_ports_format(const struct plan *plan, struct buf *text) nonnull(1, 2);
