// SPDX-License-Identifier: Apache-2.0
// Bundles of a small real image: what is in them, byte by byte where it matters; the same bytes again; and images that are refused.
#include "builder/bundlefile.h"
#include "builder/test/product.h"
#include "builder/verbs.h"
#include "common/chunkindex.h"
#include <jansson.h>

static int make(const struct product *product, const char *path, const char *channel, int64_t until, struct err *err) {
    cleanup_signer struct signer signer = {0};
    cleanup_release struct release release = {0};
    struct bundler_result result = {0};
    struct redirect redirect;
    cleanup_free char *out = NULL, *error = NULL;
    product_signer(product->keys, &signer);
    int r = release_load(product->image, &release, err);
    if (r < 0)
        return r;
    redirect_begin(&redirect);
    cleanup_progress struct progress *progress = progress_new(BUNDLER_STAGES, true);
    r = bundler_make(&(struct bundler_request){&release, &signer, channel, until, path}, progress, &result, err);
    redirect_end(&redirect, &out, &error);
    return r;
}

static void test_content(void **state) {
    const struct product *product = *state;
    struct err err = {0};
    cleanup_bundlefile struct bundlefile file = {.fd = -1};
    cleanup_findings struct bundlefile_findings findings = {0};
    cleanup_free char *path = product_path(product, "content.bundle"), *root = str_printf("%s/root.pem", product->keys);
    assert_ok(make(product, path, "beta", PRODUCT_NOW + 1000, &err));
    assert_ok(bundlefile_open(path, &file, &err));
    const struct manifest *m = &file.manifest;
    assert_string_equal(m->profile, "test");
    assert_string_equal(m->version, "1.0");
    assert_string_equal(m->compatible, "test-amd64");
    assert_string_equal(m->channel, "beta");
    assert_int_equal(m->sequence, 7);
    assert_int_equal(m->created, PRODUCT_CREATED);
    assert_int_equal(m->valid_from, PRODUCT_CREATED);
    assert_int_equal(m->valid_until, PRODUCT_NOW + 1000);
    assert_int_equal(m->config_schema, 3);
    assert_false(m->is_development);
    assert_int_equal(m->layer_count, 2);
    assert_string_equal(m->layers[1].name, "top");
    assert_int_equal(m->layers[1].data.bytes, 70001);
    assert_ok(bundlefile_verify_signature(&file, root, PRODUCT_NOW, &findings, &err));
    assert_ok(bundlefile_verify_payload(&file, &findings, &err));
    assert_true(findings.is_trusted);
    assert_string_equal(findings.signer, "CN=Test bundle signing");
    assert_in_range(findings.chunks, 2 + (70001 + 300000) / CHUNK_MAX_BYTES, 200);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
}

// Cut out of the bundle by the manifest's numbers: the files that went in.
static void test_parts_are_the_files(void **state) {
    const struct product *product = *state;
    struct err err = {0};
    cleanup_bundlefile struct bundlefile file = {.fd = -1};
    cleanup_free char *path = product_bundle(product, product->image, "parts.bundle");
    assert_ok(bundlefile_open(path, &file, &err));
    const struct manifest *m = &file.manifest;
    const struct manifest_part kernel = {m->uki.offset + m->linux_in_uki.offset, m->linux_in_uki.bytes, {0}};
    const struct manifest_part initrd = {m->uki.offset + m->initrd_in_uki.offset, m->initrd_in_uki.bytes, {0}};
    const struct {
        const char *name;
        const struct manifest_part *part;
    } parts[] = {{"base.squashfs", &m->layers[0].data},
                 {"top.squashfs", &m->layers[1].data},
                 {"a.efi", &m->uki},
                 {"vmlinuz", &kernel},
                 {"initrd", &initrd},
                 {"out/test-1.0.packages", &m->packages}};
    uint64_t before = 0;
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        cleanup_free char *source = product_path(product, parts[i].name), *whole = NULL;
        size_t size = 0;
        assert_ok(file_read(AT_FDCWD, source, 4 << 20, &whole, &size, &err));
        cleanup_free char *cut = mem_array(size, 1);
        assert_int_equal(parts[i].part->bytes, size);
        assert_ok(pread_all(file.fd, path, cut, size, bundle_payload_offset(&file.head) + parts[i].part->offset, &err));
        assert_memory_equal(cut, whole, size);
    }
    const struct manifest_part *order[] = {&m->packages, &m->uki_index,      &m->layers[0].index, &m->layers[1].index,
                                           &m->uki,      &m->layers[0].data, &m->layers[1].data};
    for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
        assert_int_equal(order[i]->offset % BUNDLE_ALIGN, 0);
        assert_int_equal(order[i]->offset, before);
        before = (before + order[i]->bytes + BUNDLE_ALIGN - 1) / BUNDLE_ALIGN * BUNDLE_ALIGN;
    }
}

