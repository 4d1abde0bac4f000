// SPDX-License-Identifier: Apache-2.0
// Signatures that UEFI firmware checks, put on boot programs by sbsign, and the key files by which a machine in setup mode enrols itself.
#pragma once
#include "builder/inputs.h"
#include "common/err.h"
#include <stdbool.h>

struct secureboot {
    const char *key, *certificate; // of the caller; NULL = no Secure Boot
    char sha256[65]; // of the certificate file
    char *keys_dir; // holds PK.auth, KEK.auth and db.auth; NULL = the machine's owner enrols
    char keys_key[INPUTS_KEY_CHARS + 1]; // over those files; "" without
};

// `key` is a file (0600) or a pkcs11: URI; a file must belong to the certificate. The .auth files are used when all three lie beside the
// certificate. secureboot_done() must follow success.
int secureboot_load(const char *key, const char *certificate, struct secureboot *ret_secureboot, struct err *err) must_check nonnull(3, 4);
void secureboot_done(struct secureboot *secureboot);
// Signs the PE program `from` into the new file `to`. The signature carries the time, so two runs differ.
int secureboot_sign(const struct secureboot *secureboot, const char *from, const char *to, struct err *err) must_check nonnull(1, 2, 3, 4);
extern const char *const secureboot_key_files[]; // "PK.auth", …; NULL-terminated
