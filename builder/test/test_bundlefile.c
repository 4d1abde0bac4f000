// SPDX-License-Identifier: Apache-2.0
// Damage to a bundle at every part and edge is found and named; also by whom a valid bundle is signed, and what `inspect` says.
#include "builder/bundlefile.h"
#include "builder/test/product.h"
#include "builder/verbs.h"
#include <jansson.h>

static char *whole; // a good bundle, not written to
static char *copy;

static int setup(void **state) {
    product_setup(state);
    const struct product *product = *state;
    whole = product_bundle(product, product->image, "whole.bundle");
    copy = product_path(product, "copy.bundle");
    return 0;
}

static int teardown(void **state) {
    free(whole);
    free(copy);
    return product_teardown(state);
}

static void fresh_copy(void) {
    free(tool(RUN_ARGV("cp", whole, copy)));
}

// Opens and verifies; 0 or the first failure.
static int verify(const char *path, const char *trust, struct err *err) {
    cleanup_bundlefile struct bundlefile file = {.fd = -1};
    cleanup_findings struct bundlefile_findings findings = {0};
    int r = bundlefile_open(path, &file, err);
    if (r >= 0)
        r = bundlefile_verify_signature(&file, trust, PRODUCT_NOW, &findings, err);
    return r < 0 ? r : bundlefile_verify_payload(&file, &findings, err);
}

static void test_good(void **state) {
    const struct product *product = *state;
    struct err err = {0};
    cleanup_free char *root = str_printf("%s/root.pem", product->keys), *other = str_printf("%s/root.pem", product->other_keys);
    assert_ok(verify(whole, NULL, &err));
    assert_ok(verify(whole, root, &err));
    assert_int_equal(verify(whole, other, &err), -EKEYREJECTED);
    assert_true(bundlefile_is(whole));
    assert_false(bundlefile_is(product->image));
    assert_false(bundlefile_is("/nonexistent"));
    assert_false(bundlefile_is("/dev/null"));
}

// First, middle and last byte of every part, and of the padding between.
static void test_damaged_payload(void **state) {
    (void)state;
    struct err err = {0};
    cleanup_bundlefile struct bundlefile file = {.fd = -1};
    assert_ok(bundlefile_open(whole, &file, &err));
    const struct manifest *m = &file.manifest;
    const uint64_t payload = bundle_payload_offset(&file.head);
    const struct {
        const struct manifest_part *part;
        const char *says;
    } parts[] = {{&m->packages, "package list"},
                 {&m->uki_index, "index of the UKI"},
                 {&m->layers[0].index, "index of layer base"},
                 {&m->layers[1].index, "index of layer top"},
                 {&m->uki, "the UKI"},
                 {&m->layers[0].data, "layer base"},
                 {&m->layers[1].data, "layer top"}};
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        const uint64_t start = payload + parts[i].part->offset, bytes = parts[i].part->bytes;
        const uint64_t places[] = {start, start + bytes / 2, start + bytes - 1, start + bytes};
        for (size_t j = 0; j < ARRAY_SIZE(places); j++) {
            if (places[j] >= file.bytes || (j == 3 && places[j] % BUNDLE_ALIGN == 0))
                continue;
            fresh_copy();
            flip_bit(copy, places[j]);
            if (verify(copy, NULL, &err) >= 0)
                fail_msg("byte %llu of %s changed, and nothing noticed", (unsigned long long)(places[j] - start), parts[i].says);
            assert_contains(err.text, j == 3 ? "padding" : parts[i].says);
        }
    }
}

