// SPDX-License-Identifier: Apache-2.0
// https: which servers are believed, and that a redirect never leads out of it.
#include "firstboot/update/source.h"
#include "firstboot/update/test/http.h"
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#define DAY 86400L

enum which { RIGHT, OTHER_NAME, EXPIRED, NOT_YET, OLD_TLS, SERVERS };
static struct {
    char *certificate, *key; // paths
    struct http *http;
} servers[SERVERS];
static struct http *plain;
static char directory[64];

static void add_extension(X509 *certificate, int nid, const char *value) {
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

// Signed by itself, and its own anchor.
static void write_certificate(const char *path, const char *key_path, const char *name, long from, long until) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), from);
    X509_gmtime_adj(X509_getm_notAfter(certificate), until);
    X509_set_pubkey(certificate, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1, 0);
    X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
    add_extension(certificate, NID_subject_alt_name, name);
    add_extension(certificate, NID_basic_constraints, "critical,CA:TRUE");
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    cleanup_file FILE *file = fopen(path, "we"), *key_file = fopen(key_path, "we");
    assert_int_equal(PEM_write_X509(file, certificate), 1);
    assert_int_equal(PEM_write_PrivateKey(key_file, key, NULL, NULL, 0, NULL, NULL), 1);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static void start_all(const char *argv0) {
    static const struct {
        const char *name;
        long from, until;
    } certificates[SERVERS] = {
        [RIGHT] = {"IP:127.0.0.1", -DAY, DAY},        [OTHER_NAME] = {"DNS:example.org", -DAY, DAY},
        [EXPIRED] = {"IP:127.0.0.1", -2 * DAY, -DAY}, [NOT_YET] = {"IP:127.0.0.1", DAY, 2 * DAY},
        [OLD_TLS] = {"IP:127.0.0.1", -DAY, DAY},
    };
    strcpy(directory, "/tmp/webops-test-XXXXXX");
    assert_non_null(mkdtemp(directory));
    chmod(directory, 0755); // nobody reads the anchors
    for (int i = 0; i < SERVERS; i++) {
        servers[i].certificate = str_printf("%s/%d.pem", directory, i);
        servers[i].key = str_printf("%s/%d.key", directory, i);
        write_certificate(servers[i].certificate, servers[i].key, certificates[i].name, certificates[i].from, certificates[i].until);
        servers[i].http = http_start(argv0, RUN_ARGV("--tls", servers[i].certificate, servers[i].key, i == OLD_TLS ? "--old-tls" : NULL));
    }
    plain = http_start(argv0, NULL);
}

static void stop_all(void) {
    struct err err;
    for (int i = 0; i < SERVERS; i++) {
        http_stop(servers[i].http);
        free(servers[i].certificate);
        free(servers[i].key);
    }
    http_stop(plain);
    assert_int_equal(file_remove_tree(AT_FDCWD, directory, &err), 0);
}

// Reads some bytes; with the certificate of server `anchor` as the only anchor, or the system's.
static int read_some(const char *url, int anchor, struct err *err) {
    cleanup_free char *ca_file = anchor < SERVERS ? str_printf("--ca-file=%s", servers[anchor].certificate) : NULL;
    const char *arguments[] = {"--tries=2", "--backoff-ms=1", "--connect-seconds=10", ca_file, NULL};
    const struct source_options options = {plain->program, arguments};
    cleanup_source struct source *source = NULL;
    char data[10];
    *err = (struct err){0};
    assert_int_equal(source_open_with(url, &options, &source, err), 0);
    int r = source_read(source, 100, data, sizeof(data), err);
    if (r > 0)
        assert_memory_equal(data, plain->data + 100, sizeof(data));
    return r;
}

static void certificates(void **state) {
    (void)state;
    static const struct {
        enum which server;
        int anchor, result;
    } cases[] = {
        {RIGHT, RIGHT, 10},       {RIGHT, OTHER_NAME, -EIO}, {RIGHT, SERVERS, -EIO},      {OTHER_NAME, OTHER_NAME, -EIO},
        {EXPIRED, EXPIRED, -EIO}, {NOT_YET, NOT_YET, -EIO},  {OLD_TLS, OLD_TLS, -EAGAIN},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_free char *url = str_printf("https://127.0.0.1:%s/good", servers[cases[i].server].http->port);
        struct err err;
        int r = read_some(url, cases[i].anchor, &err);
        if (r != cases[i].result)
            fail_msg("server %d, anchor %d: %d, %s", cases[i].server, cases[i].anchor, r, err.text);
    }
}

static void a_file_without_certificates(void **state) {
    (void)state;
    cleanup_free char *url = str_printf("https://127.0.0.1:%s/good", servers[RIGHT].http->port);
    char *kept = servers[RIGHT].certificate;
    static const char *const files[] = {"/nonexistent.pem", "/dev/null"};
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        struct err err;
        servers[RIGHT].certificate = (char *)files[i];
        int r = read_some(url, RIGHT, &err);
        servers[RIGHT].certificate = kept;
        if (r != -EIO)
            fail_msg("%s: %d, %s", files[i], r, err.text);
    }
}

static void redirects(void **state) {
    (void)state;
    const char *tls = servers[RIGHT].http->port;
    static const struct {
        const char *from, *via; // via: a second hop
        const char *to;
        int result;
    } cases[] = {
        {"http", NULL, "https", 10},     {"https", NULL, "https", 10},     {"https", NULL, "http", -EIO},
        {"http", "https", "http", -EIO}, {"https", "https", "http", -EIO}, {"http", "http", "https", 10},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *port = strcmp(cases[i].to, "https") == 0 ? tls : plain->port;
        cleanup_free char *last = str_printf("%s:%%2F%%2F127.0.0.1:%s%%2Fgood", cases[i].to, port);
        cleanup_free char *last_twice = str_printf("%s:%%252F%%252F127.0.0.1:%s%%252Fgood", cases[i].to, port);
        const char *via_port = cases[i].via && strcmp(cases[i].via, "https") == 0 ? tls : plain->port;
        cleanup_free char *target =
            cases[i].via ? str_printf("%s:%%2F%%2F127.0.0.1:%s%%2Fto%%2F302%%2F%s", cases[i].via, via_port, last_twice) : str_dup(last);
        const char *from_port = strcmp(cases[i].from, "https") == 0 ? tls : plain->port;
        cleanup_free char *url = str_printf("%s://127.0.0.1:%s/to/302/%s", cases[i].from, from_port, target);
        struct err err;
        int r = read_some(url, RIGHT, &err);
        if (r != cases[i].result || (r < 0 && !strstr(err.text, "from https to http")))
            fail_msg("%s: %d, %s", url, r, err.text);
    }
}

int main(int argc, char **argv) {
    (void)argc;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(certificates),
        cmocka_unit_test(a_file_without_certificates),
        cmocka_unit_test(redirects),
    };
    start_all(argv[0]);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    stop_all();
    return failed;
}
