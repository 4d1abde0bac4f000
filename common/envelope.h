// SPDX-License-Identifier: Apache-2.0
// A CMS envelope (RFC 5083, AuthEnvelopedData with AES-256-GCM) by OpenSSL: closed with certificates, opened with the key of one of them. It says
// nothing of who closed it.
#pragma once
#include "common/buf.h"
#include "common/err.h"
#include <stddef.h>

#define ENVELOPE_MAX_BYTES (8 << 20) // room for the largest pack of secrets and all recipients
#define ENVELOPE_MAX_KEY_BYTES (64 << 10)

// Appends the DER of an envelope around `data` for the holders of the certificates' keys: RSA from 2048 bits (OAEP with SHA-256) or EC from P-256
// (ECDH). -EINVAL: the text holds no certificate, or one with another or a shorter key; its subject is named. -EFBIG: more than SECRETPACK_MAX_BYTES.
int envelope_seal(const char *certificates_pem, const void *data, size_t size, struct buf *ret_der, struct err *err) must_check
    nonnull(1, 4, 5);
// Appends what is inside. -EINVAL: the key is no unencrypted private key in PEM; -EBADMSG: no such envelope, a changed one, or one
// for others than this key.
int envelope_open(const char *key_pem, const void *der, size_t size, struct buf *ret_data, struct err *err) must_check nonnull(1, 4, 5);
