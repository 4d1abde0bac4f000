// SPDX-License-Identifier: Apache-2.0
// libcurl, one handle per request. What the server sends is bounded, and its texts are made printable before they are shown.
#include "builder/upload/api.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/slot.h"
#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <string.h>
#include <sys/stat.h>

void api_wipe_text(char **text) {
    if (*text)
        explicit_bzero(*text, strlen(*text));
    free(*text);
    *text = NULL;
}

void api_add_printable(struct buf *text, const char *words) {
    size_t size = strlen(words);
    while (size > 0 && words[size - 1] == '\n')
        size--;
    for (size_t i = 0; i < size; i++) {
        char letter = words[i] == '\n' ? ' ' : words[i] < ' ' || words[i] > '~' ? '?' : words[i];
        buf_add(text, &letter, 1);
    }
}

void api_done(struct api *api) {
    api_wipe_text(&api->authorization);
    free(api->base);
    *api = (struct api){0};
}

void api_answer_done(struct api_answer *answer) {
    json_decref(answer->json);
    *answer = (struct api_answer){0};
}

static int check_token(const char *token, const char *name, struct err *err) {
    for (const char *at = token; *at; at++)
        if (*at <= ' ' || *at > '~')
            return err_set(err, -EINVAL, "token %s: one line without blanks is expected", name);
    return *token ? 0 : err_set(err, -EINVAL, "token %s: is empty", name);
}

static int read_token(const char *path, char **ret_token, struct err *err) {
    struct stat st;
    size_t size = 0;
    cleanup_fd int fd = file_open(AT_FDCWD, path, O_RDONLY, 0, err);
    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0)
        return err_sys(err, -errno, "token %s", path);
    if (!S_ISREG(st.st_mode) || (st.st_mode & 077))
        return err_set(err, -EPERM, "token %s: others can read it: chmod 600", path);
    cleanup(api_wipe_text) char *text = NULL;
    int r = file_read_fd(fd, path, API_MAX_TOKEN_BYTES, &text, &size, err);
    if (r < 0)
        return r;
    while (size > 0 && (text[size - 1] == '\n' || text[size - 1] == '\r'))
        text[--size] = 0;
    if (strlen(text) != size) // a NUL would hide what follows
        return err_set(err, -EINVAL, "token %s: one line without blanks is expected", path);
    r = check_token(text, path, err);
    if (r >= 0)
        *ret_token = take_ptr(text);
    return r;
}

// "AB:CD:…" or without colons, as web interfaces and openssl show it.
static bool parse_fingerprint(const char *text, uint8_t ret[API_FINGERPRINT_BYTES]) {
    char hex[2 * API_FINGERPRINT_BYTES + 1];
    size_t used = 0;
    for (; *text; text++) {
        if (*text == ':')
            continue;
        if (used == sizeof(hex) - 1)
            return false;
        hex[used++] = (char)tolower((unsigned char)*text);
    }
    hex[used] = 0;
    return used == sizeof(hex) - 1 && hex_parse(hex, API_FINGERPRINT_BYTES, ret);
}

int api_check(const char *base, const char *fingerprint, struct err *err) {
    uint8_t bytes[API_FINGERPRINT_BYTES];
    if (base && strncmp(base, "https://", 8) != 0)
        return err_set(err, -EINVAL, "%s: an https address is expected; a token goes over nothing else", base);
    if (fingerprint && !parse_fingerprint(fingerprint, bytes))
        return err_set(err, -EINVAL, "fingerprint %s: the 32 bytes of a certificate's SHA-256 in hex are expected", fingerprint);
    return 0;
}

int api_open_token(const char *base, const char *scheme, const char *token, const char *name, const char *fingerprint, struct api *ret_api,
                   struct err *err) {
    struct api api = {0};
    int r = api_check(base, fingerprint, err);
    if (r >= 0)
        r = check_token(token, name, err);
    if (r < 0)
        return r;
    if (fingerprint)
        parse_fingerprint(fingerprint, api.fingerprint);
    api.is_pinned = fingerprint != NULL;
    api.base = str_dup(base);
    for (size_t size = strlen(api.base); size > 8 && api.base[size - 1] == '/'; size--)
        api.base[size - 1] = 0;
    api.authorization = str_printf("Authorization: %s%s", scheme, token);
    *ret_api = api;
    return 0;
}

int api_open(const char *base, const char *scheme, const char *token_path, const char *fingerprint, struct api *ret_api, struct err *err) {
    cleanup(api_wipe_text) char *token = NULL;
    int r = read_token(token_path, &token, err);
    return r < 0 ? r : api_open_token(base, scheme, token, token_path, fingerprint, ret_api, err);
}

