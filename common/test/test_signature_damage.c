// SPDX-License-Identifier: Apache-2.0
// Signatures that were tampered with: every bit of signature and content, what is left out, and what is added without being covered.
#include "common/test/signature_zoo.h"
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>

static int zoo_setup(void **state) {
    struct zoo *zoo = mem_array(1, sizeof(*zoo));
    zoo_init(zoo);
    *state = zoo;
    return 0;
}

static int zoo_teardown(void **state) {
    zoo_free(*state);
    free(*state);
    return 0;
}

static void flip_every_bit(const struct zoo *zoo, struct buf *der) {
    const struct signature_trust trust = {.ca_pem = zoo->ca.data, .time = ZOO_NOW};
    struct err err = {0};
    assert_taken(zoo, der);
    for (size_t bit = 0; bit < 8 * der->size; bit++) {
        char *subject = NULL;
        der->data[bit / 8] ^= (char)(1u << bit % 8);
        int r = signature_verify(&trust, content, sizeof(content), der->data, der->size, &subject, &err);
        if ((r != -EKEYREJECTED && r != -EBADMSG) || subject)
            fail_msg("bit %zu of byte %zu: %d", bit % 8, bit / 8, r);
        der->data[bit / 8] ^= (char)(1u << bit % 8);
    }
}

static void test_every_bit_plain(void **state) {
    const struct zoo *zoo = *state;
    struct zoo_id rsa = zoo_make(&(struct zoo_recipe){.name = "RSA", .issuer = &zoo->root, .eku = "codeSigning", .rsa_bits = 2048});
    cleanup_buf struct buf der = {0};
    zoo_sign(&rsa, NULL, EVP_sha256(), CMS_NOATTR, &der);
    flip_every_bit(zoo, &der);
    zoo_done(&rsa);
}

// With all that OpenSSL adds: signed attributes, an intermediate, and the root.
static void test_every_bit_with_attributes(void **state) {
    const struct zoo *zoo = *state;
    cleanup_buf struct buf der = {0};
    CMS_ContentInfo *cms = zoo_start();
    zoo_add(cms, &zoo->signer, EVP_sha256(), 0);
    CMS_add1_cert(cms, zoo->intermediate.certificate);
    CMS_add1_cert(cms, zoo->root.certificate);
    zoo_finish(cms, &der);
    flip_every_bit(zoo, &der);
}

static void test_every_bit_of_the_content(void **state) {
    const struct zoo *zoo = *state;
    const struct signature_trust trust = {.ca_pem = zoo->ca.data, .time = ZOO_NOW};
    cleanup_buf struct buf der = {0};
    char copy[sizeof(content)];
    struct err err = {0};
    zoo_sign(&zoo->signer, &zoo->intermediate, EVP_sha256(), 0, &der);
    memcpy(copy, content, sizeof(copy));
    for (size_t bit = 0; bit < 8 * sizeof(copy); bit++) {
        copy[bit / 8] ^= (char)(1u << bit % 8);
        assert_int_equal(signature_verify(&trust, copy, sizeof(copy), der.data, der.size, NULL, &err), -EKEYREJECTED);
        assert_contains(err.text, "does not match");
        copy[bit / 8] ^= (char)(1u << bit % 8);
    }
    for (size_t size = 0; size < sizeof(copy); size++) // a signature over more
        assert_int_equal(signature_verify(&trust, copy, size, der.data, der.size, NULL, &err), -EKEYREJECTED);
    char longer[sizeof(content) + 1] = {0}; // … and over a prefix
    memcpy(longer, content, sizeof(content));
    assert_int_equal(signature_verify(&trust, longer, sizeof(longer), der.data, der.size, NULL, &err), -EKEYREJECTED);
}

static void test_truncated_and_extended(void **state) {
    const struct zoo *zoo = *state;
    cleanup_buf struct buf der = {0}, empty = {0};
    assert_refused(zoo, &empty, -EBADMSG, "empty");
    zoo_sign(&zoo->signer, &zoo->intermediate, EVP_sha256(), CMS_NOATTR, &der);
    size_t size = der.size;
    for (der.size = 1; der.size < size; der.size++)
        assert_refused(zoo, &der, -EBADMSG, "not CMS");
    buf_add(&der, "", 1);
    assert_refused(zoo, &der, -EBADMSG, "1 bytes behind its end");
    cleanup_free char *copy = mem_array(size, 1);
    memcpy(copy, der.data, size);
    der.size = size;
    buf_add(&der, copy, size); // twice the same
    assert_refused(zoo, &der, -EBADMSG, "bytes behind its end");
}

