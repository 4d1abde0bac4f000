// SPDX-License-Identifier: Apache-2.0
// The client against a server that says, connection by connection, what the row tells it to, and first looks at what it was asked.
#include "builder/flash/http.h"
#include "builder/flash/stream.h"
#include "builder/image_report.h"
#include "builder/test/support.h"
#include <arpa/inet.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/socket.h>

#define MAX_TURNS 8
#define BODY_BYTES ((size_t)300000)
#define STALLS ((size_t)1 << 32) // nothing comes behind it, until the client has enough
#define TRICKLES ((size_t)1 << 33) // byte by byte, until the client has enough
#define ASKED ((size_t)1 << 34) // from the byte that was asked for, and with a head that says so
#define PAUSES ((size_t)1 << 35) // the rest comes some time after the client has said at `gate` that it has all until here
#define TURN_FLAGS (STALLS | TRICKLES | ASKED | PAUSES)
#define TRICKLE_US 20000
#define PAUSE_US 50000
#define ETAG "ETag: \"one\"\r\n"

// One connection: what must be in the request, the answer's head ("%d" in it is the port), and which bytes of the body follow.
struct turn {
    const char *expects, *head;
    size_t from, to; // with flags
};

static int gate[2];

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

// By TLS it is one record that is never whole.
static void trickle(const struct side *side, const char *data, size_t size) {
    static const uint8_t record[] = {23, 3, 3, 0x40, 0};
    if (side->ssl)
        (void)!send(side->fd, record, sizeof(record), MSG_NOSIGNAL);
    for (size_t i = 0; i < size && send(side->fd, data + i, 1, MSG_NOSIGNAL) == 1; i++)
        usleep(TRICKLE_US);
}

static void send_body(const struct fixture *f, const struct side *side, const struct turn *turn, size_t from) {
    size_t to = turn->to & ~TURN_FLAGS;
    if (to > from)
        send_all(side, f->body + from, to - from);
    from = to > from ? to : from;
    if (turn->to & TRICKLES)
        trickle(side, f->body + from, BODY_BYTES - from);
    if (turn->to & PAUSES) {
        (void)!read(gate[0], &(char){0}, 1);
        usleep(PAUSE_US);
        send_all(side, f->body + from, BODY_BYTES - from);
    }
}

