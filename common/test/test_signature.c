// SPDX-License-Identifier: Apache-2.0
// Signatures by a zoo of signers: which are taken, and why the others are not. Most are made by OpenSSL directly, because signature_make()
// would refuse to.
#include "common/signature.h"
#include "common/run.h"
#include "common/test/signature_zoo.h"
#include <errno.h>

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

static void test_made_is_taken(void **state) {
    const struct zoo *zoo = *state;
    struct zoo_id rsa = zoo_make(&(struct zoo_recipe){.name = "RSA", .issuer = &zoo->intermediate, .eku = "codeSigning", .rsa_bits = 2048});
    cleanup_buf struct buf pem = {0};
    zoo_pem(&rsa, &pem);
    for (int64_t time = 0; time <= ZOO_NOW; time += ZOO_NOW) {
        struct err err = {0};
        cleanup_buf struct buf der = {0}, again = {0}, plain = {0};
        const struct signature_signer signer = {rsa.key, pem.data, zoo->chain.data, time};
        assert_int_equal(signature_make(&signer, content, sizeof(content), &der, &err), 0);
        assert_taken(zoo, &der);
        // The same input gives the same bytes, and without attributes they are OpenSSL's own.
        assert_int_equal(signature_make(&signer, content, sizeof(content), &again, &err), 0);
        assert_int_equal(again.size, der.size);
        assert_memory_equal(again.data, der.data, der.size);
        zoo_sign(&rsa, &zoo->intermediate, EVP_sha256(), CMS_NOATTR, &plain);
        assert_int_equal(time == 0, plain.size == der.size && memcmp(plain.data, der.data, der.size) == 0);
    }
    zoo_done(&rsa);
}

// Taken: every form that OpenSSL's command line makes with a key of ours, as long as nothing superfluous is in it.
static void test_other_forms_are_taken(void **state) {
    const struct zoo *zoo = *state;
    static const unsigned flags[] = {0, CMS_NOSMIMECAP, CMS_NOATTR, CMS_USE_KEYID, CMS_USE_KEYID | CMS_NOATTR, CMS_CADES};
    const EVP_MD *const digests[] = {EVP_sha256(), EVP_sha384(), EVP_sha512()};
    for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
        for (size_t j = 0; j < ARRAY_SIZE(digests); j++) {
            cleanup_buf struct buf der = {0};
            zoo_sign(&zoo->signer, &zoo->intermediate, digests[j], flags[i], &der);
            assert_taken(zoo, &der);
        }
}

static void test_root_that_came_along(void **state) {
    const struct zoo *zoo = *state;
    cleanup_buf struct buf der = {0};
    CMS_ContentInfo *cms = zoo_start();
    zoo_add(cms, &zoo->signer, EVP_sha256(), CMS_NOATTR);
    CMS_add1_cert(cms, zoo->intermediate.certificate);
    CMS_add1_cert(cms, zoo->root.certificate);
    zoo_finish(cms, &der);
    assert_taken(zoo, &der);
}

