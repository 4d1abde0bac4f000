// SPDX-License-Identifier: Apache-2.0
// The command line of flashing, the same one for `webops-image flash` and for webops-flash.
#pragma once
#include "builder/seed.h"
#include "common/opt.h"

// Checks config.env and secrets for an image of which nobody says which stacks, and so which keys, it has.
typedef int flash_config_check(const struct seed *seed, struct err *err);

// Parses the options and does what they say; returns an exit code. A configuration is checked by the build.json beside the image; where there is none, by
// `check`.
int flash_command(const struct verb *self, flash_config_check *check, int argc, char **argv) nonnull(1, 2, 4);
