// SPDX-License-Identifier: Apache-2.0
// The verbs of webops-image: one file each, listed in main.c.
#pragma once
#include "common/opt.h"

int verb_run(const struct verb *self, int argc, char **argv);
