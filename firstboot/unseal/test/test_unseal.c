// SPDX-License-Identifier: Apache-2.0
// The program webops-unseal: opens what the library closed, says what is wrong, and quotes nothing of key or secrets.
#include "common/envelope.h"
#include "common/run.h"
#include "common/test/support.h"
#include <errno.h>

static char *program;

#define TEXT "webops-secrets 1\na.secret 6\ncanary"

struct bench {
    struct scratch *scratch;
    char *key, *certificate;
    struct buf envelope;
};

static int bench_setup(void **state) {
    struct bench *bench = mem_array(1, sizeof(*bench));
    struct err err = {0};
    scratch_setup((void **)&bench->scratch);
    cleanup_free char *key = str_printf("%s/key", bench->scratch->path), *certificate = str_printf("%s/cert", bench->scratch->path);
    const struct run openssl = {.argv = RUN_ARGV("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out",
                                                 certificate, "-subj", "/CN=machine")};
    assert_int_equal(run_quiet(&openssl, &err), 0);
    assert_int_equal(file_read(AT_FDCWD, key, 1 << 16, &bench->key, NULL, &err), 0);
    assert_int_equal(file_read(AT_FDCWD, certificate, 1 << 16, &bench->certificate, NULL, &err), 0);
    assert_int_equal(envelope_seal(bench->certificate, TEXT, strlen(TEXT), &bench->envelope, &err), 0);
    *state = bench;
    return 0;
}

static int bench_teardown(void **state) {
    struct bench *bench = *state;
    int r = scratch_teardown((void **)&bench->scratch);
    free(bench->key);
    free(bench->certificate);
    buf_done(&bench->envelope);
    free(bench);
    return r;
}

static int unseal(const struct buf *input, char **ret_text, struct err *err) {
    static const char *const no_environment[] = {NULL};
    cleanup_fd int fd = file_in_memory("input", buf_str(input), input->size, err);
    const struct run run = {.argv = RUN_ARGV(program), .env = no_environment, .in = fd, .timeout_ms = 60000};
    return run_capture(&run, 1 << 20, ret_text, NULL, err);
}

static void input_of(const char *key, const void *envelope, size_t size, struct buf *input) {
    buf_printf(input, "%zu\n%s", strlen(key), key);
    buf_add(input, envelope, size);
}

static void is_opened(void **state) {
    const struct bench *bench = *state;
    struct err err = {0};
    cleanup_buf struct buf input = {0};
    cleanup_free char *text = NULL;
    input_of(bench->key, bench->envelope.data, bench->envelope.size, &input);
    if (unseal(&input, &text, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(text, TEXT);
}

static void odd_input_is_refused(void **state) {
    const struct bench *bench = *state;
    const struct {
        const char *head, *key, *says;
        size_t envelope; // bytes of it
    } rows[] = {
        {"", "", "does not begin with the size of a key", 0},
        {"", "", "does not begin with the size of a key", bench->envelope.size},
        {"0\n", "", "does not begin with the size of a key", bench->envelope.size},
        {"-1\n", "", "does not begin with the size of a key", bench->envelope.size},
        {"65537\n", "", "does not begin with the size of a key", bench->envelope.size},
        {"9999999999\n", "", "does not begin with the size of a key", bench->envelope.size},
        {"9\n", "nonsense\n", "the key is no unencrypted private key", bench->envelope.size},
        {NULL, bench->certificate, "the key is no unencrypted private key", bench->envelope.size},
        {NULL, bench->key, "this is no envelope", 0},
        {NULL, bench->key, "this is no envelope", bench->envelope.size - 1},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct err err = {0};
        cleanup_buf struct buf input = {0};
        cleanup_free char *text = NULL;
        if (rows[i].head) {
            buf_printf(&input, "%s%s", rows[i].head, rows[i].key);
            buf_add(&input, bench->envelope.data, rows[i].envelope);
        } else {
            input_of(rows[i].key, bench->envelope.data, rows[i].envelope, &input);
        }
        if (unseal(&input, &text, &err) != -EIO || !strstr(err.text, rows[i].says) || strstr(err.text, "MII") || strstr(err.text, "canary"))
            fail_msg("row %zu: %s", i, err.text);
    }
}

int main(int argc, char **argv) {
    (void)argc;
    const char *slash = strrchr(argv[0], '/'); // build/firstboot/unseal/test/<this program>
    program = str_printf("%.*s/../../../webops-unseal", slash ? (int)(slash - argv[0]) : 1, slash ? argv[0] : ".");
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(is_opened, bench_setup, bench_teardown),
                                       cmocka_unit_test_setup_teardown(odd_input_is_refused, bench_setup, bench_teardown)};
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    free(program);
    return r;
}
