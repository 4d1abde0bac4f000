// SPDX-License-Identifier: Apache-2.0
// Order matters here: nothing is written to state before the check has passed, and config.env is written last, because it is what makes
// the next boot stop looking.
#include "firstboot/candidate.h"
#include "common/file.h"
#include "common/sha256.h"
#include "common/slot.h" // hex_format
#include "firstboot/discover.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

#define INCOMING "run/webops/incoming"

void candidate_done(struct candidate *candidate) {
    free(candidate->source);
    if (candidate->text.data)
        explicit_bzero(candidate->text.data, candidate->text.size);
    buf_done(&candidate->text);
    for (size_t i = 0; i < candidate->secret_count; i++) {
        explicit_bzero(candidate->secrets[i].data, candidate->secrets[i].size);
        free(candidate->secrets[i].data);
        free(candidate->secrets[i].name);
    }
    free(candidate->secrets);
    free(candidate->sealed);
    config_problems_done(&candidate->problems);
    *candidate = (struct candidate){0};
}

int candidate_read_file(int dir_fd, const char *name, size_t max_bytes, char **ret_data, size_t *ret_size, struct err *err) {
    struct stat st;
    cleanup_fd int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, -errno, "cannot open %s", name);
    if (fstat(fd, &st) < 0)
        return err_sys(err, -errno, "cannot examine %s", name);
    if (!S_ISREG(st.st_mode))
        return err_set(err, -EINVAL, "%s is not a regular file", name);
    return file_read_fd(fd, name, max_bytes, ret_data, ret_size, err);
}

static const struct secret *find_secret(const struct candidate *candidate, const char *name) {
    for (size_t i = 0; i < candidate->secret_count; i++)
        if (strcmp(candidate->secrets[i].name, name) == 0)
            return &candidate->secrets[i];
    return NULL;
}

void candidate_add_secret(struct candidate *candidate, const char *name, char *data, size_t size) {
    const char *problem = NULL;
    if (size == 0 || size > SCHEMA_SECRET_MAX_BYTES)
        problem = size ? "is larger than 64 KiB" : "is empty";
    else if (candidate->secret_count == CANDIDATE_MAX_SECRETS)
        problem = "is one too many";
    if (problem)
        config_problem_add(&candidate->problems, 0, "secret %s %s", name, problem);
    if (problem || find_secret(candidate, name)) {
        explicit_bzero(data, size);
        free(data);
        return;
    }
    candidate->secrets = mem_resize(candidate->secrets, candidate->secret_count + 1, sizeof(*candidate->secrets));
    candidate->secrets[candidate->secret_count++] = (struct secret){str_dup(name), data, size};
}

// A source may hold other files beside the secrets ("lost+found", ".", a README): only names that say "secret" are ours.
static bool wants_to_be_secret(const char *name) {
    size_t size = strlen(name);
    return size >= 7 && strcmp(name + size - 7, ".secret") == 0;
}

void candidate_add_secrets(struct candidate *candidate, int dir_fd, const char *path) {
    int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    cleanup_dir DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        struct err err;
        char *data = NULL;
        size_t size;
        if (!wants_to_be_secret(entry->d_name))
            continue;
        if (!schema_is_secret_name(entry->d_name))
            config_problem_add(&candidate->problems, 0, "a file among the secrets has a name that is not letters, digits, '.', '_', '-'");
        else if (candidate_read_file(dirfd(dir), entry->d_name, SCHEMA_SECRET_MAX_BYTES, &data, &size, &err) < 0)
            config_problem_add(&candidate->problems, 0, "secret %s", err.text);
        else
            candidate_add_secret(candidate, entry->d_name, data, size);
    }
}

// An empty directory of mode 0700, whatever stood there before.
static int make_private_dir(int root_fd, const char *path, struct err *err) {
    int r = file_mkdirs(root_fd, "run/webops", 0755, err);
    if (r == 0)
        r = file_remove_tree(root_fd, path, err);
    if (r == 0)
        r = file_mkdirs(root_fd, path, 0700, err);
    return r < 0 ? r : file_open(root_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, err);
}

