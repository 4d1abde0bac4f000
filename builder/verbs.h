// SPDX-License-Identifier: Apache-2.0
// The verbs of webops-image, one file each (verb_<name>.c); main.c lists them.
#pragma once
#include "common/opt.h"

struct build;
struct build_options;

int verb_build(const struct verb *self, int argc, char **argv);
// Parses the options that build and plan share, and plans. Returns -1 to go on, else an exit code.
int build_verb_start(const struct verb *self, int argc, char **argv, struct build *build) must_check;
// The same with further options (NULL: none) and other defaults.
int build_verb_start_with(const struct verb *self, int argc, char **argv, const struct opt *more, const struct build_options *preset,
                          struct build *build) must_check;
// Says when the image trusts keys that are not for machines that matter.
void build_verb_warn(const struct build *build);
int verb_installer(const struct verb *self, int argc, char **argv);
int verb_plan(const struct verb *self, int argc, char **argv);
int verb_lock(const struct verb *self, int argc, char **argv);
int verb_diff(const struct verb *self, int argc, char **argv);
int verb_inspect(const struct verb *self, int argc, char **argv);
int verb_keygen(const struct verb *self, int argc, char **argv);
int verb_secrets(const struct verb *self, int argc, char **argv);
int verb_bundle(const struct verb *self, int argc, char **argv);
int verb_publish(const struct verb *self, int argc, char **argv);
int verb_run(const struct verb *self, int argc, char **argv);
int verb_test(const struct verb *self, int argc, char **argv);
int verb_upload(const struct verb *self, int argc, char **argv);
int verb_flash(const struct verb *self, int argc, char **argv);
int verb_seed(const struct verb *self, int argc, char **argv);
int verb_config(const struct verb *self, int argc, char **argv);
int verb_version(const struct verb *self, int argc, char **argv);
