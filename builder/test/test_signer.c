// SPDX-License-Identifier: Apache-2.0
// Who may sign, checked against openssl(1) and the machine's own verifier; and keys in a real token (SoftHSM).
#include "builder/signer.h"
#include "builder/keygen.h"
#include "builder/test/support.h"
#include "common/signature.h"

#define FROM 1700000000
#define NOW 1710000000
#define TEXT "{\"format\": 1}\n"

struct keys {
    struct scratch *scratch;
    char *dir, *other;
};

static char *file_of(const char *dir, const char *name) {
    return str_printf("%s/%s", dir, name);
}

static int setup(void **state) {
    struct keys *keys = mem_array(1, sizeof(*keys));
    struct err err = {0};
    const struct keygen_request request = {.name = "Test", .not_before = FROM, KEYGEN_DAYS};
    scratch_setup((void **)&keys->scratch);
    keys->dir = scratch_file(keys->scratch, "keys");
    keys->other = scratch_file(keys->scratch, "other");
    assert_ok(keygen_make(keys->dir, &request, &err));
    assert_ok(keygen_make(keys->other, &request, &err));
    *state = keys;
    return 0;
}

static int teardown(void **state) {
    struct keys *keys = *state;
    int r = scratch_teardown((void **)&keys->scratch);
    free(keys->dir);
    free(keys->other);
    free(keys);
    return r;
}

static int open_signer(const char *key, const char *certificate, const char *chain, int64_t now, struct signer *signer, struct err *err) {
    return signer_open(&(struct signer_paths){key, certificate, chain}, now, signer, err);
}

static void check_by_machine(const char *dir, const struct buf *signature) {
    struct err err = {0};
    cleanup_free char *root = file_of(dir, "root.pem"), *pem = NULL, *name = NULL;
    assert_ok(file_read(AT_FDCWD, root, 1 << 16, &pem, NULL, &err));
    const struct signature_trust trust = {.ca_pem = pem, .time = NOW};
    assert_ok(signature_verify(&trust, TEXT, strlen(TEXT), signature->data, signature->size, &name, &err));
    assert_string_equal(name, "CN=Test bundle signing");
}

static void test_sign(void **state) {
    const struct keys *keys = *state;
    struct err err = {0};
    cleanup_signer struct signer signer = {0};
    cleanup_buf struct buf first = {0}, second = {0};
    cleanup_free char *key = file_of(keys->dir, "signing.key"), *pem = file_of(keys->dir, "signing.pem"),
                      *chain = file_of(keys->dir, "intermediate.pem"), *root = file_of(keys->dir, "root.pem");
    assert_ok(open_signer(key, pem, chain, NOW, &signer, &err));
    assert_false(signer.is_development);
    assert_ok(signer_sign(&signer, TEXT, strlen(TEXT), &first, &err));
    assert_ok(signer_sign(&signer, TEXT, strlen(TEXT), &second, &err));
    assert_int_equal(first.size, second.size);
    assert_memory_equal(first.data, second.data, first.size);
    check_by_machine(keys->dir, &first);
    cleanup_free char *der = scratch_file(keys->scratch, "text.p7s"), *text = scratch_file(keys->scratch, "text");
    put_file(der, first.data, first.size);
    put_file(text, TEXT, strlen(TEXT));
    cleanup_free char *said = tool(RUN_ARGV("openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", der, "-content", text,
                                            "-CAfile", root, "-purpose", "any", "-attime", "1710000000"));
    assert_contains(said, "successful");
}

