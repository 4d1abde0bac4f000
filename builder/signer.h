// SPDX-License-Identifier: Apache-2.0
// Who signs: a private key (a file, or a PKCS#11 URI), its certificate and the certificates between that and the root.
#pragma once
#include "builder/certificate.h"
#include "common/buf.h"

struct signer_paths {
    const char *key; // file or "pkcs11:…"; NULL = development keys, with everything that belongs to them
    const char *certificate;
    const char *chain; // PEM; NULL = none
};

struct signer {
    struct certificate certificate;
    STACK_OF(X509) * chain; // NULL = none
    bool is_development;
};

// Refuses what no machine would accept at `now`: a certificate that is expired, not yet valid, without the code signing purpose, or of
// another key (-EKEYREJECTED).
int signer_open(const struct signer_paths *paths, int64_t now, struct signer *ret_signer, struct err *err) must_check nonnull(1, 3, 4);
void signer_close(struct signer *signer);
// Detached CMS signature over `data`, DER, with SHA-256; carries certificate and chain and no time, so RSA keys give the same bytes each time.
int signer_sign(const struct signer *signer, const void *data, size_t size, struct buf *signature, struct err *err) must_check
    nonnull(1, 2, 4, 5);

// signer_token.c: a private key that stays in its token, by OpenSSL's pkcs11 engine (Debian: libengine-pkcs11-openssl).
int signer_token_key(const char *uri, EVP_PKEY **ret_key, struct err *err) must_check nonnull(1, 2, 3);

#define cleanup_signer cleanup(signer_close)
