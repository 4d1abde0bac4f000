// SPDX-License-Identifier: Apache-2.0
// One libcurl transfer into a temporary file, hashed afterwards, renamed when it is what was asked for.
#include "builder/download.h"
#include "common/digest.h"
#include "builder/deb.h"
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

static int check_hash(const char *path, const struct recipe_fetch *fetch, struct err *err) {
    char sha256[65];
    uint64_t size;
    int r = digest_file(AT_FDCWD, path, sha256, &size, err);
    if (r >= 0 && strcmp(sha256, fetch->sha256) != 0)
        r = err_set(err, -EBADMSG, "%s: has SHA-256 %s, the recipe says %s", fetch->url, sha256, fetch->sha256);
    return r;
}

bool download_is_there(const char *dir, const struct recipe_fetch *fetch) {
    cleanup_free char *path = str_printf("%s/%s", dir, fetch->sha256);
    struct err ignored;
    return file_exists(AT_FDCWD, path) && check_hash(path, fetch, &ignored) >= 0;
}

int download_ensure(const char *dir, const struct recipe_fetch *fetch, struct err *err) {
    cleanup_free char *path = str_printf("%s/%s", dir, fetch->sha256), *part = str_printf("%s/new-XXXXXX", dir);
    if (strlen(fetch->sha256) != 64 || strspn(fetch->sha256, "0123456789abcdef") != 64)
        return err_set(err, -EINVAL, "%s: sha256 must be 64 lower-case hex digits", fetch->url);
    if (download_is_there(dir, fetch))
        return 0;
    cleanup_fd int fd = mkostemp(part, O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, -errno, "cannot write into %s", dir);
    int r = transfer(fetch->url, fd, err);
    if (r >= 0)
        r = check_hash(part, fetch, err);
    if (r >= 0 && rename(part, path) < 0)
        r = err_sys(err, -errno, "cannot write %s", path);
    if (r < 0)
        unlink(part);
    return r < 0 ? r : 1;
}
