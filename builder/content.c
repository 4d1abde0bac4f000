// SPDX-License-Identifier: Apache-2.0
// Turns a layer recipe into entries. One function per part of the recipe, in a table.
#include "builder/content.h"
#include "builder/labels.h"
#include "builder/normalise_rules.h"
#include "common/file.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#define MAX_DEPTH 64

static void item_done(struct content_item *item) {
    free(item->path);
    free(item->target);
    free(item->source);
}

void content_done(struct content *content) {
    for (size_t i = 0; i < content->count; i++)
        item_done(&content->items[i]);
    free(content->items);
    *content = (struct content){0};
}

// Adds an entry at `path` (as written in the recipe: with or without leading slash). NULL on a path that cannot be.
static struct content_item *add(struct content *content, const char *what, const char *path, mode_t mode, struct err *err) {
    cleanup_free char *clean = str_dup(path + (path[0] == '/'));
    if (normalise_clean_path(clean, err) < 0 || !*clean) {
        if (!*clean)
            (void)err_set(err, -EINVAL, "the path is empty");
        (void)err_prefix(err, -EINVAL, "%s", what);
        return NULL;
    }
    content->items = mem_resize(content->items, content->count + 1, sizeof(*content->items));
    struct content_item *item = &content->items[content->count++];
    *item = (struct content_item){.path = normalise_rename(clean), .mode = mode};
    return item;
}

static int add_link(struct content *content, const char *what, const char *path, const char *target, struct err *err) {
    struct content_item *item = add(content, what, path, S_IFLNK | 0777, err);
    if (!item)
        return -EINVAL;
    item->target = str_dup(target);
    return 0;
}

static int add_source(struct content *content, const char *what, const char *path, const char *source, unsigned mode, struct err *err) {
    struct content_item *item = add(content, what, path, S_IFREG | mode, err);
    if (!item)
        return -EINVAL;
    item->source = str_dup(source);
    return 0;
}

static int walk(struct content *content, const char *top, const char *relative, unsigned depth, struct err *err);

static int walk_entry(struct content *content, const char *top, const char *relative, unsigned depth, struct err *err) {
    cleanup_free char *path = str_printf("%s/%s", top, relative);
    char target[4096];
    struct stat info;
    if (lstat(path, &info) < 0)
        return err_sys(err, -errno, "cannot look at %s", path);
    if (S_ISREG(info.st_mode))
        return add_source(content, top, relative, path, info.st_mode & 0111 ? 0755 : 0644, err);
    if (S_ISDIR(info.st_mode))
        return !add(content, top, relative, S_IFDIR | 0755, err) ? -EINVAL : walk(content, top, relative, depth + 1, err);
    if (!S_ISLNK(info.st_mode))
        return err_set(err, -EINVAL, "%s: only files, directories and symlinks can be part of a layer", path);
    ssize_t size = readlink(path, target, sizeof(target) - 1);
    if (size < 0)
        return err_sys(err, -errno, "cannot read %s", path);
    target[size] = 0;
    return add_link(content, top, relative, target, err);
}

static int walk(struct content *content, const char *top, const char *relative, unsigned depth, struct err *err) {
    cleanup_free char *path = str_printf("%s/%s", top, relative);
    cleanup_dir DIR *dir = opendir(path);
    if (!dir)
        return errno == ENOENT && !*relative ? 0 : err_sys(err, -errno, "cannot read %s", path);
    if (depth > MAX_DEPTH)
        return err_set(err, -ELOOP, "%s: more than %d directories deep", path, MAX_DEPTH);
    int r = 0;
    for (struct dirent *entry; r >= 0 && (entry = readdir(dir));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        cleanup_free char *child = str_printf("%s%s%s", relative, *relative ? "/" : "", entry->d_name);
        r = walk_entry(content, top, child, depth, err);
    }
    return r;
}

// files/ for every image, files.apt/ and files.dnf/ for those of one package manager.
static int plan_files(const struct layer_request *request, struct content *content, struct err *err) {
    const struct recipe_layer *layer = request->layer;
    if (!layer->dir)
        return 0;
    cleanup_free char *top = str_printf("%s/files", layer->dir);
    cleanup_free char *own = request->image ? str_printf("%s/files.%s", layer->dir, recipe_image_manager(request->image)) : NULL;
    int r = walk(content, top, "", 0, err);
    return r < 0 || !own ? r : walk(content, own, "", 0, err);
}