static int write_secrets(const struct candidate *candidate, int dir_fd, struct err *err) {
    for (size_t i = 0; i < candidate->secret_count; i++) {
        const struct secret *secret = &candidate->secrets[i];
        int r = file_publish(dir_fd, secret->name, secret->data, secret->size, 0600, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static void check_files(struct candidate *candidate, const struct schema *schema, int root_fd, const struct config *config) {
    struct err err;
    if (candidate->secret_count == 0) {
        (void)!schema_check_files(schema, config, -1, SCHEMA_SECRETS_DIR, &candidate->problems);
        return;
    }
    cleanup_fd int dir_fd = make_private_dir(root_fd, INCOMING, &err);
    int r = dir_fd < 0 ? dir_fd : write_secrets(candidate, dir_fd, &err);
    if (r == 0)
        (void)!schema_check_files(schema, config, dir_fd, SCHEMA_SECRETS_DIR, &candidate->problems);
    if (r == 0)
        r = file_remove_tree(root_fd, INCOMING, &err);
    if (r < 0)
        config_problem_add(&candidate->problems, 0, "the secrets could not be checked: %s", err.text);
}

int candidate_check(struct candidate *candidate, const struct schema *schema, int root_fd, struct config *ret_config) {
    cleanup_config struct config config = {0};
    // The result is in the list: what reading the source found counts too.
    (void)!schema_parse(schema, buf_str(&candidate->text), candidate->text.size, &config, &candidate->problems);
    check_files(candidate, schema, root_fd, &config);
    if (candidate->problems.count)
        return -EINVAL;
    *ret_config = config;
    config = (struct config){0};
    return 0;
}

static int remember_secrets(const struct candidate *candidate, int root_fd, struct err *err) {
    if (candidate->secret_count == 0)
        return 0;
    int r = file_mkdirs(root_fd, "webops", 0755, err);
    if (r == 0)
        r = file_mkdirs(root_fd, DISCOVER_SECRETS, 0700, err);
    if (r < 0)
        return r;
    cleanup_fd int dir_fd = file_open(root_fd, DISCOVER_SECRETS, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, err);
    if (dir_fd < 0)
        return dir_fd;
    if (fchmod(dir_fd, 0700) < 0) // it may have been made by hand
        return err_sys(err, -errno, "cannot set the mode of %s", DISCOVER_SECRETS);
    return write_secrets(candidate, dir_fd, err);
}

static int remember_source(const struct candidate *candidate, int root_fd, struct err *err) {
    uint8_t digest[SHA256_BYTES];
    char hex[2 * SHA256_BYTES + 1], when[32] = "";
    time_t now = time(NULL);
    struct tm tm;
    sha256_hash(buf_str(&candidate->text), candidate->text.size, digest);
    hex_format(digest, sizeof(digest), hex);
    strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
    cleanup_free char *text = str_printf("source: %s\nsha256: %s\ntime: %s\n", candidate->source, hex, when);
    int r = file_mkdirs(root_fd, "var/lib/webops", 0755, err);
    return r < 0 ? r : file_publish(root_fd, DISCOVER_RECORD, text, strlen(text), 0644, err);
}

int candidate_remember(const struct candidate *candidate, int root_fd, struct err *err) {
    int r = remember_secrets(candidate, root_fd, err);
    if (r == 0)
        r = remember_source(candidate, root_fd, err);
    if (r == 0)
        r = file_mkdirs(root_fd, "webops", 0755, err);
    if (r == 0)
        r = file_publish(root_fd, DISCOVER_CONFIG, buf_str(&candidate->text), candidate->text.size, 0600, err);
    return r < 0 ? err_prefix(err, r, "the configuration from %s could not be remembered", candidate->source) : 0;
}
