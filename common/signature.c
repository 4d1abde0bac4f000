// SPDX-License-Identifier: Apache-2.0
// Verifying. Three questions in this order: is it a signature over these bytes, may the signers sign, and is there anything in it that the
// first two did not cover. Making: signature_make.c.
#include "common/signature.h"
#include "common/signature_cms.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

#define SECURITY_LEVEL 2 // OpenSSL's: 112 bits, so RSA from 2048 bits, no SHA-1 in certificates
#define MAX_SIGNERS 8

struct verifier {
    X509_STORE *store;
    CMS_ContentInfo *cms;
    STACK_OF(X509) * untrusted; // certificates that came with the signature
    STACK_OF(X509) * used; // those of them that stand in a verified chain
};

static void verifier_done(struct verifier *verifier) {
    X509_STORE_free(verifier->store);
    CMS_ContentInfo_free(verifier->cms);
    sk_X509_pop_free(verifier->untrusted, X509_free);
    sk_X509_pop_free(verifier->used, X509_free);
    ERR_clear_error();
}

// What X509_verify_cert() found, in our words; the rest is told in OpenSSL's.
static const struct {
    int code;
    const char *text;
} chain_problems[] = {
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, "its issuer is unknown here: no trusted CA issued it"},
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, "its issuer is unknown here: no trusted CA issued it"},
    {X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, "its issuer is unknown here: no trusted CA issued it"},
    {X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, "its issuer is unknown here: it is signed by itself"},
    {X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, "its issuer is unknown here: the root that came along is none of the trusted ones"},
    {X509_V_ERR_CERT_HAS_EXPIRED, "it has expired"},
    {X509_V_ERR_CERT_NOT_YET_VALID, "it is not yet valid"},
    {X509_V_ERR_CERT_REVOKED, "it has been revoked"},
    {X509_V_ERR_INVALID_CA, "it was issued by a certificate that is no CA"},
    {X509_V_ERR_INVALID_PURPOSE, "it has the wrong purpose"},
    {X509_V_ERR_CERT_SIGNATURE_FAILURE, "it is damaged or forged"},
};

static const char *chain_problem(int code) {
    for (size_t i = 0; i < ARRAY_SIZE(chain_problems); i++)
        if (chain_problems[i].code == code)
            return chain_problems[i].text;
    return X509_verify_cert_error_string(code);
}

// See signature.h: lists never get too old, and not every issuer has one.
static int tolerate_old_lists(int ok, X509_STORE_CTX *context) {
    static const int tolerated[] = {X509_V_ERR_CRL_HAS_EXPIRED, X509_V_ERR_CRL_NOT_YET_VALID, X509_V_ERR_UNABLE_TO_GET_CRL};
    for (size_t i = 0; !ok && i < ARRAY_SIZE(tolerated); i++)
        if (X509_STORE_CTX_get_error(context) == tolerated[i]) {
            X509_STORE_CTX_set_error(context, X509_V_OK);
            return 1;
        }
    return ok;
}

static int add_lists(X509_STORE *store, const char *pem, struct err *err) {
    size_t count = 0;
    BIO *bio = BIO_new_mem_buf(pem, -1);
    for (X509_CRL *crl; bio && (crl = PEM_read_bio_X509_CRL(bio, NULL, signature_no_password, NULL)); count++) {
        X509_STORE_add_crl(store, crl);
        X509_CRL_free(crl);
    }
    BIO_free(bio);
    if (count == 0 || !signature_pem_ended())
        return err_set(err, -EINVAL, "the revocation lists are not PEM text");
    X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    return 0;
}

static int load_trust(const struct signature_trust *trust, struct verifier *verifier, struct err *err) {
    STACK_OF(X509) *roots = signature_read_certificates(trust->ca_pem);
    verifier->store = X509_STORE_new();
    if (!roots || !verifier->store) {
        sk_X509_pop_free(roots, X509_free);
        return err_set(err, -EINVAL, "the trusted CA certificates are not PEM text");
    }
    for (int i = 0; i < sk_X509_num(roots); i++)
        X509_STORE_add_cert(verifier->store, sk_X509_value(roots, i));
    sk_X509_pop_free(roots, X509_free);
    X509_VERIFY_PARAM *param = X509_STORE_get0_param(verifier->store);
    X509_VERIFY_PARAM_set_time(param, (time_t)trust->time);
    X509_VERIFY_PARAM_set_auth_level(param, SECURITY_LEVEL);
    X509_STORE_set_verify_cb(verifier->store, tolerate_old_lists);
    return trust->crl_pem ? add_lists(verifier->store, trust->crl_pem, err) : 0;
}

