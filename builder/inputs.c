// SPDX-License-Identifier: Apache-2.0
// Named inputs and their key.
#include "builder/inputs.h"
#include "common/digest.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/slot.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

void inputs_done(struct inputs *inputs) {
    for (size_t i = 0; i < inputs->count; i++) {
        free(inputs->items[i].name);
        free(inputs->items[i].value);
    }
    free(inputs->items);
    *inputs = (struct inputs){0};
}

void inputs_add(struct inputs *inputs, const char *name, const char *value) {
    assert(!strpbrk(name, "\t\n") && !strchr(value, '\n'));
    inputs->items = mem_resize(inputs->items, inputs->count + 1, sizeof(*inputs->items));
    inputs->items[inputs->count++] = (struct input){str_dup(name), str_dup(value)};
}

void inputs_add_number(struct inputs *inputs, const char *name, uint64_t value) {
    char text[32];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    inputs_add(inputs, name, text);
}

void inputs_add_hash(struct inputs *inputs, const char *name, const void *data, size_t size) {
    uint8_t digest[DIGEST_BYTES];
    char hex[65];
    digest_bytes(data ? data : "", size, digest);
    hex_format(digest, sizeof(digest), hex);
    inputs_add(inputs, name, hex);
}

int inputs_add_file(struct inputs *inputs, const char *name, const char *path, struct err *err) {
    char hex[65];
    int r = digest_file(AT_FDCWD, path, hex, NULL, err);
    if (r >= 0)
        inputs_add(inputs, name, hex);
    return r;
}

static int add_entry(struct inputs *inputs, const char *prefix, int dir_fd, const char *dir, const char *relative, const char *name,
                     struct err *err);

static int compare_names(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name); // byte order, whatever the locale
}

static int is_entry(const struct dirent *entry) {
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static int add_directory(struct inputs *inputs, const char *prefix, int dir_fd, const char *dir, const char *relative, struct err *err) {
    struct dirent **entries = NULL;
    int count = scandirat(dir_fd, ".", &entries, is_entry, compare_names);
    if (count < 0)
        return err_sys(err, -errno, "cannot list %s/%s", dir, relative);
    int r = 0;
    if (!count && *relative) { // nothing in it stands for it
        cleanup_free char *label = str_printf("%s%s", prefix, relative);
        inputs_add(inputs, label, "d");
    }
    for (int i = 0; i < count; i++) {
        if (r >= 0) {
            cleanup_free char *path = str_printf("%s%s%s", relative, *relative ? "/" : "", entries[i]->d_name);
            r = add_entry(inputs, prefix, dir_fd, dir, path, entries[i]->d_name, err);
        }
        free(entries[i]);
    }
    free(entries);
    return r;
}

static int add_entry(struct inputs *inputs, const char *prefix, int dir_fd, const char *dir, const char *relative, const char *name,
                     struct err *err) {
    struct stat st;
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return err_sys(err, -errno, "cannot look at %s/%s", dir, relative);
    if (strpbrk(relative, "\t\n"))
        return err_set(err, -EINVAL, "%s holds a file with a tab or newline in its name", dir);
    cleanup_free char *label = str_printf("%s%s", prefix, relative);
    if (S_ISLNK(st.st_mode)) {
        char target[PATH_MAX];
        ssize_t length = readlinkat(dir_fd, name, target, sizeof(target));
        if (length < 0)
            return err_sys(err, -errno, "cannot read link %s/%s", dir, relative);
        inputs_add_hash(inputs, label, target, (size_t)length);
        return 0;
    }
    if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
        return err_set(err, -EINVAL, "%s/%s is neither a file, a directory nor a symbolic link", dir, relative);
    if (S_ISDIR(st.st_mode)) {
        cleanup_fd int fd = file_open(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, err);
        return fd < 0 ? err_prefix(err, fd, "%s", dir) : add_directory(inputs, prefix, fd, dir, relative, err);
    }
    char value[67] = {st.st_mode & 0111 ? 'x' : 'f', ' '};
    int r = digest_file(dir_fd, name, value + 2, NULL, err);
    if (r < 0)
        return err_prefix(err, r, "%s/%s", dir, relative);
    inputs_add(inputs, label, value);
    return 0;
}

int inputs_add_tree(struct inputs *inputs, const char *prefix, const char *dir, struct err *err) {
    if (!file_exists(AT_FDCWD, dir))
        return 0;
    cleanup_fd int fd = file_open(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, 0, err);
    return fd < 0 ? fd : add_directory(inputs, prefix, fd, dir, "", err);
}

char *inputs_format(const struct inputs *inputs) {
    struct buf buf = {0};
    for (size_t i = 0; i < inputs->count; i++)
        buf_printf(&buf, "%s\t%s\n", inputs->items[i].name, inputs->items[i].value);
    return buf_take(&buf);
}

void inputs_key(const struct inputs *inputs, char ret_key[INPUTS_KEY_CHARS + 1]) {
    cleanup_free char *text = inputs_format(inputs);
    uint8_t digest[DIGEST_BYTES];
    digest_bytes(text, strlen(text), digest);
    hex_format(digest, sizeof(digest), ret_key);
}

int inputs_parse(const char *text, struct inputs *ret_inputs, struct err *err) {
    struct inputs inputs = {0};
    for (const char *line = text; *line;) {
        size_t length = strcspn(line, "\n");
        const char *tab = memchr(line, '\t', length);
        if (!tab || line[length] != '\n') {
            inputs_done(&inputs);
            return err_set(err, -EINVAL, "the list of inputs is damaged");
        }
        cleanup_free char *name = str_printf("%.*s", (int)(tab - line), line);
        cleanup_free char *value = str_printf("%.*s", (int)(line + length - tab - 1), tab + 1);
        inputs_add(&inputs, name, value);
        line += length + 1;
    }
    *ret_inputs = inputs;
    return 0;
}

static bool has_name(const struct inputs *inputs, const char *name, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(inputs->items[i].name, name) == 0)
            return true;
    return false;
}