static int plan_programs(const struct layer_request *request, struct content *content, struct err *err) {
    int r = 0;
    for (unsigned i = 0; r >= 0 && i < request->layer->programs.count; i++) {
        const char *name = request->layer->programs.items[i];
        cleanup_free char *source = str_printf("%s/%s", request->programs_dir ? request->programs_dir : ".", name);
        cleanup_free char *path = strcmp(name, "webops") == 0 ? str_dup("usr/sbin/webops") : str_printf("usr/lib/webops/%s", name);
        r = strchr(name, '/') ? err_set(err, -EINVAL, "programs: %s is not a name", name)
                              : add_source(content, "programs", path, source, 0755, err);
    }
    return r;
}

#define RUNTIME "usr/lib/webops/lib"

// Loader and libraries that the programs were linked with, where a layer brings programs and the image's own libraries are too old for them.
static int plan_runtime(const struct layer_request *request, struct content *content, struct err *err) {
    if (!request->layer->programs.count || !request->runtime_dir)
        return 0;
    cleanup_dir DIR *dir = opendir(request->runtime_dir);
    if (!dir)
        return err_sys(err, -errno, "cannot read %s", request->runtime_dir);
    int r = add(content, "runtime", RUNTIME, S_IFDIR | 0755, err) ? 0 : -EINVAL;
    for (struct dirent *entry; r >= 0 && (entry = readdir(dir));) {
        if (entry->d_name[0] == '.')
            continue;
        cleanup_free char *source = str_printf("%s/%s", request->runtime_dir, entry->d_name);
        cleanup_free char *path = str_printf(RUNTIME "/%s", entry->d_name);
        r = add_source(content, "runtime", path, source, 0755, err);
    }
    return r;
}

// getty@tty1.service is an instance of getty@.service.
static char *unit_file(const char *unit) {
    const char *at = strchr(unit, '@'), *dot = strrchr(unit, '.');
    return at && dot > at ? str_printf("%.*s%s", (int)(at - unit) + 1, unit, dot) : str_dup(unit);
}

static int plan_enable(const struct layer_request *request, struct content *content, struct err *err) {
    int r = 0;
    for (unsigned i = 0; r >= 0 && i < request->layer->enable_count; i++) {
        const struct recipe_unit *enable = &request->layer->enable[i];
        cleanup_free char *file = unit_file(enable->unit), *target = str_printf("/usr/lib/systemd/system/%s", file);
        cleanup_free char *path = str_printf("etc/systemd/system/%s.wants/%s", enable->wants, enable->unit);
        if (strchr(enable->unit, '/') || strchr(enable->wants, '/'))
            return err_set(err, -EINVAL, "enable: %s in %s is not a unit name", enable->unit, enable->wants);
        r = add_link(content, "enable", path, target, err);
        if (r >= 0)
            content->items[content->count - 1].needs_unit = enable->unit;
    }
    return r;
}

static int plan_links(const struct layer_request *request, struct content *content, struct err *err) {
    int r = 0;
    for (unsigned i = 0; r >= 0 && i < request->layer->link_count; i++)
        r = add_link(content, "links", request->layer->links[i].path, request->layer->links[i].target, err);
    return r;
}

static int plan_mask(const struct layer_request *request, struct content *content, struct err *err) {
    int r = 0;
    for (unsigned i = 0; r >= 0 && i < request->layer->mask.count; i++) {
        cleanup_free char *path = str_printf("etc/systemd/system/%s", request->layer->mask.items[i]);
        r = add_link(content, "mask", path, "/dev/null", err);
    }
    return r;
}

static int plan_remove(const struct layer_request *request, struct content *content, struct err *err) {
    for (unsigned i = 0; i < request->layer->remove.count; i++)
        if (!add(content, "remove", request->layer->remove.items[i], S_IFCHR, err))
            return -EINVAL;
    return 0;
}

static int plan_fetch(const struct layer_request *request, struct content *content, struct err *err) {
    int r = 0;
    for (unsigned i = 0; r >= 0 && i < request->layer->fetch_count; i++) {
        const struct recipe_fetch *fetch = &request->layer->fetch[i];
        cleanup_free char *source = str_printf("%s/%s", request->downloads_dir, fetch->sha256);
        r = add_source(content, "fetch", fetch->path, source, fetch->mode & 07777 ? fetch->mode & 07777 : 0644, err);
    }
    return r;
}

