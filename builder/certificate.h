// SPDX-License-Identifier: Apache-2.0
// Key pairs with certificates: made, written and read, all through libcrypto. Which of them a product needs is keygen.c's.
#pragma once
#include "common/err.h"
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdint.h>

enum certificate_kind {
    CERTIFICATE_ROOT, // signs intermediates
    CERTIFICATE_INTERMEDIATE, // signs signing certificates only
    CERTIFICATE_SIGNING, // extended key usage: code signing
    CERTIFICATE_SECURE_BOOT, // self-signed, as firmware takes it
    CERTIFICATE_CLUSTER, // signs itself and nodes' certificates
    CERTIFICATE_NODE, // for both ends of a TLS connection
};

struct certificate {
    EVP_PKEY *key; // NULL when only the certificate was read
    X509 *x509;
};

struct certificate_request {
    enum certificate_kind kind;
    const char *name; // common name
    int64_t not_before, not_after; // seconds since 1970
    unsigned bits; // of the RSA key; 0 = P-256 instead
    const struct certificate *issuer; // NULL = signs itself
    const char *alternative_names; // "IP:192.0.2.1,DNS:n1"; NULL = none
};

#define CERTIFICATE_MAX_NAME 64 // X.520's upper bound of a common name
#define CERTIFICATE_MAX_BYTES (64 << 10) // of a file

// A new key and its certificate. -EINVAL: name, times, an issuer that ends before.
int certificate_make(const struct certificate_request *request, struct certificate *ret_certificate, struct err *err) must_check
    nonnull(1, 2, 3);
void certificate_done(struct certificate *certificate);
// Writes <name>.key (0600, PKCS#8) and <name>.pem (0644) below dir_fd.
int certificate_save(const struct certificate *certificate, int dir_fd, const char *name, struct err *err) must_check nonnull(1, 3, 4);

// The texts of both files alone, for the caller to free; the key's is wiped by OPENSSL_cleanse() when it is no longer needed.
int certificate_format(const struct certificate *certificate, char **ret_key, char **ret_pem, struct err *err) must_check
    nonnull(1, 2, 3, 4);

// Reads the one certificate of a PEM file.
int certificate_load(const char *path, X509 **ret_x509, struct err *err) must_check nonnull(1, 2, 3);
// Reads every certificate of a PEM file, at least one; the caller frees with sk_X509_pop_free.
int certificate_load_all(const char *path, STACK_OF(X509) * *ret_list, struct err *err) must_check nonnull(1, 2, 3);
// A private key file: refused (-EPERM) when others than its owner may read or write it, -EINVAL when it is encrypted or no key.
int certificate_load_key(const char *path, EVP_PKEY **ret_key, struct err *err) must_check nonnull(1, 2, 3);
// Subject as one line of UTF-8 ("CN=…"); the caller frees.
char *certificate_subject(X509 *x509) nonnull(1);
int64_t certificate_not_before(X509 *x509) nonnull(1);
int64_t certificate_not_after(X509 *x509) nonnull(1);
// Empties OpenSSL's queue; its first reason goes into the text.
int certificate_error(struct err *err, int code, const char *what) nonnull(1, 3);

#define cleanup_certificate cleanup(certificate_done)
