// SPDX-License-Identifier: Apache-2.0
// Detached CMS signatures over raw bytes, by OpenSSL: made by the builder, checked by webops-verify and by `inspect`.
#pragma once
#include "common/err.h"
#include <stddef.h>
#include <stdint.h>

#define SIGNATURE_MAX_TRUST_BYTES (256 << 10)

// What a verifier accepts as roots: PEM text with one or more CA certificates, and revocation lists.
struct signature_trust {
    const char *ca_pem;
    const char *crl_pem; // NULL = none
    int64_t time; // seconds since 1970 at which certificates must be valid
};

// 0 only when at least one signer's certificate chains up to a root, is valid at that time, is not revoked, has the code signing purpose,
// and its signature is over exactly `data`. Every signer must pass. Distinct texts for: no signer, unknown issuer, expired, not yet valid,
// revoked, wrong purpose, damaged. -EKEYREJECTED; -EBADMSG when `signature` is not DER CMS or has bytes behind it.
// *ret_signer (subject of the signing certificate, the caller frees) may be NULL.
int signature_verify(const struct signature_trust *trust, const void *data, size_t size, const void *signature, size_t signature_size,
                     char **ret_signer, struct err *err) must_check nonnull(1, 2, 4, 7);
