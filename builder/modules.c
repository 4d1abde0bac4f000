// SPDX-License-Identifier: Apache-2.0
// Closure of kernel modules over a tree, through libkmod. Reads the tree's indices only; the plan's text is made in modules_plan.c.
#include "builder/modules.h"
#include "common/file.h"
#include <archive.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <libkmod.h>
#include <string.h>

#define LIST_MAX_BYTES (256 << 10)
#define INDEX_MAX_BYTES (64 << 20)
#define MODULE_MAX_BYTES (64 << 20)

void modules_done(struct modules *modules) {
    for (unsigned i = 0; i < modules->count; i++) {
        free(modules->items[i].name);
        free(modules->items[i].path);
        free(modules->items[i].closure);
        strings_done(&modules->items[i].aliases);
    }
    free(modules->items);
    free(modules->dir);
    strings_done(&modules->builtin);
    strings_done(&modules->missing);
    *modules = (struct modules){0};
}

// What one resolution works on: the indices of the tree, and the result as it grows.
struct resolver {
    struct kmod_ctx *kmod;
    char *dependencies; // text of modules.dep, for globs
    struct modules modules;
    struct strings visiting; // modules on the way down, against circles of soft dependencies
};

static void resolver_done(struct resolver *resolver) {
    kmod_unref(resolver->kmod);
    free(resolver->dependencies);
    strings_done(&resolver->visiting);
    modules_done(&resolver->modules);
}

static void module_unref(struct kmod_module **module) {
    kmod_module_unref(*module);
}

static void list_unref(struct kmod_list **list) {
    kmod_module_unref_list(*list);
}

static int find_index(const struct modules *modules, const char *name) {
    for (unsigned i = 0; i < modules->count; i++)
        if (strcmp(modules->items[i].name, name) == 0)
            return (int)i;
    return -1;
}

static void closure_add(struct module *module, unsigned index) {
    for (unsigned i = 0; i < module->closure_count; i++)
        if (module->closure[i] == index)
            return;
    module->closure = mem_resize(module->closure, module->closure_count + 1, sizeof(*module->closure));
    module->closure[module->closure_count++] = index;
}

static int visit(struct resolver *resolver, struct kmod_module *module, struct err *err);

// Visits every module of `list` and appends what it needs to the closure of `into`.
static int visit_list(struct resolver *resolver, const struct kmod_list *list, struct module *into, struct err *err) {
    for (const struct kmod_list *at = list; at; at = kmod_list_next(list, at)) {
        cleanup(module_unref) struct kmod_module *needed = kmod_module_get_module(at);
        int index = visit(resolver, needed, err);
        if (index == -ENOENT)
            continue;
        if (index < 0)
            return index;
        const struct module *item = &resolver->modules.items[index];
        for (unsigned i = 0; i < item->closure_count; i++)
            closure_add(into, item->closure[i]);
    }
    return 0;
}

static bool is_visiting(const struct resolver *resolver, const char *name) {
    for (unsigned i = 0; i < resolver->visiting.count; i++)
        if (strcmp(resolver->visiting.items[i], name) == 0)
            return true;
    return false;
}

static const char *path_in_tree(const struct resolver *resolver, const char *path) {
    size_t length = strlen(resolver->modules.dir);
    return strncmp(path, resolver->modules.dir, length) == 0 && path[length] == '/' ? path + length + 1 : path;
}

// What `module` needs, before it and (soft dependencies only) after it.
static int visit_needed(struct resolver *resolver, struct kmod_module *module, struct module *item, struct module *after, struct err *err) {
    cleanup(list_unref) struct kmod_list *pre = NULL;
    cleanup(list_unref) struct kmod_list *post = NULL;
    cleanup(list_unref) struct kmod_list *hard = kmod_module_get_dependencies(module);
    int r = kmod_module_get_softdeps(module, &pre, &post);
    if (r < 0)
        return err_sys(err, r, "soft dependencies of module %s", item->name);
    r = visit_list(resolver, pre, item, err);
    if (r == 0)
        r = visit_list(resolver, hard, item, err);
    if (r == 0)
        r = visit_list(resolver, post, after, err);
    return r;
}

static void module_item_done(struct module *item) {
    free(item->name);
    free(item->path);
    free(item->closure);
}