// Each kind of signer that must be told apart, with the word by which it is.
static void test_signers(void **state) {
    const struct zoo *zoo = *state;
    struct zoo_id stranger = zoo_make(&(struct zoo_recipe){.name = "Stranger", .is_ca = true});
    // Somebody else's root with the name of ours: the name proves nothing.
    struct zoo_id twin = zoo_make(&(struct zoo_recipe){.name = "Zoo Root", .is_ca = true});
    const struct zoo_id forger = {stranger.key, zoo->intermediate.certificate};
    struct zoo_id old_ca = zoo_make(&(struct zoo_recipe){.name = "Old CA", .issuer = &zoo->root, .is_ca = true, .until = ZOO_NOW - 1});
    struct zoo_id no_ca = zoo_make(&(struct zoo_recipe){.name = "No CA", .issuer = &zoo->root, .eku = "codeSigning"});
    struct zoo_id rsa_ca = zoo_make(&(struct zoo_recipe){.name = "RSA CA", .issuer = &zoo->root, .is_ca = true, .rsa_bits = 2048});
    const struct zoo_id *middle = &zoo->intermediate;
    const struct {
        struct zoo_recipe recipe;
        const struct zoo_id *chain;
        const char *word; // NULL: taken
    } cases[] = {
        {{.name = "good", .issuer = middle, .eku = "codeSigning"}, middle, NULL},
        {{.name = "several", .issuer = middle, .eku = "serverAuth,codeSigning"}, middle, NULL},
        {{.name = "direct", .issuer = &zoo->root, .eku = "codeSigning"}, NULL, NULL},
        {{.name = "last second", .issuer = middle, .eku = "codeSigning", .until = ZOO_NOW + 1}, middle, NULL},
        {{.name = "no chain", .issuer = middle, .eku = "codeSigning"}, NULL, "issuer is unknown"},
        {{.name = "unknown", .issuer = &stranger, .eku = "codeSigning"}, NULL, "issuer is unknown"},
        {{.name = "unknown, root along", .issuer = &stranger, .eku = "codeSigning"}, &stranger, "issuer is unknown"},
        {{.name = "twin", .issuer = &twin, .eku = "codeSigning"}, NULL, "issuer is unknown"},
        {{.name = "forged", .issuer = &forger, .eku = "codeSigning"}, middle, "'CN=forged': it is damaged or forged"},
        {{.name = "own", .eku = "codeSigning"}, NULL, "signed by itself"},
        {{.name = "expired", .issuer = middle, .eku = "codeSigning", .until = ZOO_NOW - 1}, middle, "'CN=expired': it has expired"},
        {{.name = "future", .issuer = middle, .eku = "codeSigning", .from = ZOO_NOW + 1}, middle, "not yet valid"},
        {{.name = "of old", .issuer = &old_ca, .eku = "codeSigning"}, &old_ca, "'CN=Old CA': it has expired"},
        {{.name = "by no CA", .issuer = &no_ca, .eku = "codeSigning"}, &no_ca, "is no CA"},
        {{.name = "server", .issuer = middle, .eku = "serverAuth"}, middle, "wrong purpose"},
        {{.name = "mail", .issuer = middle, .eku = "emailProtection,timeStamping"}, middle, "wrong purpose"},
        {{.name = "any", .issuer = middle, .eku = "anyExtendedKeyUsage"}, middle, "wrong purpose"},
        {{.name = "none", .issuer = middle}, middle, "wrong purpose"},
        {{.name = "CA", .issuer = middle, .is_ca = true, .eku = "codeSigning", .usage = "digitalSignature,keyCertSign"}, middle, "purpose"},
        {{.name = "usage", .issuer = middle, .eku = "codeSigning", .usage = "critical,keyEncipherment"}, middle, "wrong purpose"},
        {{.name = "short", .issuer = middle, .eku = "codeSigning", .rsa_bits = 1024}, middle, "too weak"},
        {{.name = "SHA-1", .issuer = middle, .eku = "codeSigning", .digest = EVP_sha1()}, middle, "too weak"},
        {{.name = "MD5", .issuer = &rsa_ca, .eku = "codeSigning", .digest = EVP_md5()}, &rsa_ca, "too weak"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_buf struct buf der = {0};
        struct zoo_id id = zoo_make(&cases[i].recipe);
        zoo_sign(&id, cases[i].chain, EVP_sha256(), CMS_NOATTR, &der);
        if (cases[i].word)
            assert_refused(zoo, &der, -EKEYREJECTED, cases[i].word);
        else
            assert_taken(zoo, &der);
        zoo_done(&id);
    }
    zoo_done(&stranger);
    zoo_done(&twin);
    zoo_done(&old_ca);
    zoo_done(&no_ca);
    zoo_done(&rsa_ca);
}

static void test_time(void **state) {
    const struct zoo *zoo = *state;
    static const struct {
        int64_t time;
        const char *word;
    } cases[] = {{0, "not yet valid"},
                 {ZOO_NOW - ZOO_DAY - 1, "not yet valid"},
                 {ZOO_NOW - ZOO_DAY, NULL},
                 {ZOO_NOW + 365LL * ZOO_DAY, "expired"}, // X.509's end is the last valid second, OpenSSL's the first invalid one
                 {ZOO_NOW + 365LL * ZOO_DAY - 1, NULL},
                 {4070908800, "expired"},
                 {253402300799, "expired"}};
    cleanup_buf struct buf der = {0};
    zoo_sign(&zoo->signer, &zoo->intermediate, EVP_sha256(), CMS_NOATTR, &der);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err err = {0};
        const struct signature_trust trust = {.ca_pem = zoo->ca.data, .time = cases[i].time};
        int r = signature_verify(&trust, content, sizeof(content), der.data, der.size, NULL, &err);
        assert_int_equal(r, cases[i].word ? -EKEYREJECTED : 0);
        if (cases[i].word)
            assert_contains(err.text, cases[i].word);
    }
}

