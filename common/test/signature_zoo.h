// SPDX-License-Identifier: Apache-2.0
// What the two tests of signatures share: a root, an intermediate, a signer, signing by OpenSSL's own means, and the two verdicts.
#pragma once
#include "common/signature.h"
#include "common/test/ca_zoo.h"
#include "common/test/support.h"
#include <openssl/cms.h>

static const char content[] = "{\"what\": \"the manifest\"}\n";

struct zoo {
    struct zoo_id root, intermediate, signer;
    struct buf ca, chain, certificate; // PEM texts
};

static inline void zoo_init(struct zoo *zoo) {
    zoo->root = zoo_make(&(struct zoo_recipe){.name = "Zoo Root", .is_ca = true});
    zoo->intermediate = zoo_make(&(struct zoo_recipe){.name = "Zoo Intermediate", .issuer = &zoo->root, .is_ca = true});
    zoo->signer = zoo_make(&(struct zoo_recipe){.name = "Zoo Signer", .issuer = &zoo->intermediate, .eku = "codeSigning"});
    zoo_pem(&zoo->root, &zoo->ca);
    zoo_pem(&zoo->intermediate, &zoo->chain);
    zoo_pem(&zoo->signer, &zoo->certificate);
}

static inline void zoo_free(struct zoo *zoo) {
    zoo_done(&zoo->root);
    zoo_done(&zoo->intermediate);
    zoo_done(&zoo->signer);
    buf_done(&zoo->ca);
    buf_done(&zoo->chain);
    buf_done(&zoo->certificate);
}

static inline CMS_ContentInfo *zoo_start(void) {
    CMS_ContentInfo *cms = CMS_sign(NULL, NULL, NULL, NULL, CMS_PARTIAL | CMS_DETACHED | CMS_BINARY);
    zoo_check(cms != NULL, "starting a signature");
    return cms;
}

static inline CMS_SignerInfo *zoo_add(CMS_ContentInfo *cms, const struct zoo_id *id, const EVP_MD *digest, unsigned flags) {
    CMS_SignerInfo *info = CMS_add1_signer(cms, id->certificate, id->key, digest, flags | CMS_BINARY | CMS_PARTIAL);
    zoo_check(info != NULL, "adding a signer");
    return info;
}

// Appends its DER; takes `cms`.
static inline void zoo_write(CMS_ContentInfo *cms, struct buf *ret_der) {
    unsigned char *der = NULL;
    int size = i2d_CMS_ContentInfo(cms, &der);
    zoo_check(size > 0, "writing a signature");
    buf_add(ret_der, der, (size_t)size);
    OPENSSL_free(der);
    CMS_ContentInfo_free(cms);
}

static inline void zoo_finish(CMS_ContentInfo *cms, struct buf *ret_der) {
    BIO *bio = BIO_new_mem_buf(content, sizeof(content));
    zoo_check(CMS_final(cms, bio, NULL, CMS_BINARY | CMS_DETACHED), "finishing a signature");
    BIO_free(bio);
    zoo_write(cms, ret_der);
}

static inline void zoo_sign(const struct zoo_id *id, const struct zoo_id *chain, const EVP_MD *digest, unsigned flags,
                            struct buf *ret_der) {
    CMS_ContentInfo *cms = zoo_start();
    zoo_add(cms, id, digest, flags);
    if (chain)
        zoo_check(CMS_add1_cert(cms, chain->certificate), "adding a certificate");
    zoo_finish(cms, ret_der);
}

static inline void assert_taken(const struct zoo *zoo, const struct buf *der) {
    struct err err = {0};
    cleanup_free char *subject = NULL;
    const struct signature_trust trust = {.ca_pem = zoo->ca.data, .time = ZOO_NOW};
    if (signature_verify(&trust, content, sizeof(content), der->data, der->size, &subject, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(strncmp(subject, "CN=", 3), 0);
}

static inline void assert_refused(const struct zoo *zoo, const struct buf *der, int code, const char *word) {
    struct err err = {0};
    char *subject = NULL;
    const struct signature_trust trust = {.ca_pem = zoo->ca.data, .time = ZOO_NOW};
    int r = signature_verify(&trust, content, sizeof(content), buf_str(der), der->size, &subject, &err);
    if (r != code)
        fail_msg("%d '%s', but %d was expected with '%s'", r, err.text, code, word);
    assert_contains(err.text, word);
    assert_null(subject);
}