// The stack in the form that the machine reads, and its templates as they are.
static int plan_stack(const struct layer_request *request, struct content *content, struct err *err) {
    const struct recipe_layer *layer = request->layer;
    if (!layer->stack_json)
        return 0;
    cleanup_free char *path = str_printf(STACK_DIR "/%s.json", layer->name);
    struct content_item *item = add(content, "stack", path, S_IFREG | 0644, err);
    if (!item)
        return -EINVAL;
    item->data = layer->stack_json;
    item->size = strlen(layer->stack_json);
    int r = 0;
    for (unsigned i = 0; r >= 0 && i < layer->templates.count; i++) {
        cleanup_free char *source = str_printf("%s/templates/%s", layer->dir, layer->templates.items[i]);
        cleanup_free char *target = str_printf(STACK_DIR "/%s/%s", layer->name, layer->templates.items[i]);
        r = add_source(content, "templates", target, source, 0644, err);
    }
    return r;
}

// The table by which the layers were labelled, so that restorecon(8) on the machine goes by the same.
static int plan_labels(const struct layer_request *request, struct content *content, struct err *err) {
    const struct { const char *name, *text; } files[] = {{LABELS_LOCAL, request->label_rules}, {LABELS_ALIASES, request->label_aliases}};
    for (size_t i = 0; request->label_rules && i < ARRAY_SIZE(files); i++) {
        cleanup_free char *path = str_printf(LABELS_IN_IMAGE "/%s", request->image->selinux, files[i].name);
        struct content_item *item = add(content, "labels", path, S_IFREG | 0644, err);
        if (!item)
            return -EINVAL;
        item->data = files[i].text;
        item->size = strlen(files[i].text);
    }
    return 0;
}

static int plan_extra(const struct layer_request *request, struct content *content, struct err *err) {
    for (size_t i = 0; i < request->extra_count; i++) {
        const struct layer_extra *extra = &request->extra[i];
        struct content_item *item = add(content, "extra file", extra->path, S_IFREG | (extra->mode & 07777), err);
        if (!item)
            return -EINVAL;
        item->data = extra->data;
        item->size = extra->size;
    }
    return 0;
}

static int compare(const void *a, const void *b) {
    return strcmp(((const struct content_item *)a)->path, ((const struct content_item *)b)->path);
}

static int compare_key(const void *key, const void *item) {
    return strcmp(key, ((const struct content_item *)item)->path);
}

static struct content_item *find(const struct content *content, const char *path) {
    return content->count ? bsearch(path, content->items, content->count, sizeof(*content->items), compare_key) : NULL;
}

static int apply_modes(const struct recipe_layer *layer, struct content *content, struct err *err) {
    for (unsigned i = 0; i < layer->mode_count; i++) {
        const struct recipe_mode *mode = &layer->modes[i];
        cleanup_free char *path = normalise_rename(mode->path + (mode->path[0] == '/'));
        struct content_item *item = find(content, path);
        if (!item || !(S_ISREG(item->mode) || S_ISDIR(item->mode)))
            return err_set(err, -ENOENT, "modes: the layer brings no file or directory %s", mode->path);
        item->mode = (item->mode & S_IFMT) | (mode->mode & 07777);
        item->owner = mode->owner;
        item->has_mode = true;
    }
    return 0;
}

// A directory that two trees bring is one; anything else that two parts bring is a mistake.
static int sort_unique(struct content *content, struct err *err) {
    struct content_item *items = content->items;
    if (content->count)
        qsort(items, content->count, sizeof(*items), compare);
    for (size_t i = 1; i < content->count; i++)
        if (strcmp(items[i - 1].path, items[i].path) == 0 && !(S_ISDIR(items[i - 1].mode) && S_ISDIR(items[i].mode)))
            return err_set(err, -EEXIST, "/%s: two parts of the layer bring this path", items[i].path);
    size_t kept = 0;
    for (size_t i = 0; i < content->count; i++)
        if (kept && strcmp(items[kept - 1].path, items[i].path) == 0)
            item_done(&items[i]);
        else
            items[kept++] = items[i];
    content->count = kept;
    return 0;
}

