// SPDX-License-Identifier: Apache-2.0
// The verbs of webops-image, one file each (verb_<name>.c); main.c lists them.
#pragma once
#include "common/opt.h"

int verb_build(const struct verb *self, int argc, char **argv);
int verb_plan(const struct verb *self, int argc, char **argv);
int verb_inspect(const struct verb *self, int argc, char **argv);
int verb_run(const struct verb *self, int argc, char **argv);
int verb_config(const struct verb *self, int argc, char **argv);
int verb_version(const struct verb *self, int argc, char **argv);
