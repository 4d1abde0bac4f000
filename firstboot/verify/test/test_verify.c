// SPDX-License-Identifier: Apache-2.0
// The program webops-verify: it says what the library says, about everything; and what it still may do while it reads.
#include "common/config.h"
#include "common/run.h"
#include "common/test/head_seed.h"
#include "common/test/support.h"
#include "firstboot/verify/check.h"
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>

static char *program;

struct bench {
    struct head_seed seed;
    struct scratch *scratch; // the trust directory
    struct buf head; // a good one
};

static int bench_setup(void **state) {
    struct bench *bench = mem_array(1, sizeof(*bench));
    void *scratch;
    struct manifest manifest;
    struct err err;
    head_seed_init(&bench->seed);
    manifest_seed(&manifest, 3);
    head_make(&bench->seed, &manifest, &bench->head);
    scratch_setup(&scratch);
    bench->scratch = scratch;
    *state = bench;
    return file_publish(bench->scratch->fd, "ca.pem", bench->seed.ca.data, bench->seed.ca.size, 0600, &err);
}

static int bench_teardown(void **state) {
    struct bench *bench = *state;
    void *scratch = bench->scratch;
    head_seed_done(&bench->seed);
    buf_done(&bench->head);
    free(bench);
    return scratch_teardown(&scratch);
}

