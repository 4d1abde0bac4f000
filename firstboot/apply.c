// SPDX-License-Identifier: Apache-2.0
// Compare, then write: a second run changes nothing.
#include "firstboot/apply.h"
#include "common/file.h"
#include "common/log.h"
#include "firstboot/actionlog.h"
#include "firstboot/rendered.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define MAX_FILE_BYTES (4 << 20)

void apply_done(struct apply *apply) {
    for (size_t i = 0; i < apply->changed_count; i++)
        free(apply->changed[i]);
    free(apply->changed);
    free(apply->changed_actions);
    apply->changed = NULL;
    apply->changed_actions = NULL;
    apply->changed_count = 0;
}

void apply_note(struct apply *apply, const char *action, const char *object) {
    apply->changed = mem_resize(apply->changed, apply->changed_count + 1, sizeof(*apply->changed));
    apply->changed_actions = mem_resize(apply->changed_actions, apply->changed_count + 1, sizeof(*apply->changed_actions));
    apply->changed_actions[apply->changed_count] = action;
    apply->changed[apply->changed_count++] = str_dup(object);
    if (apply->is_dry_run)
        return;
    actionlog_write(apply->root_fd, apply->stage, action, object, "ok");
    log_debug("%s %s", action, object);
}

bool apply_has_changed(const struct apply *apply, const char *path) {
    size_t size = strlen(path);
    bool is_directory = size > 0 && path[size - 1] == '/';
    for (size_t i = 0; i < apply->changed_count; i++)
        if (is_directory ? strncmp(apply->changed[i], path, size) == 0 : strcmp(apply->changed[i], path) == 0)
            return true;
    return false;
}

static int make_parent(int root_fd, const char *path, struct err *err) {
    const char *slash = strrchr(path, '/');
    if (!slash)
        return 0;
    cleanup_free char *parent = str_printf("%.*s", (int)(slash - path), path);
    return file_exists(root_fd, parent) ? 0 : file_mkdirs(root_fd, parent, 0755, err);
}

// Only root can give files away; a test on a temporary root keeps its own.
static bool is_owned(const struct plan_entry *entry, const struct stat *st) {
    return geteuid() != 0 || (st->st_uid == entry->uid && st->st_gid == entry->gid);
}

static int set_owner(int root_fd, const struct plan_entry *entry, struct err *err) {
    if (geteuid() == 0 && fchownat(root_fd, entry->path, entry->uid, entry->gid, AT_SYMLINK_NOFOLLOW) < 0)
        return err_sys(err, -errno, "cannot set the owner of /%s", entry->path);
    return 0;
}

static bool has_content(int root_fd, const struct plan_entry *entry) {
    struct err err;
    cleanup_free char *text = NULL;
    size_t size = 0;
    bool is_same = file_read(root_fd, entry->path, MAX_FILE_BYTES, &text, &size, &err) == 0 && size == entry->size &&
                   memcmp(text, entry->content ? entry->content : "", size) == 0;
    if (text)
        explicit_bzero(text, size);
    return is_same;
}

bool apply_is_right(int root_fd, const struct plan_entry *entry) {
    struct stat st;
    return fstatat(root_fd, entry->path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 07777) == entry->mode &&
           is_owned(entry, &st) && has_content(root_fd, entry);
}

// 1 = written, 0 = was right.
static int apply_file(const struct apply *apply, const struct plan_entry *entry, struct err *err) {
    int root_fd = apply->root_fd;
    if (apply_is_right(root_fd, entry))
        return 0;
    if (apply->is_dry_run)
        return 1;
    int r = file_publish(root_fd, entry->path, entry->content, entry->size, entry->mode, err);
    if (r >= 0)
        r = set_owner(root_fd, entry, err);
    return r < 0 ? r : 1;
}

static int apply_link(const struct apply *apply, const struct plan_entry *entry, struct err *err) {
    char target[256];
    int root_fd = apply->root_fd;
    ssize_t size = readlinkat(root_fd, entry->path, target, sizeof(target));
    if (size == (ssize_t)entry->size && memcmp(target, entry->content, entry->size) == 0)
        return 0;
    if (apply->is_dry_run)
        return 1;
    cleanup_free char *temporary = str_printf("%s.webops-new", entry->path);
    if ((unlinkat(root_fd, temporary, 0) < 0 && errno != ENOENT) || symlinkat(entry->content, root_fd, temporary) < 0 ||
        renameat(root_fd, temporary, root_fd, entry->path) < 0)
        return err_sys(err, -errno, "cannot make the link /%s", entry->path);
    return 1;
}

