// SPDX-License-Identifier: Apache-2.0
// Requests by libcurl, all at once; a file's time is the server's, so that the next request can be conditional.
#include "builder/fingerprint.h"
#include "common/file.h"
#include "common/sha256.h"
#include "common/slot.h"
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

#define MAX_RELEASE_BYTES (4u << 20)
#define MAX_KEYRING_BYTES (1u << 20)

struct release {
    char *url, *file, *asked; // file: cached copy, its mtime is the server's; asked: stamp of the last request
    struct buf body;
    CURL *easy;
    char error[CURL_ERROR_SIZE];
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
    if (release->body.size + size * count > MAX_RELEASE_BYTES)
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

static void prepare(struct release *release) {
    CURL *easy = release->easy;
    struct stat info;
    curl_easy_setopt(easy, CURLOPT_URL, release->url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https,file");
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(easy, CURLOPT_MAXREDIRS, 5L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, 10L);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT, 60L);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(easy, CURLOPT_FILETIME, 1L);
    curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "");
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "webops-image/" WEBOPS_VERSION);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, collect);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, release);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, release->error);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, release);
    if (strncmp(release->url, "http", 4) == 0 && stat(release->file, &info) == 0) {
        curl_easy_setopt(easy, CURLOPT_TIMECONDITION, (long)CURL_TIMECOND_IFMODSINCE);
        curl_easy_setopt(easy, CURLOPT_TIMEVALUE_LARGE, (curl_off_t)info.st_mtime);
    }
}

static int save(struct release *release, struct err *err) {
    long unmet = 0;
    curl_off_t changed = -1;
    curl_easy_getinfo(release->easy, CURLINFO_CONDITION_UNMET, &unmet);
    curl_easy_getinfo(release->easy, CURLINFO_FILETIME_T, &changed);
    int r = unmet ? 0 : file_publish(AT_FDCWD, release->file, buf_str(&release->body), release->body.size, 0644, err);
    struct timespec times[2] = {{.tv_sec = changed}, {.tv_sec = changed}};
    if (r >= 0 && !unmet) // without a date from the server the next request must not be conditional on ours
        (void)!utimensat(AT_FDCWD, release->file, changed >= 0 ? times : (struct timespec[2]){{0}, {0}}, 0);
    return r < 0 ? r : file_publish(AT_FDCWD, release->asked, "", 0, 0644, err);
}

static int finish_one(CURLMsg *message, struct err *err) {
    struct release *release = NULL;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &release);
    if (message->data.result == CURLE_OK)
        return save(release, err);
    const char *why = release->error[0] ? release->error : curl_easy_strerror(message->data.result);
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
            if (message->msg == CURLMSG_DONE)
                r = finish_one(message, err);
        if (running && r >= 0)
            curl_multi_poll(list->multi, NULL, 0, 1000, NULL);
    }
    return r;
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
        int r = hash_file(&sha, list->items[i].file, MAX_RELEASE_BYTES, err);
        if (r < 0)
            return r;
    }
    for (unsigned i = 0; i < image->source_count; i++) {
        int r = hash_file(&sha, image->sources[i].keyring, MAX_KEYRING_BYTES, err);
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
