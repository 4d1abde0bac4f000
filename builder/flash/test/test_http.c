// SPDX-License-Identifier: Apache-2.0
// The client against a server that says, connection by connection, what the row tells it to, and first looks at what it was asked.
#include "builder/flash/resolve.h"
#include "builder/flash/stream.h"
#include "builder/test/support.h"
#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/socket.h>

#define MAX_TURNS 8
#define BODY_BYTES ((size_t)300000)
#define STALLS ((size_t)1 << 32)
#define ETAG "ETag: \"one\"\r\n"

// One connection: what must be in the request, the answer's head ("%d" in it is the port), and which bytes of the body follow.
struct turn {
    const char *expects, *head;
    size_t from, to; // with STALLS: nothing comes behind it, until the client has enough
};

struct fixture {
    struct scratch *scratch;
    char *body, *ca, *key;
    int port;
    pid_t server;
};

static int fixture_setup(void **state) {
    struct fixture *f = mem_array(1, sizeof(*f));
    struct err err = {0};
    scratch_setup((void **)&f->scratch);
    cleanup_free char *path = scratch_file(f->scratch, "body");
    f->ca = scratch_file(f->scratch, "ca.pem");
    f->key = scratch_file(f->scratch, "key.pem");
    put_random(path, BODY_BYTES, 5);
    assert_ok(file_read(AT_FDCWD, path, BODY_BYTES, &f->body, NULL, &err));
    *state = f;
    return 0;
}

static int fixture_teardown(void **state) {
    struct fixture *f = *state;
    int r = scratch_teardown((void **)&f->scratch);
    free(f->body);
    free(f->ca);
    free(f->key);
    free(f);
    return r;
}

static void make_certificate(const struct fixture *f, const char *names) {
    cleanup_free char *extension = str_printf("subjectAltName=%s", names);
    free(tool(RUN_ARGV("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                       "-subj", "/CN=test", "-addext", extension, "-keyout", f->key, "-out", f->ca)));
}

struct side {
    int fd;
    SSL *ssl;
};

static void send_all(const struct side *side, const char *data, size_t size) {
    while (size > 0) {
        ssize_t put = side->ssl ? SSL_write(side->ssl, data, (int)size) : send(side->fd, data, size, MSG_NOSIGNAL);
        if (put <= 0)
            return; // the client had enough
        data += put;
        size -= (size_t)put;
    }
}

static bool read_request(const struct side *side, char *text, size_t room) {
    size_t size = 0;
    while (size < room - 1) {
        ssize_t got =
            side->ssl ? SSL_read(side->ssl, text + size, (int)(room - 1 - size)) : recv(side->fd, text + size, room - 1 - size, 0);
        if (got <= 0)
            return false;
        size += (size_t)got;
        text[size] = 0;
        if (strstr(text, "\r\n\r\n"))
            return true;
    }
    return false;
}

static void answer(const struct fixture *f, int fd, SSL_CTX *context, const struct turn *turn) {
    struct side side = {fd, NULL};
    char request[8192] = "";
    if (context) {
        side.ssl = SSL_new(context);
        SSL_set_fd(side.ssl, fd);
        if (SSL_accept(side.ssl) != 1)
            return; // it does not trust us
    }
    if (!read_request(&side, request, sizeof(request)))
        return;
    bool is_expected = strstr(request, turn->expects);
    cleanup_free char *head = is_expected ? str_printf("%s", turn->head) : str_printf("HTTP/1.1 599 unexpected\r\n\r\n");
    char *port = strstr(head, "PORT!");
    if (port)
        memcpy(port,
               (char[6]){(char)('0' + f->port / 10000), (char)('0' + f->port / 1000 % 10), (char)('0' + f->port / 100 % 10),
                         (char)('0' + f->port / 10 % 10), (char)('0' + f->port % 10)},
               5);
    send_all(&side, head, strlen(head));
    if (is_expected)
        send_all(&side, f->body + turn->from, (turn->to & ~STALLS) - turn->from);
    if (turn->to == BODY_BYTES && side.ssl)
        SSL_shutdown(side.ssl);
    if (turn->to & STALLS)
        (void)!recv(fd, request, sizeof(request), 0);
}

static _Noreturn void serve(const struct fixture *f, int listener, bool is_tls, const struct turn *turns) {
    SSL_CTX *context = is_tls ? SSL_CTX_new(TLS_server_method()) : NULL;
    alarm(60); // whatever happens
    if (context && (SSL_CTX_use_certificate_file(context, f->ca, SSL_FILETYPE_PEM) != 1 ||
                    SSL_CTX_use_PrivateKey_file(context, f->key, SSL_FILETYPE_PEM) != 1))
        _exit(1);
    for (; turns->head; turns++) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0)
            _exit(1);
        answer(f, fd, context, turns);
        close(fd);
    }
    close(listener);
    _exit(0);
}

static void start_server(struct fixture *f, bool is_tls, const struct turn *turns) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    do { // five digits, as the rows have room for
        int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        address.sin_port = 0;
        assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
        assert_int_equal(listen(listener, 4), 0);
        assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
        f->port = ntohs(address.sin_port);
        if (f->port >= 10000) {
            fflush(NULL);
            f->server = fork();
            assert_true(f->server >= 0);
            if (f->server == 0)
                serve(f, listener, is_tls, turns);
        }
        close(listener);
    } while (f->port < 10000);
}

