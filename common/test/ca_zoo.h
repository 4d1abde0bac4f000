// SPDX-License-Identifier: Apache-2.0
// A small certification authority for tests: certificates and revocation lists of every kind that must be told apart. Keys are EC P-256
// (made in no time) unless others are asked for.
#pragma once
#include "common/buf.h"
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <string.h>

#define ZOO_NOW 1795000000 // the time tests verify at
#define ZOO_DAY 86400

// A subject's certificate and key.
struct zoo_id {
    EVP_PKEY *key;
    X509 *certificate;
};

struct zoo_recipe {
    const char *name;
    const struct zoo_id *issuer; // NULL: signs itself
    bool is_ca;
    int rsa_bits; // 0: an EC key
    const char *curve; // NULL: P-256
    const char *kind; // of key, by OpenSSL's name: neither RSA nor EC
    const char *eku; // "codeSigning", "serverAuth", … or NULL
    const char *usage; // NULL: what fits
    int64_t from, until; // 0: a day before ZOO_NOW, a year behind it
    const EVP_MD *digest; // NULL: SHA-256
};

static inline void zoo_check(bool ok, const char *what) {
    if (!ok) {
        fprintf(stderr, "ca_zoo: %s failed\n", what);
        abort();
    }
}

static inline void zoo_extension(X509 *certificate, X509 *issuer, int nid, const char *value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    zoo_check(extension && X509_add_ext(certificate, extension, -1), value);
    X509_EXTENSION_free(extension);
}

static inline EVP_PKEY *zoo_key(const char *kind) {
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, kind, NULL);
    zoo_check(context && EVP_PKEY_keygen_init(context) > 0 && EVP_PKEY_generate(context, &key) > 0, "a key");
    EVP_PKEY_CTX_free(context);
    return key;
}

static inline struct zoo_id zoo_make(const struct zoo_recipe *recipe) {
    static long serial = 1000;
    struct zoo_id id = {.certificate = X509_new()};
    id.key = recipe->kind       ? zoo_key(recipe->kind)
             : recipe->rsa_bits ? EVP_RSA_gen((unsigned)recipe->rsa_bits)
                                : EVP_EC_gen(recipe->curve ? recipe->curve : "P-256");
    X509 *issuer = recipe->issuer ? recipe->issuer->certificate : id.certificate;
    X509_NAME *name = X509_get_subject_name(id.certificate);
    zoo_check(id.key && X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)recipe->name, -1, -1, 0), "a name");
    X509_set_version(id.certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(id.certificate), ++serial);
    ASN1_TIME_set(X509_getm_notBefore(id.certificate), recipe->from ? recipe->from : ZOO_NOW - ZOO_DAY);
    ASN1_TIME_set(X509_getm_notAfter(id.certificate), recipe->until ? recipe->until : ZOO_NOW + 365 * ZOO_DAY);
    X509_set_issuer_name(id.certificate, X509_get_subject_name(issuer));
    X509_set_pubkey(id.certificate, id.key);
    zoo_extension(id.certificate, issuer, NID_basic_constraints, recipe->is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
    zoo_extension(id.certificate, issuer, NID_key_usage,
                  recipe->usage ? recipe->usage : (recipe->is_ca ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature"));
    zoo_extension(id.certificate, issuer, NID_subject_key_identifier, "hash");
    zoo_extension(id.certificate, issuer, NID_authority_key_identifier, "keyid");
    if (recipe->eku)
        zoo_extension(id.certificate, issuer, NID_ext_key_usage, recipe->eku);
    zoo_check(X509_sign(id.certificate, recipe->issuer ? recipe->issuer->key : id.key, recipe->digest ? recipe->digest : EVP_sha256()),
              "signing a certificate");
    return id;
}

static inline void zoo_done(struct zoo_id *id) {
    EVP_PKEY_free(id->key);
    X509_free(id->certificate);
}

// Appends the certificate's PEM text.
static inline void zoo_pem(const struct zoo_id *id, struct buf *text) {
    char *data;
    BIO *bio = BIO_new(BIO_s_mem());
    zoo_check(PEM_write_bio_X509(bio, id->certificate), "writing a certificate");
    long size = BIO_get_mem_data(bio, &data);
    buf_add(text, data, (size_t)size);
    BIO_free(bio);
}

// Appends the private key's PEM text.
static inline void zoo_key_pem(const struct zoo_id *id, struct buf *text) {
    char *data;
    BIO *bio = BIO_new(BIO_s_mem());
    zoo_check(PEM_write_bio_PrivateKey(bio, id->key, NULL, NULL, 0, NULL, NULL), "writing a key");
    long size = BIO_get_mem_data(bio, &data);
    buf_add(text, data, (size_t)size);
    BIO_free(bio);
}

// Appends a revocation list of `issuer` that names `revoked` (NULL: nobody), valid from ZOO_NOW + from to ZOO_NOW + until seconds.
static inline void zoo_crl(const struct zoo_id *issuer, const struct zoo_id *revoked, int64_t from, int64_t until, struct buf *text) {
    char *data;
    X509_CRL *crl = X509_CRL_new();
    BIO *bio = BIO_new(BIO_s_mem());
    ASN1_TIME *begin = ASN1_TIME_set(NULL, ZOO_NOW + from), *end = ASN1_TIME_set(NULL, ZOO_NOW + until);
    X509_CRL_set_version(crl, X509_CRL_VERSION_2);
    X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer->certificate));
    X509_CRL_set1_lastUpdate(crl, begin);
    X509_CRL_set1_nextUpdate(crl, end);
    if (revoked) {
        X509_REVOKED *entry = X509_REVOKED_new();
        X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(revoked->certificate));
        X509_REVOKED_set_revocationDate(entry, begin);
        zoo_check(X509_CRL_add0_revoked(crl, entry), "revoking");
    }
    zoo_check(X509_CRL_sort(crl) && X509_CRL_sign(crl, issuer->key, EVP_sha256()) && PEM_write_bio_X509_CRL(bio, crl), "a revocation list");
    long size = BIO_get_mem_data(bio, &data);
    buf_add(text, data, (size_t)size);
    ASN1_TIME_free(begin);
    ASN1_TIME_free(end);
    X509_CRL_free(crl);
    BIO_free(bio);
}
