// SPDX-License-Identifier: Apache-2.0
// Envelopes against OpenSSL's own program, both ways; wrong keys, changed bytes, keys that are too short.
#include "common/envelope.h"
#include "common/run.h"
#include "common/secretpack.h"
#include "common/test/support.h"
#include <errno.h>

#define TEXT "webops-secrets 1\na.secret 3\nabc"

static void openssl(const char *const *argv) {
    struct err err = {0};
    if (run_quiet(&(struct run){.argv = argv}, &err) < 0)
        fail_msg("%s", err.text);
}

struct pair {
    char *key_path, *certificate_path, *key, *certificate;
};

static void pair_done(struct pair *pair) {
    free(pair->key_path);
    free(pair->certificate_path);
    free(pair->key);
    free(pair->certificate);
}

static void make_pair(const struct scratch *scratch, const char *name, const char *kind, const char *option, struct pair *pair) {
    struct err err = {0};
    cleanup_free char *subject = str_printf("/CN=%s", name);
    *pair = (struct pair){.key_path = str_printf("%s/%s.key", scratch->path, name),
                          .certificate_path = str_printf("%s/%s.pem", scratch->path, name)};
    openssl(RUN_ARGV("openssl", "req", "-x509", "-newkey", kind, "-pkeyopt", option, "-nodes", "-keyout", pair->key_path, "-out",
                     pair->certificate_path, "-subj", subject, "-days", "1"));
    assert_int_equal(file_read(AT_FDCWD, pair->key_path, 1 << 16, &pair->key, NULL, &err), 0);
    assert_int_equal(file_read(AT_FDCWD, pair->certificate_path, 1 << 16, &pair->certificate, NULL, &err), 0);
}

static const struct {
    const char *name, *kind, *option;
} kinds[] = {{"rsa", "rsa", "rsa_keygen_bits:2048"}, {"ec", "ec", "ec_paramgen_curve:P-256"}, {"ec384", "ec", "ec_paramgen_curve:P-384"}};

static void assert_opens(const struct pair *pair, const struct buf *der) {
    struct err err = {0};
    cleanup_buf struct buf found = {0};
    if (envelope_open(pair->key, der->data, der->size, &found, &err) < 0)
        fail_msg("%s: %s", pair->key_path, err.text);
    assert_string_equal(buf_str(&found), TEXT);
}

static void is_opened_by_its_key(void **state) {
    struct scratch *scratch = *state;
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        struct err err = {0};
        cleanup(pair_done) struct pair pair, other;
        cleanup_buf struct buf der = {0}, found = {0};
        cleanup_free char *file = str_printf("%s/envelope", scratch->path), *opened = str_printf("%s/opened", scratch->path), *text = NULL;
        make_pair(scratch, kinds[i].name, kinds[i].kind, kinds[i].option, &pair);
        make_pair(scratch, "other", kinds[i].kind, kinds[i].option, &other);
        assert_int_equal(envelope_seal(pair.certificate, TEXT, strlen(TEXT), &der, &err), 0);
        assert_null(memmem(der.data, der.size, "abc", 3));
        assert_opens(&pair, &der);
        assert_int_equal(file_publish(AT_FDCWD, file, der.data, der.size, 0600, &err), 0);
        openssl(RUN_ARGV("openssl", "cms", "-decrypt", "-inform", "DER", "-in", file, "-inkey", pair.key_path, "-recip",
                         pair.certificate_path, "-binary", "-out", opened));
        assert_int_equal(file_read(AT_FDCWD, opened, 1 << 16, &text, NULL, &err), 0);
        assert_string_equal(text, TEXT);
        assert_true(envelope_open(other.key, der.data, der.size, &found, &err) < 0);
        assert_contains(err.text, "closed for others than this key");
        assert_int_equal(found.size, 0);
    }
}

static void is_opened_by_each_of_two(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    cleanup(pair_done) struct pair rsa, ec;
    cleanup_buf struct buf der = {0};
    make_pair(scratch, "rsa", kinds[0].kind, kinds[0].option, &rsa);
    make_pair(scratch, "ec", kinds[1].kind, kinds[1].option, &ec);
    cleanup_free char *both = str_printf("%s%s", rsa.certificate, ec.certificate);
    assert_int_equal(envelope_seal(both, TEXT, strlen(TEXT), &der, &err), 0);
    assert_opens(&rsa, &der);
    assert_opens(&ec, &der);
}

static void theirs_is_opened(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    cleanup(pair_done) struct pair pair;
    cleanup_free char *file = str_printf("%s/envelope", scratch->path), *plain = str_printf("%s/plain", scratch->path), *data = NULL;
    cleanup_buf struct buf der = {0}, found = {0};
    size_t size;
    make_pair(scratch, "ec", kinds[1].kind, kinds[1].option, &pair);
    assert_int_equal(file_publish(AT_FDCWD, plain, TEXT, strlen(TEXT), 0600, &err), 0);
    openssl(RUN_ARGV("openssl", "cms", "-encrypt", "-binary", "-aes-256-gcm", "-outform", "DER", "-in", plain, "-out", file,
                     pair.certificate_path));
    assert_int_equal(file_read(AT_FDCWD, file, 1 << 16, &data, &size, &err), 0);
    buf_add(&der, data, size);
    assert_opens(&pair, &der);
    // Without authentication whoever holds the medium could change secrets unnoticed: such an envelope is refused.
    free(take_ptr(data));
    openssl(RUN_ARGV("openssl", "cms", "-encrypt", "-binary", "-aes-256-cbc", "-outform", "DER", "-in", plain, "-out", file,
                     pair.certificate_path));
    assert_int_equal(file_read(AT_FDCWD, file, 1 << 16, &data, &size, &err), 0);
    assert_int_equal(envelope_open(pair.key, data, size, &found, &err), -EBADMSG);
    assert_contains(err.text, "AuthEnvelopedData");
}

