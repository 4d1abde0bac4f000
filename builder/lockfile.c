// SPDX-License-Identifier: Apache-2.0
// A head, then parts: one line of name, count and wishes, and as many lines of package_set_format().
#include "builder/lockfile.h"
#include <errno.h>
#include <string.h>

#define HEADER "webops-lock 1\n"

void lockfile_done(struct lockfile *lockfile) {
    for (size_t i = 0; i < lockfile->count; i++) {
        free(lockfile->parts[i].name);
        free(lockfile->parts[i].wants);
        package_set_done(&lockfile->parts[i].set);
    }
    free(lockfile->parts);
    free(lockfile->image);
    free(lockfile->architecture);
    *lockfile = (struct lockfile){0};
}

static char *join(const struct strings *words) {
    cleanup_buf struct buf text = {0};
    for (unsigned i = 0; i < words->count; i++)
        buf_printf(&text, "%s%s", i ? " " : "", words->items[i]);
    return str_dup(buf_str(&text));
}

// By its text: the same set is always the same text.
static int copy_set(const struct package_set *from, struct package_set *ret_set, struct err *err) {
    cleanup_buf struct buf text = {0};
    package_set_format(from, &text);
    return package_set_parse(buf_str(&text), text.size, ret_set, err);
}

static struct lockfile_part *append(struct lockfile *lockfile) {
    lockfile->parts = mem_resize(lockfile->parts, lockfile->count + 1, sizeof(*lockfile->parts));
    lockfile->parts[lockfile->count] = (struct lockfile_part){0};
    return &lockfile->parts[lockfile->count++];
}

void lockfile_add(struct lockfile *lockfile, const char *name, const struct strings *wants, const struct package_set *set) {
    struct lockfile_part *part = append(lockfile);
    struct err err;
    part->name = str_dup(name);
    part->wants = join(wants);
    if (copy_set(set, &part->set, &err) < 0)
        abort(); // a set that cannot be read again was never one
}

void lockfile_format(const struct lockfile *lockfile, struct buf *ret_text) {
    buf_printf(ret_text, HEADER "image %s %s\n", lockfile->image, lockfile->architecture);
    for (size_t i = 0; i < lockfile->count; i++) {
        const struct lockfile_part *part = &lockfile->parts[i];
        buf_printf(ret_text, "part %s %zu %s\n", part->name, part->set.count, part->wants);
        package_set_format(&part->set, ret_text);
    }
}

struct cursor {
    const char *at, *end;
    unsigned line;
};

// The next line without its end, or NULL.
static char *next_line(struct cursor *cursor) {
    const char *end = cursor->at < cursor->end ? memchr(cursor->at, '\n', (size_t)(cursor->end - cursor->at)) : NULL;
    if (!end)
        return NULL;
    char *line = str_printf("%.*s", (int)(end - cursor->at), cursor->at);
    cursor->at = end + 1;
    cursor->line++;
    return line;
}

static const char *parse_image(struct cursor *cursor, struct lockfile *lockfile) {
    char image[128], architecture[32], rest;
    cleanup_free char *line = next_line(cursor);
    if (!line || sscanf(line, "image %127s %31s%c", image, architecture, &rest) != 2)
        return "expected: image ID ARCHITECTURE";
    lockfile->image = str_dup(image);
    lockfile->architecture = str_dup(architecture);
    return NULL;
}

static const char *parse_part(struct cursor *cursor, struct lockfile *lockfile, struct err *err) {
    char name[128];
    size_t count = 0;
    int words = 0;
    cleanup_free char *line = next_line(cursor);
    if (!line || sscanf(line, "part %127s %6zu %n", name, &count, &words) != 2 || words == 0)
        return "expected: part NAME COUNT PACKAGES…";
    if (lockfile->count == LOCKFILE_MAX_PARTS)
        return "too many parts";
    for (size_t i = 0; i < lockfile->count; i++)
        if (strcmp(lockfile->parts[i].name, name) == 0)
            return "this part stands there twice";
    struct lockfile_part *part = append(lockfile);
    part->name = str_dup(name);
    part->wants = str_dup(line + words);
    const char *start = cursor->at;
    for (size_t i = 0; i < count; i++) {
        cleanup_free char *package = next_line(cursor);
        if (!package)
            return "packages are missing at the end";
    }
    return package_set_parse(start, (size_t)(cursor->at - start), &part->set, err) < 0 ? err->text : NULL;
}

int lockfile_parse(const char *text, size_t size, const char *name, struct lockfile *ret_lockfile, struct err *err) {
    cleanup_lockfile struct lockfile lockfile = {0};
    struct cursor cursor = {text, text + size, 1};
    struct err part_err = {0};
    if (size < strlen(HEADER) || memcmp(text, HEADER, strlen(HEADER)) != 0)
        return err_set(err, -EINVAL, "%s: is no lock file (its first line is not webops-lock 1)", name);
    cursor.at += strlen(HEADER);
    const char *problem = parse_image(&cursor, &lockfile);
    while (!problem && cursor.at < cursor.end)
        problem = parse_part(&cursor, &lockfile, &part_err);
    if (problem)
        return err_set(err, -EINVAL, "%s:%u: %s", name, cursor.line, problem);
    *ret_lockfile = lockfile;
    lockfile = (struct lockfile){0};
    return 0;
}

int lockfile_take(const struct lockfile *lockfile, size_t index, const char *name, const struct strings *wants, struct package_set *ret_set,
                  struct err *err) {
    cleanup_free char *wanted = join(wants);
    if (index >= lockfile->count)
        return err_set(err, -ESTALE, "the lock ends before the part %s", name);
    const struct lockfile_part *part = &lockfile->parts[index];
    if (strcmp(part->name, name) != 0)
        return err_set(err, -ESTALE, "its part %zu is %s, that of the recipes is %s", index + 1, part->name, name);
    if (strcmp(part->wants, wanted) != 0)
        return err_set(err, -ESTALE, "%s asks for other packages than when the lock was made", name);
    return copy_set(&part->set, ret_set, err);
}

int lockfile_end(const struct lockfile *lockfile, size_t count, struct err *err) {
    return count == lockfile->count ? 0 : err_set(err, -ESTALE, "its part %s is none of the recipes", lockfile->parts[count].name);
}
