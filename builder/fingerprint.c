// SPDX-License-Identifier: Apache-2.0
// Requests by libcurl, all at once. They are conditional by the server's entity tag (RFC 9110, 8.8.3) and not by its times: with those a mirror that goes
// back to what it had yesterday would seem unchanged, and one false time from the future would make it seem so for ever.
#include "builder/fingerprint.h"
#include "builder/keyring.h"
#include "common/clock.h"
#include "common/digest.h"
#include "common/file.h"
#include "common/log.h"
#include "common/sha256.h"
#include "common/slot.h"
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

#define MAX_KEYRING_BYTES (1u << 20)
#define MAX_TAG_BYTES 256
#define HTTP_NOT_MODIFIED 304
#define ATTEMPTS 3 // as apt is told to make for what it fetches itself
#define PAUSE_MS 1000

struct release {
    char *url, *file, *asked; // file: cached copy; asked: stamp of the last request, with the copy's SHA-256 and tag
    struct buf body;
    CURL *easy;
    struct curl_slist *headers;
    char error[CURL_ERROR_SIZE];
    unsigned attempts;
    bool fresh; // needs no request
};

struct releases {
    struct release *items;
    size_t count;
    CURLM *multi;
};

static void releases_done(struct releases *list) {
    for (size_t i = 0; i < list->count; i++) {
        struct release *release = &list->items[i];
        if (release->easy) {
            curl_multi_remove_handle(list->multi, release->easy);
            curl_easy_cleanup(release->easy);
        }
        curl_slist_free_all(release->headers);
        free(release->url);
        free(release->file);
        free(release->asked);
        buf_done(&release->body);
    }
    free(list->items);
    if (list->multi)
        curl_multi_cleanup(list->multi);
}

static size_t collect(char *data, size_t size, size_t count, void *user) {
    struct release *release = user;
    if (release->body.size + size * count > FINGERPRINT_MAX_BYTES)
        return 0;
    buf_add(&release->body, data, size * count);
    return size * count;
}

static bool is_young(const char *path, long max_age_s) {
    struct stat info;
    if (stat(path, &info) < 0)
        return false;
    time_t age = time(NULL) - info.st_mtime;
    return max_age_s < 0 || (age >= 0 && age < max_age_s);
}

static char *beside(const char *url, const char *metadata, const char *suffix) {
    uint8_t digest[SHA256_BYTES];
    char hex[2 * SHA256_BYTES + 1];
    sha256_hash(url, strlen(url), digest);
    hex_format(digest, SHA256_BYTES, hex);
    return str_printf("%s/%s.%s", metadata, hex, suffix);
}

char *fingerprint_copy(const char *url, const char *metadata) {
    return beside(url, metadata, "release");
}

static void add_release(struct releases *list, const char *url, const char *metadata, long max_age_s) {
    list->items = mem_resize(list->items, list->count + 1, sizeof(*list->items));
    struct release *release = &list->items[list->count++];
    *release = (struct release){.url = str_dup(url), .file = fingerprint_copy(url, metadata), .asked = beside(url, metadata, "asked")};
    release->fresh = file_exists(AT_FDCWD, release->file) && is_young(release->asked, max_age_s);
}

static bool is_closed(const char *url) {
    return strncmp(url, "https://", 8) == 0;
}

static bool is_tag(const char *text) {
    for (const char *c = text; *c; c++)
        if (*c < '!' || *c > '~')
            return false;
    return *text && strlen(text) <= MAX_TAG_BYTES;
}

// The tag that our copy came with; NULL where it had none, or is not the one that was noted then.
static char *known_tag(const struct release *release) {
    cleanup_free char *noted = NULL;
    char sha256[FINGERPRINT_HEX_BYTES];
    struct err ignored;
    if (file_read(AT_FDCWD, release->asked, MAX_TAG_BYTES + FINGERPRINT_HEX_BYTES + 1, &noted, NULL, &ignored) < 0 ||
        digest_file(AT_FDCWD, release->file, sha256, NULL, &ignored) < 0 || strncmp(noted, sha256, strlen(sha256)) != 0)
        return NULL;
    const char *tag = noted + strlen(sha256);
    return *tag == ' ' && is_tag(tag + 1) ? str_dup(tag + 1) : NULL;
}

static void prepare(struct release *release) {
    CURL *easy = release->easy;
    cleanup_free char *tag = known_tag(release), *condition = tag ? str_printf("If-None-Match: %s", tag) : NULL;
    curl_easy_setopt(easy, CURLOPT_URL, release->url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https,file");
    // Where the way is closed, it stays so: of an index without a signature that is all there is.
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, is_closed(release->url) ? "https" : "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(easy, CURLOPT_MAXREDIRS, 5L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, 10L);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT, 60L);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "");
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "webops-image/" WEBOPS_VERSION);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, collect);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, release);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, release->error);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, release);
    if (condition)
        release->headers = curl_slist_append(NULL, condition);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, release->headers);
}

static int save_body(const struct release *release, struct err *err) {
    struct curl_header *header;
    const bool has_tag = curl_easy_header(release->easy, "ETag", 0, CURLH_HEADER, -1, &header) == CURLHE_OK && is_tag(header->value);
    uint8_t digest[SHA256_BYTES];
    char sha256[FINGERPRINT_HEX_BYTES];
    sha256_hash(buf_str(&release->body), release->body.size, digest);
    hex_format(digest, SHA256_BYTES, sha256);
    cleanup_free char *noted = str_printf("%s%s%s", sha256, has_tag ? " " : "", has_tag ? header->value : "");
    int r = file_publish(AT_FDCWD, release->file, buf_str(&release->body), release->body.size, 0644, err);
    return r < 0 ? r : file_publish(AT_FDCWD, release->asked, noted, strlen(noted), 0644, err);
}