// Index of the module, after all it needs was added; -ENOENT when it is built in, not shipped, or already on the way down.
static int visit(struct resolver *resolver, struct kmod_module *module, struct err *err) {
    struct modules *modules = &resolver->modules;
    const char *name = kmod_module_get_name(module), *path = kmod_module_get_path(module);
    int index = find_index(modules, name);
    if (index >= 0 || !path || is_visiting(resolver, name))
        return index >= 0 ? index : -ENOENT;
    cleanup(module_item_done) struct module item = {.name = str_dup(name), .path = str_dup(path_in_tree(resolver, path))};
    cleanup(module_item_done) struct module after = {0};
    strings_add(&resolver->visiting, name);
    int r = visit_needed(resolver, module, &item, &after, err);
    free(resolver->visiting.items[--resolver->visiting.count]);
    if (r < 0)
        return r;
    if (modules->count >= MODULES_MAX)
        return err_set(err, -E2BIG, "the list asks for more than %d modules", MODULES_MAX);
    closure_add(&item, modules->count);
    for (unsigned i = 0; i < after.closure_count; i++)
        closure_add(&item, after.closure[i]);
    modules->items = mem_resize(modules->items, modules->count + 1, sizeof(*modules->items));
    modules->items[modules->count] = item;
    item = (struct module){0};
    return (int)modules->count++;
}

// One list entry that names a module or an alias.
static int resolve_name(struct resolver *resolver, const char *name, bool load, struct err *err) {
    cleanup(list_unref) struct kmod_list *found = NULL;
    cleanup(module_unref) struct kmod_module *exact = NULL;
    bool any = false, builtin = false;
    if (kmod_module_new_from_name(resolver->kmod, name, &exact) == 0 && kmod_module_get_path(exact))
        kmod_module_new_from_lookup(resolver->kmod, kmod_module_get_name(exact), &found);
    else
        kmod_module_new_from_lookup(resolver->kmod, name, &found);
    for (struct kmod_list *at = found; at; at = kmod_list_next(found, at)) {
        cleanup(module_unref) struct kmod_module *module = kmod_module_get_module(at);
        builtin |= kmod_module_get_initstate(module) == KMOD_MODULE_BUILTIN;
        int index = visit(resolver, module, err);
        if (index < 0 && index != -ENOENT)
            return index;
        if (index >= 0)
            resolver->modules.items[index].load |= load;
        any |= index >= 0;
    }
    if (!any)
        strings_add(builtin ? &resolver->modules.builtin : &resolver->modules.missing, name);
    return 0;
}

// Module name of a line of modules.dep if its path, without .ko and what follows, matches; the caller frees.
static char *glob_match(const char *line, size_t length, const char *pattern) {
    const char *colon = memchr(line, ':', length);
    cleanup_free char *path = str_printf("%.*s", (int)(colon ? colon - line : 0), line);
    char *suffix = strstr(path, ".ko");
    if (!suffix)
        return NULL;
    *suffix = 0;
    const char *slash = strrchr(path, '/');
    return fnmatch(pattern, path, FNM_PATHNAME) == 0 ? str_dup(slash ? slash + 1 : path) : NULL;
}

static int resolve_glob(struct resolver *resolver, const char *pattern, bool load, struct err *err) {
    bool any = false;
    for (const char *line = resolver->dependencies; *line;) {
        size_t length = strcspn(line, "\n");
        cleanup_free char *name = glob_match(line, length, pattern);
        int r = name ? resolve_name(resolver, name, load, err) : 0;
        if (r < 0)
            return r;
        any |= name != NULL;
        line += length + (line[length] == '\n');
    }
    if (!any)
        strings_add(&resolver->modules.missing, pattern);
    return 0;
}

static int resolve_line(struct resolver *resolver, char *line, struct err *err) {
    char *rest = NULL, *word = strtok_r(line, " \t", &rest);
    bool load = word && strcmp(word, "load") == 0;
    if (load)
        word = strtok_r(NULL, " \t", &rest);
    if (!word && !load)
        return 0;
    if (!word || strtok_r(NULL, " \t", &rest))
        return err_set(err, -EINVAL, "expected one name or pattern, optionally behind \"load\"");
    return strchr(word, '/') ? resolve_glob(resolver, word, load, err) : resolve_name(resolver, word, load, err);
}

