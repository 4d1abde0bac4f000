// SPDX-License-Identifier: Apache-2.0
// SHA-256 against the examples of FIPS 180-4 and NIST's CAVP, and independence from how a message is cut into updates.
#include "common/sha256.h"
#include "common/slot.h"
#include "common/test/support.h"

static void assert_digest(const uint8_t digest[SHA256_BYTES], const char *expected) {
    char text[2 * SHA256_BYTES + 1];
    hex_format(digest, SHA256_BYTES, text);
    assert_string_equal(text, expected);
}

static void test_vectors(void **state) {
    (void)state;
    static const struct {
        const char *message, *digest;
    } vectors[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
        {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
         "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
        {"\xbd", "68325720aabd7c82f30f554b313d0570c95accbb7dc4b5aae11204c08ffe732b"},
        {"\xc9\x8c\x8e\x55", "7abc22c0ae5af26ce93dbb94433a0e0b2e119d014f8e7f65bd56c61ccccd9504"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
        uint8_t digest[SHA256_BYTES];
        sha256_hash(vectors[i].message, strlen(vectors[i].message), digest);
        assert_digest(digest, vectors[i].digest);
    }
}

// Zero bytes of the lengths around the end of a block, where the padding needs a second one.
static void test_zeros_around_the_block(void **state) {
    (void)state;
    static const struct {
        size_t size;
        const char *digest;
    } vectors[] = {
        {55, "02779466cdec163811d078815c633f21901413081449002f24aa3e80f0b88ef7"},
        {56, "d4817aa5497628e7c77e6b606107042bbba3130888c5f47a375e6179be789fbb"},
        {57, "65a16cb7861335d5ace3c60718b5052e44660726da4cd13bb745381b235a1785"},
        {64, "f5a5fd42d16a20302798ef6ed309979b43003d2320d9f0e8ea9831a92759fb4b"},
        {1000, "541b3e9daa09b20bf85fa273e5cbd3e80185aa4ec298e765db87742b70138a53"},
    };
    static const uint8_t zeros[1000];
    for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
        uint8_t digest[SHA256_BYTES];
        sha256_hash(zeros, vectors[i].size, digest);
        assert_digest(digest, vectors[i].digest);
    }
}

static void test_million(void **state) {
    (void)state;
    struct sha256 sha;
    uint8_t digest[SHA256_BYTES], part[1000];
    memset(part, 'a', sizeof(part));
    sha256_init(&sha);
    for (int i = 0; i < 1000; i++)
        sha256_update(&sha, part, sizeof(part));
    sha256_final(&sha, digest);
    assert_digest(digest, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void test_every_split(void **state) {
    (void)state;
    uint8_t message[200], whole[SHA256_BYTES], parts[SHA256_BYTES];
    for (size_t i = 0; i < sizeof(message); i++)
        message[i] = (uint8_t)(i * 7 + 3);
    for (size_t size = 0; size <= sizeof(message); size++) {
        sha256_hash(message, size, whole);
        for (size_t split = 0; split <= size; split++) {
            // Exact-size heap copies: reading beyond either part is seen by ASan.
            cleanup_free uint8_t *head = mem_array(split, 1), *tail = mem_array(size - split, 1);
            memcpy(head, message, split);
            memcpy(tail, message + split, size - split);
            struct sha256 sha;
            sha256_init(&sha);
            sha256_update(&sha, head, split);
            sha256_update(&sha, tail, size - split);
            sha256_final(&sha, parts);
            assert_memory_equal(parts, whole, SHA256_BYTES);
        }
    }
}

static void test_byte_by_byte(void **state) {
    (void)state;
    static const char message[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    struct sha256 sha;
    uint8_t digest[SHA256_BYTES];
    sha256_init(&sha);
    for (const char *c = message; *c; c++) {
        sha256_update(&sha, c, 1);
        sha256_update(&sha, NULL, 0);
    }
    sha256_final(&sha, digest);
    assert_digest(digest, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

// The length goes into the last eight bytes: 2^32 bits and more must not wrap. 2^29 + 1 bytes would take long, so the state is set ahead.
static void test_length_is_64_bit(void **state) {
    (void)state;
    struct sha256 small, large;
    uint8_t a[SHA256_BYTES], b[SHA256_BYTES];
    sha256_init(&small);
    sha256_init(&large);
    large.size_bytes = 1ULL << 29; // a multiple of 64: no block is open
    sha256_final(&small, a);
    sha256_final(&large, b);
    assert_memory_not_equal(a, b, SHA256_BYTES);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),     cmocka_unit_test(test_zeros_around_the_block), cmocka_unit_test(test_million),
        cmocka_unit_test(test_every_split), cmocka_unit_test(test_byte_by_byte),           cmocka_unit_test(test_length_is_64_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
