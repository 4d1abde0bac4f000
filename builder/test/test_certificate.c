// SPDX-License-Identifier: Apache-2.0
// Certificates as openssl(1) sees them, and every file that is refused when it is read back.
#include "builder/certificate.h"
#include "builder/test/support.h"
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#define FROM 1700000000
#define DAY 86400

static const struct certificate_request root_request = {
    .kind = CERTIFICATE_ROOT, .name = "Test root", .not_before = FROM, .not_after = FROM + 100 * DAY, .bits = 2048};

static char *path_of(void **state, const char *name) {
    return scratch_file(*state, name);
}

static void make_chain(void **state, struct certificate keys[3]) {
    static const char *const names[] = {"root", "mid", "leaf"};
    struct err err = {0};
    for (unsigned i = 0; i < 3; i++) {
        struct certificate_request request = root_request;
        request.kind = CERTIFICATE_ROOT + i;
        request.name = names[i];
        request.issuer = i ? &keys[i - 1] : NULL;
        assert_ok(certificate_make(&request, &keys[i], &err));
        assert_ok(certificate_save(&keys[i], ((struct scratch *)*state)->fd, names[i], &err));
    }
}

static void chain_done(struct certificate keys[3]) {
    for (unsigned i = 0; i < 3; i++)
        certificate_done(&keys[i]);
}

static void test_chain(void **state) {
    struct certificate keys[3] = {0};
    make_chain(state, keys);
    cleanup_free char *root = path_of(state, "root.pem"), *mid = path_of(state, "mid.pem"), *leaf = path_of(state, "leaf.pem");
    cleanup_free char *ok =
        tool(RUN_ARGV("openssl", "verify", "-attime", "1700100000", "-x509_strict", "-CAfile", root, "-untrusted", mid, leaf));
    assert_contains(ok, ": OK");
    cleanup_free char *text = tool(RUN_ARGV("openssl", "x509", "-in", leaf, "-noout", "-text"));
    assert_contains(text, "Code Signing");
    assert_contains(text, "CA:FALSE");
    assert_contains(text, "Issuer: CN = mid");
    cleanup_free char *mid_text = tool(RUN_ARGV("openssl", "x509", "-in", mid, "-noout", "-text"));
    assert_contains(mid_text, "CA:TRUE, pathlen:0");
    assert_contains(mid_text, "Certificate Sign, CRL Sign");
    assert_int_equal(certificate_not_before(keys[2].x509), FROM);
    assert_int_equal(certificate_not_after(keys[2].x509), FROM + 100 * DAY);
    cleanup_free char *subject = certificate_subject(keys[2].x509);
    assert_string_equal(subject, "CN=leaf");
    chain_done(keys);
}