static int resolve_list(struct resolver *resolver, char *text, const char *list_path, struct err *err) {
    unsigned number = 0;
    for (char *line = text, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        line[strcspn(line, "#")] = 0;
        number++;
        int r = resolve_line(resolver, line, err);
        if (r < 0)
            return err_prefix(err, r, "%s:%u", list_path, number);
    }
    return 0;
}

// Adds the device aliases of modules.alias ("alias PATTERN MODULE") to the modules that were chosen.
static void add_aliases(struct modules *modules, char *text) {
    for (char *line = text, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        char *pattern = strncmp(line, "alias ", 6) == 0 ? line + 6 : NULL;
        char *name = pattern ? strrchr(pattern, ' ') : NULL;
        if (!name)
            continue;
        *name++ = 0;
        // Without a ':' it is asked for by name inside the kernel (fs-ext4, crypto-sha256); devname: is for static device nodes.
        int index = strchr(pattern, ':') && strncmp(pattern, "devname:", 8) != 0 && !strchr(pattern, ' ') ? find_index(modules, name) : -1;
        if (index >= 0)
            strings_add(&modules->items[index].aliases, pattern);
    }
}

int modules_load(const char *tree, const char *list_path, struct modules *ret_modules, struct err *err) {
    cleanup(resolver_done) struct resolver resolver = {0};
    cleanup_free char *list = NULL, *aliases = NULL, *softdep_path = str_printf("%s/modules.softdep", tree);
    const char *const config[] = {softdep_path, NULL};
    cleanup_fd int tree_fd = file_open(AT_FDCWD, tree, O_RDONLY | O_DIRECTORY, 0, err);
    if (tree_fd < 0)
        return tree_fd;
    resolver.modules.dir = str_dup(tree);
    int r = file_read(AT_FDCWD, list_path, LIST_MAX_BYTES, &list, NULL, err);
    if (r == 0)
        r = file_read(tree_fd, "modules.dep", INDEX_MAX_BYTES, &resolver.dependencies, NULL, err);
    if (r == 0)
        r = file_read(tree_fd, "modules.alias", INDEX_MAX_BYTES, &aliases, NULL, err);
    if (r == 0 && !file_exists(tree_fd, "modules.dep.bin"))
        r = err_set(err, -ENOENT, "modules.dep.bin is missing: run depmod on the tree");
    if (r < 0)
        return err_prefix(err, r, "kernel modules in %s", tree);
    resolver.kmod = kmod_new(tree, config);
    if (!resolver.kmod || (r = kmod_load_resources(resolver.kmod)) < 0)
        return err_sys(err, r < 0 ? r : -ENOMEM, "reading the module indices in %s", tree);
    r = resolve_list(&resolver, list, list_path, err);
    if (r < 0)
        return r;
    add_aliases(&resolver.modules, aliases);
    *ret_modules = resolver.modules;
    resolver.modules = (struct modules){0};
    return 0;
}

static void archive_done(struct archive **archive) {
    archive_read_free(*archive);
}

int modules_read(const struct modules *modules, unsigned index, struct buf *data, struct err *err) {
    const struct module *module = &modules->items[index];
    cleanup_free char *path = str_printf("%s/%s", modules->dir, module->path);
    cleanup(archive_done) struct archive *archive = archive_read_new();
    struct archive_entry *entry;
    archive_read_support_filter_all(archive);
    archive_read_support_format_raw(archive);
    if (archive_read_open_filename(archive, path, 65536) != ARCHIVE_OK || archive_read_next_header(archive, &entry) != ARCHIVE_OK)
        return err_set(err, -EIO, "reading module %s: %s", path, archive_error_string(archive));
    size_t start = data->size;
    for (;;) {
        char chunk[65536];
        ssize_t got = archive_read_data(archive, chunk, sizeof(chunk));
        if (got < 0)
            return err_set(err, -EIO, "reading module %s: %s", path, archive_error_string(archive));
        if (got == 0)
            return 0;
        if (data->size - start + (size_t)got > MODULE_MAX_BYTES)
            return err_set(err, -EFBIG, "module %s has more than %d bytes", path, MODULE_MAX_BYTES);
        buf_add(data, chunk, (size_t)got);
    }
}
