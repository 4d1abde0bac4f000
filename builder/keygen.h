// SPDX-License-Identifier: Apache-2.0
// A directory of keys: root, intermediate and signing certificate for bundles, PK, KEK and db for Secure Boot; made at once or not at all.
// Also the development keys, which a build without keys makes for itself. Contents: docs/FORMATS.md, "Keys".
#pragma once
#include "builder/certificate.h"
#include <stdbool.h>
#include <stdint.h>

struct keygen_request {
    const char *name; // stands in every certificate's name: "Example", "DEVELOPMENT alice@host"
    int64_t not_before; // seconds since 1970
    long root_days, intermediate_days, signing_days, secure_boot_days;
};

#define KEYGEN_DAY 86400
#define KEYGEN_MAX_DAYS (100L * 365)
#define KEYGEN_DAYS .root_days = 20 * 365, .intermediate_days = 10 * 365, .signing_days = 2 * 365, .secure_boot_days = 20 * 365

// File names below the directory.
#define KEYGEN_ROOT "root"
#define KEYGEN_INTERMEDIATE "intermediate"
#define KEYGEN_SIGNING "signing"
#define KEYGEN_SECURE_BOOT "secure-boot"
#define KEYGEN_DEVELOPMENT "DEVELOPMENT " // how the common names of development keys begin

// `dir` must not exist, or be empty: -EEXIST. Directory 0700, keys 0600.
int keygen_make(const char *dir, const struct keygen_request *request, struct err *err) must_check nonnull(1, 2, 3);
// WEBOPS_KEYS, else XDG_DATA_HOME/webops/development-keys, else ~/.local/share/webops/development-keys; the caller frees.
char *keygen_development_dir(void);
// Whether a build made this certificate for itself.
bool keygen_is_development(X509 *x509) nonnull(1);
// Makes the development keys unless they are there; of two builds at once both get the same. *ret_dir is the caller's.
int keygen_development(char **ret_dir, struct err *err) must_check nonnull(1, 2);
