// SPDX-License-Identifier: Apache-2.0
// The parts of signature.c and signature_make.c that are about OpenSSL's structures rather than about trust.
#include "common/signature_cms.h"
#include "common/buf.h"
#include <openssl/err.h>
#include <openssl/pem.h>

int signature_no_password(char *buffer, int size, int flag, void *context) {
    (void)buffer, (void)size, (void)flag, (void)context;
    return -1;
}

bool signature_pem_ended(void) {
    unsigned long error = ERR_peek_last_error();
    ERR_clear_error();
    return ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
}

STACK_OF(X509) * signature_read_certificates(const char *pem) {
    STACK_OF(X509) *stack = sk_X509_new_null();
    BIO *bio = BIO_new_mem_buf(pem, -1);
    ERR_clear_error();
    for (X509 *certificate; bio && stack && (certificate = PEM_read_bio_X509(bio, NULL, signature_no_password, NULL));)
        if (!sk_X509_push(stack, certificate))
            X509_free(certificate);
    BIO_free(bio);
    if (signature_pem_ended() && sk_X509_num(stack) > 0)
        return stack;
    sk_X509_pop_free(stack, X509_free);
    return NULL;
}

char *signature_subject(const X509 *certificate) {
    char *data = NULL;
    BIO *bio = BIO_new(BIO_s_mem());
    long size = 0;
    if (bio && X509_NAME_print_ex(bio, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253) >= 0)
        size = BIO_get_mem_data(bio, &data);
    char *text = str_printf("%.*s", size > 0 ? (int)size : 0, data ? data : "");
    BIO_free(bio);
    return text;
}

bool signature_has_certificate(const STACK_OF(X509) * stack, const X509 *certificate) {
    for (int i = 0; i < sk_X509_num(stack); i++)
        if (X509_cmp(sk_X509_value(stack, i), certificate) == 0)
            return true;
    return false;
}

CMS_ContentInfo *signature_new(void) {
    return CMS_sign(NULL, NULL, NULL, NULL, CMS_PARTIAL | CMS_DETACHED | CMS_BINARY);
}

static bool copy_attributes(CMS_SignerInfo *from, CMS_SignerInfo *to) {
    for (int i = 0; i < CMS_signed_get_attr_count(from); i++)
        if (!CMS_signed_add1_attr(to, CMS_signed_get_attr(from, i)))
            return false;
    return true;
}

// A signer needs a key when it is added; the public one does, because nothing gets signed.
static bool rebuild_signer(CMS_SignerInfo *from, CMS_ContentInfo *to) {
    X509 *certificate = NULL;
    X509_ALGOR *digest = NULL;
    ASN1_OCTET_STRING *key_id = NULL;
    const ASN1_OBJECT *object = NULL;
    unsigned flags = CMS_BINARY | CMS_PARTIAL | CMS_NOCERTS | CMS_NOSMIMECAP;
    CMS_SignerInfo_get0_algs(from, NULL, &certificate, &digest, NULL);
    CMS_SignerInfo_get0_signer_id(from, &key_id, NULL, NULL);
    X509_ALGOR_get0(&object, NULL, NULL, digest);
    flags |= (CMS_signed_get_attr_count(from) < 0 ? CMS_NOATTR : 0) | (key_id ? CMS_USE_KEYID : 0);
    CMS_SignerInfo *info = CMS_add1_signer(to, certificate, X509_get0_pubkey(certificate), EVP_get_digestbyobj(object), flags);
    const ASN1_OCTET_STRING *value = CMS_SignerInfo_get0_signature(from);
    return info && copy_attributes(from, info) &&
           ASN1_OCTET_STRING_set(CMS_SignerInfo_get0_signature(info), ASN1_STRING_get0_data(value), ASN1_STRING_length(value));
}

CMS_ContentInfo *signature_rebuild(CMS_ContentInfo *from, STACK_OF(X509) * certificates) {
    STACK_OF(CMS_SignerInfo) *signers = CMS_get0_SignerInfos(from);
    CMS_ContentInfo *to = signature_new();
    bool ok = to != NULL;
    for (int i = 0; ok && i < sk_X509_num(certificates); i++)
        ok = CMS_add1_cert(to, sk_X509_value(certificates, i));
    for (int i = 0; ok && i < sk_CMS_SignerInfo_num(signers); i++)
        ok = rebuild_signer(sk_CMS_SignerInfo_value(signers, i), to);
    if (ok)
        return to;
    CMS_ContentInfo_free(to);
    return NULL;
}