static int parse(const void *signature, size_t size, struct verifier *verifier, struct err *err) {
    const unsigned char *end = signature;
    if (size == 0)
        return err_set(err, -EBADMSG, "the signature is empty");
    if (size > SIGNATURE_MAX_TRUST_BYTES || !(verifier->cms = d2i_CMS_ContentInfo(NULL, &end, (long)size)))
        return err_set(err, -EBADMSG, "the signature is damaged: it is not CMS in DER form");
    if (end != (const unsigned char *)signature + size)
        return err_set(err, -EBADMSG, "the signature has %zu bytes behind its end",
                       (size_t)((const unsigned char *)signature + size - end));
    if (OBJ_obj2nid(CMS_get0_type(verifier->cms)) != NID_pkcs7_signed || CMS_is_detached(verifier->cms) != 1 ||
        OBJ_obj2nid(CMS_get0_eContentType(verifier->cms)) != NID_pkcs7_data)
        return err_set(err, -EBADMSG, "the signature is not a detached one (CMS SignedData without content)");
    verifier->untrusted = CMS_get1_certs(verifier->cms);
    verifier->used = sk_X509_new_null();
    int signers = sk_CMS_SignerInfo_num(CMS_get0_SignerInfos(verifier->cms));
    if (signers < 1)
        return err_set(err, -EKEYREJECTED, "the signature has no signer");
    if (signers > MAX_SIGNERS)
        return err_set(err, -EKEYREJECTED, "the signature has %d signers, %d are possible", signers, MAX_SIGNERS);
    return 0;
}

static int check_digest(CMS_SignerInfo *info, struct err *err) {
    static const int accepted[] = {NID_sha256, NID_sha384, NID_sha512};
    X509_ALGOR *digest = NULL;
    const ASN1_OBJECT *object = NULL;
    CMS_SignerInfo_get0_algs(info, NULL, NULL, &digest, NULL);
    X509_ALGOR_get0(&object, NULL, NULL, digest);
    for (size_t i = 0; i < ARRAY_SIZE(accepted); i++)
        if (OBJ_obj2nid(object) == accepted[i])
            return 0;
    return err_set(err, -EKEYREJECTED, "the signature uses another hash than SHA-256, SHA-384 or SHA-512");
}

// Which kinds OpenSSL takes depends on its version; which kinds machines take does not. RSA is named by its key alone in some signatures.
static int check_kind(CMS_SignerInfo *info, struct err *err) {
    static const int accepted[] = {NID_rsaEncryption,           NID_sha256WithRSAEncryption, NID_sha384WithRSAEncryption,
                                   NID_sha512WithRSAEncryption, NID_ecdsa_with_SHA256,       NID_ecdsa_with_SHA384,
                                   NID_ecdsa_with_SHA512};
    X509_ALGOR *kind = NULL;
    const ASN1_OBJECT *object = NULL;
    CMS_SignerInfo_get0_algs(info, NULL, NULL, NULL, &kind);
    X509_ALGOR_get0(&object, NULL, NULL, kind);
    for (size_t i = 0; i < ARRAY_SIZE(accepted); i++)
        if (OBJ_obj2nid(object) == accepted[i])
            return 0;
    return err_set(err, -EKEYREJECTED, "the signature is of another kind than RSA (PKCS #1 v1.5) and ECDSA");
}

// Memory behind a filter that does nothing: of plain memory CMS_verify() makes a copy, which it loses when it fails early (OpenSSL 3.0).
static BIO *read_only_bio(const void *data, size_t size) {
    BIO *filter = BIO_new(BIO_f_null()), *memory = BIO_new_mem_buf(data, (int)size);
    if (filter && memory)
        return BIO_push(filter, memory);
    BIO_free(filter);
    BIO_free(memory);
    return NULL;
}

// All signers' signatures over `data`, by the keys of the certificates that came along; whether those may sign is the next question.
static int check_content(const struct verifier *verifier, const void *data, size_t size, struct err *err) {
    STACK_OF(CMS_SignerInfo) *signers = CMS_get0_SignerInfos(verifier->cms);
    for (int i = 0; i < sk_CMS_SignerInfo_num(signers); i++) {
        CMS_SignerInfo *info = sk_CMS_SignerInfo_value(signers, i);
        int r = check_digest(info, err);
        if (r == 0)
            r = check_kind(info, err);
        if (r < 0)
            return r;
    }
    BIO *content = read_only_bio(data, size);
    int ok = content && CMS_verify(verifier->cms, NULL, NULL, content, NULL, CMS_BINARY | CMS_NO_SIGNER_CERT_VERIFY);
    BIO_free_all(content);
    if (ok == 1)
        return 0;
    if (ERR_GET_REASON(ERR_peek_last_error()) == CMS_R_SIGNER_CERTIFICATE_NOT_FOUND)
        return err_set(err, -EKEYREJECTED, "the signature does not contain the certificate of its signer");
    return err_set(err, -EKEYREJECTED, "the signature does not match: it, or what it signs, is damaged or was altered");
}