static void test_two_signers(void **state) {
    const struct zoo *zoo = *state;
    struct zoo_id second = zoo_make(&(struct zoo_recipe){.name = "Second", .issuer = &zoo->intermediate, .eku = "codeSigning"});
    struct zoo_id stranger = zoo_make(&(struct zoo_recipe){.name = "Stranger", .eku = "codeSigning"});
    const struct {
        const struct zoo_id *signers[2];
        const char *word;
    } cases[] = {{{&zoo->signer, &second}, NULL},
                 {{&zoo->signer, &stranger}, "'CN=Stranger'"},
                 {{&stranger, &zoo->signer}, "'CN=Stranger'"},
                 {{&second, &stranger}, "'CN=Stranger'"}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_buf struct buf der = {0};
        CMS_ContentInfo *cms = zoo_start();
        CMS_add1_cert(cms, zoo->intermediate.certificate);
        for (size_t j = 0; j < 2; j++)
            zoo_add(cms, cases[i].signers[j], EVP_sha256(), CMS_NOATTR);
        zoo_finish(cms, &der);
        if (cases[i].word)
            assert_refused(zoo, &der, -EKEYREJECTED, cases[i].word);
        else
            assert_taken(zoo, &der);
    }
    zoo_done(&second);
    zoo_done(&stranger);
}

static void test_number_of_signers(void **state) {
    const struct zoo *zoo = *state;
    static const struct {
        unsigned count;
        const char *word;
    } cases[] = {{0, "no signer"}, {1, NULL}, {8, NULL}, {9, "9 signers"}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_buf struct buf der = {0};
        CMS_ContentInfo *cms = zoo_start();
        CMS_add1_cert(cms, zoo->intermediate.certificate);
        for (unsigned j = 0; j < cases[i].count; j++) // the same one: its certificate goes along once
            zoo_add(cms, &zoo->signer, EVP_sha256(), CMS_NOATTR | (j ? CMS_NOCERTS : 0));
        if (cases[i].count)
            zoo_finish(cms, &der);
        else
            zoo_write(cms, &der); // OpenSSL would not finish that
        if (cases[i].word)
            assert_refused(zoo, &der, -EKEYREJECTED, cases[i].word);
        else
            assert_taken(zoo, &der);
    }
}

static void test_weak_hash(void **state) {
    const struct zoo *zoo = *state;
    const EVP_MD *const digests[] = {EVP_sha1(), EVP_md5(), EVP_sha224()};
    for (size_t i = 0; i < ARRAY_SIZE(digests); i++) {
        struct zoo_id rsa = zoo_make(&(struct zoo_recipe){.name = "RSA", .issuer = &zoo->root, .eku = "codeSigning", .rsa_bits = 2048});
        cleanup_buf struct buf der = {0};
        zoo_sign(&rsa, NULL, digests[i], CMS_NOATTR, &der);
        assert_refused(zoo, &der, -EKEYREJECTED, "another hash");
        zoo_done(&rsa);
    }
}

static void test_no_certificate(void **state) {
    const struct zoo *zoo = *state;
    cleanup_buf struct buf none = {0}, others = {0};
    zoo_sign(&zoo->signer, NULL, EVP_sha256(), CMS_NOATTR | CMS_NOCERTS, &none);
    assert_refused(zoo, &none, -EKEYREJECTED, "does not contain the certificate");
    zoo_sign(&zoo->signer, &zoo->intermediate, EVP_sha256(), CMS_NOATTR | CMS_NOCERTS, &others);
    assert_refused(zoo, &others, -EKEYREJECTED, "does not contain the certificate");
}

// An ECDSA signature of two zeros was once taken for a good one by several verifiers.
static void test_zero_ecdsa(void **state) {
    const struct zoo *zoo = *state;
    static const unsigned char zeros[] = {0x30, 6, 2, 1, 0, 2, 1, 0}, ones[] = {0x30, 6, 2, 1, 1, 2, 1, 1}, empty[] = {0x30, 0};
    const struct {
        const unsigned char *value;
        int size;
    } cases[] = {{zeros, sizeof(zeros)}, {ones, sizeof(ones)}, {empty, sizeof(empty)}, {zeros, 0}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_buf struct buf der = {0};
        CMS_ContentInfo *cms = zoo_start();
        CMS_SignerInfo *info = zoo_add(cms, &zoo->signer, EVP_sha256(), CMS_NOATTR);
        CMS_add1_cert(cms, zoo->intermediate.certificate);
        ASN1_OCTET_STRING_set(CMS_SignerInfo_get0_signature(info), cases[i].value, cases[i].size);
        zoo_write(cms, &der);
        assert_refused(zoo, &der, -EKEYREJECTED, "does not match");
    }
}