static void test_revocation(void **state) {
    const struct zoo *zoo = *state;
    struct zoo_id twin = zoo_make(&(struct zoo_recipe){.name = "Zoo Intermediate", .issuer = &zoo->root, .is_ca = true});
    const struct {
        const struct zoo_id *issuer, *revoked;
        int64_t from, until;
        const char *word;
    } cases[] = {
        {&zoo->root, NULL, -1, 1000, NULL}, // the intermediate's list is missing: it revoked nothing
        {&zoo->intermediate, NULL, -1, 1000, NULL},
        {&zoo->root, &zoo->signer, -1, 1000, NULL}, // another issuer's serial number
        {&zoo->intermediate, &zoo->signer, -1, 1000, "'CN=Zoo Signer': it has been revoked"},
        {&zoo->root, &zoo->intermediate, -1, 1000, "'CN=Zoo Intermediate': it has been revoked"},
        {&zoo->intermediate, &zoo->signer, -2000, -1000, "revoked"}, // an old list
        {&zoo->intermediate, &zoo->signer, 1000, 2000, "revoked"}, // the clock is behind the list
        {&twin, &zoo->signer, -1, 1000, "CRL"}, // signed with another key: nobody knows what it should have said
    };
    cleanup_buf struct buf der = {0};
    zoo_sign(&zoo->signer, &zoo->intermediate, EVP_sha256(), CMS_NOATTR, &der);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err err = {0};
        cleanup_buf struct buf list = {0};
        zoo_crl(cases[i].issuer, cases[i].revoked, cases[i].from, cases[i].until, &list);
        const struct signature_trust trust = {.ca_pem = zoo->ca.data, .crl_pem = list.data, .time = ZOO_NOW};
        int r = signature_verify(&trust, content, sizeof(content), der.data, der.size, NULL, &err);
        if (r != (cases[i].word ? -EKEYREJECTED : 0))
            fail_msg("case %zu: %d %s", i, r, err.text);
        if (cases[i].word)
            assert_contains(err.text, cases[i].word);
    }
    zoo_done(&twin);
}

