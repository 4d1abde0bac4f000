// SPDX-License-Identifier: Apache-2.0
// What making and verifying a signature share: PEM, names, and how a CMS structure is put together. For signature*.c only.
#pragma once
#include "common/cleanup.h"
#include <openssl/cms.h>
#include <openssl/x509.h>
#include <stdbool.h>

// For OpenSSL's PEM readers: never ask anybody for a password.
int signature_no_password(char *buffer, int size, int flag, void *context);
// Whether the last PEM reader stopped because the text ended; empties OpenSSL's list of errors.
bool signature_pem_ended(void);
// All certificates of a PEM text, at least one, or NULL. The caller frees.
STACK_OF(X509) * signature_read_certificates(const char *pem) nonnull(1);
// The subject as RFC 2253 text, printable ASCII. The caller frees; never NULL.
char *signature_subject(const X509 *certificate) nonnull(1);
bool signature_has_certificate(const STACK_OF(X509) * stack, const X509 *certificate);

// A detached signature without signer. NULL without memory.
CMS_ContentInfo *signature_new(void);
// Puts the verified parts of `from` (signers, their signed attributes, signatures) and the `certificates` together as signature_make()
// would. NULL when that is not possible.
CMS_ContentInfo *signature_rebuild(CMS_ContentInfo *from, STACK_OF(X509) * certificates) nonnull(1);
