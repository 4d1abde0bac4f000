// SPDX-License-Identifier: Apache-2.0
// What the running image says about itself, in /usr/lib/webops/generation.env: the builder's topmost layer. docs/FORMATS.md.
#pragma once
#include "common/err.h"
#include "common/manifest.h"

#define GENERATION_PATH "usr/lib/webops/generation.env"
#define TRUST_CA_PATH "usr/lib/webops/trust/ca.pem"
#define TRUST_CRL_PATH "usr/lib/webops/trust/crl.pem"

struct generation_info {
    char compatible[MANIFEST_NAME_BYTES], channel[MANIFEST_NAME_BYTES];
    int64_t created; // seconds since 1970
    uint32_t config_schema;
    bool is_development; // trusts keys that the build made for itself
};
// An image without this file was built without updates in mind: all empty.
int generation_info_load(int root_fd, struct generation_info *ret_info, struct err *err) must_check nonnull(2, 3);
