// SPDX-License-Identifier: Apache-2.0
// A directory of keys: what is in it, who may read it, that it is never half made or overwritten; and the development keys.
#include "builder/keygen.h"
#include "builder/test/support.h"
#include "builder/verbs.h"
#include <time.h>

#define FROM 1700000000

static const struct keygen_request request = {.name = "Example", .not_before = FROM, KEYGEN_DAYS};

static char *list_files(const char *dir) {
    cleanup_free char *text = tool(RUN_ARGV("find", dir, "-mindepth", "1", "-printf", "%P %y %m\n"));
    cleanup_free char *path = str_printf("%s.list", dir);
    put_file(path, text, strlen(text));
    char *sorted = tool(RUN_ARGV("env", "LC_ALL=C", "sort", path));
    assert_int_equal(unlink(path), 0);
    return sorted;
}

static void test_make(void **state) {
    struct err err = {0};
    struct stat st;
    cleanup_free char *dir = scratch_file(*state, "deep/keys"), *slash = str_printf("%s/", dir);
    assert_ok(keygen_make(slash, &request, &err));
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    cleanup_free char *files = list_files(dir);
    assert_string_equal(files,
                        "intermediate.key f 600\nintermediate.pem f 644\nroot.key f 600\nroot.pem f 644\nsecure-boot d 700\n"
                        "secure-boot/KEK.auth f 644\nsecure-boot/KEK.esl f 644\nsecure-boot/KEK.key f 600\nsecure-boot/KEK.pem f 644\n"
                        "secure-boot/PK.auth f 644\nsecure-boot/PK.esl f 644\nsecure-boot/PK.key f 600\nsecure-boot/PK.pem f 644\n"
                        "secure-boot/db.auth f 644\nsecure-boot/db.esl f 644\nsecure-boot/db.key f 600\nsecure-boot/db.pem f 644\n"
                        "signing.key f 600\nsigning.pem f 644\n");
    cleanup_free char *root = str_printf("%s/root.pem", dir), *mid = str_printf("%s/intermediate.pem", dir),
                      *leaf = str_printf("%s/signing.pem", dir), *db = str_printf("%s/secure-boot/db.pem", dir);
    cleanup_free char *ok =
        tool(RUN_ARGV("openssl", "verify", "-attime", "1700100000", "-x509_strict", "-CAfile", root, "-untrusted", mid, leaf));
    assert_contains(ok, ": OK");
    cleanup_free char *name = tool(RUN_ARGV("openssl", "x509", "-noout", "-subject", "-enddate", "-in", leaf));
    assert_contains(name, "CN = Example bundle signing");
    assert_contains(name, "Nov 13 22:13:20 2025"); // 730 days
    cleanup_free char *boot = tool(RUN_ARGV("openssl", "x509", "-noout", "-subject", "-issuer", "-in", db));
    assert_contains(boot, "issuer=CN = Example boot signing");
    // Again: refused, nothing changed.
    assert_int_equal(keygen_make(dir, &request, &err), -EEXIST);
    assert_contains(err.text, "never overwritten");
    cleanup_free char *after = list_files(dir);
    assert_string_equal(after, files);
}

// An empty directory is taken, a file or a full one is not, and nothing is left beside it.
static void test_targets(void **state) {
    const struct scratch *scratch = *state;
    struct err err = {0};
    cleanup_free char *empty = scratch_file(scratch, "empty"), *full = scratch_file(scratch, "full"), *file = scratch_file(scratch, "file");
    assert_int_equal(mkdir(empty, 0755), 0);
    assert_int_equal(mkdir(full, 0755), 0);
    cleanup_free char *inside = str_printf("%s/x", full);
    put_file(inside, "", 0);
    put_file(file, "", 0);
    assert_ok(keygen_make(empty, &request, &err));
    assert_int_equal(keygen_make(full, &request, &err), -EEXIST);
    assert_int_equal(keygen_make(file, &request, &err), -EEXIST);
    cleanup_free char *left = tool(RUN_ARGV("find", scratch->path, "-name", ".*"));
    assert_string_equal(left, "");
}

static void test_refused(void **state) {
    const struct scratch *scratch = *state;
    cleanup_free char *dir = scratch_file(scratch, "keys");
    struct keygen_request requests[] = {request, request, request, request, request};
    static const char *const says[] = {"-1 days", "0 days", "36501 days", "outlive", "1 to 64 bytes"};
    requests[0].signing_days = -1;
    requests[1].secure_boot_days = 0;
    requests[2].root_days = 36501;
    requests[3].signing_days = request.intermediate_days + 1;
    requests[4].name = "a name that is much too long to stand in a certificate of any kind";
    for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
        struct err err = {0};
        assert_int_equal(keygen_make(dir, &requests[i], &err), -EINVAL);
        assert_contains(err.text, says[i]);
        cleanup_free char *left = tool(RUN_ARGV("find", scratch->path, "-mindepth", "1"));
        assert_string_equal(left, "");
    }
}

