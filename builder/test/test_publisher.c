// SPDX-License-Identifier: Apache-2.0
// The publish directory: what appears, in which order things may change, what is refused and what --force allows.
#include "builder/publisher.h"
#include "builder/test/product.h"
#include "builder/verbs.h"
#include <jansson.h>

static struct publisher_request request_of(const char *bundle, const char *dir) {
    return (struct publisher_request){.bundle = bundle, .dir = dir, .time = PRODUCT_NOW};
}

// Publishes; returns the code, and whether anything changed.
static int publish(const struct publisher_request *request, bool *ret_changed, struct err *err) {
    struct publisher_result result = {0};
    int r = publisher_run(request, &result, err);
    *ret_changed = result.changed;
    publisher_result_done(&result);
    return r;
}

static char *listing(const char *dir) {
    cleanup_free char *list = tool(RUN_ARGV("ls", "-A", dir));
    return take_ptr(list);
}

static void test_first_and_next(void **state) {
    const struct product *product = *state;
    struct err err = {0};
    bool changed = false;
    cleanup_free char *dir = product_path(product, "pub/stable"), *first = product_bundle(product, product->image, "first.bundle");
    cleanup_free char *image = product_build(product, "1.1", 8, 9), *second = product_bundle(product, image, "second.bundle");
    cleanup_free char *published = str_printf("%s/test-1.0.bundle", dir), *channel = str_printf("%s/stable.channel", dir);
    struct publisher_request request = request_of(first, dir);
    assert_ok(publish(&request, &changed, &err));
    assert_true(changed);
    assert_same_files(first, published);
    cleanup_free char *one = listing(dir);
    assert_string_equal(one, "stable.channel\ntest-1.0.bundle\n");
    struct stat st;
    assert_int_equal(stat(channel, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
    assert_int_equal(stat(published, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
    ino_t inode = st.st_ino;
    assert_ok(publish(&request, &changed, &err));
    assert_false(changed);
    request.bundle = second;
    assert_ok(publish(&request, &changed, &err));
    assert_true(changed);
    cleanup_free char *two = listing(dir);
    assert_string_equal(two, "stable.channel\ntest-1.0.bundle\ntest-1.1.bundle\n");
    assert_int_equal(stat(published, &st), 0);
    assert_int_equal(st.st_ino, inode);
    cleanup_bundlefile struct bundlefile head = {.fd = -1};
    assert_ok(bundlefile_open(channel, &head, &err));
    assert_true(head.is_channel);
    assert_string_equal(head.manifest.version, "1.1");
    // Back: only by force; the newer bundle stays.
    request.bundle = first;
    assert_int_equal(publish(&request, &changed, &err), -EEXIST);
    assert_contains(err.text, "sequence 8");
    request.force = true;
    assert_ok(publish(&request, &changed, &err));
    assert_true(changed);
    cleanup_bundlefile struct bundlefile back = {.fd = -1};
    assert_ok(bundlefile_open(channel, &back, &err));
    assert_string_equal(back.manifest.version, "1.0");
    cleanup_free char *three = listing(dir);
    assert_string_equal(three, two);
}

static void expect_refused(const struct publisher_request *request, int code, const char *says) {
    struct err err = {0};
    bool changed;
    assert_int_equal(publish(request, &changed, &err), code);
    assert_contains(err.text, says);
}

// The same version or sequence with other bytes, and another product.
static void test_conflicts(void **state) {
    const struct product *product = *state;
    struct err err = {0};
    bool changed;
    cleanup_free char *dir = product_path(product, "conflicts"), *first = product_bundle(product, product->image, "c1.bundle");
    struct publisher_request request = request_of(first, dir);
    assert_ok(publish(&request, &changed, &err));
    cleanup_free char *same_sequence = product_build(product, "1.0b", 7, 21), *b1 = product_bundle(product, same_sequence, "c2.bundle");
    request.bundle = b1;
    expect_refused(&request, -EEXIST, "same sequence");
    cleanup_free char *same_version = product_build(product, "1.0", 9, 22), *b2 = product_bundle(product, same_version, "c3.bundle");
    request.bundle = b2;
    expect_refused(&request, -EEXIST, "other bytes");
    cleanup_free char *before = listing(dir);
    assert_string_equal(before, "stable.channel\ntest-1.0.bundle\n");
    cleanup_free char *report = product_path(product, "out/test-1.0.build.json"), *text = NULL;
    assert_ok(file_read(AT_FDCWD, report, 4096, &text, NULL, &err));
    char *name = strstr(text, "test-amd64");
    memcpy(name, "west-amd64", 10);
    put_file(report, text, strlen(text));
    cleanup_free char *b3 = product_bundle(product, same_version, "c4.bundle");
    request.bundle = b3;
    expect_refused(&request, -EEXIST, "west-amd64");
    request.force = true;
    assert_ok(publish(&request, &changed, &err));
    assert_true(changed);
    free(product_build(product, "1.0", 7, 2)); // as it was
}

static void test_refused_bundles(void **state) {
    const struct product *product = *state;
    struct err err = {0};
    cleanup_free char *dir = product_path(product, "refused"), *good = product_bundle(product, product->image, "r.bundle");
    cleanup_free char *other = str_printf("%s/root.pem", product->other_keys), *channel = product_path(product, "x.channel");
    struct publisher_request request = request_of(good, dir);
    request.channel = "beta";
    expect_refused(&request, -EINVAL, "--channel beta");
    request = request_of(good, dir);
    request.trust = other;
    expect_refused(&request, -EKEYREJECTED, "issuer");
    request = request_of(good, dir);
    request.time = PRODUCT_NOW + 2 * 86400;
    expect_refused(&request, -EKEYREJECTED, "valid_until");
    cleanup_bundlefile struct bundlefile file = {.fd = -1};
    assert_ok(bundlefile_open(good, &file, &err));
    put_file(channel, file.head_bytes, bundle_head_bytes(&file.head));
    request = request_of(channel, dir);
    expect_refused(&request, -EINVAL, "channel file");
    flip_bit(good, file.bytes - 10000);
    request = request_of(good, dir);
    request.force = true; // does not help a damaged one
    expect_refused(&request, -EBADMSG, "damaged");
    request = request_of(product->image, dir);
    expect_refused(&request, -EINVAL, "");
    assert_false(file_exists(AT_FDCWD, dir));
}

// A channel file that is damaged is no reason to guess what it was.
static void test_damaged_channel(void **state) {
    const struct product *product = *state;
    struct err err = {0};
    bool changed;
    cleanup_free char *dir = product_path(product, "damaged"), *good = product_bundle(product, product->image, "d.bundle"),
                      *channel = str_printf("%s/stable.channel", dir);
    struct publisher_request request = request_of(good, dir);
    assert_ok(publish(&request, &changed, &err));
    put_file(channel, "rubbish", 7);
    expect_refused(&request, -ENODATA, "--force replaces it");
    request.force = true;
    assert_ok(publish(&request, &changed, &err));
    assert_true(changed);
    cleanup_bundlefile struct bundlefile head = {.fd = -1};
    assert_ok(bundlefile_open(channel, &head, &err));
}

// A copy that cannot be made leaves neither a bundle nor a channel file.
static void test_no_room(void **state) {
    const struct product *product = *state;
    cleanup_free char *dir = product_path(product, "full"), *good = product_bundle(product, product->image, "f.bundle"),
                      *target = str_printf("%s/test-1.0.bundle", dir);
    assert_int_equal(mkdir(dir, 0755), 0);
    assert_int_equal(mkdir(target, 0755), 0); // a directory where the bundle belongs
    struct publisher_request request = request_of(good, dir);
    request.force = true;
    struct err err = {0};
    bool changed;
    assert_true(publish(&request, &changed, &err) < 0);
    cleanup_free char *left = listing(dir);
    assert_string_equal(left, "test-1.0.bundle\n");
}

static void test_verb(void **state) {
    const struct product *product = *state;
    static const struct verb verb = {"publish", "BUNDLE DIR", 2, 2, "publish", verb_publish};
    struct redirect redirect;
    cleanup_free char *dir = product_path(product, "verb"), *good = NULL, *out = NULL, *error = NULL;
    cleanup_signer struct signer signer = {0};
    good = product_bundle(product, product->image, "v.bundle");
    char name[] = "publish", option[] = "--json";
    char *argv[] = {name, option, good, dir, NULL};
    redirect_begin(&redirect);
    int code = verb_publish(&verb, 4, argv);
    redirect_end(&redirect, &out, &error);
    // The bundle is valid until PRODUCT_NOW + one day: the verb goes by today's clock.
    if (time(NULL) > PRODUCT_NOW + 86400) {
        assert_int_equal(code, EXIT_PERMANENT);
        assert_contains(error, "valid_until");
        return;
    }
    assert_int_equal(code, EXIT_OK);
    json_t *event = json_loads(out, 0, NULL);
    assert_true(json_is_true(json_object_get(event, "changed")));
    assert_int_equal(json_integer_value(json_object_get(event, "sequence")), 7);
    json_decref(event);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_and_next),  cmocka_unit_test(test_conflicts), cmocka_unit_test(test_refused_bundles),
        cmocka_unit_test(test_damaged_channel), cmocka_unit_test(test_no_room),   cmocka_unit_test(test_verb),
    };
    return cmocka_run_group_tests_name("publisher", tests, product_setup, product_teardown);
}