static int memory_file(const void *data, size_t size) {
    struct err err;
    int fd = memfd_create("test", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(file_write_all(fd, "memory", data, size, &err), 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

struct said {
    int status; // as of waitpid()
    char *out, *error;
};

static void said_done(struct said *said) {
    free(said->out);
    free(said->error);
}
#define cleanup_said cleanup(said_done)

// Output goes to pipes: the program can let no file grow. What it prints fits into them.
static struct said verify_from(int in, const char *const *options) {
    struct said said = {.status = -1};
    struct err err = {0};
    pid_t pid;
    int out[2], error[2];
    const char *argv[8] = {program};
    for (size_t i = 0; options[i]; i++)
        argv[i + 1] = options[i];
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(pipe2(error, O_CLOEXEC), 0);
    const struct run run = {.argv = argv, .in = in, .out = out[1], .error = error[1]};
    assert_int_equal(run_start(&run, &pid, &err), 0);
    close(out[1]);
    close(error[1]);
    assert_int_equal(file_read_fd(out[0], "output", 1 << 20, &said.out, NULL, &err), 0);
    assert_int_equal(file_read_fd(error[0], "messages", 1 << 20, &said.error, NULL, &err), 0);
    close(out[0]);
    close(error[0]);
    assert_int_equal(waitpid(pid, &said.status, 0), pid);
    return said;
}

static struct said verify_head_with(const struct bench *bench, const struct check *check, const void *head, size_t size) {
    cleanup_free char *trust = str_printf("--trust=%s", bench->scratch->path), *time = str_printf("--time=%lld", (long long)check->time),
                      *updater = str_printf("--updater=%llu", (unsigned long long)check->updater);
    cleanup_fd int in = memory_file(head, size);
    return verify_from(in, RUN_ARGV(trust, time, updater));
}

static const struct check now = {.time = ZOO_NOW, .updater = 1};

// Program and library say the same: taken (`word` NULL), or refused with a reason that has `word`.
static void assert_both(const struct bench *bench, const struct check *check, const void *head, size_t size, const char *word) {
    struct err err = {0};
    cleanup_buf struct buf text = {0};
    const struct check_trust trust = {.ca_pem = bench->seed.ca.data};
    int r = check_head(check, &trust, head, size, &text, &err);
    cleanup_said struct said said = verify_head_with(bench, check, head, size);
    if (!WIFEXITED(said.status) || WEXITSTATUS(said.status) != (word ? 1 : 0) || (r < 0) != (word != NULL))
        fail_msg("status %x, said '%s'; the library %d '%s'", said.status, said.error, r, err.text);
    assert_string_equal(said.out, buf_str(&text));
    if (!word) {
        assert_string_equal(said.error, "");
        return;
    }
    assert_contains(err.text, word);
    assert_contains(said.error, err.text);
}

static void test_good_head(void **state) {
    const struct bench *bench = *state;
    struct manifest seed, manifest;
    struct err err = {0};
    assert_both(bench, &now, bench->head.data, bench->head.size, NULL);
    cleanup_said struct said said = verify_head_with(bench, &now, bench->head.data, bench->head.size);
    char *signer = strstr(said.out, "SIGNER=");
    assert_non_null(signer);
    assert_string_equal(signer, "SIGNER='CN=Zoo Signer'\n");
    assert_int_equal(manifest_parse_flat(said.out, (size_t)(signer - said.out), &manifest, &err), 0);
    manifest_seed(&seed, 3);
    assert_memory_equal(&manifest, &seed, sizeof(seed));
}

// With each kind of key the program needs no system call that it has given up.
static void test_kinds_of_keys(void **state) {
    const struct bench *bench = *state;
    static const struct zoo_recipe kinds[] = {{.rsa_bits = 2048}, {.rsa_bits = 4096}, {.curve = "P-384"}, {.curve = "P-521"}};
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        struct zoo_recipe recipe = kinds[i];
        struct head_seed seed = bench->seed;
        cleanup_buf struct buf head = {0}, pem = {0};
        struct manifest manifest;
        recipe.name = "Another's Signer";
        recipe.issuer = &bench->seed.intermediate;
        recipe.eku = "codeSigning";
        struct zoo_id signer = zoo_make(&recipe);
        zoo_pem(&signer, &pem);
        seed.signer = signer;
        seed.certificate = pem;
        manifest_seed(&manifest, 1);
        head_make(&seed, &manifest, &head);
        assert_both(bench, &now, head.data, head.size, NULL);
        cleanup_said struct said said = verify_head_with(bench, &now, head.data, head.size);
        assert_contains(said.out, "SIGNER='CN=Another_s Signer'\n");
        zoo_done(&signer);
    }
}

static void test_refused_heads(void **state) {
    const struct bench *bench = *state;
    const struct buf *head = &bench->head;
    cleanup_buf struct buf longer = {0}, other = {0};
    struct bundle_head sizes;
    struct err err;
    assert_both(bench, &now, "", 0, "at least 32");
    assert_both(bench, &now, head->data, 31, "at least 32");
    assert_both(bench, &now, head->data, 32, "but says it has");
    assert_both(bench, &now, head->data, head->size - 1, "but says it has");
    buf_add(&longer, head->data, head->size);
    buf_add(&longer, "", 1);
    assert_both(bench, &now, longer.data, longer.size, "but says it has");
    assert_int_equal(bundle_head_parse((const uint8_t *)head->data, &sizes, &err), 0);
    const char *json = head->data + 32, *signature = json + sizes.manifest_bytes;
    head_put(json, sizes.manifest_bytes - 1, signature, sizes.signature_bytes, &other); // what is left is another text
    assert_both(bench, &now, other.data, other.size, "does not match");
    buf_done(&other);
    head_put(json, sizes.manifest_bytes, longer.data + 32 + sizes.manifest_bytes, sizes.signature_bytes + 1, &other);
    assert_both(bench, &now, other.data, other.size, "1 bytes behind its end");
    assert_both(bench, &(struct check){.time = 0, .updater = 1}, head->data, head->size, "not yet valid");
    assert_both(bench, &(struct check){.time = 4070908800, .updater = 1}, head->data, head->size, "expired"); // 2099
}

// Nothing of a manifest is looked at before its signature is known to be good; then all of it is.
static void test_order(void **state) {
    const struct bench *bench = *state;
    static const char broken[] = "{\"format\": 1, \"format\": 1}";
    cleanup_buf struct buf head = {0}, forged = {0};
    struct head_seed stranger;
    head_sign(&bench->seed, broken, strlen(broken), &head);
    assert_both(bench, &now, head.data, head.size, "duplicate");
    head_seed_init(&stranger);
    head_sign(&stranger, broken, strlen(broken), &forged);
    assert_both(bench, &now, forged.data, forged.size, "issuer is unknown");
    head_seed_done(&stranger);
}

static void test_updater_level(void **state) {
    const struct bench *bench = *state;
    struct manifest manifest;
    cleanup_buf struct buf head = {0};
    manifest_seed(&manifest, 1);
    manifest.minimum_updater = 7;
    head_make(&bench->seed, &manifest, &head);
    assert_both(bench, &(struct check){.time = ZOO_NOW, .updater = 6}, head.data, head.size, "level 7");
    assert_both(bench, &(struct check){.time = ZOO_NOW, .updater = 7}, head.data, head.size, NULL);
}

// Of a real head, every bit of the fixed part and of the manifest. (The signature's own are in common/test/test_signature_damage.c.)
static void test_every_bit_flip(void **state) {
    const struct bench *bench = *state;
    struct manifest manifest;
    cleanup_buf struct buf head = {0};
    struct err err;
    struct bundle_head sizes;
    const struct check_trust trust = {.ca_pem = bench->seed.ca.data};
    manifest_seed(&manifest, 1);
    head_make(&bench->seed, &manifest, &head);
    assert_int_equal(bundle_head_parse((const uint8_t *)head.data, &sizes, &err), 0);
    for (size_t bit = 0; bit < 8 * (BUNDLE_FIXED_BYTES + (size_t)sizes.manifest_bytes); bit++) {
        cleanup_buf struct buf text = {0};
        head.data[bit / 8] ^= (char)(1u << bit % 8);
        assert_true(check_head(&now, &trust, head.data, head.size, &text, &err) < 0);
        assert_int_equal(text.size, 0);
        if (bit >= 8 * BUNDLE_FIXED_BYTES) // by the signature: what a flip would make of the JSON is never asked
            assert_contains(err.text, "the signature does not match");
        head.data[bit / 8] ^= (char)(1u << bit % 8);
    }
}

static void test_endless_input(void **state) {
    const struct bench *bench = *state;
    cleanup_free char *trust = str_printf("--trust=%s", bench->scratch->path), *time = str_printf("--time=%d", ZOO_NOW);
    cleanup_fd int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    cleanup_said struct said said = verify_from(zero, RUN_ARGV(trust, time, "--updater=1"));
    assert_true(WIFEXITED(said.status) && WEXITSTATUS(said.status) == 1);
    assert_contains(said.error, "larger than the 98336 bytes");
}

static void test_trust(void **state) {
    const struct bench *bench = *state;
    void *other_state;
    struct err err;
    scratch_setup(&other_state);
    struct scratch *other = other_state;
    cleanup_free char *trust = str_printf("--trust=%s", other->path), *time = str_printf("--time=%d", ZOO_NOW);
    static const char *const texts[] = {NULL, "", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        if (texts[i])
            assert_int_equal(file_publish(other->fd, "ca.pem", texts[i], strlen(texts[i]), 0644, &err), 0);
        cleanup_fd int in = memory_file(bench->head.data, bench->head.size);
        cleanup_said struct said said = verify_from(in, RUN_ARGV(trust, time, "--updater=1"));
        assert_true(WIFEXITED(said.status) && WEXITSTATUS(said.status) == 1);
        assert_string_equal(said.out, "");
        assert_contains(said.error, texts[i] ? "trusted CA certificates are not PEM" : "ca.pem");
    }
    // A list that revokes the intermediate is read from its own file.
    cleanup_buf struct buf list = {0};
    zoo_crl(&bench->seed.root, &bench->seed.intermediate, -1, 1, &list);
    assert_int_equal(file_publish(other->fd, "ca.pem", bench->seed.ca.data, bench->seed.ca.size, 0644, &err), 0);
    assert_int_equal(file_publish(other->fd, "crl.pem", list.data, list.size, 0644, &err), 0);
    cleanup_fd int in = memory_file(bench->head.data, bench->head.size);
    cleanup_said struct said said = verify_from(in, RUN_ARGV(trust, time, "--updater=1"));
    assert_true(WIFEXITED(said.status) && WEXITSTATUS(said.status) == 1);
    assert_contains(said.error, "'CN=Zoo Intermediate': it has been revoked");
    scratch_teardown(&other_state);
}

static void test_usage(void **state) {
    const struct bench *bench = *state;
    cleanup_free char *trust = str_printf("--trust=%s", bench->scratch->path);
    const char *const *const lines[] = {RUN_ARGV(NULL),
                                        RUN_ARGV(trust, "--time=1"),
                                        RUN_ARGV(trust, "--updater=1"),
                                        RUN_ARGV("--time=1", "--updater=1"),
                                        RUN_ARGV(trust, "--time=-1", "--updater=1"),
                                        RUN_ARGV(trust, "--time=1", "--updater=0"),
                                        RUN_ARGV(trust, "--time=1", "--updater=1", "more")};
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        cleanup_fd int in = memory_file(bench->head.data, bench->head.size);
        cleanup_said struct said said = verify_from(in, lines[i]);
        assert_true(WIFEXITED(said.status) && WEXITSTATUS(said.status) == 2);
        assert_string_equal(said.out, "");
    }
}

static void assert_status(const char *status, const char *line) {
    cleanup_free char *whole = str_printf("\n%s\n", line);
    if (!strstr(status, whole))
        fail_msg("'%s' is not in: %s", line, status);
}

static void test_rights_while_it_reads(void **state) {
    const struct bench *bench = *state;
    cleanup_free char *trust = str_printf("--trust=%s", bench->scratch->path), *status = NULL;
    struct err err = {0};
    pid_t pid;
    int in[2];
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    const struct run run = {.argv = RUN_ARGV(program, trust, "--time=1", "--updater=1"), .in = in[0], .timeout_ms = 20000};
    assert_int_equal(run_start(&run, &pid, &err), 0);
    close(in[0]);
    cleanup_free char *path = str_printf("/proc/%d/status", pid);
    for (int i = 0; i < 500; i++) { // until it has given up its rights
        usleep(10000);
        free(status);
        status = NULL;
        assert_int_equal(file_read(AT_FDCWD, path, 1 << 16, &status, NULL, &err), 0);
        if (strstr(status, "Seccomp:\t2"))
            break;
    }
    close(in[1]); // now it ends by itself, with nothing read
    assert_int_equal(run_wait(&run, pid, &err), -EIO);
    assert_status(status, "Seccomp:\t2");
    assert_status(status, "NoNewPrivs:\t1");
    assert_status(status, "CapEff:\t0000000000000000");
    assert_status(status, "CapPrm:\t0000000000000000");
    assert_status(status, "Threads:\t1");
    if (geteuid() == 0) {
        assert_status(status, "Uid:\t65534\t65534\t65534\t65534");
        assert_status(status, "Gid:\t65534\t65534\t65534\t65534");
    }
}

int main(int argc, char **argv) {
    (void)argc;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_head),     cmocka_unit_test(test_kinds_of_keys),
        cmocka_unit_test(test_refused_heads), cmocka_unit_test(test_order),
        cmocka_unit_test(test_updater_level), cmocka_unit_test(test_every_bit_flip),
        cmocka_unit_test(test_endless_input), cmocka_unit_test(test_trust),
        cmocka_unit_test(test_usage),         cmocka_unit_test(test_rights_while_it_reads),
    };
    const char *slash = strrchr(argv[0], '/');
    program = str_printf("%.*s/../../../webops-verify", slash ? (int)(slash - argv[0]) : 1, slash ? argv[0] : ".");
    int failed = cmocka_run_group_tests(tests, bench_setup, bench_teardown);
    free(program);
    return failed;
}