// Made once; its mode and owner are set, its content is the operator's.
static int apply_directory(const struct apply *apply, const struct plan_entry *entry, struct err *err) {
    struct stat st;
    int root_fd = apply->root_fd;
    if (fstatat(root_fd, entry->path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode) && is_owned(entry, &st))
        return 0;
    if (apply->is_dry_run)
        return 1;
    if (mkdirat(root_fd, entry->path, 0700) < 0 && errno != EEXIST)
        return err_sys(err, -errno, "cannot create directory /%s", entry->path);
    cleanup_fd int fd = file_open(root_fd, entry->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, err);
    if (fd < 0)
        return fd;
    if (fchmod(fd, entry->mode) < 0 || (geteuid() == 0 && fchown(fd, entry->uid, entry->gid) < 0))
        return err_sys(err, -errno, "cannot set the owner of /%s", entry->path);
    return 1;
}

static int keep_entry(const struct apply *apply, const struct plan_entry *entry, struct err *err) {
    (void)apply, (void)entry, (void)err;
    return 0;
}

static int apply_entry(struct apply *apply, const struct plan_entry *entry, struct err *err) {
    static int (*const kinds[])(const struct apply *, const struct plan_entry *, struct err *) = {
        [PLAN_FILE] = apply_file, [PLAN_LINK] = apply_link, [PLAN_DIRECTORY] = apply_directory, [PLAN_KEEP] = keep_entry};
    int r = apply->is_dry_run || entry->kind == PLAN_KEEP ? 0 : make_parent(apply->root_fd, entry->path, err);
    if (r >= 0)
        r = kinds[entry->kind](apply, entry, err);
    if (r > 0)
        apply_note(apply, "write", entry->path);
    if (r < 0)
        actionlog_write(apply->root_fd, apply->stage, "write", entry->path, err->text);
    return r < 0 ? r : 0;
}

static int remove_unplanned(struct apply *apply, const struct rendered *before, const struct plan *plan, struct err *err) {
    for (size_t i = 0; i < before->count; i++) {
        const char *path = before->entries[i].path;
        if (plan_find(plan, path))
            continue;
        if (!apply->is_dry_run && unlinkat(apply->root_fd, path, 0) < 0 && errno != ENOENT)
            return err_sys(err, -errno, "cannot remove /%s", path);
        apply_note(apply, "remove", path);
    }
    return 0;
}

// The list of what was written covers secrets of stacks: it is root's only.
static int publish_manifest(int root_fd, const struct plan *plan, const struct rendered *before, struct err *err) {
    cleanup_rendered struct rendered rendered = {0};
    cleanup_buf struct buf text = {0};
    rendered_make(plan, &rendered);
    for (size_t i = 0; i < before->count; i++) {
        const struct plan_entry *entry = plan_find(plan, before->entries[i].path);
        if (entry && entry->kind == PLAN_KEEP)
            rendered_add(&rendered, &before->entries[i]);
    }
    rendered_format(&rendered, &text);
    int r = file_mkdirs(root_fd, "run/webops", 0755, err);
    return r < 0 ? r : file_publish(root_fd, RENDERED_PATH, text.data, text.size, 0600, err);
}

static void keep_first(int r, const struct err *err, int *first, struct err *ret_first) {
    if (r >= 0 || *first < 0)
        return;
    *first = r;
    *ret_first = *err;
}

int apply_plan(struct apply *apply, const struct plan *plan, struct err *err) {
    cleanup_rendered struct rendered before = {0};
    struct err failure;
    int first = 0;
    keep_first(rendered_load(apply->root_fd, &before, &failure), &failure, &first, err);
    keep_first(remove_unplanned(apply, &before, plan, &failure), &failure, &first, err);
    for (size_t i = 0; i < plan->count; i++)
        keep_first(apply_entry(apply, &plan->entries[i], &failure), &failure, &first, err);
    if (!apply->is_dry_run && (first == 0 || apply->changed_count > 0))
        keep_first(publish_manifest(apply->root_fd, plan, &before, &failure), &failure, &first, err);
    return first;
}