// The other signature of the same by the same key, which anybody can compute: docs/FORMATS.md says that it is taken.
static void turn_into_twin(ASN1_OCTET_STRING *value, const EVP_PKEY *key) {
    const unsigned char *data = ASN1_STRING_get0_data(value);
    ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &data, ASN1_STRING_length(value));
    BIGNUM *order = NULL, *s = BN_new();
    unsigned char *der = NULL;
    zoo_check(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_ORDER, &order), "the order of the curve");
    zoo_check(signature && BN_sub(s, order, ECDSA_SIG_get0_s(signature)) && !BN_is_zero(s), "the twin");
    zoo_check(ECDSA_SIG_set0(signature, BN_dup(ECDSA_SIG_get0_r(signature)), s), "the twin");
    int size = i2d_ECDSA_SIG(signature, &der);
    zoo_check(size > 0 && ASN1_OCTET_STRING_set(value, der, size), "the twin");
    OPENSSL_free(der);
    BN_free(order);
    ECDSA_SIG_free(signature);
}

static void test_ecdsa_twin(void **state) {
    const struct zoo *zoo = *state;
    cleanup_buf struct buf der = {0}, twin = {0};
    zoo_sign(&zoo->signer, &zoo->intermediate, EVP_sha256(), CMS_NOATTR, &der);
    const unsigned char *data = (const unsigned char *)der.data;
    CMS_ContentInfo *cms = d2i_CMS_ContentInfo(NULL, &data, (long)der.size);
    CMS_SignerInfo *info = sk_CMS_SignerInfo_value(CMS_get0_SignerInfos(cms), 0);
    turn_into_twin(CMS_SignerInfo_get0_signature(info), zoo->signer.key);
    zoo_write(cms, &twin);
    assert_true(twin.size != der.size || memcmp(twin.data, der.data, der.size) != 0);
    assert_taken(zoo, &der);
    assert_taken(zoo, &twin);
}

// Kinds of signature that nobody here makes, each by a certificate that is good.
static void test_ed25519(void **state) {
    const struct zoo *zoo = *state;
    struct zoo_id id = zoo_make(&(struct zoo_recipe){.name = "Ed", .issuer = &zoo->root, .eku = "codeSigning", .kind = "ED25519"});
    cleanup_buf struct buf der = {0};
    unsigned char value[64];
    size_t size = sizeof(value);
    EVP_MD_CTX *signing = EVP_MD_CTX_new();
    zoo_check(EVP_DigestSignInit(signing, NULL, NULL, NULL, id.key) &&
                  EVP_DigestSign(signing, value, &size, (const unsigned char *)content, sizeof(content)),
              "signing");
    CMS_ContentInfo *cms = zoo_start();
    CMS_SignerInfo *info = zoo_add(cms, &id, EVP_sha512(), CMS_NOATTR);
    X509_ALGOR *kind = NULL;
    CMS_SignerInfo_get0_algs(info, NULL, NULL, NULL, &kind); // OpenSSL 3.0 can put neither in its place by itself
    zoo_check(X509_ALGOR_set0(kind, OBJ_nid2obj(NID_ED25519), V_ASN1_UNDEF, NULL) &&
                  ASN1_OCTET_STRING_set(CMS_SignerInfo_get0_signature(info), value, (int)size),
              "a signature");
    zoo_write(cms, &der);
    assert_refused(zoo, &der, -EKEYREJECTED, "PKCS #1");
    EVP_MD_CTX_free(signing);
    zoo_done(&id);
}

static void test_rsa_pss(void **state) {
    const struct zoo *zoo = *state;
    struct zoo_id rsa = zoo_make(&(struct zoo_recipe){.name = "RSA", .issuer = &zoo->root, .eku = "codeSigning", .rsa_bits = 2048});
    cleanup_buf struct buf der = {0};
    CMS_ContentInfo *cms = zoo_start();
    CMS_SignerInfo *info = zoo_add(cms, &rsa, EVP_sha256(), CMS_NOATTR | CMS_KEY_PARAM);
    zoo_check(EVP_PKEY_CTX_set_rsa_padding(CMS_SignerInfo_get0_pkey_ctx(info), RSA_PKCS1_PSS_PADDING) > 0, "the padding");
    zoo_finish(cms, &der);
    assert_refused(zoo, &der, -EKEYREJECTED, "PKCS #1");
    zoo_done(&rsa);
}

