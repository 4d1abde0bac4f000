// SPDX-License-Identifier: Apache-2.0
// NoCloud meta-data and network-config → keys of config.env. Pure.
//
// network-config version 1 (physical, vlan, nameserver; subnets dhcp, static, slaac) and version 2 (ethernets, vlans), each with or without a
// `network:` key above. Bonds, bridges, policy routes and whatever else config.env has no key for are problems, since a machine with half a
// network would be worse; settings that only tune (renderer, optional, wakeonlan, …) are skipped.
#pragma once
#include "common/config.h"

// Adds HOSTNAME from local-hostname (or hostname), if there is one. 0, or -EINVAL with problems added; `config` then is unspecified.
int seed_meta_data(const char *text, size_t size, struct config *config, struct config_problems *problems) must_check nonnull(3, 4);
// Adds NET#_… and DNS_… keys whose lines are those of the network-config.
int seed_network_config(const char *text, size_t size, struct config *config, struct config_problems *problems) must_check nonnull(3, 4);