static int save(const struct release *release, struct err *err) {
    long code = 0;
    curl_easy_getinfo(release->easy, CURLINFO_RESPONSE_CODE, &code);
    if (code != HTTP_NOT_MODIFIED)
        return save_body(release, err);
    if (!release->headers)
        return err_set(err, -EPROTO, "%s answers that nothing has changed, without having been asked for that", release->url);
    return utimensat(AT_FDCWD, release->asked, NULL, 0) < 0 ? err_sys(err, -errno, "cannot write %s", release->asked) : 0;
}

// What is over in a moment, most often: of the way to the mirror, or by RFC 9110 (15.6) of the mirror itself.
static bool is_passing(CURL *easy, CURLcode result) {
    long code = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &code);
    switch (result) {
    case CURLE_HTTP_RETURNED_ERROR:
        return code >= 500 || code == 429;
    case CURLE_GOT_NOTHING:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
        return true;
    default:
        return false;
    }
}

static void ask_again(struct releases *list, struct release *release) {
    curl_multi_remove_handle(list->multi, release->easy);
    buf_done(&release->body);
    clock_sleep_ms(PAUSE_MS);
    curl_multi_add_handle(list->multi, release->easy);
}

// Returns 1 when it is asked once more.
static int finish_one(struct releases *list, CURL *easy, CURLcode result, struct err *err) {
    struct release *release = NULL;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &release);
    if (result == CURLE_OK)
        return save(release, err);
    const char *why = release->error[0] ? release->error : curl_easy_strerror(result);
    if (is_passing(easy, result) && ++release->attempts < ATTEMPTS) {
        log_warn("%s: %s; asking again", release->url, why);
        ask_again(list, release);
        return 1;
    }
    if (result == CURLE_UNSUPPORTED_PROTOCOL && is_closed(release->url))
        return err_set(err, -EINVAL, "%s sends on to an address without https, where anybody on the way could answer: name another mirror",
                       release->url);
    return err_set(err, -EAGAIN, "cannot fetch %s: %s: check network and mirror, or build offline from what was fetched before",
                   release->url, why);
}

static int request_all(struct releases *list, struct err *err) {
    int running = 1, left, r = 0;
    for (size_t i = 0; i < list->count; i++) {
        struct release *release = &list->items[i];
        if (release->fresh)
            continue;
        release->easy = curl_easy_init();
        if (!release->easy)
            return err_set(err, -ENOMEM, "cannot fetch %s: out of memory", release->url);
        prepare(release);
        curl_multi_add_handle(list->multi, release->easy);
    }
    while (running && r >= 0) {
        if (curl_multi_perform(list->multi, &running) != CURLM_OK)
            return err_set(err, -EIO, "cannot ask the mirrors");
        for (CURLMsg *message; r >= 0 && (message = curl_multi_info_read(list->multi, &left));)
            if (message->msg == CURLMSG_DONE) {
                r = finish_one(list, message->easy_handle, message->data.result, err);
                running += r > 0;
            }
        if (running && r >= 0)
            curl_multi_poll(list->multi, NULL, 0, 1000, NULL);
    }
    return r < 0 ? r : 0;
}

static void hash_text(struct sha256 *sha, const char *text, size_t size) {
    uint64_t length = size;
    sha256_update(sha, &length, sizeof(length));
    sha256_update(sha, text, size);
}

static int hash_file(struct sha256 *sha, const char *path, size_t max_bytes, struct err *err) {
    cleanup_free char *text = NULL;
    size_t size;
    int r = file_read(AT_FDCWD, path, max_bytes, &text, &size, err);
    if (r >= 0)
        hash_text(sha, text, size);
    return r;
}

static int hash_all(const struct recipe_image *image, const struct releases *list, const char *sources, char *ret_hex, struct err *err) {
    struct sha256 sha;
    uint8_t digest[SHA256_BYTES];
    sha256_init(&sha);
    hash_text(&sha, sources, strlen(sources));
    for (size_t i = 0; i < list->count; i++) {
        int r = hash_file(&sha, list->items[i].file, FINGERPRINT_MAX_BYTES, err);
        if (r < 0)
            return r;
    }
    for (unsigned i = 0; i < image->source_count; i++) {
        int r = keyring_require(image, &image->sources[i], err);
        if (r < 0)
            return r;
        r = hash_file(&sha, image->sources[i].keyring, MAX_KEYRING_BYTES, err);
        if (r < 0)
            return err_prefix(err, r, "keyring of %s", image->sources[i].archive);
    }
    sha256_final(&sha, digest);
    hex_format(digest, SHA256_BYTES, ret_hex);
    return 0;
}

int fingerprint_mirrors(const struct recipe_image *image, const char *text, const struct strings *urls, const char *metadata,
                        long max_age_s, char ret_hex[FINGERPRINT_HEX_BYTES], struct err *err) {
    cleanup(releases_done) struct releases list = {.multi = curl_multi_init()};
    for (unsigned i = 0; i < urls->count; i++)
        add_release(&list, urls->items[i], metadata, max_age_s);
    for (size_t i = 0; max_age_s < 0 && i < list.count; i++)
        if (!list.items[i].fresh)
            return err_set(err, -EAGAIN, "%s was never fetched: an offline build needs one online build before it", list.items[i].url);
    int r = request_all(&list, err);
    return r < 0 ? r : hash_all(image, &list, text, ret_hex, err);
}