static void test_same_bytes(void **state) {
    const struct product *product = *state;
    cleanup_free char *one = product_bundle(product, product->image, "one.bundle");
    cleanup_free char *two = product_bundle(product, product->image, "two.bundle");
    assert_same_files(one, two);
}

static uint64_t find_in(const char *path, const void *what, size_t size) {
    cleanup_free char *data = NULL;
    struct err err = {0};
    size_t bytes = 0;
    assert_ok(file_read(AT_FDCWD, path, 128 << 20, &data, &bytes, &err));
    const char *at = memmem(data, bytes, what, size);
    assert_non_null(at);
    return (uint64_t)(at - data);
}

static void expect_nothing(const struct product *product, const char *name) {
    cleanup_free char *pattern = str_printf("%s*", name);
    cleanup_free char *left = tool(RUN_ARGV("find", product->scratch->path, "-name", pattern));
    assert_string_equal(left, "");
}

// A damaged slot, and a UKI that is another generation's.
static void test_damaged_image(void **state) {
    const struct product *product = *state;
    struct err err = {0};
    uint8_t piece[64];
    cleanup_free char *path = product_path(product, "damaged.bundle"), *layer = product_path(product, "top.squashfs");
    cleanup_fd int fd = open(layer, O_RDONLY | O_CLOEXEC);
    assert_ok(pread_all(fd, layer, piece, sizeof(piece), 30000, &err));
    uint64_t at = find_in(product->image, piece, sizeof(piece));
    flip_bit(product->image, at);
    assert_true(make(product, path, NULL, PRODUCT_NOW, &err) < 0);
    expect_nothing(product, "damaged");
    flip_bit(product->image, at);
    // In the UKI's command line alone: the last digit of the root hash.
    cleanup_free char *uki = product_path(product, "a.efi"), *cmdline = NULL;
    cleanup_fd int uki_fd = open(uki, O_RDONLY | O_CLOEXEC);
    assert_ok(uki_read_text(uki_fd, uki, ".cmdline", 1024, &cmdline, &err));
    at = find_in(product->image, cmdline, strlen(cmdline));
    uint8_t digit = cmdline[strlen(cmdline) - 1] == '0' ? '1' : '0';
    cleanup_fd int image = open(product->image, O_RDWR | O_CLOEXEC);
    assert_ok(pwrite_all(image, product->image, &digit, 1, at + strlen(cmdline) - 1, &err));
    assert_true(make(product, path, NULL, PRODUCT_NOW, &err) < 0);
    expect_nothing(product, "damaged");
    assert_ok(pwrite_all(image, product->image, cmdline + strlen(cmdline) - 1, 1, at + strlen(cmdline) - 1, &err));
    assert_ok(make(product, path, NULL, PRODUCT_NOW, &err));
}

static void test_refused(void **state) {
    const struct product *product = *state;
    struct err err = {0};
    cleanup_free char *path = product_path(product, "refused.bundle");
    assert_true(make(product, path, "Not A Channel", PRODUCT_NOW, &err) < 0);
    assert_contains(err.text, "channel");
    product_report(product, "1.0", 8); // build.json of another build
    assert_int_equal(make(product, path, NULL, PRODUCT_NOW, &err), -EINVAL);
    assert_contains(err.text, "build.json is of another build");
    product_report(product, "1.0", 7);
    assert_true(make(product, "/nonexistent/x.bundle", NULL, PRODUCT_NOW, &err) < 0);
    assert_contains(err.text, "/nonexistent");
    expect_nothing(product, "refused");
}

