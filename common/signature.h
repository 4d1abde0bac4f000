// SPDX-License-Identifier: Apache-2.0
// Detached CMS signatures (RFC 5652) over raw bytes, by OpenSSL: made by the builder, checked by webops-verify and by `inspect`.
#pragma once
#include "common/buf.h"
#include "common/err.h"
#include <stddef.h>
#include <stdint.h>

#define SIGNATURE_MAX_TRUST_BYTES (256 << 10)

// What a verifier accepts as roots: PEM text with one or more CA certificates, and revocation lists.
struct signature_trust {
    const char *ca_pem;
    // NULL = none. A list counts however old it is (it comes with the trusted image, and only an update brings a newer one); an issuer
    // without a list has revoked nothing.
    const char *crl_pem;
    int64_t time; // seconds since 1970 at which certificates must be valid
};

// 0 only when there is at least one signer, and every signer's certificate chains up to a root, is valid at that time, is not revoked, has
// the code signing purpose, and its signature is over exactly `data`. Distinct texts for: no signer, another kind than RSA (PKCS #1 v1.5) and ECDSA, unknown issuer, expired, not yet valid,
// revoked, wrong purpose, damaged. -EKEYREJECTED; -EBADMSG when `signature` is not DER CMS, has bytes behind it, or holds anything that
// is not covered by what was verified: the signature is put together again from the verified parts and must be the same bytes.
// -EINVAL: the trust cannot be read. *ret_signer (subject of the first signing certificate, RFC 2253, printable ASCII; the caller frees) may be NULL.
int signature_verify(const struct signature_trust *trust, const void *data, size_t size, const void *signature, size_t signature_size,
                     char **ret_signer, struct err *err) must_check nonnull(1, 2, 4, 7);

// Who signs. The key is OpenSSL's EVP_PKEY: RSA (2048 bits or more) or EC (P-256 or more), from a file or a token.
struct signature_signer {
    struct evp_pkey_st *key;
    const char *certificate_pem; // the signing certificate: the first one in the text, made for this key
    const char *chain_pem; // intermediates in any order; NULL = none. Only issuers of the certificate are taken, a root is left out
    int64_t signing_time; // seconds since 1970; 0 = none: then the same key and data give the same bytes (RSA; ECDSA is random)
};
// Appends the DER of a detached signature with SHA-256 over `data`, of the form that signature_verify() takes. -EINVAL names what is
// wrong with key, certificate (no code signing purpose, another key's) or chain.
int signature_make(const struct signature_signer *signer, const void *data, size_t size, struct buf *ret_der, struct err *err) must_check
    nonnull(1, 2, 4, 5);
