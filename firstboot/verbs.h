// SPDX-License-Identifier: Apache-2.0
// The verbs of webops, one file each (verb_<name>.c); main.c lists them.
#pragma once
#include "common/opt.h"

int verb_apply(const struct verb *self, int argc, char **argv);
int verb_commands(const struct verb *self, int argc, char **argv);
int verb_drift(const struct verb *self, int argc, char **argv);
int verb_health(const struct verb *self, int argc, char **argv);
int verb_hooks(const struct verb *self, int argc, char **argv);
int verb_history(const struct verb *self, int argc, char **argv);
int verb_install(const struct verb *self, int argc, char **argv);
int verb_install_disk(const struct verb *self, int argc, char **argv);
int verb_list(const struct verb *self, int argc, char **argv);
int verb_rollback(const struct verb *self, int argc, char **argv);
int verb_status(const struct verb *self, int argc, char **argv);
int verb_trial(const struct verb *self, int argc, char **argv);
int verb_uninstall(const struct verb *self, int argc, char **argv);
int verb_update(const struct verb *self, int argc, char **argv);
int verb_validate(const struct verb *self, int argc, char **argv);
int verb_version(const struct verb *self, int argc, char **argv);
int verb_why(const struct verb *self, int argc, char **argv);