static int check_purpose(X509 *certificate, const char *subject, struct err *err) {
    uint32_t flags = X509_get_extension_flags(certificate);
    bool may_sign = (flags & EXFLAG_XKUSAGE) && (X509_get_extended_key_usage(certificate) & XKU_CODE_SIGN) &&
                    (X509_get_key_usage(certificate) & KU_DIGITAL_SIGNATURE) && !(flags & EXFLAG_CA);
    if (may_sign)
        return 0;
    return err_set(err, -EKEYREJECTED, "certificate '%s': it has the wrong purpose: code signing is not among its uses", subject);
}

// Remembers which of the certificates that came along were needed.
static void note_used(struct verifier *verifier, STACK_OF(X509) * chain) {
    for (int i = 0; i < sk_X509_num(chain); i++)
        for (int j = 0; j < sk_X509_num(verifier->untrusted); j++) {
            X509 *certificate = sk_X509_value(verifier->untrusted, j);
            if (X509_cmp(sk_X509_value(chain, i), certificate) != 0 || signature_has_certificate(verifier->used, certificate))
                continue;
            X509_up_ref(certificate);
            sk_X509_push(verifier->used, certificate);
        }
}

static int check_chain(struct verifier *verifier, X509 *certificate, struct err *err) {
    int r = 0;
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    if (!context || !X509_STORE_CTX_init(context, verifier->store, certificate, verifier->untrusted)) {
        r = err_set(err, -ENOMEM, "the certificates cannot be checked");
    } else if (X509_verify_cert(context) != 1) {
        X509 *bad = X509_STORE_CTX_get_current_cert(context);
        cleanup_free char *subject = signature_subject(bad ? bad : certificate);
        r = err_set(err, -EKEYREJECTED, "certificate '%s': %s", subject, chain_problem(X509_STORE_CTX_get_error(context)));
    } else {
        note_used(verifier, X509_STORE_CTX_get0_chain(context));
    }
    X509_STORE_CTX_free(context);
    return r;
}

static int check_signers(struct verifier *verifier, char **ret_subject, struct err *err) {
    STACK_OF(CMS_SignerInfo) *signers = CMS_get0_SignerInfos(verifier->cms);
    for (int i = 0; i < sk_CMS_SignerInfo_num(signers); i++) {
        X509 *certificate = NULL;
        CMS_SignerInfo_get0_algs(sk_CMS_SignerInfo_value(signers, i), NULL, &certificate, NULL, NULL);
        if (!certificate)
            return err_set(err, -EKEYREJECTED, "the signature does not contain the certificate of its signer");
        cleanup_free char *subject = signature_subject(certificate);
        int r = check_chain(verifier, certificate, err);
        if (r == 0)
            r = check_purpose(certificate, subject, err);
        if (r < 0)
            return r;
        if (!*ret_subject)
            *ret_subject = take_ptr(subject);
    }
    return 0;
}

// Versions, parameters of algorithms, certificates nobody needed, unsigned attributes: none of it is covered by a signature, and all of it
// could be varied without notice. So the verified parts are put together again, and the result must be what was given.
static int check_rest(const struct verifier *verifier, const void *signature, size_t size, struct err *err) {
    unsigned char *again = NULL;
    CMS_ContentInfo *rebuilt = signature_rebuild(verifier->cms, verifier->used);
    int length = rebuilt ? i2d_CMS_ContentInfo(rebuilt, &again) : -1;
    bool is_same = length >= 0 && (size_t)length == size && memcmp(again, signature, size) == 0;
    OPENSSL_free(again);
    CMS_ContentInfo_free(rebuilt);
    return is_same ? 0 : err_set(err, -EBADMSG, "the signature is damaged: it holds more than, or something else than what was verified");
}

static int verify(const struct signature_trust *trust, const void *data, size_t size, const void *signature, size_t signature_size,
                  char **ret_subject, struct err *err) {
    cleanup(verifier_done) struct verifier verifier = {0};
    ERR_clear_error();
    int r = load_trust(trust, &verifier, err);
    if (r == 0)
        r = parse(signature, signature_size, &verifier, err);
    if (r == 0)
        r = check_content(&verifier, data, size, err);
    if (r == 0)
        r = check_signers(&verifier, ret_subject, err);
    return r == 0 ? check_rest(&verifier, signature, signature_size, err) : r;
}

int signature_verify(const struct signature_trust *trust, const void *data, size_t size, const void *signature, size_t signature_size,
                     char **ret_signer, struct err *err) {
    cleanup_free char *subject = NULL;
    if (size > INT32_MAX)
        return err_set(err, -EFBIG, "more than 2 GiB cannot be signed");
    int r = verify(trust, data, size, signature, signature_size, &subject, err);
    if (r == 0 && ret_signer)
        *ret_signer = take_ptr(subject);
    return r;
}
