// SPDX-License-Identifier: Apache-2.0
// Signatures by a zoo of signers: which are taken, why the others are not, and that no bit of one can be changed.
#include "common/signature.h"
#include "common/test/ca_zoo.h"
#include "common/test/support.h"
#include <errno.h>

static const char content[] = "{\"what\": \"the manifest\"}\n";

struct zoo {
    struct zoo_id root, intermediate, signer;
    struct buf ca, chain, certificate;
};

static int zoo_setup(void **state) {
    struct zoo *zoo = mem_array(1, sizeof(*zoo));
    zoo->root = zoo_make(&(struct zoo_recipe){.name = "Zoo Root", .is_ca = true});
    zoo->intermediate = zoo_make(&(struct zoo_recipe){.name = "Zoo Intermediate", .issuer = &zoo->root, .is_ca = true});
    zoo->signer =
        zoo_make(&(struct zoo_recipe){.name = "Zoo Signer", .issuer = &zoo->intermediate, .eku = "codeSigning", .rsa_bits = 2048});
    zoo_pem(&zoo->root, &zoo->ca);
    zoo_pem(&zoo->intermediate, &zoo->chain);
    zoo_pem(&zoo->signer, &zoo->certificate);
    *state = zoo;
    return 0;
}

static int zoo_teardown(void **state) {
    struct zoo *zoo = *state;
    zoo_done(&zoo->root);
    zoo_done(&zoo->intermediate);
    zoo_done(&zoo->signer);
    buf_done(&zoo->ca);
    buf_done(&zoo->chain);
    buf_done(&zoo->certificate);
    free(zoo);
    return 0;
}

static void test_made_is_taken(void **state) {
    const struct zoo *zoo = *state;
    const struct signature_trust trust = {.ca_pem = zoo->ca.data, .time = ZOO_NOW};
    for (int64_t time = 0; time <= ZOO_NOW; time += ZOO_NOW) {
        struct err err = {0};
        cleanup_free char *subject = NULL;
        cleanup_buf struct buf der = {0}, again = {0};
        const struct signature_signer signer = {zoo->signer.key, zoo->certificate.data, zoo->chain.data, time};
        if (signature_make(&signer, content, sizeof(content), &der, &err) < 0 ||
            signature_verify(&trust, content, sizeof(content), der.data, der.size, &subject, &err) < 0)
            fail_msg("%s", err.text);
        assert_string_equal(subject, "CN=Zoo Signer");
        assert_int_equal(signature_make(&signer, content, sizeof(content), &again, &err), 0);
        assert_int_equal(again.size, der.size);
        assert_memory_equal(again.data, der.data, der.size);
    }
}

static void test_every_bit_flip(void **state) {
    const struct zoo *zoo = *state;
    const struct signature_trust trust = {.ca_pem = zoo->ca.data, .time = ZOO_NOW};
    for (int64_t time = 0; time <= ZOO_NOW; time += ZOO_NOW) {
        struct err err = {0};
        cleanup_buf struct buf der = {0};
        const struct signature_signer signer = {zoo->signer.key, zoo->certificate.data, zoo->chain.data, time};
        assert_int_equal(signature_make(&signer, content, sizeof(content), &der, &err), 0);
        for (size_t bit = 0; bit < 8 * der.size; bit++) {
            der.data[bit / 8] ^= (char)(1u << bit % 8);
            if (signature_verify(&trust, content, sizeof(content), der.data, der.size, NULL, &err) == 0)
                fail_msg("bit %zu of byte %zu may be flipped", bit % 8, bit / 8);
            der.data[bit / 8] ^= (char)(1u << bit % 8);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_made_is_taken),
        cmocka_unit_test(test_every_bit_flip),
    };
    return cmocka_run_group_tests(tests, zoo_setup, zoo_teardown);
}
