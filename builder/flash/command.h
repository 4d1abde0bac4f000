// SPDX-License-Identifier: Apache-2.0
// The command line of flashing, the same one for `webops-image flash` and for webops-flash.
#pragma once
#include "builder/seed.h"
#include "common/opt.h"

// Checks config.env and secrets for the image at this path or address, before anything is asked or written.
typedef int flash_config_check(const char *image, const struct seed *seed, struct err *err);

// Parses the options and does what they say; returns an exit code. `check` is called when there is a configuration.
int flash_command(const struct verb *self, flash_config_check *check, int argc, char **argv) nonnull(1, 2, 4);