static void test_refused(void **state) {
    const struct keys *keys = *state;
    cleanup_free char *key = file_of(keys->dir, "signing.key"), *pem = file_of(keys->dir, "signing.pem"),
                      *root_key = file_of(keys->dir, "root.key"), *root = file_of(keys->dir, "root.pem"),
                      *other = file_of(keys->other, "signing.pem"), *boot_key = file_of(keys->dir, "secure-boot/db.key"),
                      *boot = file_of(keys->dir, "secure-boot/db.pem"), *mid = file_of(keys->dir, "intermediate.pem"),
                      *none = file_of(keys->dir, "none");
    const struct {
        const char *key, *certificate, *chain;
        int64_t now;
        int code;
        const char *says;
    } cases[] = {
        {key, other, mid, NOW, -EKEYREJECTED, "another key"},
        {root_key, root, NULL, NOW, -EKEYREJECTED, "not for code signing"},
        {boot_key, boot, NULL, NOW, -EKEYREJECTED, "not for code signing"},
        {key, pem, mid, FROM - 1, -EKEYREJECTED, "valid from 2023-11-14 on only"},
        {key, pem, mid, FROM + 731 * KEYGEN_DAY, -EKEYREJECTED, "has expired on 2025-11-13"},
        {key, NULL, NULL, NOW, -EINVAL, "--cert"},
        {NULL, pem, NULL, NOW, -EINVAL, "need --key"},
        {NULL, NULL, mid, NOW, -EINVAL, "need --key"},
        {none, pem, NULL, NOW, -ENOENT, "none"},
        {key, pem, none, NOW, -ENOENT, "none"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err err = {0};
        struct signer signer = {0};
        assert_int_equal(open_signer(cases[i].key, cases[i].certificate, cases[i].chain, cases[i].now, &signer, &err), cases[i].code);
        assert_contains(err.text, cases[i].says);
        assert_null(signer.certificate.key);
    }
}

static void test_readable_key(void **state) {
    const struct keys *keys = *state;
    struct err err = {0};
    struct signer signer = {0};
    cleanup_free char *key = file_of(keys->dir, "signing.key"), *pem = file_of(keys->dir, "signing.pem");
    assert_int_equal(chmod(key, 0640), 0);
    assert_int_equal(open_signer(key, pem, NULL, NOW, &signer, &err), -EPERM);
    assert_int_equal(chmod(key, 0600), 0);
}

static void test_development(void **state) {
    const struct keys *keys = *state;
    struct err err = {0};
    cleanup_signer struct signer signer = {0};
    cleanup_free char *dir = scratch_file(keys->scratch, "development");
    setenv("WEBOPS_KEYS", dir, 1);
    assert_ok(open_signer(NULL, NULL, NULL, 1780000000, &signer, &err));
    assert_true(signer.is_development);
    assert_int_equal(sk_X509_num(signer.chain), 1);
    unsetenv("WEBOPS_KEYS");
}

// softhsm2-util(1) and pkcs11-tool(1) put the signing key into a token; from then on its file is not used.
static void make_token(const struct keys *keys) {
    cleanup_free char *tokens = scratch_file(keys->scratch, "tokens"), *config = scratch_file(keys->scratch, "softhsm2.conf"),
                      *key = file_of(keys->dir, "signing.key");
    cleanup_free char *text = str_printf("directories.tokendir = %s\n", tokens);
    assert_int_equal(mkdir(tokens, 0700), 0);
    put_file(config, text, strlen(text));
    setenv("SOFTHSM2_CONF", config, 1);
    setenv("PKCS11_MODULE_PATH", "/usr/lib/softhsm/libsofthsm2.so", 1);
    free(tool(RUN_ARGV("softhsm2-util", "--init-token", "--free", "--label", "webops", "--pin", "1234", "--so-pin", "12345678")));
    free(tool(RUN_ARGV("softhsm2-util", "--import", key, "--token", "webops", "--label", "signing", "--id", "01", "--pin", "1234")));
}

static void sign_in_token(void *data) {
    const struct keys *keys = data;
    struct err err = {0};
    cleanup_signer struct signer signer = {0}, wrong = {0};
    cleanup_buf struct buf signature = {0}, by_file = {0};
    cleanup_free char *pem = file_of(keys->dir, "signing.pem"), *chain = file_of(keys->dir, "intermediate.pem"),
                      *other = file_of(keys->other, "signing.pem"), *key = file_of(keys->dir, "signing.key");
    static const char uri[] = "pkcs11:token=webops;object=signing;type=private?pin-value=1234";
    assert_ok(open_signer(uri, pem, chain, NOW, &signer, &err));
    assert_ok(signer_sign(&signer, TEXT, strlen(TEXT), &signature, &err));
    check_by_machine(keys->dir, &signature);
    cleanup_signer struct signer file = {0};
    assert_ok(open_signer(key, pem, chain, NOW, &file, &err));
    assert_ok(signer_sign(&file, TEXT, strlen(TEXT), &by_file, &err));
    assert_int_equal(by_file.size, signature.size);
    assert_memory_equal(by_file.data, signature.data, signature.size);
    assert_int_equal(open_signer(uri, other, NULL, NOW, &wrong, &err), -EKEYREJECTED);
    assert_int_equal(open_signer("pkcs11:token=webops;object=none;type=private?pin-value=1234", pem, chain, NOW, &wrong, &err), -ENOENT);
    assert_contains(err.text, "pkcs11:");
}

static void test_token(void **state) {
    make_token(*state);
    sign_in_token(*state);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sign), cmocka_unit_test(test_refused), cmocka_unit_test(test_readable_key),
                                       cmocka_unit_test(test_development), cmocka_unit_test(test_token)};
    return cmocka_run_group_tests_name("signer", tests, setup, teardown);
}