static void test_modes(void **state) {
    struct certificate keys[3] = {0};
    struct stat st;
    make_chain(state, keys);
    cleanup_free char *key = path_of(state, "leaf.key"), *pem = path_of(state, "leaf.pem");
    assert_int_equal(stat(key, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(stat(pem, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
    chain_done(keys);
}

static void test_refused_requests(void **state) {
    (void)state;
    static const char long_name[] = "12345678901234567890123456789012345678901234567890123456789012345";
    struct err err = {0};
    cleanup_certificate struct certificate issuer = {0}, made = {0};
    assert_ok(certificate_make(&root_request, &issuer, &err));
    const struct {
        const char *name;
        int64_t until;
        const char *says;
    } cases[] = {
        {"", FROM + DAY, "1 to 64 bytes"}, {long_name, FROM + DAY, "1 to 64 bytes"}, {"a\nb", FROM + DAY, "control characters"},
        {"x", FROM, "before it begins"},   {"x", FROM + 101 * DAY, "outlive"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct certificate_request request = root_request;
        request.name = cases[i].name;
        request.not_after = cases[i].until;
        request.issuer = &issuer;
        assert_int_equal(certificate_make(&request, &made, &err), -EINVAL);
        assert_contains(err.text, cases[i].says);
        assert_null(made.key);
    }
}

// Of a cluster's node: both ends of a connection, under every name and address that was asked for, and no other.
static void test_node(void **state) {
    struct err err = {0};
    cleanup_certificate struct certificate ca = {0}, node = {0};
    struct certificate_request request = {.kind = CERTIFICATE_CLUSTER, .name = "Test CA", .not_before = FROM, .not_after = FROM + DAY};
    assert_ok(certificate_make(&request, &ca, &err));
    request = (struct certificate_request){.kind = CERTIFICATE_NODE,
                                           .name = "n1",
                                           .not_before = FROM,
                                           .not_after = FROM + DAY,
                                           .issuer = &ca,
                                           .alternative_names = "IP:192.0.2.1,DNS:n1"};
    assert_ok(certificate_make(&request, &node, &err));
    assert_ok(certificate_save(&ca, ((struct scratch *)*state)->fd, "ca", &err));
    assert_ok(certificate_save(&node, ((struct scratch *)*state)->fd, "node", &err));
    cleanup_free char *ca_pem = path_of(state, "ca.pem"), *pem = path_of(state, "node.pem");
    static const char *const purposes[] = {"sslserver", "sslclient"};
    for (size_t i = 0; i < ARRAY_SIZE(purposes); i++) {
        cleanup_free char *ok = tool(RUN_ARGV("openssl", "verify", "-attime", "1700010000", "-x509_strict", "-purpose", purposes[i],
                                              "-verify_ip", "192.0.2.1", "-CAfile", ca_pem, pem));
        assert_contains(ok, ": OK");
    }
    assert_int_equal(X509_check_host(node.x509, "n1", 0, 0, NULL), 1);
    assert_int_equal(X509_check_ip_asc(node.x509, "192.0.2.2", 0), 0);
    cleanup_free char *text = tool(RUN_ARGV("openssl", "x509", "-in", pem, "-noout", "-text"));
    assert_contains(text, "prime256v1");
    request.alternative_names = "IP:not an address";
    cleanup_certificate struct certificate refused = {0};
    assert_int_equal(certificate_make(&request, &refused, &err), -EIO);
}

static void test_serials_differ(void **state) {
    (void)state;
    struct err err = {0};
    cleanup_certificate struct certificate one = {0}, two = {0};
    assert_ok(certificate_make(&root_request, &one, &err));
    assert_ok(certificate_make(&root_request, &two, &err));
    assert_int_not_equal(ASN1_INTEGER_cmp(X509_get0_serialNumber(one.x509), X509_get0_serialNumber(two.x509)), 0);
}

static void test_load(void **state) {
    struct certificate keys[3] = {0};
    struct err err = {0};
    make_chain(state, keys);
    cleanup_free char *key_path = path_of(state, "leaf.key"), *pem = path_of(state, "leaf.pem");
    X509 *x509 = NULL;
    EVP_PKEY *key = NULL;
    assert_ok(certificate_load(pem, &x509, &err));
    assert_ok(certificate_load_key(key_path, &key, &err));
    assert_int_equal(X509_check_private_key(x509, key), 1);
    assert_int_equal(X509_cmp(x509, keys[2].x509), 0);
    X509_free(x509);
    EVP_PKEY_free(key);
    chain_done(keys);
}

// Every mode that lets others at the key.
static void test_key_modes(void **state) {
    struct certificate keys[3] = {0};
    make_chain(state, keys);
    cleanup_free char *path = path_of(state, "leaf.key");
    static const mode_t modes[] = {0640, 0604, 0620, 0602, 0644, 0666, 0610, 0601};
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        struct err err = {0};
        EVP_PKEY *key = NULL;
        assert_int_equal(chmod(path, modes[i]), 0);
        assert_int_equal(certificate_load_key(path, &key, &err), -EPERM);
        assert_contains(err.text, "chmod 0600");
        assert_null(key);
    }
    chain_done(keys);
}

static void test_encrypted_key(void **state) {
    struct certificate keys[3] = {0};
    struct err err = {0};
    EVP_PKEY *key = NULL;
    make_chain(state, keys);
    cleanup_free char *plain = path_of(state, "leaf.key"), *path = path_of(state, "encrypted.key");
    free(tool(RUN_ARGV("openssl", "pkcs8", "-topk8", "-in", plain, "-out", path, "-passout", "pass:secret")));
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(certificate_load_key(path, &key, &err), -EINVAL);
    assert_contains(err.text, "encrypted");
    chain_done(keys);
}

static void test_damaged_files(void **state) {
    struct certificate keys[3] = {0};
    make_chain(state, keys);
    cleanup_free char *pem = path_of(state, "leaf.pem"), *both = path_of(state, "both.pem"), *bad = path_of(state, "bad.pem"),
                      *key_path = path_of(state, "leaf.key");
    cleanup_free char *one = NULL, *two = NULL;
    struct err err = {0};
    STACK_OF(X509) *list = NULL;
    X509 *x509 = NULL;
    EVP_PKEY *key = NULL;
    cleanup_free char *mid = path_of(state, "mid.pem");
    assert_ok(file_read(AT_FDCWD, pem, 1 << 16, &one, NULL, &err));
    assert_ok(file_read(AT_FDCWD, mid, 1 << 16, &two, NULL, &err));
    cleanup_free char *text = str_printf("a comment\n%s%s", one, two);
    put_file(both, text, strlen(text));
    assert_ok(certificate_load_all(both, &list, &err));
    assert_int_equal(sk_X509_num(list), 2);
    sk_X509_pop_free(list, X509_free);
    list = NULL;
    assert_int_equal(certificate_load(both, &x509, &err), -EINVAL);
    assert_contains(err.text, "--chain");
    // The second one is cut in its middle: not one certificate, but a damaged file.
    put_file(bad, text, strlen(text) - 200);
    assert_int_equal(certificate_load_all(bad, &list, &err), -EINVAL);
    put_file(bad, "nothing\n", 8);
    assert_int_equal(certificate_load_all(bad, &list, &err), -EINVAL);
    assert_contains(err.text, "no certificate");
    assert_int_equal(certificate_load_all(key_path, &list, &err), -EINVAL);
    assert_null(list);
    assert_int_equal(chmod(bad, 0600), 0);
    assert_int_equal(certificate_load_key(bad, &key, &err), -EINVAL);
    assert_int_equal(certificate_load(key_path, &x509, &err), -EINVAL);
    cleanup_free char *none = path_of(state, "none.pem");
    assert_int_equal(certificate_load(none, &x509, &err), -ENOENT);
    assert_contains(err.text, "none.pem");
    chain_done(keys);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_chain, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_modes, scratch_setup, scratch_teardown),
        cmocka_unit_test(test_refused_requests),
        cmocka_unit_test_setup_teardown(test_node, scratch_setup, scratch_teardown),
        cmocka_unit_test(test_serials_differ),
        cmocka_unit_test_setup_teardown(test_load, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_key_modes, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_encrypted_key, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_damaged_files, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests_name("certificate", tests, NULL, NULL);
}
