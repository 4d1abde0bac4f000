// SPDX-License-Identifier: Apache-2.0
// Has webops-verify judge the head of a bundle. webops itself reads neither JSON nor CMS; it parses the flat text that the child prints.
#pragma once
#include "common/err.h"
#include "common/manifest.h"
#include <stddef.h>
#include <stdint.h>

#define VERIFY_PROGRAM "usr/lib/webops/webops-verify" // under the root; in a test tree a link to the built program
#define VERIFY_TRUST "usr/lib/webops/trust" // ca.pem, and crl.pem if there is one

// `head`: exactly fixed bytes, manifest and signature. `time`: seconds since 1970 at which certificates must be valid.
// -EKEYREJECTED with webops-verify's reason when the head is refused; -EBADMSG when what it printed is no manifest (it never should be).
// *ret_signer: subject of the signing certificate, the caller frees. Channel, compatible, sequence and validity are the caller's to judge.
int verify_head(int root_fd, const void *head, size_t size, int64_t time, struct manifest *ret_manifest, char **ret_signer,
                struct err *err) must_check nonnull(2, 5, 6, 7);
