// SPDX-License-Identifier: Apache-2.0
// Opens a signer and signs. What a machine will check is checked here first, so that a bundle that nobody accepts is not made.
#include "builder/signer.h"
#include "builder/keygen.h"
#include "common/signature.h"
#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

static void format_day(int64_t seconds, char text[32]) {
    struct tm tm = {0};
    time_t time = (time_t)seconds;
    gmtime_r(&time, &tm);
    strftime(text, 32, "%Y-%m-%d", &tm);
}

static int check_times(X509 *x509, int64_t now, struct err *err) {
    cleanup_free char *subject = certificate_subject(x509);
    char day[32];
    int64_t from = certificate_not_before(x509), until = certificate_not_after(x509);
    format_day(now < from ? from : until, day);
    if (now < from)
        return err_set(err, -EKEYREJECTED, "%s: the certificate is valid from %s on only", subject, day);
    if (now > until)
        return err_set(err, -EKEYREJECTED, "%s: the certificate has expired on %s", subject, day);
    return 0;
}

static int check(const struct signer *signer, int64_t now, struct err *err) {
    X509 *x509 = signer->certificate.x509;
    cleanup_free char *subject = certificate_subject(x509);
    if (X509_check_private_key(x509, signer->certificate.key) != 1) {
        certificate_error(err, -EKEYREJECTED, subject);
        return err_set(err, -EKEYREJECTED, "%s: the certificate belongs to another key", subject);
    }
    if (!(X509_get_extension_flags(x509) & EXFLAG_XKUSAGE) || !(X509_get_extended_key_usage(x509) & XKU_CODE_SIGN))
        return err_set(err, -EKEYREJECTED, "%s: the certificate is not for code signing (extended key usage)", subject);
    int r = check_times(x509, now, err);
    for (int i = 0; r >= 0 && i < sk_X509_num(signer->chain); i++)
        r = check_times(sk_X509_value(signer->chain, i), now, err);
    return r;
}

static int open_key(const char *key, EVP_PKEY **ret_key, struct err *err) {
    return strncmp(key, "pkcs11:", 7) == 0 ? signer_token_key(key, ret_key, err) : certificate_load_key(key, ret_key, err);
}

static int load(const struct signer_paths *paths, struct signer *signer, struct err *err) {
    if (!paths->certificate)
        return err_set(err, -EINVAL, "a key needs its certificate: --cert FILE");
    int r = open_key(paths->key, &signer->certificate.key, err);
    if (r >= 0)
        r = certificate_load(paths->certificate, &signer->certificate.x509, err);
    if (r >= 0 && paths->chain)
        r = certificate_load_all(paths->chain, &signer->chain, err);
    return r;
}

static int load_development(struct signer *signer, struct err *err) {
    cleanup_free char *dir = NULL;
    int r = keygen_development(&dir, err);
    if (r < 0)
        return r;
    cleanup_free char *key = str_printf("%s/" KEYGEN_SIGNING ".key", dir);
    cleanup_free char *certificate = str_printf("%s/" KEYGEN_SIGNING ".pem", dir);
    cleanup_free char *chain = str_printf("%s/" KEYGEN_INTERMEDIATE ".pem", dir);
    return load(&(struct signer_paths){key, certificate, chain}, signer, err);
}

int signer_open(const struct signer_paths *paths, int64_t now, struct signer *ret_signer, struct err *err) {
    cleanup_signer struct signer signer = {0};
    if (!paths->key && (paths->certificate || paths->chain))
        return err_set(err, -EINVAL, "--cert and --chain need --key");
    int r = paths->key ? load(paths, &signer, err) : load_development(&signer, err);
    if (r >= 0)
        r = check(&signer, now, err);
    if (r < 0)
        return r;
    signer.is_development = keygen_is_development(signer.certificate.x509);
    *ret_signer = signer;
    signer = (struct signer){0};
    return 0;
}

void signer_close(struct signer *signer) {
    certificate_done(&signer->certificate);
    sk_X509_pop_free(signer->chain, X509_free);
    *signer = (struct signer){0};
}

// The certificates as PEM text, appended.
static bool add_pem(X509 *x509, struct buf *text) {
    BIO *bio = BIO_new(BIO_s_mem());
    char *data = NULL;
    long size = 0;
    bool written = bio && PEM_write_bio_X509(bio, x509) == 1;
    if (written)
        size = BIO_get_mem_data(bio, &data);
    if (size > 0)
        buf_add(text, data, (size_t)size);
    BIO_free(bio);
    return written;
}

int signer_sign(const struct signer *signer, const void *data, size_t size, struct buf *signature, struct err *err) {
    cleanup_buf struct buf certificate = {0}, chain = {0};
    bool written = add_pem(signer->certificate.x509, &certificate);
    for (int i = 0; i < sk_X509_num(signer->chain); i++)
        written &= add_pem(sk_X509_value(signer->chain, i), &chain);
    if (!written)
        return certificate_error(err, -EIO, "certificates of the signer");
    const struct signature_signer with = {
        .key = signer->certificate.key, .certificate_pem = buf_str(&certificate), .chain_pem = chain.size ? buf_str(&chain) : NULL};
    return signature_make(&with, data, size, signature, err);
}