int content_plan(const struct layer_request *request, struct content *ret_content, struct err *err) {
    static int (*const parts[])(const struct layer_request *, struct content *, struct err *) = {
        plan_files,  plan_programs, plan_runtime, plan_enable, plan_links, plan_mask,
        plan_remove, plan_fetch,    plan_stack,   plan_labels, plan_extra,
    };
    cleanup_content struct content content = {.layer = request->layer};
    int r = 0;
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(parts); i++)
        r = parts[i](request, &content, err);
    if (r >= 0)
        r = sort_unique(&content, err);
    if (r >= 0)
        r = apply_modes(request->layer, &content, err);
    if (r < 0)
        return r;
    *ret_content = content;
    content = (struct content){0};
    return 0;
}

static bool has_unit(const struct content *content, struct index *below, const char *unit) {
    static const char *const places[] = {"usr/lib/systemd/system", "etc/systemd/system"};
    cleanup_free char *file = unit_file(unit);
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        cleanup_free char *path = str_printf("%s/%s", places[i], file);
        if (find(content, path) || index_find(below, path))
            return true;
    }
    return false;
}

static int check_item(const struct content *content, struct content_item *item, struct index *below, struct err *err) {
    const struct index_entry *under = index_find(below, item->path);
    if (S_ISCHR(item->mode))
        return under ? 0 : err_set(err, -ENOENT, "remove: /%s is in no lower layer", item->path);
    if (under && S_ISDIR(under->mode) != S_ISDIR(item->mode))
        return err_set(err, -EEXIST, "/%s: is a %s here and a %s in a lower layer", item->path, S_ISDIR(item->mode) ? "directory" : "file",
                       S_ISDIR(under->mode) ? "directory" : "file or symlink");
    if (under && S_ISDIR(item->mode) && !item->has_mode) {
        item->mode = under->mode;
        item->uid = under->uid;
        item->gid = under->gid;
    }
    if (item->needs_unit && !has_unit(content, below, item->needs_unit))
        return err_set(err, -ENOENT, "enable: no layer has the unit %s", item->needs_unit);
    return 0;
}

static int check_stack(const struct content *content, struct index *below, struct err *err) {
    const struct recipe_layer *layer = content->layer;
    for (unsigned i = 0; i < layer->stack_units.count; i++)
        if (!has_unit(content, below, layer->stack_units.items[i]))
            return err_set(err, -ENOENT, "stack: no layer has the unit %s", layer->stack_units.items[i]);
    for (unsigned i = 0; i < layer->stack_programs.count; i++) {
        const char *path = layer->stack_programs.items[i] + 1;
        if (!find(content, path) && !index_find(below, path))
            return err_set(err, -ENOENT, "stack: no layer has the program /%s", path);
    }
    return 0;
}

int content_check(struct content *content, struct index *below, struct err *err) {
    for (size_t i = 0; i < content->count; i++) {
        int r = check_item(content, &content->items[i], below, err);
        if (r < 0)
            return r;
    }
    return content->layer ? check_stack(content, below, err) : 0;
}

static bool parse_id(const char *text, unsigned *ret_id) {
    char *end;
    unsigned long id = *text >= '0' && *text <= '9' ? strtoul(text, &end, 10) : UINT_MAX;
    *ret_id = (unsigned)id;
    return id < UINT_MAX && (*end == 0 || *end == ':');
}

// The third field of the line "name:x:NUMBER:…", or the number itself.
static bool find_id(const char *text, const char *name, size_t size, unsigned *ret_id) {
    cleanup_free char *number = str_printf("%.*s", (int)size, name);
    if (parse_id(number, ret_id))
        return true;
    for (const char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        if (!size || strncmp(line, name, size) != 0 || line[size] != ':')
            continue;
        const char *id = strchr(line + size + 1, ':');
        return id && parse_id(id + 1, ret_id);
    }
    return false;
}

int content_owners(struct content *content, const char *passwd, const char *group, struct err *err) {
    for (size_t i = 0; i < content->count; i++) {
        struct content_item *item = &content->items[i];
        if (!item->owner)
            continue;
        size_t user = strcspn(item->owner, ":");
        const char *group_name = item->owner[user] ? item->owner + user + 1 : item->owner;
        unsigned uid, gid;
        if (!find_id(passwd, item->owner, user, &uid) || !find_id(group, group_name, strlen(group_name), &gid))
            return err_set(err, -ENOENT, "modes: /%s: the image has no user and group %s", item->path, item->owner);
        item->uid = uid;
        item->gid = gid;
    }
    return 0;
}
