// SPDX-License-Identifier: Apache-2.0
// What firmware takes as a Secure Boot key: EFI_SIGNATURE_LIST (.esl) and the signed variable update around it (.auth).
// Source: UEFI specification 2.10, sections 8.2.2 and 32.4.1.
#pragma once
#include "builder/certificate.h"
#include "common/buf.h"

#define EFISIG_GUID_BYTES 16

// One X.509 certificate as a signature list; `owner` is any GUID that names whose key it is.
int efisig_list(X509 *x509, const uint8_t owner[EFISIG_GUID_BYTES], struct buf *list, struct err *err) must_check nonnull(1, 2, 3, 4);
// The update of a variable ("PK", "KEK" or "db") to `list`, signed by `signer` for the time `time` (seconds since 1970, UTC).
int efisig_auth(const char *variable, const struct buf *list, const struct certificate *signer, int64_t time, struct buf *auth,
                struct err *err) must_check nonnull(1, 2, 3, 5, 6);