// Every byte of fixed head, manifest and signature matters.
static void test_damaged_head(void **state) {
    (void)state;
    struct err err = {0};
    cleanup_bundlefile struct bundlefile file = {.fd = -1};
    assert_ok(bundlefile_open(whole, &file, &err));
    const uint64_t head = bundle_head_bytes(&file.head);
    fresh_copy();
    for (uint64_t at = 0; at < head; at += at < BUNDLE_FIXED_BYTES ? 1 : 37) {
        cleanup_bundlefile struct bundlefile damaged = {.fd = -1};
        cleanup_findings struct bundlefile_findings findings = {0};
        flip_bit(copy, at);
        int r = bundlefile_open(copy, &damaged, &err);
        if (r >= 0 && (at < BUNDLE_FIXED_BYTES + file.head.manifest_bytes))
            r = bundlefile_verify_signature(&damaged, NULL, PRODUCT_NOW, &findings, &err);
        // The chain's certificates are looked at with trust only.
        cleanup_free char *root = str_printf("%s/root.pem", ((struct product *)*state)->keys);
        if (r >= 0)
            r = bundlefile_verify_signature(&damaged, root, PRODUCT_NOW, &findings, &err);
        if (r >= 0)
            fail_msg("byte %llu of the head changed, and nothing noticed", (unsigned long long)at);
        flip_bit(copy, at);
    }
    flip_bit(copy, head); // padding
    assert_int_equal(verify(copy, NULL, &err), -EBADMSG);
    assert_contains(err.text, "padding");
}

static void test_sizes(void **state) {
    const struct product *product = *state;
    struct err err = {0};
    cleanup_bundlefile struct bundlefile file = {.fd = -1}, channel = {.fd = -1};
    assert_ok(bundlefile_open(whole, &file, &err));
    const uint64_t head = bundle_head_bytes(&file.head);
    const struct {
        uint64_t bytes;
        int code;
    } cases[] = {{file.bytes - 1, -EBADMSG},
                 {file.bytes + 1, -EBADMSG},
                 {file.bytes / 2, -EBADMSG},
                 {head + 1, -EBADMSG},
                 {head - 1, -ENODATA},
                 {BUNDLE_FIXED_BYTES, -ENODATA},
                 {10, -ENODATA},
                 {0, -ENODATA}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        fresh_copy();
        assert_int_equal(truncate(copy, (off_t)cases[i].bytes), 0);
        assert_int_equal(verify(copy, NULL, &err), cases[i].code);
    }
    fresh_copy();
    assert_int_equal(truncate(copy, (off_t)head), 0);
    assert_ok(bundlefile_open(copy, &channel, &err));
    assert_true(channel.is_channel);
    assert_ok(verify(copy, NULL, &err));
    assert_int_equal(bundlefile_open(product->image, &channel, &err), -EINVAL);
}