struct exchange {
    const struct api *api;
    CURL *easy;
    struct curl_slist *headers;
    curl_mime *mime;
    struct buf body; // of the answer
    char *url, *fields;
    char why[CURL_ERROR_SIZE];
    char other[2 * API_FINGERPRINT_BYTES + 1]; // the certificate that came instead; "" = none
    struct api_answer *answer;
    const struct api_file *file;
};

static void exchange_done(struct exchange *exchange) {
    curl_mime_free(exchange->mime);
    curl_slist_free_all(exchange->headers);
    curl_easy_cleanup(exchange->easy);
    buf_done(&exchange->body);
    free(exchange->url);
    free(exchange->fields);
}

static size_t collect(char *data, size_t size, size_t count, void *user) {
    struct exchange *exchange = user;
    if (exchange->body.size + size * count > API_MAX_ANSWER_BYTES)
        return 0;
    buf_add(&exchange->body, data, size * count);
    return size * count;
}

// "HTTP/1.1 400 Parameter verification failed." – some servers say the reason there only.
static size_t read_header(char *data, size_t size, size_t count, void *user) {
    struct exchange *exchange = user;
    cleanup_free char *line = str_printf("%.*s", (int)(size * count), data);
    char *blank = strncmp(line, "HTTP/", 5) == 0 ? strchr(line, ' ') : NULL;
    char *reason = blank ? strchr(blank + 1, ' ') : NULL;
    if (blank)
        snprintf(exchange->answer->reason, sizeof(exchange->answer->reason), "%s", reason ? reason + 1 : "");
    for (char *at = exchange->answer->reason; blank && *at; at++)
        if (*at < ' ' || *at > '~')
            *at = 0;
    return size * count;
}

static int check_certificate(X509_STORE_CTX *store, void *user) {
    struct exchange *exchange = user;
    uint8_t found[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    const X509 *certificate = X509_STORE_CTX_get0_cert(store);
    bool is_right = certificate && X509_digest(certificate, EVP_sha256(), found, &size) == 1 && size == API_FINGERPRINT_BYTES &&
                    CRYPTO_memcmp(found, exchange->api->fingerprint, API_FINGERPRINT_BYTES) == 0;
    if (!is_right && size == API_FINGERPRINT_BYTES)
        hex_format(found, size, exchange->other);
    X509_STORE_CTX_set_error(store, is_right ? X509_V_OK : X509_V_ERR_CERT_REJECTED);
    return is_right;
}

static CURLcode pin(CURL *easy, void *context, void *user) {
    (void)easy;
    SSL_CTX_set_cert_verify_callback(context, check_certificate, user);
    return CURLE_OK;
}

static int show(void *user, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up) {
    const struct exchange *exchange = user;
    (void)down_total, (void)down;
    if (exchange->file->progress && up_total > 0)
        exchange->file->progress(exchange->file->context, (uint64_t)up, (uint64_t)up_total);
    return 0;
}

static int prepare(struct exchange *exchange, struct err *err) {
    CURL *easy = exchange->easy = curl_easy_init();
    if (!easy)
        return err_set(err, -ENOMEM, "out of memory");
    exchange->headers = curl_slist_append(curl_slist_append(NULL, exchange->api->authorization), "Expect:");
    curl_easy_setopt(easy, CURLOPT_URL, exchange->url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, exchange->headers);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, 20L);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, 60L);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "webops-image/" WEBOPS_VERSION);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, collect);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, exchange);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, read_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, exchange);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, exchange->why);
    if (exchange->api->is_pinned) {
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L); // it is this certificate, whatever name it bears
        curl_easy_setopt(easy, CURLOPT_CAINFO, NULL); // and whoever signed it: reading all authorities takes longer than the request
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
        curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, pin);
        curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, exchange);
    }
    return 0;
}

static void encode(struct exchange *exchange, const struct api_field *fields) {
    struct buf text = {0};
    for (; fields && fields->name; fields++) {
        if (!fields->value)
            continue;
        char *name = curl_easy_escape(exchange->easy, fields->name, 0), *value = curl_easy_escape(exchange->easy, fields->value, 0);
        buf_printf(&text, "%s%s=%s", text.size ? "&" : "", name, value);
        curl_free(name);
        curl_free(value);
    }
    exchange->fields = text.size ? buf_take(&text) : NULL;
}

// What a later attempt does not change; CURLE_OK stands for all else.
static const struct failure {
    CURLcode code;
    int error;
    const char *advice;
} failures[] = {
    {CURLE_PEER_FAILED_VERIFICATION, -EACCES,
     " (no certificate authority that this computer knows vouches for it: --fingerprint SHA256 says which certificate is the right one)"},
    {CURLE_URL_MALFORMAT, -EINVAL, ""},
    {CURLE_WRITE_ERROR, -EFBIG, " (the answer is larger than any that is expected)"},
    {CURLE_OK, -EAGAIN, ""},
};