// Whether all its turns were taken.
static bool stop_server(struct fixture *f, bool is_done) {
    int status = 0;
    if (!is_done)
        kill(f->server, SIGKILL);
    assert_int_equal(waitpid(f->server, &status, 0), f->server);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static const struct http_options quick = {.timeout_ms = 1000, .tries = 3, .backoff_ms = 1};

static int fetch(const char *url, const char *ca, char **ret_data, size_t *ret_size, struct err *err) {
    struct http_options options = quick;
    struct redirect redirect;
    char *out = NULL, *warnings = NULL;
    options.ca_file = ca;
    redirect_begin(&redirect);
    int r = stream_fetch(url, &options, BODY_BYTES, ret_data, ret_size, err);
    redirect_end(&redirect, &out, &warnings);
    free(out);
    free(warnings);
    return r;
}

struct row {
    int code; // 0: the whole body comes
    const char *says;
    struct turn turns[MAX_TURNS];
};

static void run_row(struct fixture *f, const struct row *row, bool is_tls, const char *host, const char *ca) {
    struct err err = {0};
    cleanup_free char *data = NULL;
    size_t size = 0;
    start_server(f, is_tls, row->turns);
    cleanup_free char *url = str_printf("%s://%s:%d/dir/web.raw?x=1", is_tls ? "https" : "http", host, f->port);
    int r = fetch(url, ca, &data, &size, &err);
    bool is_done = stop_server(f, r == row->code && row->code != -EPERM);
    if (r != row->code || !strstr(err.text, row->says))
        fail_msg("%s: %d, %s", row->turns[0].head, r, err.text);
    if (row->code != 0)
        return;
    assert_true(is_done);
    assert_int_equal(size, BODY_BYTES);
    assert_memory_equal(data, f->body, BODY_BYTES);
}

#define LENGTH "Content-Length: 300000\r\n"
#define REST(from) "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes " from "-299999/300000\r\n\r\n"

static void whole_files_come(void **state) {
    static const struct row rows[] = {
        {0, "", {{"GET /dir/web.raw?x=1 HTTP/1.1\r\nHost: 127.0.0.1:", "HTTP/1.1 200 OK\r\n" LENGTH "\r\n", 0, BODY_BYTES}}},
        {0, "", {{"GET", "HTTP/1.0 200 OK\n" LENGTH "\n", 0, BODY_BYTES}}},
        {0, "", {{"GET", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n" LENGTH "\r\n", 0, BODY_BYTES}}},
        // Broken, and gone on at the byte where it broke; the second time, too.
        {0,
         "",
         {{"GET", "HTTP/1.1 200 OK\r\n" ETAG LENGTH "\r\n", 0, 100000},
          {"Range: bytes=100000-\r\nIf-Range: \"one\"\r\n", REST("100000"), 100000, 250000},
          {"Range: bytes=250000-\r\n", REST("250000"), 250000, BODY_BYTES}}},
        // It says no more, and is asked anew.
        {0,
         "",
         {{"GET", "HTTP/1.1 200 OK\r\n" LENGTH "\r\n", 0, 100000 | STALLS},
          {"Range: bytes=100000-\r\n", REST("100000"), 100000, BODY_BYTES}}},
        // In between the server is not well.
        {0,
         "",
         {{"GET", "HTTP/1.1 200 OK\r\nETag: W/\"weak\"\r\n" LENGTH "\r\n", 0, 7},
          {"Range: bytes=7-\r\n\r\n", "HTTP/1.1 503 Busy\r\n\r\n", 0, 0},
          {"Range: bytes=7-\r\n\r\n", REST("7"), 7, BODY_BYTES}}},
        {0,
         "",
         {{"GET /dir/web.raw?x=1 ", "HTTP/1.1 302 Found\r\nLocation: other/place?y\r\n\r\n", 0, 0},
          {"GET /dir/other/place?y ", "HTTP/1.1 301 Moved\r\nLocation: /z\r\n\r\n", 0, 0},
          {"GET /z ", "HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:PORT!/w\r\n\r\n", 0, 0},
          {"GET /w ", "HTTP/1.1 200 OK\r\n" LENGTH "\r\n", 0, 500},
          {"GET /dir/web.raw?x=1 ", "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n\r\n", 0, 0},
          {"GET /elsewhere HTTP/1.1\r\nHost: 127.0.0.1", REST("500"), 500, BODY_BYTES}}},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        run_row(*state, &rows[i], false, "127.0.0.1", NULL);
}

#define LOOP                                                                                                                               \
    { "GET", "HTTP/1.1 302 Found\r\nLocation: again\r\n\r\n", 0, 0 }

static void failures_are_told_apart(void **state) {
    struct fixture *f = *state;
    cleanup_free char *large = mem_array(40000, 1);
    strcpy(large, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 1000; i++)
        strcpy(large + strlen(large), "X-Header: of some length\r\n");
    const struct row rows[] = {
        {-ENOENT, "the server answered 404 (not found)", {{"GET", "HTTP/1.1 404 Not Found\r\n\r\n", 0, 0}}},
        {-EPERM, "401 (it wants a password, which is not sent)", {{"GET", "HTTP/1.1 401 No\r\n\r\n", 0, 0}}},
        {-EAGAIN, "the server answered 503", {{"GET", "HTTP/1.1 503 Busy\r\n\r\n", 0, 0}}},
        {-EPROTO, "is no HTTP/1", {{"GET", "SSH-2.0-OpenSSH_9.2\r\n\r\n", 0, 0}}},
        {-EPROTO, "larger than 16384 bytes", {{"GET", large, 0, 0}}},
        {-EPROTO, "does not say how large", {{"GET", "HTTP/1.1 200 OK\r\n\r\n", 0, 0}}},
        {-EPROTO, "comes in pieces", {{"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 0, 0}}},
        {-EPROTO, "compresses what it sends", {{"GET", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n" LENGTH "\r\n", 0, 0}}},
        {-EPROTO, "more than 5 other addresses", {LOOP, LOOP, LOOP, LOOP, LOOP, LOOP}},
        {-EINVAL, "leads elsewhere", {{"GET", "HTTP/1.1 302 Found\r\nLocation: http://user:pass@127.0.0.1/\r\n\r\n", 0, 0}}},
        {-EFBIG,
         "larger than the",
         {{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 300001\r\n\r\n", 0, BODY_BYTES},
          {"GET", "HTTP/1.1 206 X\r\nContent-Range: bytes 300000-300000/300001\r\n\r\nx", 0, 0}}},
        // Another file by then, or no parts of it.
        {-ESTALE,
         "does not go on at byte 10",
         {{"GET", "HTTP/1.1 200 OK\r\n" ETAG LENGTH "\r\n", 0, 10}, {"If-Range: \"one\"", "HTTP/1.1 200 OK\r\n" LENGTH "\r\n", 0, 0}}},
        {-ESTALE,
         "does not go on at byte 10",
         {{"GET", "HTTP/1.1 200 OK\r\n" LENGTH "\r\n", 0, 10},
          {"Range", "HTTP/1.1 206 X\r\nContent-Range: bytes 10-399999/400000\r\n\r\n", 0, 0}}},
        {-EPROTO,
         "Content-Range does not say which",
         {{"GET", "HTTP/1.1 200 OK\r\n" LENGTH "\r\n", 0, 10}, {"Range", "HTTP/1.1 206 X\r\nContent-Range: bytes ten\r\n\r\n", 0, 0}}},
        // Cut off, and never more.
        {-EAGAIN,
         "stopped after 97.7 KiB, and 3 tries in a row failed: ",
         {{"GET", "HTTP/1.1 200 OK\r\n" LENGTH "\r\n", 0, 100000}, {"Range", REST("100000"), 0, 0}, {"Range", REST("100000"), 0, 0}}},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        run_row(f, &rows[i], false, "127.0.0.1", NULL);
    struct err err = {0};
    char *data;
    size_t size;
    cleanup_free char *gone = str_printf("http://127.0.0.1:%d/", f->port); // nobody listens there any more
    assert_int_equal(fetch(gone, NULL, &data, &size, &err), -EAGAIN);
    assert_contains(err.text, "connecting to 127.0.0.1 port ");
}

static void certificates_are_looked_at(void **state) {
    struct fixture *f = *state;
    static const struct row whole = {0, "", {{"GET", "HTTP/1.1 200 OK\r\n" LENGTH "\r\n", 0, BODY_BYTES}}};
    static const struct row broken = {
        0,
        "",
        {{"GET", "HTTP/1.1 200 OK\r\n" ETAG LENGTH "\r\n", 0, 123456}, {"Range: bytes=123456-", REST("123456"), 123456, BODY_BYTES}}};
    static const struct row stalled = {
        0,
        "",
        {{"GET", "HTTP/1.1 200 OK\r\n" LENGTH "\r\n", 0, 123456 | STALLS}, {"Range: bytes=123456-", REST("123456"), 123456, BODY_BYTES}}};
    static const struct row down = {
        -EPERM, "from https to http is not followed", {{"GET", "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:PORT!/\r\n\r\n", 0, 0}}};
    static const struct row refused = {-EPERM, "is not to be trusted: ", {{"GET", "HTTP/1.1 200 OK\r\n" LENGTH "\r\n", 0, 0}}};
    make_certificate(f, "IP:127.0.0.1,DNS:localhost");
    run_row(f, &whole, true, "127.0.0.1", f->ca);
    run_row(f, &whole, true, "localhost", f->ca);
    run_row(f, &broken, true, "127.0.0.1", f->ca);
    run_row(f, &stalled, true, "127.0.0.1", f->ca);
    run_row(f, &down, true, "127.0.0.1", f->ca);
    cleanup_free char *mine = scratch_file(f->scratch, "mine.pem"), *pem = NULL;
    struct err err = {0};
    assert_ok(file_read(AT_FDCWD, f->ca, 1 << 20, &pem, NULL, &err));
    put_file(mine, pem, strlen(pem));
    make_certificate(f, "IP:127.0.0.1"); // of somebody else
    run_row(f, &refused, true, "127.0.0.1", mine);
    make_certificate(f, "DNS:images.example.org,IP:127.0.0.2"); // for another host
    run_row(f, &refused, true, "127.0.0.1", f->ca);
    run_row(f, &refused, true, "localhost", f->ca);
    char *data;
    size_t size;
    assert_int_equal(fetch("https://127.0.0.1:1/", "/nonexistent.pem", &data, &size, &err), -EINVAL);
    assert_contains(err.text, "certificates of authorities in /nonexistent.pem");
}

static void addresses_are_taken_apart(void **state) {
    (void)state;
    static const struct {
        const char *text, *host, *port, *authority, *target; // host NULL: refused
    } rows[] = {
        {"http://h", "h", "80", "h", "/"},
        {"HTTPS://h.example:8443/a/b?c#d", "h.example", "8443", "h.example:8443", "/a/b?c"},
        {"https://h:443?q", "h", "443", "h", "/?q"},
        {"http://h:8/", "h", "8", "h:8", "/"},
        {"http://[2001:db8::1]:81/x", "2001:db8::1", "81", "[2001:db8::1]:81", "/x"},
        {"http://[::1]/", "::1", "80", "[::1]", "/"},
        {"ftp://h/", NULL, NULL, NULL, NULL},
        {"http:///x", NULL, NULL, NULL, NULL},
        {"http://h:/", NULL, NULL, NULL, NULL},
        {"http://h:0/", NULL, NULL, NULL, NULL},
        {"http://h:65536/", NULL, NULL, NULL, NULL},
        {"http://h:8x/", NULL, NULL, NULL, NULL},
        {"http://[::1/", NULL, NULL, NULL, NULL},
        {"http://u:p@h/", NULL, NULL, NULL, NULL},
        {"http://h/a b", NULL, NULL, NULL, NULL},
        {"http://h/a\r\nX: y", NULL, NULL, NULL, NULL},
        {"http://h\xc3\xa4/", NULL, NULL, NULL, NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct err err = {0};
        cleanup_url struct url url = {0};
        int r = url_parse(rows[i].text, &url, &err);
        if (r != (rows[i].host ? 0 : -EINVAL))
            fail_msg("%s: %d %s", rows[i].text, r, err.text);
        if (r < 0)
            continue;
        assert_string_equal(url.host, rows[i].host);
        assert_string_equal(url.port, rows[i].port);
        assert_string_equal(url.authority, rows[i].authority);
        assert_string_equal(url.target, rows[i].target);
        assert_int_equal(url.is_tls, rows[i].text[4] == 's' || rows[i].text[4] == 'S');
    }
    assert_true(url_is("https://x") && !url_is("/etc/https://x") && !url_is("ftp://x"));
}

static void names_are_found_in_hosts(void **state) {
    (void)state;
    static const char hosts[] =
        "# 192.0.2.9 images\n192.0.2.1\timages.example.org images\n2001:db8::1 other IMAGES # here\nnonsense images\n192.0.2.7";
    struct address addresses[RESOLVE_MAX];
    struct err err = {0};
    size_t count = 0;
    assert_ok(resolve("images", hosts, addresses, &count, &err));
    assert_int_equal(count, 2);
    assert_int_equal(addresses[0].v4.sin_addr.s_addr, inet_addr("192.0.2.1"));
    assert_int_equal(addresses[1].any.sa_family, AF_INET6);
    assert_ok(resolve("2001:db8::5", hosts, addresses, &count, &err));
    assert_true(count == 1 && addresses[0].v6.sin6_addr.s6_addr[15] == 5);
    assert_ok(resolve("localhost", "", addresses, &count, &err));
    assert_true(count == 1 && addresses[0].v4.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
}

#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        WITH_FIXTURE(whole_files_come),
        WITH_FIXTURE(failures_are_told_apart),
        WITH_FIXTURE(certificates_are_looked_at),
        cmocka_unit_test(addresses_are_taken_apart),
        cmocka_unit_test(names_are_found_in_hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
