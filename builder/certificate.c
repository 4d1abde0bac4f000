// SPDX-License-Identifier: Apache-2.0
// Keys and X.509 v3 certificates by libcrypto. Serial numbers are random; everything else follows from the request.
#include "builder/certificate.h"
#include "common/buf.h"
#include "common/file.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <string.h>

#define SERIAL_BITS 127 // positive, at most 16 bytes

int certificate_error(struct err *err, int code, const char *what) {
    unsigned long first = ERR_get_error();
    const char *reason = first ? ERR_reason_error_string(first) : NULL;
    ERR_clear_error();
    return err_set(err, code, "%s: %s", what, reason ? reason : "libcrypto refuses without saying why");
}

struct extension {
    int nid;
    const char *value; // as in openssl's configuration files
};

// RFC 5280 for what they mean; the issuer's key identifier is not in a certificate that signs itself.
static const struct extension extension_table[][6] = {
    [CERTIFICATE_ROOT] = {{NID_basic_constraints, "critical,CA:TRUE"},
                          {NID_key_usage, "critical,keyCertSign,cRLSign"},
                          {NID_subject_key_identifier, "hash"}},
    [CERTIFICATE_INTERMEDIATE] = {{NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
                                  {NID_key_usage, "critical,keyCertSign,cRLSign"},
                                  {NID_subject_key_identifier, "hash"},
                                  {NID_authority_key_identifier, "keyid:always"}},
    [CERTIFICATE_SIGNING] = {{NID_basic_constraints, "critical,CA:FALSE"},
                             {NID_key_usage, "critical,digitalSignature"},
                             {NID_ext_key_usage, "critical,codeSigning"},
                             {NID_subject_key_identifier, "hash"},
                             {NID_authority_key_identifier, "keyid:always"}},
    [CERTIFICATE_SECURE_BOOT] = {{NID_basic_constraints, "critical,CA:FALSE"},
                                 {NID_key_usage, "digitalSignature"},
                                 {NID_subject_key_identifier, "hash"}},
    [CERTIFICATE_CLUSTER] = {{NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
                             {NID_key_usage, "critical,keyCertSign,cRLSign"},
                             {NID_subject_key_identifier, "hash"}},
    [CERTIFICATE_NODE] = {{NID_basic_constraints, "critical,CA:FALSE"},
                          {NID_key_usage, "critical,digitalSignature"},
                          {NID_ext_key_usage, "serverAuth,clientAuth"},
                          {NID_subject_key_identifier, "hash"},
                          {NID_authority_key_identifier, "keyid:always"}},
};

static bool add_extension(X509V3_CTX *context, X509 *x509, int nid, const char *value) {
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, context, nid, value);
    bool added = extension && X509_add_ext(x509, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return added;
}

static bool add_extensions(X509 *x509, X509 *issuer, const struct certificate_request *request) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, x509, NULL, NULL, 0);
    for (const struct extension *item = extension_table[request->kind]; item->value; item++)
        if (!add_extension(&context, x509, item->nid, item->value))
            return false;
    return !request->alternative_names || add_extension(&context, x509, NID_subject_alt_name, request->alternative_names);
}

static bool set_serial(X509 *x509) {
    BIGNUM *number = BN_new();
    bool done = number && BN_rand(number, SERIAL_BITS, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
                BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x509));
    BN_free(number);
    return done;
}

static bool fill(const struct certificate_request *request, const struct certificate *made) {
    X509 *x509 = made->x509, *issuer = request->issuer ? request->issuer->x509 : x509;
    X509_NAME *name = X509_get_subject_name(x509);
    return X509_set_version(x509, X509_VERSION_3) == 1 && set_serial(x509) &&
           X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8, (const unsigned char *)request->name, -1, -1, 0) == 1 &&
           X509_set_issuer_name(x509, X509_get_subject_name(issuer)) == 1 &&
           ASN1_TIME_set(X509_getm_notBefore(x509), request->not_before) && ASN1_TIME_set(X509_getm_notAfter(x509), request->not_after) &&
           X509_set_pubkey(x509, made->key) == 1 && add_extensions(x509, issuer, request) &&
           X509_sign(x509, request->issuer ? request->issuer->key : made->key, EVP_sha256()) > 0;
}

