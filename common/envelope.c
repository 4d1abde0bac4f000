// SPDX-License-Identifier: Apache-2.0
// Everything OpenSSL says stays with OpenSSL: its texts may quote what was being read.
#include "common/envelope.h"
#include "common/secretpack.h"
#include "common/signature_cms.h"
#include <errno.h>
#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

#define MIN_RSA_BITS 2048
#define MIN_EC_BITS 256

static void bio_done(BIO **bio) {
    BIO_free(*bio);
}
static void cms_done(CMS_ContentInfo **cms) {
    CMS_ContentInfo_free(*cms);
}
static void key_done(EVP_PKEY **key) {
    EVP_PKEY_free(*key);
}
static void certificates_done(STACK_OF(X509) * *stack) {
    sk_X509_pop_free(*stack, X509_free);
}

static bool set_padding(CMS_RecipientInfo *recipient, EVP_PKEY *key) {
    EVP_PKEY_CTX *context = CMS_RecipientInfo_get0_pkey_ctx(recipient);
    if (EVP_PKEY_get_base_id(key) == EVP_PKEY_EC)
        return context && EVP_PKEY_CTX_set_ecdh_kdf_md(context, EVP_sha256()) > 0;
    return context && EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) > 0 &&
           EVP_PKEY_CTX_set_rsa_oaep_md(context, EVP_sha256()) > 0 && EVP_PKEY_CTX_set_rsa_mgf1_md(context, EVP_sha256()) > 0;
}

static bool is_strong(const EVP_PKEY *key) {
    int kind = EVP_PKEY_get_base_id(key), bits = EVP_PKEY_get_bits(key);
    return (kind == EVP_PKEY_RSA && bits >= MIN_RSA_BITS) || (kind == EVP_PKEY_EC && bits >= MIN_EC_BITS);
}

static int add_recipient(CMS_ContentInfo *cms, X509 *certificate, struct err *err) {
    cleanup_free char *subject = signature_subject(certificate);
    EVP_PKEY *key = X509_get0_pubkey(certificate);
    if (!key || !is_strong(key))
        return err_set(err, -EINVAL, "certificate %s: its key is neither RSA of %d bits or more nor EC of %d or more", subject,
                       MIN_RSA_BITS, MIN_EC_BITS);
    CMS_RecipientInfo *recipient = CMS_add1_recipient_cert(cms, certificate, CMS_KEY_PARAM);
    if (!recipient || !set_padding(recipient, key))
        return err_set(err, -EINVAL, "certificate %s: OpenSSL cannot close an envelope with it (its key usage?)", subject);
    return 0;
}

static int write_der(CMS_ContentInfo *cms, const void *data, size_t size, struct buf *ret_der, struct err *err) {
    cleanup(bio_done) BIO *in = BIO_new_mem_buf(data, (int)size), *out = BIO_new(BIO_s_mem());
    char *der = NULL;
    if (!in || !out || CMS_final(cms, in, NULL, CMS_BINARY) != 1 || i2d_CMS_bio(out, cms) != 1)
        return err_set(err, -EIO, "OpenSSL cannot close the envelope");
    long length = BIO_get_mem_data(out, &der);
    buf_add(ret_der, der, (size_t)length);
    return 0;
}

int envelope_seal(const char *certificates_pem, const void *data, size_t size, struct buf *ret_der, struct err *err) {
    cleanup(certificates_done) STACK_OF(X509) *certificates = signature_read_certificates(certificates_pem);
    cleanup(cms_done) CMS_ContentInfo *cms = CMS_AuthEnvelopedData_create(EVP_aes_256_gcm());
    if (!certificates)
        return err_set(err, -EINVAL, "no certificate in PEM");
    if (size > SECRETPACK_MAX_BYTES)
        return err_set(err, -EFBIG, "%zu bytes are too many for an envelope, which holds %d", size, SECRETPACK_MAX_BYTES);
    if (!cms || CMS_set_detached(cms, 0) != 1)
        return err_set(err, -EIO, "OpenSSL gives no envelope");
    int r = 0;
    for (int i = 0; r >= 0 && i < sk_X509_num(certificates); i++)
        r = add_recipient(cms, sk_X509_value(certificates, i), err);
    if (r >= 0)
        r = write_der(cms, data, size, ret_der, err);
    ERR_clear_error();
    return r;
}

static EVP_PKEY *read_key(const char *pem) {
    cleanup(bio_done) BIO *bio = BIO_new_mem_buf(pem, -1);
    return bio ? PEM_read_bio_PrivateKey(bio, NULL, signature_no_password, NULL) : NULL;
}

static CMS_ContentInfo *read_der(const void *der, size_t size) {
    const unsigned char *at = der;
    CMS_ContentInfo *cms = size <= ENVELOPE_MAX_BYTES ? d2i_CMS_ContentInfo(NULL, &at, (long)size) : NULL;
    if (cms && (at != (const unsigned char *)der + size || OBJ_obj2nid(CMS_get0_type(cms)) != NID_id_smime_ct_authEnvelopedData)) {
        CMS_ContentInfo_free(cms);
        cms = NULL;
    }
    return cms;
}

// Without a certificate every recipient is tried. Of RSA keys OpenSSL does not tell that none fitted (Bleichenbacher's attack): it goes on with a
// random key, and the authentication fails.
static int open_with(CMS_ContentInfo *cms, EVP_PKEY *key, struct buf *ret_data, struct err *err) {
    cleanup(bio_done) BIO *out = BIO_new(BIO_s_mem());
    char *data = NULL;
    if (!out || CMS_decrypt(cms, key, NULL, NULL, out, CMS_BINARY) != 1)
        return err_set(err, -EBADMSG, "the envelope is closed for others than this key, or it was changed");
    long length = BIO_get_mem_data(out, &data);
    buf_add(ret_data, data, (size_t)length);
    OPENSSL_cleanse(data, (size_t)length);
    return 0;
}

int envelope_open(const char *key_pem, const void *der, size_t size, struct buf *ret_data, struct err *err) {
    cleanup(key_done) EVP_PKEY *key = read_key(key_pem);
    cleanup(cms_done) CMS_ContentInfo *cms = key ? read_der(der, size) : NULL;
    int r = !key   ? err_set(err, -EINVAL, "the key is no unencrypted private key in PEM")
            : !cms ? err_set(err, -EBADMSG, "this is no envelope: CMS AuthEnvelopedData in DER is expected")
                   : open_with(cms, key, ret_data, err);
    ERR_clear_error();
    return r;
}