static char *make_head(const struct turn *turn, const char *request, size_t *from) {
    if (!strstr(request, turn->expects))
        return str_dup("HTTP/1.1 599 unexpected\r\n\r\n");
    *from = turn->from;
    if (!(turn->to & ASKED))
        return str_dup(turn->head);
    const char *range = strstr(request, "bytes=");
    *from = range ? strtoul(range + strlen("bytes="), NULL, 10) : 0;
    return str_printf("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes %zu-299999/300000\r\n\r\n", *from);
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
    size_t from = BODY_BYTES; // of what was not expected
    cleanup_free char *head = make_head(turn, request, &from);
    char *port = strstr(head, "PORT!");
    if (port)
        memcpy(port,
               (char[6]){(char)('0' + f->port / 10000), (char)('0' + f->port / 1000 % 10), (char)('0' + f->port / 100 % 10),
                         (char)('0' + f->port / 10 % 10), (char)('0' + f->port % 10)},
               5);
    send_all(&side, head, strlen(head));
    send_body(f, &side, turn, from);
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

static const struct http_options quick = {.limits = {.timeout_ms = 1000, .slow_ms = 60000}, .tries = 3, .backoff_ms = 1};
#define SLOW_MS 500

static int fetch(const char *url, const char *ca, unsigned slow_ms, char **ret_data, size_t *ret_size, struct err *err) {
    struct http_options options = quick;
    struct redirect redirect;
    char *out = NULL, *warnings = NULL;
    options.ca_file = ca;
    if (slow_ms)
        options.limits.slow_ms = slow_ms;
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
    int r = fetch(url, ca, row->turns[0].to & TRICKLES ? SLOW_MS : 0, &data, &size, &err);
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
        {-EACCES, "the server answered 403 (forbidden)", {{"GET", "HTTP/1.1 403 Forbidden\r\n\r\n", 0, 0}}},
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
    assert_int_equal(fetch(gone, NULL, 0, &data, &size, &err), -EAGAIN);
    assert_contains(err.text, "connecting to 127.0.0.1 port ");
}

static void trickling_is_not_waited_for(void **state) {
    struct fixture *f = *state;
    static const struct row goes_on = {
        0, "", {{"GET", "HTTP/1.1 200 OK\r\n" LENGTH "\r\n", 0, 100000 | TRICKLES}, {"Range: bytes=1000", "", 0, BODY_BYTES | ASKED}}};
    static const struct row is_given_up = {-EAGAIN,
                                           "and 3 tries in a row failed: the connection broke: less than 1024 bytes a second came",
                                           {{"GET", "HTTP/1.1 200 OK\r\n" LENGTH "\r\n", 0, 10 | TRICKLES},
                                            {"Range: bytes=", "", 0, TRICKLES | ASKED},
                                            {"Range: bytes=", "", 0, TRICKLES | ASKED}}};
    static const struct row a_head = {
        -EAGAIN, "less than 1024 bytes a second came", {{"GET", "HTTP/1.1 200 OK\r\nX-Header: ", 0, TRICKLES}}};
    static const struct row within_a_record = {
        0,
        "",
        {{"GET", "HTTP/1.1 200 OK\r\n" LENGTH "\r\n", 0, 100000 | TRICKLES}, {"Range: bytes=100000-", REST("100000"), 100000, BODY_BYTES}}};
    run_row(f, &goes_on, false, "127.0.0.1", NULL);
    run_row(f, &is_given_up, false, "127.0.0.1", NULL);
    run_row(f, &a_head, false, "127.0.0.1", NULL);
    make_certificate(f, "IP:127.0.0.1");
    run_row(f, &within_a_record, true, "127.0.0.1", f->ca);
}

// As one that waits for its disk: it takes seconds for the hundred bytes that are there, and then has to wait for the next ones, but not for long.
static void a_slow_reader_is_not_the_servers_fault(void **state) {
    struct fixture *f = *state;
    static const struct turn turns[MAX_TURNS] = {{"GET", "HTTP/1.1 200 OK\r\n" LENGTH "\r\n", 0, 100 | PAUSES}};
    cleanup_free struct http *http = mem_array(1, sizeof(*http));
    cleanup_free char *data = mem_array(BODY_BYTES, 1);
    struct http_options options = quick;
    struct err err = {0};
    size_t size = 0;
    ssize_t got;
    options.limits.slow_ms = SLOW_MS;
    assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
    start_server(f, false, turns);
    cleanup_free char *url = str_printf("http://127.0.0.1:%d/", f->port);
    assert_ok(http_init(url, &options, http, &err));
    assert_ok(http_start(http, &err));
    do {
        if (size == 100)
            assert_int_equal(write(gate[1], "", 1), 1);
        bool is_slow = size < 100;
        if (is_slow)
            usleep(5 * TRICKLE_US);
        got = http_read(http, data + size, is_slow ? 5 : BODY_BYTES - size, &err);
        assert_ok((int)got);
        size += (size_t)got;
    } while (got > 0);
    http_done(http);
    assert_true(stop_server(f, true));
    close(gate[0]);
    close(gate[1]);
    assert_int_equal(size, BODY_BYTES);
    assert_memory_equal(data, f->body, BODY_BYTES);
}

// The certificate anew, with another time in which it is valid: seconds from now.
static void change_validity(const struct fixture *f, long from, long to) {
    FILE *file = fopen(f->key, "re");
    assert_non_null(file);
    EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    fclose(file);
    assert_non_null(file = fopen(f->ca, "re"));
    X509 *certificate = PEM_read_X509(file, NULL, NULL, NULL);
    fclose(file);
    assert_true(key && certificate);
    assert_true(X509_gmtime_adj(X509_getm_notBefore(certificate), from) && X509_gmtime_adj(X509_getm_notAfter(certificate), to));
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    assert_non_null(file = fopen(f->ca, "we"));
    assert_int_equal(PEM_write_X509(file, certificate), 1);
    assert_int_equal(fclose(file), 0);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

// What is too early passes, and what is too late does not.
static void certificates_have_their_time(void **state) {
    struct fixture *f = *state;
    static const struct row early = {-EAGAIN, " by this system's clock: set the clock, and try again", {{"GET", "", 0, 0}}};
    static const struct row late = {-EPERM, "is not to be trusted: certificate has expired", {{"GET", "", 0, 0}}};
    make_certificate(f, "IP:127.0.0.1");
    change_validity(f, 86400, 2 * 86400);
    run_row(f, &early, true, "127.0.0.1", f->ca);
    change_validity(f, -2 * 86400, -86400);
    run_row(f, &late, true, "127.0.0.1", f->ca);
    make_certificate(f, "IP:127.0.0.2");
    change_validity(f, 86400, 2 * 86400);
    static const struct row another = {-EPERM, "IP address mismatch", {{"GET", "", 0, 0}}};
    run_row(f, &another, true, "127.0.0.1", f->ca);
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
    assert_int_equal(fetch("https://127.0.0.1:1/", "/nonexistent.pem", 0, &data, &size, &err), -EINVAL);
    assert_contains(err.text, "certificates of authorities in /nonexistent.pem");
}

#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

// A bucket whose content may not be listed says 403 of what it does not have. What asks for the file is the token's business, and stays.
static void a_report_that_is_not_there(void **state) {
    struct fixture *f = *state;
    static const struct {
        int code;
        struct turn turns[2];
    } rows[] = {
        {-ENOENT, {{"GET /dir/web-1.build.json?sig=a.raw ", "HTTP/1.1 403 Forbidden\r\n\r\n", 0, 0}}},
        {-ENOENT, {{"GET /dir/web-1.build.json?sig=a.raw ", "HTTP/1.1 404 Not Found\r\n\r\n", 0, 0}}},
        {-EPERM, {{"GET /dir/web-1.build.json?sig=a.raw ", "HTTP/1.1 401 Unauthorized\r\n\r\n", 0, 0}}},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct stack_set stacks = {0};
        struct err err = {0};
        start_server(f, false, rows[i].turns);
        cleanup_free char *url = str_printf("http://127.0.0.1:%d/dir/web-1.raw.zst?sig=a.raw", f->port);
        int r = image_report_stacks(url, &quick, &stacks, &err);
        stop_server(f, true);
        if (r != rows[i].code)
            fail_msg("row %zu: %d, %s", i, r, err.text);
    }
}

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        WITH_FIXTURE(whole_files_come),
        WITH_FIXTURE(failures_are_told_apart),
        WITH_FIXTURE(trickling_is_not_waited_for),
        WITH_FIXTURE(a_slow_reader_is_not_the_servers_fault),
        WITH_FIXTURE(certificates_are_looked_at),
        WITH_FIXTURE(certificates_have_their_time),
        WITH_FIXTURE(a_report_that_is_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