// What no signature covers must not be there at all.
static void add_certificate(const struct zoo *zoo, CMS_ContentInfo *cms, CMS_SignerInfo *info) {
    (void)info;
    struct zoo_id other = zoo_make(&(struct zoo_recipe){.name = "Other", .issuer = &zoo->root, .eku = "codeSigning"});
    zoo_check(CMS_add1_cert(cms, other.certificate), "adding a certificate");
    zoo_done(&other);
}

static void add_list(const struct zoo *zoo, CMS_ContentInfo *cms, CMS_SignerInfo *info) {
    (void)info;
    cleanup_buf struct buf text = {0};
    zoo_crl(&zoo->root, NULL, -1, 1000, &text);
    BIO *bio = BIO_new_mem_buf(text.data, (int)text.size);
    X509_CRL *list = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL);
    zoo_check(list && CMS_add1_crl(cms, list), "adding a list");
    X509_CRL_free(list);
    BIO_free(bio);
}

static void add_attribute(const struct zoo *zoo, CMS_ContentInfo *cms, CMS_SignerInfo *info) {
    (void)zoo, (void)cms;
    zoo_check(CMS_unsigned_add1_attr_by_txt(info, "description", MBSTRING_ASC, "anything", -1), "adding an attribute");
}

static void add_nothing(const struct zoo *zoo, CMS_ContentInfo *cms, CMS_SignerInfo *info) {
    (void)zoo, (void)cms, (void)info;
}

static void test_uncovered_parts(void **state) {
    const struct zoo *zoo = *state;
    void (*const additions[])(const struct zoo *, CMS_ContentInfo *, CMS_SignerInfo *) = {add_certificate, add_list, add_attribute,
                                                                                          add_nothing};
    for (size_t i = 0; i < ARRAY_SIZE(additions); i++) {
        cleanup_buf struct buf der = {0};
        CMS_ContentInfo *cms = zoo_start();
        CMS_SignerInfo *info = zoo_add(cms, &zoo->signer, EVP_sha256(), 0);
        CMS_add1_cert(cms, zoo->intermediate.certificate);
        additions[i](zoo, cms, info);
        zoo_finish(cms, &der);
        if (additions[i] == add_nothing)
            assert_taken(zoo, &der);
        else
            assert_refused(zoo, &der, -EBADMSG, "holds more than");
    }
}

// The same structure, but the outermost length is written with a byte more than needed: BER, not DER.
static void test_ber(void **state) {
    const struct zoo *zoo = *state;
    cleanup_buf struct buf der = {0}, ber = {0};
    zoo_sign(&zoo->signer, &zoo->intermediate, EVP_sha256(), CMS_NOATTR, &der);
    assert_memory_equal(der.data, "\x30\x82", 2);
    buf_add(&ber, "\x30\x83\x00", 3);
    buf_add(&ber, der.data + 2, der.size - 2);
    assert_refused(zoo, &ber, -EBADMSG, "holds more than");
}

static void test_other_structures(void **state) {
    const struct zoo *zoo = *state;
    cleanup_buf struct buf attached = {0}, data = {0}, digested = {0};
    BIO *bio = BIO_new_mem_buf(content, sizeof(content));
    zoo_write(CMS_sign(zoo->signer.certificate, zoo->signer.key, NULL, bio, CMS_BINARY), &attached); // its own content within
    assert_refused(zoo, &attached, -EBADMSG, "not a detached one");
    BIO_free(bio);
    bio = BIO_new_mem_buf(content, sizeof(content));
    zoo_write(CMS_data_create(bio, CMS_BINARY), &data);
    assert_refused(zoo, &data, -EBADMSG, "not a detached one");
    BIO_free(bio);
    bio = BIO_new_mem_buf(content, sizeof(content));
    zoo_write(CMS_digest_create(bio, EVP_sha256(), CMS_BINARY | CMS_DETACHED), &digested);
    assert_refused(zoo, &digested, -EBADMSG, "not a detached one");
    BIO_free(bio);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_bit_plain),
        cmocka_unit_test(test_every_bit_with_attributes),
        cmocka_unit_test(test_every_bit_of_the_content),
        cmocka_unit_test(test_truncated_and_extended),
        cmocka_unit_test(test_two_signers),
        cmocka_unit_test(test_number_of_signers),
        cmocka_unit_test(test_weak_hash),
        cmocka_unit_test(test_no_certificate),
        cmocka_unit_test(test_zero_ecdsa),
        cmocka_unit_test(test_ecdsa_twin),
        cmocka_unit_test(test_ed25519),
        cmocka_unit_test(test_rsa_pss),
        cmocka_unit_test(test_uncovered_parts),
        cmocka_unit_test(test_ber),
        cmocka_unit_test(test_other_structures),
    };
    return cmocka_run_group_tests(tests, zoo_setup, zoo_teardown);
}