static int check_request(const struct certificate_request *request, struct err *err) {
    size_t length = strlen(request->name);
    if (length == 0 || length > CERTIFICATE_MAX_NAME)
        return err_set(err, -EINVAL, "'%s': the name in a certificate has 1 to %d bytes", request->name, CERTIFICATE_MAX_NAME);
    for (const char *c = request->name; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            return err_set(err, -EINVAL, "the name in a certificate may hold no control characters");
    if (request->not_after <= request->not_before)
        return err_set(err, -EINVAL, "%s: would end before it begins", request->name);
    if (request->issuer && certificate_not_after(request->issuer->x509) < request->not_after)
        return err_set(err, -EINVAL, "%s: would outlive the certificate that signs it; shorten it or lengthen that one", request->name);
    return 0;
}

int certificate_make(const struct certificate_request *request, struct certificate *ret_certificate, struct err *err) {
    int r = check_request(request, err);
    if (r < 0)
        return r;
    cleanup_certificate struct certificate made = {.key = request->bits ? EVP_RSA_gen(request->bits) : EVP_EC_gen("P-256"),
                                                   .x509 = X509_new()};
    if (!made.key || !made.x509 || !fill(request, &made))
        return certificate_error(err, -EIO, request->name);
    *ret_certificate = (struct certificate){take_ptr(made.key), take_ptr(made.x509)};
    return 0;
}

void certificate_done(struct certificate *certificate) {
    EVP_PKEY_free(certificate->key);
    X509_free(certificate->x509);
    *certificate = (struct certificate){0};
}

static char *text_of(BIO *bio) {
    char *data = NULL;
    long size = BIO_get_mem_data(bio, &data);
    return str_printf("%.*s", (int)size, data);
}

int certificate_format(const struct certificate *certificate, char **ret_key, char **ret_pem, struct err *err) {
    BIO *key = BIO_new(BIO_s_secmem()), *pem = BIO_new(BIO_s_mem());
    bool done = key && pem && PEM_write_bio_PKCS8PrivateKey(key, certificate->key, NULL, NULL, 0, NULL, NULL) == 1 &&
                PEM_write_bio_X509(pem, certificate->x509) == 1;
    if (done) {
        *ret_key = text_of(key);
        *ret_pem = text_of(pem);
    }
    BIO_free(key);
    BIO_free(pem);
    return done ? 0 : certificate_error(err, -EIO, "a key as text");
}

int certificate_save(const struct certificate *certificate, int dir_fd, const char *name, struct err *err) {
    cleanup_free char *key = NULL, *pem = NULL;
    cleanup_free char *key_file = str_printf("%s.key", name), *pem_file = str_printf("%s.pem", name);
    int r = certificate_format(certificate, &key, &pem, err);
    if (r < 0)
        return err_prefix(err, r, "%s", name);
    r = file_publish(dir_fd, key_file, key, strlen(key), 0600, err);
    OPENSSL_cleanse(key, strlen(key));
    return r < 0 ? r : file_publish(dir_fd, pem_file, pem, strlen(pem), 0644, err);
}

static int open_pem(const char *path, BIO **ret_bio, char **ret_text, struct err *err) {
    size_t size = 0;
    int r = file_read(AT_FDCWD, path, CERTIFICATE_MAX_BYTES, ret_text, &size, err);
    if (r < 0)
        return r;
    *ret_bio = BIO_new_mem_buf(*ret_text, (int)size);
    return *ret_bio ? 0 : certificate_error(err, -ENOMEM, path);
}

int certificate_load_all(const char *path, STACK_OF(X509) * *ret_list, struct err *err) {
    cleanup_free char *text = NULL;
    BIO *bio = NULL;
    int r = open_pem(path, &bio, &text, err);
    if (r < 0)
        return r;
    STACK_OF(X509) *list = sk_X509_new_null();
    for (X509 *x509; list && (x509 = PEM_read_bio_X509(bio, NULL, NULL, NULL));)
        if (sk_X509_push(list, x509) == 0)
            X509_free(x509);
    BIO_free(bio);
    // The end of the file is the one error that is none.
    bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    if (!list || !at_end || sk_X509_num(list) == 0) {
        r = at_end ? err_set(err, -EINVAL, "%s: holds no certificate in PEM form", path) : certificate_error(err, -EINVAL, path);
        sk_X509_pop_free(list, X509_free);
    }
    ERR_clear_error();
    if (r == 0)
        *ret_list = list;
    return r;
}

int certificate_load(const char *path, X509 **ret_x509, struct err *err) {
    STACK_OF(X509) *list = NULL;
    int r = certificate_load_all(path, &list, err);
    if (r < 0)
        return r;
    if (sk_X509_num(list) == 1)
        *ret_x509 = sk_X509_shift(list);
    else
        r = err_set(err, -EINVAL, "%s: holds %d certificates, exactly one is expected; the others belong into --chain", path,
                    sk_X509_num(list));
    sk_X509_pop_free(list, X509_free);
    return r;
}

// Instead of a question on the terminal, which a build must not ask.
static int no_passphrase(char *text, int size, int is_writing, void *asked) {
    (void)text;
    (void)size;
    (void)is_writing;
    *(bool *)asked = true;
    return -1;
}

int certificate_load_key(const char *path, EVP_PKEY **ret_key, struct err *err) {
    struct stat st;
    bool asked = false;
    cleanup_free char *text = NULL;
    size_t size = 0;
    cleanup_fd int fd = file_open(AT_FDCWD, path, O_RDONLY, 0, err);
    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0)
        return err_sys(err, -errno, "cannot look at %s", path);
    if (!S_ISREG(st.st_mode) || (st.st_mode & 077))
        return err_set(err, -EPERM, "%s: a private key that others can reach is not used; run chmod 0600 on it", path);
    int r = file_read_fd(fd, path, CERTIFICATE_MAX_BYTES, &text, &size, err);
    if (r < 0)
        return r;
    BIO *bio = BIO_new_mem_buf(text, (int)size);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &asked) : NULL;
    BIO_free(bio);
    OPENSSL_cleanse(text, size);
    if (!key && asked) {
        ERR_clear_error();
        return err_set(err, -EINVAL, "%s: the key is encrypted; decrypt it for the build, or keep it in a token (pkcs11:)", path);
    }
    if (!key)
        return certificate_error(err, -EINVAL, path);
    *ret_key = key;
    return 0;
}

char *certificate_subject(X509 *x509) {
    BIO *bio = BIO_new(BIO_s_mem());
    char *data = NULL;
    if (!bio || X509_NAME_print_ex(bio, X509_get_subject_name(x509), 0, XN_FLAG_ONELINE & ~ASN1_STRFLGS_ESC_MSB & ~XN_FLAG_SPC_EQ) < 0) {
        BIO_free(bio);
        return str_dup("(a name that cannot be printed)");
    }
    long size = BIO_get_mem_data(bio, &data);
    char *text = str_printf("%.*s", (int)size, data);
    BIO_free(bio);
    return text;
}

static int64_t seconds(const ASN1_TIME *time) {
    struct tm tm = {0};
    return ASN1_TIME_to_tm(time, &tm) == 1 ? timegm(&tm) : 0;
}

int64_t certificate_not_before(X509 *x509) {
    return seconds(X509_get0_notBefore(x509));
}

int64_t certificate_not_after(X509 *x509) {
    return seconds(X509_get0_notAfter(x509));
}
