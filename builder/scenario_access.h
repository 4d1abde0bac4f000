// SPDX-License-Identifier: Apache-2.0
// How a scenario gets into its machine: the user's configuration and key, or a small configuration and a fresh key pair of our own.
#pragma once
#include "common/err.h"

struct scenario_access {
    char *dir; // ours, 0700; NULL with the user's configuration
    char *config, *secrets; // for the seed; secrets may be NULL
    char *key; // private key file; NULL: there is none, so no command can be run
    char *user; // login name
};

// Without `config`: makes key, configuration and secrets in a private directory. With it: the login name is its OPERATOR_USER; -EINVAL when
// a key is given and there is no such user. scenario_access_done() must follow whatever the result.
int scenario_access_prepare(const char *config, const char *secrets, const char *key, struct scenario_access *access,
                            struct err *err) must_check nonnull(4, 5);
void scenario_access_done(struct scenario_access *access);
