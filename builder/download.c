// SPDX-License-Identifier: Apache-2.0
// One libcurl transfer into a temporary file, hashed afterwards, renamed when it is what was asked for.
#include "builder/download.h"
#include "common/digest.h"
#include "builder/deb.h"
#include "builder/tempdir.h"
#include "common/file.h"
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

struct target {
    int fd;
    uint64_t size;
    int error;
};

static size_t collect(char *data, size_t size, size_t count, void *user) {
    struct target *target = user;
    struct err err;
    target->size += size * count;
    target->error = target->size > DOWNLOAD_MAX_BYTES ? -EFBIG : file_write_all(target->fd, "download", data, size * count, &err);
    return target->error < 0 ? 0 : size * count;
}

static int transfer(const char *url, int fd, struct err *err) {
    CURL *easy = curl_easy_init();
    if (!easy)
        return err_set(err, -ENOMEM, "cannot fetch %s: out of memory", url);
    struct target target = {.fd = fd};
    char why[CURL_ERROR_SIZE] = "";
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https,file");
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(easy, CURLOPT_MAXREDIRS, 10L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, 20L);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1024L);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, 60L);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE,
                     (curl_off_t)DOWNLOAD_MAX_BYTES); // refused before the first byte when the size is told
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "webops-image/" WEBOPS_VERSION);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, collect);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &target);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, why);
    CURLcode code = curl_easy_perform(easy);
    curl_easy_cleanup(easy);
    if (code == CURLE_FILESIZE_EXCEEDED)
        target.error = -EFBIG;
    if (target.error < 0)
        return err_sys(err, target.error, "cannot fetch %s", url);
    return code == CURLE_OK ? 0 : err_set(err, -EAGAIN, "cannot fetch %s: %s", url, why[0] ? why : curl_easy_strerror(code));
}

static int check_hash(const char *path, const char *wanted, const char *what, struct err *err) {
    char sha256[65];
    uint64_t size;
    int r = digest_file(AT_FDCWD, path, sha256, &size, err);
    if (r >= 0 && strcmp(sha256, wanted) != 0)
        r = err_set(err, -EBADMSG, "%s: has SHA-256 %s, expected was %s", what, sha256, wanted);
    return r;
}

bool download_is_there(const char *dir, const char *sha256) {
    cleanup_free char *path = str_printf("%s/%s", dir, sha256);
    struct err ignored;
    return file_exists(AT_FDCWD, path) && check_hash(path, sha256, path, &ignored) >= 0;
}

int download_take_in(const char *dir, const char *from, const char *sha256, const char *what, struct err *err) {
    cleanup_free char *path = str_printf("%s/%s", dir, sha256);
    int r = check_hash(from, sha256, what, err);
    return r >= 0 && rename(from, path) < 0 ? err_sys(err, -errno, "cannot write %s", path) : r;
}

int download_ensure(const char *dir, const struct recipe_fetch *fetch, bool is_offline, struct err *err) {
    cleanup_free char *base = str_printf("%s/new", dir), *part = NULL;
    cleanup_tempdir char *work = NULL;
    if (strlen(fetch->sha256) != 64 || strspn(fetch->sha256, "0123456789abcdef") != 64)
        return err_set(err, -EINVAL, "%s: sha256 must be 64 lower-case hex digits", fetch->url);
    if (download_is_there(dir, fetch->sha256))
        return 0;
    if (is_offline)
        return err_set(err, -EAGAIN, "%s is not in the cache: an offline build needs one online build before it", fetch->url);
    int r = tempdir_make_beside(base, &work, err);
    if (r < 0)
        return r;
    part = str_printf("%s/part", work);
    cleanup_fd int fd = file_open(AT_FDCWD, part, O_WRONLY | O_CREAT | O_EXCL, 0600, err);
    r = fd < 0 ? fd : transfer(fetch->url, fd, err);
    if (r >= 0)
        r = download_take_in(dir, part, fetch->sha256, fetch->url, err);
    return r < 0 ? r : 1;
}