static void test_bad_trust(void **state) {
    const struct zoo *zoo = *state;
    cleanup_buf struct buf der = {0}, half = {0};
    zoo_sign(&zoo->signer, &zoo->intermediate, EVP_sha256(), CMS_NOATTR, &der);
    buf_add(&half, zoo->ca.data, zoo->ca.size);
    buf_add_str(&half, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    const struct signature_trust cases[] = {
        {"", NULL, ZOO_NOW},         {"text", NULL, ZOO_NOW},         {half.data, NULL, ZOO_NOW}, // never half of a file
        {zoo->ca.data, "", ZOO_NOW}, {zoo->ca.data, "text", ZOO_NOW}, {zoo->ca.data, zoo->ca.data, ZOO_NOW},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err err = {0};
        assert_int_equal(signature_verify(&cases[i], content, sizeof(content), der.data, der.size, NULL, &err), -EINVAL);
        assert_contains(err.text, "PEM text");
    }
}

// How a root is replaced: by a generation that trusts both, then by one that trusts the new one alone.
static void test_two_roots(void **state) {
    const struct zoo *zoo = *state;
    struct zoo_id new_root = zoo_make(&(struct zoo_recipe){.name = "New Root", .is_ca = true});
    struct zoo_id new_signer = zoo_make(&(struct zoo_recipe){.name = "New Signer", .issuer = &new_root, .eku = "codeSigning"});
    cleanup_buf struct buf old_der = {0}, new_der = {0}, both = {0}, new_ca = {0};
    zoo_pem(&new_root, &new_ca);
    buf_add(&both, zoo->ca.data, zoo->ca.size);
    buf_add(&both, new_ca.data, new_ca.size);
    zoo_sign(&zoo->signer, &zoo->intermediate, EVP_sha256(), CMS_NOATTR, &old_der);
    zoo_sign(&new_signer, NULL, EVP_sha256(), CMS_NOATTR, &new_der);
    const struct {
        const char *ca;
        bool takes_old, takes_new;
    } cases[] = {{zoo->ca.data, true, false}, {both.data, true, true}, {new_ca.data, false, true}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err err = {0};
        const struct signature_trust trust = {.ca_pem = cases[i].ca, .time = ZOO_NOW};
        int old = signature_verify(&trust, content, sizeof(content), old_der.data, old_der.size, NULL, &err);
        int new = signature_verify(&trust, content, sizeof(content), new_der.data, new_der.size, NULL, &err);
        assert_int_equal(old, cases[i].takes_old ? 0 : -EKEYREJECTED);
        assert_int_equal(new, cases[i].takes_new ? 0 : -EKEYREJECTED);
    }
    zoo_done(&new_root);
    zoo_done(&new_signer);
}

// signature_make() makes nothing that machines would refuse for what it is.
static void test_make_refuses(void **state) {
    const struct zoo *zoo = *state;
    struct zoo_id server = zoo_make(&(struct zoo_recipe){.name = "server", .issuer = &zoo->root, .eku = "serverAuth"});
    struct zoo_id none = zoo_make(&(struct zoo_recipe){.name = "none", .issuer = &zoo->root});
    struct zoo_id ca = zoo_make(&(struct zoo_recipe){
        .name = "CA", .issuer = &zoo->root, .is_ca = true, .eku = "codeSigning", .usage = "digitalSignature,keyCertSign"});
    cleanup_buf struct buf server_pem = {0}, none_pem = {0}, ca_pem = {0};
    zoo_pem(&server, &server_pem);
    zoo_pem(&none, &none_pem);
    zoo_pem(&ca, &ca_pem);
    struct zoo_id ed = zoo_make(&(struct zoo_recipe){.name = "Ed", .issuer = &zoo->root, .eku = "codeSigning", .kind = "ED25519"});
    struct zoo_id pss = zoo_make(&(struct zoo_recipe){.name = "PSS", .issuer = &zoo->root, .eku = "codeSigning", .kind = "RSA-PSS"});
    cleanup_buf struct buf ed_pem = {0}, pss_pem = {0};
    zoo_pem(&ed, &ed_pem);
    zoo_pem(&pss, &pss_pem);
    EVP_PKEY *edwards = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    const struct {
        struct signature_signer signer;
        const char *word;
    } cases[] = {
        {{server.key, server_pem.data, NULL, 0}, "not made for code signing"},
        {{none.key, none_pem.data, NULL, 0}, "not made for code signing"},
        {{ca.key, ca_pem.data, NULL, 0}, "not made for code signing"},
        {{zoo->root.key, zoo->certificate.data, NULL, 0}, "belongs to another key"},
        {{edwards, zoo->certificate.data, NULL, 0}, "belongs to another key"},
        {{ed.key, ed_pem.data, NULL, 0}, "this kind of key cannot sign"},
        {{pss.key, pss_pem.data, NULL, 0}, "this kind of key cannot sign"},
        {{zoo->signer.key, "", NULL, 0}, "certificate is not PEM"},
        {{zoo->signer.key, zoo->certificate.data, "no chain", 0}, "chain is not PEM"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err err = {0};
        cleanup_buf struct buf der = {0};
        assert_int_equal(signature_make(&cases[i].signer, content, sizeof(content), &der, &err), -EINVAL);
        assert_contains(err.text, cases[i].word);
        assert_int_equal(der.size, 0);
    }
    EVP_PKEY_free(edwards);
    zoo_done(&server);
    zoo_done(&none);
    zoo_done(&ca);
    zoo_done(&ed);
    zoo_done(&pss);
}

// However the chain is given, only what is needed and no root goes along.
static void test_make_picks_the_chain(void **state) {
    const struct zoo *zoo = *state;
    struct zoo_id stranger = zoo_make(&(struct zoo_recipe){.name = "Stranger", .is_ca = true});
    cleanup_buf struct buf full = {0}, both = {0}, lean = {0};
    zoo_pem(&stranger, &full);
    zoo_pem(&zoo->root, &full);
    zoo_pem(&zoo->intermediate, &full);
    zoo_pem(&zoo->signer, &both);
    zoo_pem(&zoo->intermediate, &both);
    const struct signature_signer signers[] = {{zoo->signer.key, zoo->certificate.data, zoo->chain.data, 0},
                                               {zoo->signer.key, zoo->certificate.data, full.data, 0},
                                               {zoo->signer.key, both.data, NULL, 0},
                                               {zoo->signer.key, both.data, full.data, 0}};
    for (size_t i = 0; i < ARRAY_SIZE(signers); i++) {
        struct err err = {0};
        cleanup_buf struct buf der = {0};
        if (signature_make(&signers[i], content, sizeof(content), &der, &err) < 0)
            fail_msg("%s", err.text);
        assert_taken(zoo, &der);
    }
    zoo_done(&stranger);
}

// Runs the openssl program in a directory with the zoo's files; whether it was content.
static bool openssl_runs(const char *dir, const char *const *arguments) {
    struct err err = {0};
    const char *argv[24] = {"env", "--chdir", dir, "openssl"};
    for (size_t i = 0; arguments[i]; i++)
        argv[4 + i] = arguments[i];
    const struct run run = {.argv = argv, .timeout_ms = 60000};
    bool ok = run_quiet(&run, &err) == 0;
    if (!ok)
        print_message("%s\n", err.text);
    return ok;
}

// Another program takes what is made here, and what it makes is taken here.
static void test_openssl_program(void **state) {
    const struct zoo *zoo = *state;
    struct err err = {0};
    void *scratch_state;
    scratch_setup(&scratch_state);
    const struct scratch *scratch = scratch_state;
    cleanup_buf struct buf der = {0}, key = {0};
    zoo_key_pem(&zoo->signer, &key);
    const struct signature_signer signer = {zoo->signer.key, zoo->certificate.data, zoo->chain.data, 0};
    assert_int_equal(signature_make(&signer, content, sizeof(content), &der, &err), 0);
    const struct {
        const char *name;
        const void *data;
        size_t size;
    } files[] = {{"content", content, sizeof(content)},
                 {"ca.pem", zoo->ca.data, zoo->ca.size},
                 {"chain.pem", zoo->chain.data, zoo->chain.size},
                 {"signer.pem", zoo->certificate.data, zoo->certificate.size},
                 {"signer.key", key.data, key.size},
                 {"made", der.data, der.size}};
    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        assert_int_equal(file_publish(scratch->fd, files[i].name, files[i].data, files[i].size, 0600, &err), 0);
    assert_true(openssl_runs(scratch->path, RUN_ARGV("cms", "-verify", "-binary", "-inform", "DER", "-in", "made", "-content", "content",
                                                     "-CAfile", "ca.pem", "-purpose", "any", "-attime", "1795000000")));
    const char *const extra[] = {"-noattr", "-nosmimecap", "-keyid"};
    for (size_t i = 0; i < ARRAY_SIZE(extra); i++) {
        cleanup_buf struct buf theirs = {0};
        char *data;
        assert_true(openssl_runs(scratch->path,
                                 RUN_ARGV("cms", "-sign", "-binary", "-outform", "DER", extra[i], "-md", "sha256", "-signer", "signer.pem",
                                          "-inkey", "signer.key", "-certfile", "chain.pem", "-in", "content", "-out", "theirs")));
        assert_int_equal(file_read(scratch->fd, "theirs", 1 << 16, &data, &theirs.size, &err), 0);
        theirs.data = data;
        assert_taken(zoo, &theirs);
    }
    scratch_teardown(&scratch_state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_made_is_taken),
        cmocka_unit_test(test_other_forms_are_taken),
        cmocka_unit_test(test_root_that_came_along),
        cmocka_unit_test(test_signers),
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_revocation),
        cmocka_unit_test(test_bad_trust),
        cmocka_unit_test(test_make_refuses),
        cmocka_unit_test(test_make_picks_the_chain),
        cmocka_unit_test(test_openssl_program),
        cmocka_unit_test(test_two_roots),
    };
    return cmocka_run_group_tests(tests, zoo_setup, zoo_teardown);
}