static void test_places(void **state) {
    (void)state;
    static const struct {
        const char *own, *xdg, *home, *expected;
    } cases[] = {
        {"/k", "/x", "/h", "/k"},
        {"", "/x", "/h", "/x/webops/development-keys"},
        {NULL, "/x", "/h", "/x/webops/development-keys"},
        {NULL, NULL, "/h", "/h/.local/share/webops/development-keys"},
        {NULL, "", "/h", "/h/.local/share/webops/development-keys"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *const names[] = {"WEBOPS_KEYS", "XDG_DATA_HOME", "HOME"}, *const values[] = {cases[i].own, cases[i].xdg, cases[i].home};
        for (unsigned j = 0; j < 3; j++)
            assert_int_equal(values[j] ? setenv(names[j], values[j], 1) : unsetenv(names[j]), 0);
        cleanup_free char *dir = keygen_development_dir();
        assert_string_equal(dir, cases[i].expected);
    }
}

static void make_development(void *data) {
    struct err err = {0};
    cleanup_free char *dir = NULL;
    (void)data;
    if (keygen_development(&dir, &err) < 0)
        _exit(1);
}

// Three builds at once: all succeed, and there is one complete set.
static void test_development(void **state) {
    struct err err = {0};
    pid_t pids[3];
    cleanup_free char *keys = scratch_file(*state, "data/keys"), *dir = NULL, *again = NULL;
    setenv("WEBOPS_KEYS", keys, 1);
    for (unsigned i = 0; i < 3; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            make_development(NULL);
            _exit(0);
        }
    }
    for (unsigned i = 0; i < 3; i++) {
        int status = -1;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    cleanup_free char *data = scratch_file(*state, "data"), *entries = tool(RUN_ARGV("ls", "-A", data));
    assert_string_equal(entries, "keys\n");
    cleanup_free char *before = list_files(keys);
    assert_ok(keygen_development(&dir, &err));
    assert_ok(keygen_development(&again, &err));
    assert_string_equal(dir, keys);
    cleanup_free char *after = list_files(keys);
    assert_string_equal(before, after);
    cleanup_free char *pem = str_printf("%s/signing.pem", dir);
    X509 *x509 = NULL;
    assert_ok(certificate_load(pem, &x509, &err));
    assert_true(keygen_is_development(x509));
    assert_in_range(time(NULL), certificate_not_before(x509), certificate_not_after(x509));
    X509_free(x509);
}

// What cannot be looked into is neither there nor free; root passes every permission, so a file stands in the way here.
static void test_development_out_of_reach(void **state) {
    struct err err = {0};
    cleanup_free char *file = scratch_file(*state, "file"), *keys = scratch_file(*state, "file/keys"), *dir = NULL;
    assert_ok(file_publish(AT_FDCWD, file, "", 0, 0600, &err));
    setenv("WEBOPS_KEYS", keys, 1);
    assert_int_equal(keygen_development(&dir, &err), -ENOTDIR);
    assert_contains(err.text, "file/keys/signing.key");
    assert_contains(err.text, "WEBOPS_KEYS");
    assert_null(dir);
}

static void test_other_keys_are_not_development(void **state) {
    struct err err = {0};
    cleanup_certificate struct certificate made = {0};
    (void)state;
    const struct certificate_request real = {
        .kind = CERTIFICATE_ROOT, .name = "Example DEVELOPMENT root", .not_before = FROM, .not_after = FROM + 1000, .bits = 2048};
    assert_ok(certificate_make(&real, &made, &err));
    assert_false(keygen_is_development(made.x509));
}

static void test_verb(void **state) {
    static const struct verb verb = {"keygen", "DIR", 1, 1, "keys", verb_keygen};
    struct redirect redirect;
    struct err err = {0};
    X509 *x509 = NULL;
    cleanup_free char *dir = scratch_file(*state, "keys"), *out = NULL, *error = NULL, *out2 = NULL, *error2 = NULL;
    char name[] = "keygen", option[] = "--name", value[] = "Acme", days[] = "--days", number[] = "30";
    char *argv[] = {name, option, value, days, number, dir, NULL};
    redirect_begin(&redirect);
    int code = verb_keygen(&verb, 6, argv);
    redirect_end(&redirect, &out, &error);
    assert_int_equal(code, EXIT_OK);
    assert_contains(out, "offline:      root.key");
    assert_contains(out, "root.pem (build --trust");
    cleanup_free char *pem = str_printf("%s/signing.pem", dir);
    assert_ok(certificate_load(pem, &x509, &err));
    cleanup_free char *subject = certificate_subject(x509);
    assert_string_equal(subject, "CN=Acme bundle signing");
    assert_int_equal(certificate_not_after(x509) - certificate_not_before(x509), 30 * KEYGEN_DAY);
    assert_true(certificate_not_before(x509) < time(NULL));
    X509_free(x509);
    char *again[] = {name, dir, NULL};
    redirect_begin(&redirect);
    code = verb_keygen(&verb, 2, again);
    redirect_end(&redirect, &out2, &error2);
    assert_int_equal(code, EXIT_PERMANENT);
    assert_contains(error2, "exists already");
    assert_string_equal(out2, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_make, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_targets, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_refused, scratch_setup, scratch_teardown),
        cmocka_unit_test(test_places),
        cmocka_unit_test_setup_teardown(test_development, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_development_out_of_reach, scratch_setup, scratch_teardown),
        cmocka_unit_test(test_other_keys_are_not_development),
        cmocka_unit_test_setup_teardown(test_verb, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests_name("keygen", tests, NULL, NULL);
}
