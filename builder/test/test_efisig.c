// SPDX-License-Identifier: Apache-2.0
// Signature lists byte for byte as efitools makes them, and signed variables: every field, and a signature that openssl checks.
#include "builder/efisig.h"
#include "builder/test/support.h"
#include <openssl/pkcs7.h>

#define GUID "11223344-5566-7788-99aa-bbccddeeff00"
static const uint8_t guid[] = {0x44, 0x33, 0x22, 0x11, 0x66, 0x55, 0x88, 0x77, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0x00};
#define TIME 1790000000 // 2026-09-21 14:13:20 UTC

struct keys {
    struct scratch *scratch;
    struct certificate pk, kek;
};

static int setup(void **state) {
    struct keys *keys = mem_array(1, sizeof(*keys));
    struct err err = {0};
    struct certificate_request request = {
        .kind = CERTIFICATE_SECURE_BOOT, .name = "PK", .not_before = 1700000000, .not_after = 1800000000, .bits = 2048};
    scratch_setup((void **)&keys->scratch);
    assert_ok(certificate_make(&request, &keys->pk, &err));
    request.name = "KEK";
    assert_ok(certificate_make(&request, &keys->kek, &err));
    assert_ok(certificate_save(&keys->pk, keys->scratch->fd, "PK", &err));
    assert_ok(certificate_save(&keys->kek, keys->scratch->fd, "KEK", &err));
    *state = keys;
    return 0;
}

static int teardown(void **state) {
    struct keys *keys = *state;
    certificate_done(&keys->pk);
    certificate_done(&keys->kek);
    int r = scratch_teardown((void **)&keys->scratch);
    free(keys);
    return r;
}

static void test_list(void **state) {
    const struct keys *keys = *state;
    cleanup_buf struct buf list = {0};
    struct err err = {0};
    size_t size = 0;
    cleanup_free char *pem = scratch_file(keys->scratch, "KEK.pem"), *esl = scratch_file(keys->scratch, "KEK.esl"), *theirs = NULL;
    assert_ok(efisig_list(keys->kek.x509, guid, &list, &err));
    free(tool(RUN_ARGV("cert-to-efi-sig-list", "-g", GUID, pem, esl)));
    assert_ok(file_read(AT_FDCWD, esl, 1 << 16, &theirs, &size, &err));
    assert_int_equal(list.size, size);
    assert_memory_equal(list.data, theirs, size);
}

// The text that a variable's signature covers, made by efitools (-o: no signature).
static char *signed_text(const struct keys *keys, const struct buf *list, const char *variable, size_t *ret_size) {
    struct err err = {0};
    char *text = NULL;
    cleanup_free char *esl = scratch_file(keys->scratch, "list.esl"), *out = scratch_file(keys->scratch, "list.text");
    put_file(esl, list->data, list->size);
    free(tool(RUN_ARGV("sign-efi-sig-list", "-t", "2026-09-21 14:13:20", "-o", variable, esl, out)));
    assert_ok(file_read(AT_FDCWD, out, 1 << 16, &text, ret_size, &err));
    return text;
}

static uint32_t get32(const char *p) {
    const uint8_t *u = (const uint8_t *)p;
    return u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16 | (uint32_t)u[3] << 24;
}

static void check_signature(const struct keys *keys, const char *der, long size, const char *text, size_t text_size) {
    const unsigned char *at = (const unsigned char *)der;
    PKCS7 *p7 = PKCS7_new();
    assert_int_equal(PKCS7_set_type(p7, NID_pkcs7_signed), 1);
    PKCS7_SIGNED_free(p7->d.sign);
    p7->d.sign = d2i_PKCS7_SIGNED(NULL, &at, size);
    assert_non_null(p7->d.sign);
    assert_ptr_equal(at, der + size);
    STACK_OF(X509) *signers = sk_X509_new_null();
    sk_X509_push(signers, keys->pk.x509);
    BIO *bio = BIO_new_mem_buf(text, (int)text_size);
    assert_int_equal(PKCS7_verify(p7, signers, NULL, bio, NULL, PKCS7_NOVERIFY | PKCS7_BINARY | PKCS7_NOINTERN), 1);
    BIO_free(bio);
    BIO *less = BIO_new_mem_buf(text, (int)text_size - 1);
    assert_int_not_equal(PKCS7_verify(p7, signers, NULL, less, NULL, PKCS7_NOVERIFY | PKCS7_BINARY | PKCS7_NOINTERN), 1);
    BIO_free(less);
    sk_X509_free(signers);
    PKCS7_free(p7);
}

static void test_auth(void **state) {
    const struct keys *keys = *state;
    static const char *const variables[] = {"PK", "KEK", "db"};
    static const uint8_t time[16] = {0xea, 0x07, 9, 21, 14, 13, 20};
    for (size_t i = 0; i < ARRAY_SIZE(variables); i++) {
        cleanup_buf struct buf list = {0}, auth = {0};
        struct err err = {0};
        size_t text_size = 0;
        assert_ok(efisig_list(keys->kek.x509, guid, &list, &err));
        assert_ok(efisig_auth(variables[i], &list, &keys->pk, TIME, &auth, &err));
        cleanup_free char *text = signed_text(keys, &list, variables[i], &text_size);
        uint32_t certificate = get32(auth.data + 16);
        assert_memory_equal(auth.data, time, sizeof(time));
        assert_int_equal(get32(auth.data + 20), 0x0ef10200);
        assert_int_equal(16 + certificate + list.size, auth.size);
        assert_memory_equal(auth.data + 16 + certificate, list.data, list.size);
        check_signature(keys, auth.data + 40, certificate - 24, text, text_size);
    }
}

static void test_auth_is_for_its_variable(void **state) {
    const struct keys *keys = *state;
    cleanup_buf struct buf list = {0}, pk = {0}, kek = {0}, again = {0}, none = {0};
    struct err err = {0};
    assert_ok(efisig_list(keys->kek.x509, guid, &list, &err));
    assert_ok(efisig_auth("PK", &list, &keys->pk, TIME, &pk, &err));
    assert_ok(efisig_auth("KEK", &list, &keys->pk, TIME, &kek, &err));
    assert_ok(efisig_auth("PK", &list, &keys->pk, TIME, &again, &err));
    assert_int_equal(pk.size, again.size);
    assert_memory_equal(pk.data, again.data, pk.size);
    assert_true(pk.size != kek.size || memcmp(pk.data, kek.data, pk.size) != 0);
    assert_int_equal(efisig_auth("dbx", &list, &keys->pk, TIME, &none, &err), -EINVAL);
    assert_contains(err.text, "dbx");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_list), cmocka_unit_test(test_auth),
                                       cmocka_unit_test(test_auth_is_for_its_variable)};
    return cmocka_run_group_tests_name("efisig", tests, setup, teardown);
}