// Every bit and every cut.
static void changes_are_seen(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    cleanup(pair_done) struct pair pair;
    cleanup_buf struct buf der = {0};
    unsigned harmless = 0;
    make_pair(scratch, "ec", kinds[1].kind, kinds[1].option, &pair);
    assert_int_equal(envelope_seal(pair.certificate, TEXT, strlen(TEXT), &der, &err), 0);
    assert_opens(&pair, &der);
    for (size_t bit = 0; bit < der.size * 8; bit++) {
        cleanup_buf struct buf found = {0};
        der.data[bit / 8] ^= (char)(1 << bit % 8);
        int r = envelope_open(pair.key, der.data, der.size, &found, &err);
        der.data[bit / 8] ^= (char)(1 << bit % 8);
        harmless += r == 0;
        assert_true(r < 0 || strcmp(buf_str(&found), TEXT) == 0); // who the recipient is, by issuer and number, is not looked at
    }
    assert_true(harmless < der.size * 8 / 4);
    for (size_t size = 0; size < der.size; size++) {
        cleanup_buf struct buf found = {0};
        assert_true(envelope_open(pair.key, der.data, size, &found, &err) < 0);
    }
    buf_add(&der, "x", 1);
    cleanup_buf struct buf found = {0};
    assert_int_equal(envelope_open(pair.key, der.data, der.size, &found, &err), -EBADMSG);
}

// All secrets that are allowed, each as large as it may be, and not a byte more.
static void holds_the_largest_pack(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    cleanup(pair_done) struct pair pair;
    cleanup_buf struct buf der = {0}, found = {0}, none = {0};
    cleanup_free char *pack = mem_array(SECRETPACK_MAX_BYTES + 1, 1);
    memset(pack, 'x', SECRETPACK_MAX_BYTES + 1);
    make_pair(scratch, "ec", kinds[1].kind, kinds[1].option, &pair);
    assert_int_equal(envelope_seal(pair.certificate, pack, SECRETPACK_MAX_BYTES, &der, &err), 0);
    assert_true(der.size <= ENVELOPE_MAX_BYTES);
    assert_int_equal(envelope_open(pair.key, der.data, der.size, &found, &err), 0);
    assert_int_equal(found.size, SECRETPACK_MAX_BYTES);
    assert_memory_equal(found.data, pack, SECRETPACK_MAX_BYTES);
    assert_int_equal(envelope_seal(pair.certificate, pack, SECRETPACK_MAX_BYTES + 1, &none, &err), -EFBIG);
    assert_contains(err.text, "are too many for an envelope");
}

static void odd_keys(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    cleanup(pair_done) struct pair weak, signs, pair;
    cleanup_buf struct buf der = {0}, found = {0};
    make_pair(scratch, "weak", "rsa", "rsa_keygen_bits:1024", &weak);
    make_pair(scratch, "pair", kinds[0].kind, kinds[0].option, &pair);
    signs =
        (struct pair){.key_path = str_printf("%s/signs.key", scratch->path), .certificate_path = str_printf("%s/signs.pem", scratch->path)};
    openssl(RUN_ARGV("openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-keyout", signs.key_path, "-out", signs.certificate_path,
                     "-subj", "/CN=signs"));
    assert_int_equal(file_read(AT_FDCWD, signs.certificate_path, 1 << 16, &signs.certificate, NULL, &err), 0);
    assert_int_equal(envelope_seal(weak.certificate, TEXT, 3, &der, &err), -EINVAL);
    assert_contains(err.text, "certificate CN=weak: its key is neither RSA of 2048");
    assert_int_equal(envelope_seal(signs.certificate, TEXT, 3, &der, &err), -EINVAL);
    assert_contains(err.text, "CN=signs");
    assert_int_equal(envelope_seal("nonsense", TEXT, 3, &der, &err), -EINVAL);
    assert_int_equal(der.size, 0);
    assert_int_equal(envelope_open("nonsense", TEXT, 3, &found, &err), -EINVAL);
    assert_int_equal(envelope_open(pair.certificate, TEXT, 3, &found, &err), -EINVAL);
    assert_int_equal(envelope_open(pair.key, TEXT, 3, &found, &err), -EBADMSG);
}

#define WITH_SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_SCRATCH(is_opened_by_its_key), WITH_SCRATCH(is_opened_by_each_of_two), WITH_SCRATCH(theirs_is_opened),
        WITH_SCRATCH(changes_are_seen),     WITH_SCRATCH(holds_the_largest_pack),   WITH_SCRATCH(odd_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