// Everything consistent but one thing, signed again with the real key: what only the deep checks can find.
static void resign(const struct product *product, const struct bundlefile *file, const struct manifest *manifest) {
    cleanup_signer struct signer signer = {0};
    cleanup_buf struct buf text = {0}, signature = {0};
    struct err err = {0};
    uint8_t fixed[BUNDLE_FIXED_BYTES];
    product_signer(product->keys, &signer);
    assert_ok(manifest_format(manifest, &text, &err));
    assert_ok(signer_sign(&signer, text.data, text.size, &signature, &err));
    const struct bundle_head head = {(uint32_t)text.size, (uint32_t)signature.size};
    bundle_head_format(&head, fixed);
    uint64_t from = bundle_payload_offset(&file->head), to = bundle_payload_offset(&head), bytes = file->bytes - from;
    cleanup_free char *payload = mem_array(bytes, 1);
    assert_ok(pread_all(file->fd, file->path, payload, bytes, from, &err));
    assert_true(unlink(copy) == 0 || errno == ENOENT);
    cleanup_fd int fd = open(copy, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    assert_int_equal(ftruncate(fd, (off_t)(to + bytes)), 0);
    assert_ok(pwrite_all(fd, copy, fixed, sizeof(fixed), 0, &err));
    assert_ok(pwrite_all(fd, copy, text.data, text.size, sizeof(fixed), &err));
    assert_ok(pwrite_all(fd, copy, signature.data, signature.size, sizeof(fixed) + text.size, &err));
    assert_ok(pwrite_all(fd, copy, payload, bytes, to, &err));
}

static void test_inconsistent_manifest(void **state) {
    const struct product *product = *state;
    struct err err = {0};
    cleanup_bundlefile struct bundlefile file = {.fd = -1};
    assert_ok(bundlefile_open(whole, &file, &err));
    enum { SAME, ROOT, KERNEL, CMDLINE, SWAPPED, CASES };
    static const char *const says[CASES] = {NULL, "root hash", "section .linux", ".cmdline", ".linux is damaged"};
    for (int i = 0; i < CASES; i++) {
        struct manifest manifest = file.manifest;
        if (i == ROOT) {
            manifest.boot.root_hash[5] ^= 1;
            char root[65];
            hex_format(manifest.boot.root_hash, 32, root);
            memcpy(manifest.cmdline + strlen(manifest.cmdline) - 64, root, 64);
        }
        if (i == KERNEL) {
            manifest.linux_in_uki.offset += 16;
            manifest.linux_in_uki.bytes -= 16;
        }
        if (i == CMDLINE)
            manifest.cmdline[0] = 'Q';
        digest_bytes(manifest.cmdline, strlen(manifest.cmdline), manifest.cmdline_in_uki.sha256);
        if (i == SWAPPED)
            memcpy(manifest.linux_in_uki.sha256, manifest.initrd_in_uki.sha256, 32);
        resign(product, &file, &manifest);
        int r = verify(copy, NULL, &err);
        if (i == SAME)
            assert_ok(r);
        else if (r >= 0)
            fail_msg("case %d goes unnoticed", i);
        else
            assert_contains(err.text, says[i]);
    }
}

static int run_inspect(const char *const *arguments, char **ret_out, char **ret_error) {
    static const struct verb verb = {"inspect", "FILE", 1, 1, "inspect", verb_inspect};
    struct redirect redirect;
    char *argv[16] = {(char *)"inspect"};
    int argc = 1;
    for (; arguments[argc - 1]; argc++)
        argv[argc] = (char *)arguments[argc - 1];
    redirect_begin(&redirect);
    int code = verb_inspect(&verb, argc, argv);
    redirect_end(&redirect, ret_out, ret_error);
    return code;
}

static void test_inspect_text(void **state) {
    const struct product *product = *state;
    cleanup_free char *out = NULL, *error = NULL, *bad = NULL, *error2 = NULL, *wrong = NULL, *error3 = NULL;
    cleanup_free char *other = str_printf("%s/root.pem", product->other_keys);
    assert_int_equal(run_inspect(RUN_ARGV(whole), &out, &error), EXIT_OK);
    assert_contains(out, "verified");
    assert_contains(out, "test 1.0 (sequence 7)");
    assert_contains(out, "CN=Test bundle signing, not held against");
    fresh_copy();
    struct stat st;
    assert_int_equal(stat(copy, &st), 0);
    flip_bit(copy, (uint64_t)st.st_size - 5000);
    assert_int_equal(run_inspect(RUN_ARGV(copy), &bad, &error2), EXIT_PERMANENT);
    assert_contains(bad, "DOES NOT VERIFY");
    assert_contains(bad, "layer top");
    assert_int_equal(run_inspect(RUN_ARGV("--trust", other, whole), &wrong, &error3), EXIT_PERMANENT);
    assert_contains(wrong, "issuer");
}

static void test_inspect_json(void **state) {
    const struct product *product = *state;
    cleanup_free char *out = NULL, *error = NULL, *root = str_printf("%s/root.pem", product->keys);
    // Today must be within the certificate's life: that is two years from PRODUCT_NOW's month on.
    int code = run_inspect(RUN_ARGV("--json", "--trust", root, whole), &out, &error);
    json_t *json = json_loads(out, JSON_REJECT_DUPLICATES, NULL), *manifest = json_object_get(json, "manifest");
    assert_non_null(manifest);
    assert_string_equal(json_string_value(json_object_get(json, "format")), "bundle");
    assert_int_equal(json_is_true(json_object_get(json, "verified")), code == EXIT_OK);
    assert_int_equal(json_integer_value(json_object_get(manifest, "sequence")), 7);
    assert_int_equal(json_array_size(json_object_get(manifest, "layers")), 2);
    assert_int_equal(strlen(json_string_value(json_object_get(manifest, "root_hash"))), 64);
    json_decref(json);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),         cmocka_unit_test(test_damaged_payload),       cmocka_unit_test(test_damaged_head),
        cmocka_unit_test(test_sizes),        cmocka_unit_test(test_inconsistent_manifest), cmocka_unit_test(test_inspect_text),
        cmocka_unit_test(test_inspect_json),
    };
    return cmocka_run_group_tests_name("bundlefile", tests, setup, teardown);
}
