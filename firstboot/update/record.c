// SPDX-License-Identifier: Apache-2.0
// The check value is the SHA-256 over everything before its line. It finds damage, not malice: who can write state can write it, too.
#include "firstboot/update/record.h"
#include "common/digest.h"
#include "common/file.h"
#include "common/log.h"
#include "common/schema_types.h"
#include "common/slot.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define CHECK_KEY "RECORD_SHA256="
#define CHECK_BYTES (sizeof(CHECK_KEY) - 1 + 64 + 1) // with LF

static void check_line(const char *text, size_t size, char ret_line[CHECK_BYTES + 1]) {
    uint8_t hash[DIGEST_BYTES];
    char hex[2 * DIGEST_BYTES + 1];
    digest_bytes(text, size, hash);
    hex_format(hash, sizeof(hash), hex);
    snprintf(ret_line, CHECK_BYTES + 1, CHECK_KEY "%s\n", hex);
}

int record_check(const char *text, size_t size, size_t *ret_size, struct err *err) {
    char line[CHECK_BYTES + 1];
    if (size < CHECK_BYTES)
        return err_set(err, -EINVAL, "it is too short");
    check_line(text, size - CHECK_BYTES, line);
    if (memcmp(text + size - CHECK_BYTES, line, CHECK_BYTES) != 0)
        return err_set(err, -EINVAL, "its check value is wrong");
    *ret_size = size - CHECK_BYTES;
    return 0;
}

int record_save(int root_fd, const char *path, const struct buf *text, struct err *err) {
    char line[CHECK_BYTES + 1];
    cleanup_buf struct buf whole = {0};
    cleanup_free char *directory = str_printf("%.*s", (int)(strrchr(path, '/') - path), path);
    check_line(buf_str(text), text->size, line);
    buf_add(&whole, text->data, text->size);
    buf_add_str(&whole, line);
    int r = file_mkdirs(root_fd, directory, 0700, err);
    return r < 0 ? r : file_publish(root_fd, path, whole.data, whole.size, 0600, err);
}

void record_put_aside(int root_fd, const char *path, const char *why) {
    cleanup_free char *kept = str_printf("%s.damaged", path);
    struct err err;
    if (file_remove_tree(root_fd, kept, &err) < 0)
        log_warn("%s", err.text);
    if (renameat(root_fd, path, root_fd, kept) < 0)
        log_warn("/%s is damaged (%s) and cannot be put aside: %s", path, why, strerror(errno));
    else
        log_warn("/%s is damaged (%s); it is kept as /%s and not used", path, why, kept);
}

// Only root writes here; a file that somebody else could have written is not believed.
static int check_file(int fd, struct err *err) {
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_sys(err, -errno, "it cannot be examined");
    if (!S_ISREG(st.st_mode))
        return err_set(err, -EINVAL, "it is no regular file");
    if ((st.st_mode & 022) || (st.st_uid != 0 && st.st_uid != geteuid()))
        return err_set(err, -EINVAL, "others than root can write it");
    return 0;
}

static int load(int fd, const char *path, char **ret_text, struct err *err) {
    cleanup_free char *text = NULL;
    size_t size;
    int r = check_file(fd, err);
    if (r >= 0)
        r = file_read_fd(fd, path, RECORD_MAX_BYTES, &text, &size, err);
    if (r == -EFBIG)
        return err_set(err, -EINVAL, "it is too large");
    if (r >= 0)
        r = record_check(text, size, &size, err);
    if (r < 0)
        return r;
    text[size] = 0;
    if (strlen(text) != size)
        return err_set(err, -EINVAL, "it contains a NUL");
    *ret_text = take_ptr(text);
    return 1;
}

int record_load(int root_fd, const char *path, char **ret_text, struct err *err) {
    cleanup_fd int fd = openat(root_fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0 && errno != ELOOP)
        return err_sys(err, -errno, "cannot open /%s", path);
    int r = fd < 0 ? err_set(err, -EINVAL, "it is a symbolic link") : load(fd, path, ret_text, err);
    if (r != -EINVAL)
        return r;
    record_put_aside(root_fd, path, err->text);
    return 0;
}

int record_text(const struct config *config, const char *key, char *ret_text, size_t capacity, struct err *err) {
    const struct config_entry *entry = config_find(config, key);
    if (entry && strlen(entry->value) >= capacity)
        return err_set(err, -EINVAL, "%s is too long", key);
    snprintf(ret_text, capacity, "%s", entry ? entry->value : "");
    return 0;
}

int record_number(const struct config *config, const char *key, int64_t *ret_number, struct err *err) {
    const struct config_entry *entry = config_find(config, key);
    return entry && schema_parse_number(entry->value, false, ret_number) ? 0 : err_set(err, -EINVAL, "%s is no number", key);
}

int record_hash(const struct config *config, const char *key, uint8_t ret_hash[32], struct err *err) {
    const struct config_entry *entry = config_find(config, key);
    uint8_t hash[32];
    if (!entry || strlen(entry->value) != 2 * sizeof(hash) || !hex_parse(entry->value, sizeof(hash), hash))
        return err_set(err, -EINVAL, "%s is no SHA-256", key);
    memcpy(ret_hash, hash, sizeof(hash));
    return 0;
}

void record_add(struct buf *text, const char *key, const char *value) {
    cleanup_free char *copy = str_dup(value);
    if (config_format_entry(key, copy, text) == 0)
        return;
    for (char *c = copy; *c; c++)
        if (*c == '\'')
            *c = '"';
        else if ((unsigned char)*c < ' ' || (unsigned char)*c > '~')
            *c = '?';
    if (config_format_entry(key, copy, text) < 0)
        buf_printf(text, "%s=\n", key);
}

void record_add_number(struct buf *text, const char *key, int64_t number) {
    buf_printf(text, "%s=%lld\n", key, (long long)(number < 0 ? 0 : number));
}

void record_add_hash(struct buf *text, const char *key, const uint8_t hash[32]) {
    char hex[65];
    hex_format(hash, 32, hex);
    buf_printf(text, "%s=%s\n", key, hex);
}
