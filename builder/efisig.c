// SPDX-License-Identifier: Apache-2.0
// Signature lists and authenticated variables, put together byte by byte; the signature in them is PKCS#7 by libcrypto.
#include "builder/efisig.h"
#include <errno.h>
#include <openssl/pkcs7.h>
#include <string.h>
#include <time.h>

#define LIST_HEADER_BYTES 28
#define TIME_BYTES 16
#define WIN_CERTIFICATE_BYTES 24 // header and type GUID
#define WIN_CERT_REVISION 0x0200
#define WIN_CERT_TYPE_EFI_GUID 0x0ef1
#define ATTRIBUTES 0x27u // non-volatile, boot service, runtime, time-based authenticated write

// GUIDs as they lie in memory.
static const uint8_t cert_x509_guid[] = {0xa1, 0x59, 0xc0, 0xa5, 0xe4, 0x94, 0xa7, 0x4a, 0x87, 0xb5, 0xab, 0x15, 0x5c, 0x2b, 0xf0, 0x72};
static const uint8_t cert_pkcs7_guid[] = {0x9d, 0xd2, 0xaf, 0x4a, 0xdf, 0x68, 0xee, 0x49, 0x8a, 0xa9, 0x34, 0x7d, 0x37, 0x56, 0x65, 0xa7};
static const uint8_t global_guid[] = {0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c};
static const uint8_t security_guid[] = {0xcb, 0xb2, 0x19, 0xd7, 0x3a, 0x3d, 0x96, 0x45, 0xa3, 0xbc, 0xda, 0xd0, 0x0e, 0x67, 0x65, 0x6f};

static const struct {
    const char *name;
    const uint8_t *guid;
} variables[] = {{"PK", global_guid}, {"KEK", global_guid}, {"db", security_guid}};

static void add16(struct buf *buf, unsigned value) {
    const uint8_t bytes[] = {(uint8_t)value, (uint8_t)(value >> 8)};
    buf_add(buf, bytes, sizeof(bytes));
}

static void add32(struct buf *buf, uint32_t value) {
    add16(buf, value & 0xffff);
    add16(buf, value >> 16);
}

int efisig_list(X509 *x509, const uint8_t owner[EFISIG_GUID_BYTES], struct buf *list, struct err *err) {
    unsigned char *der = NULL;
    int size = i2d_X509(x509, &der);
    if (size <= 0)
        return certificate_error(err, -EINVAL, "certificate for the firmware");
    buf_add(list, cert_x509_guid, sizeof(cert_x509_guid));
    add32(list, (uint32_t)(LIST_HEADER_BYTES + EFISIG_GUID_BYTES + size));
    add32(list, 0); // no further header
    add32(list, (uint32_t)(EFISIG_GUID_BYTES + size));
    buf_add(list, owner, EFISIG_GUID_BYTES);
    buf_add(list, der, (size_t)size);
    OPENSSL_free(der);
    return 0;
}

// EFI_TIME; everything below seconds must be zero in an authenticated variable.
static int add_time(struct buf *buf, int64_t time, struct err *err) {
    struct tm tm;
    time_t seconds = (time_t)time;
    if (!gmtime_r(&seconds, &tm) || tm.tm_year < 70 || tm.tm_year > 8099)
        return err_set(err, -EINVAL, "a time that firmware cannot name");
    const uint8_t rest[TIME_BYTES - 2] = {(uint8_t)(tm.tm_mon + 1), (uint8_t)tm.tm_mday, (uint8_t)tm.tm_hour, (uint8_t)tm.tm_min,
                                          (uint8_t)tm.tm_sec};
    add16(buf, (unsigned)tm.tm_year + 1900);
    buf_add(buf, rest, sizeof(rest));
    return 0;
}

// What is signed: name without its end, vendor, attributes, time, content.
static int add_signed(struct buf *buf, const char *variable, int64_t time, const struct buf *list, struct err *err) {
    const uint8_t *guid = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(variables); i++)
        if (strcmp(variables[i].name, variable) == 0)
            guid = variables[i].guid;
    if (!guid)
        return err_set(err, -EINVAL, "'%s' is none of PK, KEK, db", variable);
    for (const char *c = variable; *c; c++)
        add16(buf, (unsigned char)*c);
    buf_add(buf, guid, EFISIG_GUID_BYTES);
    add32(buf, ATTRIBUTES);
    int r = add_time(buf, time, err);
    buf_add(buf, list->data, list->size);
    return r;
}

// A bare SignedData, without the ContentInfo around it: what the specification says and every firmware reads.
static int sign(const struct buf *data, const struct certificate *signer, struct buf *signature, struct err *err) {
    const int flags = PKCS7_BINARY | PKCS7_DETACHED | PKCS7_NOATTR | PKCS7_NOSMIMECAP;
    BIO *bio = BIO_new_mem_buf(data->data, (int)data->size);
    PKCS7 *p7 = PKCS7_sign(NULL, NULL, NULL, bio, flags | PKCS7_PARTIAL);
    unsigned char *der = NULL;
    int size = bio && p7 && PKCS7_sign_add_signer(p7, signer->x509, signer->key, EVP_sha256(), flags) && PKCS7_final(p7, bio, flags) == 1
                   ? i2d_PKCS7_SIGNED(p7->d.sign, &der)
                   : -1;
    if (size > 0)
        buf_add(signature, der, (size_t)size);
    OPENSSL_free(der);
    PKCS7_free(p7);
    BIO_free(bio);
    return size > 0 ? 0 : certificate_error(err, -EIO, "signing a firmware variable");
}

int efisig_auth(const char *variable, const struct buf *list, const struct certificate *signer, int64_t time, struct buf *auth,
                struct err *err) {
    cleanup_buf struct buf text = {0}, signature = {0};
    int r = add_signed(&text, variable, time, list, err);
    if (r >= 0)
        r = sign(&text, signer, &signature, err);
    if (r >= 0)
        r = add_time(auth, time, err);
    if (r < 0)
        return r;
    add32(auth, (uint32_t)(WIN_CERTIFICATE_BYTES + signature.size));
    add16(auth, WIN_CERT_REVISION);
    add16(auth, WIN_CERT_TYPE_EFI_GUID);
    buf_add(auth, cert_pkcs7_guid, sizeof(cert_pkcs7_guid));
    buf_add(auth, signature.data, signature.size);
    buf_add(auth, list->data, list->size);
    return 0;
}
