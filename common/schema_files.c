// SPDX-License-Identifier: Apache-2.0
// The files behind *_FILE keys: there, private, bounded, and of the right kind. Their bytes are never part of a message.
#include "common/buf.h"
#include "common/file.h"
#include "common/schema.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

// What is wrong with an open secret file, NULL if nothing is.
static const char *stat_problem(const struct stat *st) {
    if (!S_ISREG(st->st_mode))
        return "is not a regular file";
    if (st->st_mode & 077)
        return "can be read or written by others than its owner: chmod 600";
    if (st->st_uid != 0 && st->st_uid != geteuid())
        return "belongs to another user";
    if (st->st_size == 0)
        return "is empty";
    return st->st_size > SCHEMA_SECRET_MAX_BYTES ? "is larger than 64 KiB" : NULL;
}

// crypt(5): $id$…, one line. A plain password must not end up in /etc/shadow, where it would lock the user out at best.
static bool is_password_hash(const char *text, size_t size) {
    while (size > 0 && text[size - 1] == '\n')
        size--;
    if (size < 20 || size > 512 || text[0] != '$' || !memchr(text + 1, '$', size - 1))
        return false;
    for (size_t i = 0; i < size; i++)
        if (text[i] <= ' ' || text[i] > '~' || strchr(":;*!\\", text[i]))
            return false;
    return true;
}

static bool has_no_private_key(const char *text, size_t size) {
    return !memmem(text, size, "PRIVATE KEY-----", strlen("PRIVATE KEY-----"));
}

// What the file of a key must hold, by the end of the key's name.
static const struct {
    const char *suffix;
    bool (*is_valid)(const char *text, size_t size);
    const char *problem;
} contents[] = {
    {"OPERATOR_PASSWORD_FILE", is_password_hash, "does not hold one password hash; make one with: openssl passwd -6"},
    {"_KEYS_FILE", has_no_private_key, "holds a private key where public keys belong"},
};

static const char *content_problem(int fd, const struct config_entry *entry) {
    struct err err;
    cleanup_free char *text = NULL;
    size_t size = 0, key_size = strlen(entry->key), i = 0;
    for (; i < ARRAY_SIZE(contents); i++) {
        size_t suffix = strlen(contents[i].suffix);
        if (key_size >= suffix && strcmp(entry->key + key_size - suffix, contents[i].suffix) == 0)
            break;
    }
    if (i == ARRAY_SIZE(contents))
        return NULL;
    if (file_read_fd(fd, entry->key, SCHEMA_SECRET_MAX_BYTES, &text, &size, &err) < 0)
        return "cannot be read";
    bool is_valid = contents[i].is_valid(text, size);
    explicit_bzero(text, size);
    return is_valid ? NULL : contents[i].problem;
}

static void check_file(const struct config_entry *entry, int secrets_fd, const char *dir, struct config_problems *problems) {
    const char *name = schema_secret_name(entry->value);
    if (!name)
        return; // schema_check() has said so
    cleanup_fd int fd = secrets_fd < 0 ? -1 : openat(secrets_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) {
        int error = secrets_fd < 0 ? ENOENT : errno;
        config_problem_add(problems, entry->line, "%s: %s/%s %s", entry->key, dir, name,
                           error == ENOENT  ? "does not exist"
                           : error == ELOOP ? "is a symbolic link"
                                            : "cannot be opened");
        return;
    }
    struct stat st;
    const char *problem = fstat(fd, &st) < 0 ? "cannot be examined" : stat_problem(&st);
    if (!problem)
        problem = content_problem(fd, entry);
    if (problem)
        config_problem_add(problems, entry->line, "%s: %s/%s %s", entry->key, dir, name, problem);
}

int schema_check_files(const struct schema *schema, const struct config *config, int secrets_fd, const char *dir,
                       struct config_problems *problems) {
    size_t before = problems->count, size = strlen(dir);
    while (size > 1 && dir[size - 1] == '/')
        size--;
    cleanup_free char *shown = str_printf("%.*s", (int)size, dir);
    for (size_t i = 0; i < config->count; i++) {
        const struct schema_key *key = schema_find(schema, config->entries[i].key);
        if (key && key->type == SCHEMA_SECRET_FILE)
            check_file(&config->entries[i], secrets_fd, shown, problems);
    }
    return problems->count > before ? -EINVAL : 0;
}
