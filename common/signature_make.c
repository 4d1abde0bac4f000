// SPDX-License-Identifier: Apache-2.0
// Making a signature: which certificates go along, and the signing itself. Keys come from the caller; nothing here reads or keeps one.
#include "common/signature.h"
#include "common/signature_cms.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

struct maker {
    STACK_OF(X509) * certificates; // of the PEM text, the first one signs
    STACK_OF(X509) * chain; // as given
    CMS_ContentInfo *cms;
};

static void maker_done(struct maker *maker) {
    sk_X509_pop_free(maker->certificates, X509_free);
    sk_X509_pop_free(maker->chain, X509_free);
    CMS_ContentInfo_free(maker->cms);
    ERR_clear_error();
}

static int openssl_failed(const char *what, struct err *err) {
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    return err_set(err, -EINVAL, "%s: %s", what, reason ? reason : "OpenSSL gives no reason");
}

static int load(const struct signature_signer *signer, struct maker *maker, struct err *err) {
    maker->certificates = signature_read_certificates(signer->certificate_pem);
    if (!maker->certificates)
        return err_set(err, -EINVAL, "the signing certificate is not PEM text");
    maker->chain = signer->chain_pem ? signature_read_certificates(signer->chain_pem) : sk_X509_new_null();
    if (!maker->chain)
        return err_set(err, -EINVAL, "the certificate chain is not PEM text");
    X509 *certificate = sk_X509_value(maker->certificates, 0);
    for (int i = 1; i < sk_X509_num(maker->certificates); i++) { // a file with the chain behind the certificate is usual
        X509_up_ref(sk_X509_value(maker->certificates, i));
        sk_X509_push(maker->chain, sk_X509_value(maker->certificates, i));
    }
    if (!(X509_get_extension_flags(certificate) & EXFLAG_XKUSAGE) || !(X509_get_extended_key_usage(certificate) & XKU_CODE_SIGN) ||
        !(X509_get_key_usage(certificate) & KU_DIGITAL_SIGNATURE) || (X509_get_extension_flags(certificate) & EXFLAG_CA))
        return err_set(err, -EINVAL, "the signing certificate is not made for code signing: machines would refuse it");
    if (X509_check_private_key(certificate, signer->key) != 1)
        return err_set(err, -EINVAL, "the signing certificate belongs to another key");
    return 0;
}

static bool is_root(X509 *certificate) {
    return X509_check_issued(certificate, certificate) == X509_V_OK;
}

static X509 *find_issuer(STACK_OF(X509) * chain, X509 *certificate) {
    for (int i = 0; i < sk_X509_num(chain); i++)
        if (X509_check_issued(sk_X509_value(chain, i), certificate) == X509_V_OK)
            return sk_X509_value(chain, i);
    return NULL;
}

// Issuers from the signing certificate upwards, without the root: machines have that, and take nothing that is not needed.
static int add_chain(const struct maker *maker, struct err *err) {
    X509 *certificate = sk_X509_value(maker->certificates, 0);
    for (int i = 0; i <= sk_X509_num(maker->chain) && (certificate = find_issuer(maker->chain, certificate)) && !is_root(certificate); i++)
        if (!CMS_add1_cert(maker->cms, certificate))
            return openssl_failed("the certificate chain cannot be used", err);
    return 0;
}

static bool add_time(CMS_SignerInfo *info, int64_t time) {
    ASN1_TIME *value = ASN1_TIME_set(NULL, (time_t)time);
    bool ok = value && CMS_signed_add1_attr_by_NID(info, NID_pkcs9_signingTime, value->type, value, -1);
    ASN1_TIME_free(value);
    return ok;
}

static int sign(const struct signature_signer *signer, const struct maker *maker, const void *data, size_t size, struct err *err) {
    // signature_verify() takes no others, RSA keys that are made for PSS among them.
    if (!EVP_PKEY_is_a(signer->key, "RSA") && !EVP_PKEY_is_a(signer->key, "EC"))
        return err_set(err, -EINVAL, "this kind of key cannot sign (RSA and EC can)");
    // Attributes only with a time: OpenSSL would add the present one to any.
    unsigned flags = CMS_BINARY | CMS_PARTIAL | CMS_DETACHED | CMS_NOSMIMECAP | (signer->signing_time ? 0 : CMS_NOATTR);
    CMS_SignerInfo *info = CMS_add1_signer(maker->cms, sk_X509_value(maker->certificates, 0), signer->key, EVP_sha256(), flags);
    if (!info || (signer->signing_time && !add_time(info, signer->signing_time)))
        return openssl_failed("cannot sign", err);
    int r = add_chain(maker, err);
    if (r < 0)
        return r;
    BIO *content = BIO_new_mem_buf(data, (int)size);
    int ok = content ? CMS_final(maker->cms, content, NULL, CMS_BINARY | CMS_DETACHED) : 0;
    BIO_free(content);
    return ok == 1 ? 0 : openssl_failed("cannot sign", err);
}

int signature_make(const struct signature_signer *signer, const void *data, size_t size, struct buf *ret_der, struct err *err) {
    cleanup(maker_done) struct maker maker = {0};
    ERR_clear_error();
    if (size > INT32_MAX)
        return err_set(err, -EFBIG, "more than 2 GiB cannot be signed");
    int r = load(signer, &maker, err);
    if (r == 0 && !(maker.cms = signature_new()))
        r = err_set(err, -ENOMEM, "out of memory while signing");
    if (r == 0)
        r = sign(signer, &maker, data, size, err);
    if (r < 0)
        return r;
    unsigned char *der = NULL;
    int length = i2d_CMS_ContentInfo(maker.cms, &der);
    if (length < 0)
        return openssl_failed("the signature cannot be encoded", err);
    buf_add(ret_der, der, (size_t)length);
    OPENSSL_free(der);
    return 0;
}