static bool has_pair(const struct inputs *inputs, const struct input *pair) {
    for (size_t i = 0; i < inputs->count; i++)
        if (strcmp(inputs->items[i].name, pair->name) == 0 && strcmp(inputs->items[i].value, pair->value) == 0)
            return true;
    return false;
}

// Whether `left` has a value under this name that `right` has not. A list is several inputs of one name.
static bool has_more(const struct inputs *left, const struct inputs *right, const char *name) {
    for (size_t i = 0; i < left->count; i++)
        if (strcmp(left->items[i].name, name) == 0 && !has_pair(right, &left->items[i]))
            return true;
    return false;
}

#define NAMED_DIFFERENCES 3
static void add_difference(struct buf *buf, const char *word, const char *name, unsigned *count) {
    if ((*count)++ < NAMED_DIFFERENCES)
        buf_printf(buf, "%s%s%s", *count > 1 ? ", " : buf->size ? "; " : "", *count > 1 ? "" : word, name);
}

static void end_differences(struct buf *buf, unsigned count) {
    if (count > NAMED_DIFFERENCES)
        buf_printf(buf, " and %u more", count - NAMED_DIFFERENCES);
}

char *inputs_difference(const struct inputs *before, const struct inputs *now) {
    struct buf buf = {0};
    unsigned changed = 0, added = 0, gone = 0;
    for (size_t i = 0; i < now->count; i++) {
        const char *name = now->items[i].name;
        if (!has_name(now, name, i) && has_name(before, name, before->count) &&
            (has_more(now, before, name) || has_more(before, now, name)))
            add_difference(&buf, "changed: ", name, &changed);
    }
    end_differences(&buf, changed);
    for (size_t i = 0; i < now->count; i++)
        if (!has_name(now, now->items[i].name, i) && !has_name(before, now->items[i].name, before->count))
            add_difference(&buf, "new: ", now->items[i].name, &added);
    end_differences(&buf, added);
    for (size_t i = 0; i < before->count; i++)
        if (!has_name(before, before->items[i].name, i) && !has_name(now, before->items[i].name, now->count))
            add_difference(&buf, "gone: ", before->items[i].name, &gone);
    end_differences(&buf, gone);
    return buf_take(&buf);
}