static int fail(const struct exchange *exchange, CURLcode code, struct err *err) {
    char wanted[2 * API_FINGERPRINT_BYTES + 1];
    if (*exchange->other) {
        hex_format(exchange->api->fingerprint, API_FINGERPRINT_BYTES, wanted);
        return err_set(
            err, -EACCES,
            "%s: its certificate has the SHA-256 fingerprint %s, and not %s; if it was renewed, take the new one from the server itself",
            exchange->api->base, exchange->other, wanted);
    }
    const struct failure *failure = failures;
    while (failure->code != CURLE_OK && failure->code != code)
        failure++;
    return err_set(err, failure->error, "%s: %s%s", exchange->url, *exchange->why ? exchange->why : curl_easy_strerror(code),
                   failure->advice);
}

static int perform(struct exchange *exchange, struct err *err) {
    *exchange->answer = (struct api_answer){0};
    CURLcode code = curl_easy_perform(exchange->easy);
    if (code != CURLE_OK)
        return fail(exchange, code, err);
    curl_easy_getinfo(exchange->easy, CURLINFO_RESPONSE_CODE, &exchange->answer->status);
    exchange->answer->json = json_loadb(buf_str(&exchange->body), exchange->body.size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
    return 0;
}

int api_call(const struct api *api, const char *method, const char *path, const struct api_field *fields, struct api_answer *ret_answer,
             struct err *err) {
    cleanup(exchange_done) struct exchange exchange = {.api = api, .answer = ret_answer, .url = str_printf("%s%s", api->base, path)};
    bool has_body = strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0;
    int r = prepare(&exchange, err);
    if (r < 0)
        return r;
    encode(&exchange, fields);
    if (!has_body && exchange.fields) {
        cleanup_free char *bare = exchange.url;
        exchange.url = str_printf("%s?%s", bare, exchange.fields);
        curl_easy_setopt(exchange.easy, CURLOPT_URL, exchange.url);
    }
    if (has_body)
        curl_easy_setopt(exchange.easy, CURLOPT_COPYPOSTFIELDS, exchange.fields ?: "");
    curl_easy_setopt(exchange.easy, CURLOPT_CUSTOMREQUEST, method);
    return perform(&exchange, err);
}

int api_call_json(const struct api *api, const char *method, const char *path, const json_t *body, struct api_answer *ret_answer,
                  struct err *err) {
    cleanup(exchange_done) struct exchange exchange = {.api = api, .answer = ret_answer, .url = str_printf("%s%s", api->base, path)};
    int r = prepare(&exchange, err);
    if (r < 0)
        return r;
    exchange.fields = json_dumps(body, JSON_COMPACT);
    exchange.headers = curl_slist_append(exchange.headers, "Content-Type: application/json");
    curl_easy_setopt(exchange.easy, CURLOPT_COPYPOSTFIELDS, exchange.fields ?: "");
    curl_easy_setopt(exchange.easy, CURLOPT_CUSTOMREQUEST, method);
    return perform(&exchange, err);
}

int api_upload(const struct api *api, const char *path, const struct api_field *fields, const struct api_file *file,
               struct api_answer *ret_answer, struct err *err) {
    cleanup(exchange_done) struct exchange exchange = {
        .api = api, .answer = ret_answer, .url = str_printf("%s%s", api->base, path), .file = file};
    int r = prepare(&exchange, err);
    if (r < 0)
        return r;
    exchange.mime = curl_mime_init(exchange.easy);
    curl_mimepart *part = NULL;
    for (; fields && fields->name; fields++) {
        if (!fields->value)
            continue;
        part = curl_mime_addpart(exchange.mime);
        curl_mime_name(part, fields->name);
        curl_mime_data(part, fields->value, CURL_ZERO_TERMINATED);
    }
    part = curl_mime_addpart(exchange.mime);
    if (curl_mime_filedata(part, file->path) != CURLE_OK)
        return err_set(err, -ENOENT, "cannot read %s", file->path);
    curl_mime_name(part, file->field);
    curl_mime_filename(part, file->name);
    curl_mime_type(part, "application/octet-stream");
    curl_easy_setopt(exchange.easy, CURLOPT_MIMEPOST, exchange.mime);
    curl_easy_setopt(exchange.easy, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(exchange.easy, CURLOPT_XFERINFOFUNCTION, show);
    curl_easy_setopt(exchange.easy, CURLOPT_XFERINFODATA, &exchange);
    return perform(&exchange, err);
}