static int run_bundle(const char *const *arguments, char **ret_out, char **ret_error) {
    static const struct verb verb = {"bundle", "IMAGE", 1, 1, "bundle", verb_bundle};
    struct redirect redirect;
    char *argv[16] = {(char *)"bundle"};
    int argc = 1;
    for (; arguments[argc - 1]; argc++)
        argv[argc] = (char *)arguments[argc - 1];
    redirect_begin(&redirect);
    int code = verb_bundle(&verb, argc, argv);
    redirect_end(&redirect, ret_out, ret_error);
    return code;
}

static void test_verb(void **state) {
    const struct product *product = *state;
    cleanup_free char *key = str_printf("%s/signing.key", product->keys), *cert = str_printf("%s/signing.pem", product->keys),
                      *chain = str_printf("%s/intermediate.pem", product->keys), *dir = product_path(product, "out"),
                      *to = product_path(product, "out/test-1.0.bundle"), *out = NULL, *error = NULL;
    setenv("SOURCE_DATE_EPOCH", "1790000000", 1);
    assert_int_equal(
        run_bundle(RUN_ARGV("--key", key, "--cert", cert, "--chain", chain, "--valid-days", "10", "--json", dir), &out, &error), EXIT_OK);
    assert_null(strstr(error, "does not trust"));
    const char *last = strstr(out, "{\"event\":\"done\"");
    assert_non_null(last);
    json_t *event = json_loads(last, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(event, "bundle")), to);
    assert_string_equal(json_string_value(json_object_get(event, "version")), "1.0");
    struct stat st;
    assert_int_equal(stat(to, &st), 0);
    assert_int_equal(json_integer_value(json_object_get(event, "bytes")), st.st_size);
    json_decref(event);
    cleanup_bundlefile struct bundlefile file = {.fd = -1};
    struct err err = {0};
    assert_ok(bundlefile_open(to, &file, &err));
    assert_int_equal(file.manifest.valid_until, PRODUCT_NOW + 10 * 86400);
    unsetenv("SOURCE_DATE_EPOCH");
}

static void test_verb_refuses(void **state) {
    const struct product *product = *state;
    cleanup_free char *key = str_printf("%s/signing.key", product->keys), *cert = str_printf("%s/signing.pem", product->other_keys),
                      *own = str_printf("%s/signing.pem", product->keys);
    const struct {
        const char *arguments[8];
        int code;
        const char *says;
    } cases[] = {
        {{"--key", key, "--cert", cert, product->image}, EXIT_PERMANENT, "another key"},
        {{"--key", key, "--cert", own, product->image}, EXIT_PERMANENT, "has expired"}, // today is later
        {{"--key", key, product->image}, EXIT_USAGE, "--cert"},
        {{"--valid-days", "0", product->image}, EXIT_USAGE, "--valid-days"},
        {{product->image, "second"}, EXIT_USAGE, ""},
    };
    setenv("SOURCE_DATE_EPOCH", "1900000000", 1);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_free char *out = NULL, *error = NULL;
        assert_int_equal(run_bundle(cases[i].arguments, &out, &error), cases[i].code);
        assert_contains(error, cases[i].says);
    }
    unsetenv("SOURCE_DATE_EPOCH");
}

static void test_development_bundle(void **state) {
    const struct product *product = *state;
    struct err err = {0};
    cleanup_bundlefile struct bundlefile file = {.fd = -1};
    cleanup_free char *keys = product_path(product, "development"), *to = product_path(product, "development.bundle"), *out = NULL,
                      *error = NULL;
    setenv("WEBOPS_KEYS", keys, 1);
    if (run_bundle(RUN_ARGV("-o", to, product->image), &out, &error) != EXIT_OK)
        fail_msg("%s", error);
    assert_contains(error, "DEVELOPMENT keys");
    assert_contains(error, "the image does not trust who signed its bundle"); // it trusts the product's root
    assert_contains(out, to);
    assert_ok(bundlefile_open(to, &file, &err));
    assert_true(file.manifest.is_development);
    unsetenv("WEBOPS_KEYS");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_content),      cmocka_unit_test(test_parts_are_the_files),
        cmocka_unit_test(test_same_bytes),   cmocka_unit_test(test_damaged_image),
        cmocka_unit_test(test_refused),      cmocka_unit_test(test_verb),
        cmocka_unit_test(test_verb_refuses), cmocka_unit_test(test_development_bundle),
    };
    return cmocka_run_group_tests_name("bundler", tests, product_setup, product_teardown);
}
