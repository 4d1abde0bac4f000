// SPDX-License-Identifier: Apache-2.0
// verify_head() against the real webops-verify, and against programs in its place that fail or lie.
#include "firstboot/update/verify.h"
#include "common/test/head_seed.h"
#include "common/test/support.h"
#include <errno.h>

static char *program;

struct bench {
    struct scratch *root; // a machine's root with program and trust
    struct head_seed seed;
    struct manifest manifest;
    struct buf head;
};

static int bench_setup(void **state) {
    struct bench *bench = mem_array(1, sizeof(*bench));
    void *scratch;
    struct err err;
    scratch_setup(&scratch);
    bench->root = scratch;
    head_seed_init(&bench->seed);
    manifest_seed(&bench->manifest, 2);
    head_make(&bench->seed, &bench->manifest, &bench->head);
    assert_int_equal(file_mkdirs(bench->root->fd, VERIFY_TRUST, 0755, &err), 0);
    assert_int_equal(file_publish(bench->root->fd, VERIFY_TRUST "/ca.pem", bench->seed.ca.data, bench->seed.ca.size, 0644, &err), 0);
    assert_int_equal(symlinkat(program, bench->root->fd, VERIFY_PROGRAM), 0);
    *state = bench;
    return 0;
}

static int bench_teardown(void **state) {
    struct bench *bench = *state;
    void *scratch = bench->root;
    head_seed_done(&bench->seed);
    buf_done(&bench->head);
    free(bench);
    return scratch_teardown(&scratch);
}

static void assert_refused(const struct bench *bench, const void *head, size_t size, int64_t time, int code, const char *word) {
    struct manifest manifest = {.sequence = 4711};
    struct err err = {0};
    char *signer = NULL;
    int r = verify_head(bench->root->fd, head, size, time, &manifest, &signer, &err);
    if (r != code)
        fail_msg("%d: %s", r, err.text);
    assert_contains(err.text, word);
    assert_null(signer);
    assert_int_equal(manifest.sequence, 4711);
}

static void test_taken(void **state) {
    const struct bench *bench = *state;
    struct manifest manifest;
    struct err err = {0};
    cleanup_free char *signer = NULL;
    if (verify_head(bench->root->fd, bench->head.data, bench->head.size, ZOO_NOW, &manifest, &signer, &err) < 0)
        fail_msg("%s", err.text);
    assert_memory_equal(&manifest, &bench->manifest, sizeof(manifest));
    assert_string_equal(signer, "CN=Zoo Signer");
}

static void test_refused(void **state) {
    struct bench *bench = *state;
    struct buf *head = &bench->head;
    cleanup_free char *large = mem_array(BUNDLE_MAX_HEAD_BYTES + 1, 1);
    assert_refused(bench, head->data, head->size, 0, -EKEYREJECTED, "not yet valid");
    assert_refused(bench, head->data, head->size, ZOO_NOW + 366LL * ZOO_DAY, -EKEYREJECTED, "expired");
    assert_refused(bench, head->data, head->size - 1, ZOO_NOW, -EKEYREJECTED, "the bundle is refused");
    assert_refused(bench, "", 0, ZOO_NOW, -EKEYREJECTED, "at least 32");
    assert_refused(bench, large, BUNDLE_MAX_HEAD_BYTES + 1, ZOO_NOW, -EKEYREJECTED, "larger than");
    head->data[BUNDLE_FIXED_BYTES + 5] ^= 1;
    assert_refused(bench, head->data, head->size, ZOO_NOW, -EKEYREJECTED, "does not match");
    head->data[BUNDLE_FIXED_BYTES + 5] ^= 1;
}

// The largest head that the format allows goes through: more than a pipe holds at once.
static void test_largest_head(void **state) {
    const struct bench *bench = *state;
    cleanup_free char *blanks = mem_array(MANIFEST_MAX_BYTES, 1);
    cleanup_buf struct buf head = {0};
    memset(blanks, ' ', MANIFEST_MAX_BYTES);
    head_sign(&bench->seed, blanks, MANIFEST_MAX_BYTES, &head);
    assert_refused(bench, head.data, head.size, ZOO_NOW, -EKEYREJECTED, "manifest: line 1");
}

static void replace_program(const struct bench *bench, const char *script) {
    struct err err;
    assert_int_equal(unlinkat(bench->root->fd, VERIFY_PROGRAM, 0), 0);
    assert_int_equal(file_publish(bench->root->fd, VERIFY_PROGRAM, script, strlen(script), 0755, &err), 0);
}

// Were the child taken over by what it reads, it could at most say a wrong manifest; anything else is not understood.
static void test_lying_child(void **state) {
    const struct bench *bench = *state;
    static const struct {
        const char *script;
        int code;
        const char *word;
    } cases[] = {
        {"#!/bin/sh\n", -EBADMSG, "did not say who signed"},
        {"#!/bin/sh\necho SIGNER=x\n", -EBADMSG, "FORMAT is not 1"},
        {"#!/bin/sh\necho FORMAT=1\n", -EBADMSG, "did not say who signed"},
        {"#!/bin/sh\necho FORMAT=1; echo SIGNER='\"$x\"'\n", -EBADMSG, "did not say who signed"},
        {"#!/bin/sh\necho FORMAT=1; echo SIGNERX=y\n", -EBADMSG, "did not say who signed"},
        {"#!/bin/sh\necho '{\"format\": 1}'; echo SIGNER=x\n", -EBADMSG, "line 1"},
        {"#!/bin/sh\nwhile echo FORMAT=1; do :; done\n", -EKEYREJECTED, "the bundle is refused"},
        {"#!/bin/sh\nkill -SEGV $$\n", -EKEYREJECTED, "the bundle is refused"},
        {"#!/bin/sh\necho no reason >&2; exit 1\n", -EKEYREJECTED, "no reason"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        replace_program(bench, cases[i].script);
        assert_refused(bench, bench->head.data, bench->head.size, ZOO_NOW, cases[i].code, cases[i].word);
    }
    assert_int_equal(unlinkat(bench->root->fd, VERIFY_PROGRAM, 0), 0);
    assert_refused(bench, bench->head.data, bench->head.size, ZOO_NOW, -ENOENT, "webops-verify");
}

int main(int argc, char **argv) {
    (void)argc;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_taken, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_refused, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_largest_head, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_lying_child, bench_setup, bench_teardown),
    };
    cleanup_free char *own = realpath("/proc/self/exe", NULL);
    assert_non_null(own);
    char *slash = strstr(own, "/firstboot/");
    assert_non_null(slash);
    (void)argv;
    program = str_printf("%.*s/webops-verify", (int)(slash - own), own);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(program);
    return failed;
}
