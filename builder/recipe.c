// SPDX-License-Identifier: Apache-2.0
// Finds and loads a profile and everything it names. The text of a single recipe is recipe_parse.c's.
#include "builder/recipe.h"
#include "builder/labels.h"
#include "builder/recipe_line.h"
#include "common/buf.h"
#include "common/digest.h"
#include "common/file.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

static int find_profile(const char *profile, const struct recipe_paths *paths, char **ret_path, struct err *err) {
    if (strchr(profile, '/') || strstr(profile, ".yaml")) {
        *ret_path = str_dup(profile);
        return 0;
    }
    cleanup_free char *here = str_printf("profiles/%s.yaml", profile);
    cleanup_free char *shipped = str_printf("%s/profiles/%s.yaml", paths->data_dir, profile);
    if (file_exists(AT_FDCWD, here))
        *ret_path = take_ptr(here);
    else if (file_exists(AT_FDCWD, shipped))
        *ret_path = take_ptr(shipped);
    else
        return err_set(err, -ENOENT, "there is no profile '%s': neither %s nor %s exists", profile, here, shipped);
    return 0;
}

char *recipe_lock_path(const struct recipe *recipe) {
    cleanup_free char *base = str_without(recipe->profile_path, (const char *const[]){".yaml", NULL});
    return str_printf("%s.lock", base);
}

char *recipe_beside(const struct recipe *recipe, const char *name) {
    const char *slash = strrchr(recipe->profile_path, '/');
    return name[0] == '/' || !slash ? str_dup(name)
                                    : str_printf("%.*s/%s", (int)(slash - recipe->profile_path), recipe->profile_path, name);
}

// The directory above the one that holds the file: profiles/x.yaml → ".", ../x.yaml → "../..".
static char *root_of(const char *path) {
    cleanup_free char *dir = str_dup(path);
    char *slash = strrchr(dir, '/');
    if (!slash)
        return str_dup("..");
    *slash = 0;
    slash = strrchr(dir, '/');
    const char *last = slash ? slash + 1 : dir;
    if (strcmp(last, ".") == 0 || strcmp(last, "..") == 0)
        return str_printf("%s/..", dir);
    if (!slash)
        return str_dup(*dir ? "." : "/");
    if (slash == dir)
        return str_dup("/");
    *slash = 0;
    return take_ptr(dir);
}

// The profile's own tree wins over the shipped one.
static int find_part(const struct recipe *recipe, const struct recipe_paths *paths, const char *relative, char **ret_path,
                     struct err *err) {
    cleanup_free char *own = str_printf("%s/%s", recipe->root, relative);
    cleanup_free char *shipped = str_printf("%s/%s", paths->data_dir, relative);
    if (file_exists(AT_FDCWD, own))
        *ret_path = take_ptr(own);
    else if (file_exists(AT_FDCWD, shipped))
        *ret_path = take_ptr(shipped);
    else
        return err_set(err, -ENOENT, "neither %s nor %s exists", own, shipped);
    return 0;
}

const struct strings *recipe_layer_packages(const struct recipe_layer *layer, const struct recipe_image *image) {
    return strcmp(recipe_image_manager(image), "dnf") == 0 ? &layer->packages.dnf : &layer->packages.apt;
}

const char *recipe_image_manager(const struct recipe_image *image) {
    return image->manager ? image->manager : image->backend;
}

// A layer with a list for the other package manager only would silently lack what it needs.
static int check_packages(const struct recipe *recipe, const struct recipe_layer *layer, const char *path, struct err *err) {
    bool has_any = layer->packages.apt.count || layer->packages.dnf.count;
    if (!has_any || recipe_layer_packages(layer, recipe->image)->count)
        return 0;
    (void)err_set(err, -EINVAL, "there is no list for %s, which %s needs", recipe_image_manager(recipe->image), recipe->image->id);
    return recipe_blame(path, "packages", -EINVAL, err);
}

static int load_layer(struct recipe *recipe, const struct recipe_paths *paths, unsigned index, struct err *err) {
    const char *name = recipe->profile->layers.items[index];
    cleanup_free char *relative = str_printf("overlays/%s/layer.yaml", name), *member = str_printf("layers[%u]", index);
    cleanup_free char *path = NULL, *text = NULL;
    size_t size = 0;
    int r = find_part(recipe, paths, relative, &path, err);
    if (r < 0)
        return recipe_blame(recipe->profile_path, member, r, err);
    r = file_read(AT_FDCWD, path, RECIPE_MAX_BYTES, &text, &size, err);
    struct recipe_layer *layer = NULL;
    if (r >= 0)
        r = recipe_parse_layer(text, size, path, &layer, err);
    if (r < 0)
        return r;
    layer->dir = str_printf("%.*s", (int)(strlen(path) - strlen("/layer.yaml")), path);
    recipe->layers[recipe->layer_count++] = layer;
    if (strcmp(layer->name, name) != 0) {
        (void)err_set(err, -EINVAL, "'%s' must be that of its directory, '%s'", layer->name, name);
        return recipe_blame(path, "name", -EINVAL, err);
    }
    return check_packages(recipe, layer, path, err);
}

static int load_image(struct recipe *recipe, const struct recipe_paths *paths, struct err *err) {
    cleanup_free char *relative = str_printf("images/%s.yaml", recipe->profile->image);
    cleanup_free char *text = NULL;
    size_t size = 0;
    int r = find_part(recipe, paths, relative, &recipe->image_path, err);
    if (r < 0)
        return recipe_blame(recipe->profile_path, "image", r, err);
    r = file_read(AT_FDCWD, recipe->image_path, RECIPE_MAX_BYTES, &text, &size, err);
    if (r >= 0)
        r = recipe_parse_image(text, size, recipe->image_path, &recipe->image, err);
    if (r >= 0 && strcmp(recipe->image->id, recipe->profile->image) != 0) {
        (void)err_set(err, -EINVAL, "'%s' must be the file's name, '%s'", recipe->image->id, recipe->profile->image);
        return recipe_blame(recipe->image_path, "id", -EINVAL, err);
    }
    return r < 0 ? r : recipe_add_mirrors(recipe->image, err);
}

// A list of what no machine wants of a cloud image: one pattern a line, or a package where these can be removed; # begins a comment.
static int load_removals(struct recipe *recipe, const struct recipe_paths *paths, const char *relative, bool packages, struct err *err) {
    cleanup_free char *path = NULL, *text = NULL;
    int r = find_part(recipe, paths, relative, &path, err);
    if (r < 0)
        return recipe_blame(recipe->image_path, "backend", r, err);
    r = file_read(AT_FDCWD, path, RECIPE_MAX_BYTES, &text, NULL, err);
    unsigned number = 1;
    for (char *line = text, *next; r >= 0 && *line; line = next, number++) {
        next = line + strcspn(line, "\n");
        if (*next)
            *next++ = 0;
        line[strcspn(line, "# \t\r")] = 0;
        if (*line == '/' || (packages && recipe_is_rpm_name(line)))
            strings_add(&recipe->image->remove, line);
        else if (*line)
            r = err_set(err, -EINVAL, "%s:%u: an absolute path%s is expected", path, number, packages ? " or the name of a package" : "");
    }
    return r;
}

// `file` lies beside the definition. Its hash is what the base is known by.
static int find_disk(struct recipe *recipe, struct err *err) {
    struct recipe_disk *disk = recipe->image->disk;
    const char *slash = strrchr(recipe->image_path, '/');
    if (!disk->file)
        return 0;
    if (disk->file[0] != '/' && slash) {
        char *beside = str_printf("%.*s/%s", (int)(slash - recipe->image_path), recipe->image_path, disk->file);
        free(disk->file);
        disk->file = beside;
    }
    char sha256[65];
    int r = digest_file(AT_FDCWD, disk->file, sha256, NULL, err);
    if (r < 0)
        return recipe_blame(recipe->image_path, "disk.file", r, err);
    if (!disk->sha256)
        disk->sha256 = str_dup(sha256);
    if (strcmp(sha256, disk->sha256) == 0)
        return 0;
    (void)err_set(err, -EBADMSG, "%s has SHA-256 %s, the definition says %s", disk->file, sha256, disk->sha256);
    return recipe_blame(recipe->image_path, "disk.sha256", -EBADMSG, err);
}

// What comes on top of the disk's own packages.
static void add_system_layer(struct recipe *recipe) {
    struct recipe_image *image = recipe->image;
    if (recipe->profile->kernel) {
        free(image->kernel);
        image->kernel = str_dup(recipe->profile->kernel);
    }
    const char *kernel = image->kernel;
    struct recipe_layer *layer = mem_array(1, sizeof(*layer));
    *layer = (struct recipe_layer){.name = str_dup(RECIPE_SYSTEM_LAYER),
                                   .version = str_dup(recipe->profile->version),
                                   .summary = str_dup("what the image definition adds to the vendor's packages"),
                                   .has_kernel = kernel != NULL};
    struct strings *packages = strcmp(image->manager, "dnf") == 0 ? &layer->packages.dnf : &layer->packages.apt;
    *packages = image->packages;
    if (kernel)
        strings_add(packages, kernel);
    image->packages = (struct strings){0};
    if (!packages->count) {
        recipe_layer_free(layer);
        return;
    }
    // The units may come with these packages, so they are enabled here and not in the base.
    layer->enable = take_ptr(image->enable);
    layer->enable_count = image->enable_count;
    layer->links = take_ptr(image->links);
    layer->link_count = image->link_count;
    image->enable_count = image->link_count = 0;
    recipe->layers[recipe->layer_count++] = layer;
}

static int take_vendor(struct recipe *recipe, const struct recipe_paths *paths, struct err *err) {
    int r = find_disk(recipe, err);
    if (r >= 0)
        r = load_removals(recipe, paths, "images/vendor/remove.list", false, err);
    if (r >= 0 && strcmp(recipe->image->manager, "dnf") == 0)
        r = load_removals(recipe, paths, "images/vendor/remove.dnf.list", true, err);
    if (r < 0)
        return r;
    add_system_layer(recipe);
    cleanup_free char *wish = str_printf("disk:%s", recipe->image->disk->sha256);
    strings_add(&recipe->image->packages, wish);
    if (!recipe->layer_count || recipe->profile->layers.count <= 13) // a slot holds 16
        return 0;
    (void)err_set(err, -EINVAL, "at most 13 are possible on top of a vendor's base and what its definition adds");
    return recipe_blame(recipe->profile_path, "layers", -EINVAL, err);
}

// What webops adds to a policy for files (labels.h).
static int load_labels(struct recipe *recipe, const struct recipe_paths *paths, struct err *err) {
    const struct {
        const char *relative;
        char **text;
    } files[] = {{"images/selinux/" LABELS_LOCAL, &recipe->label_rules}, {"images/selinux/" LABELS_ALIASES, &recipe->label_aliases}};
    int r = 0;
    for (size_t i = 0; r >= 0 && recipe->image->selinux && i < ARRAY_SIZE(files); i++) {
        cleanup_free char *path = NULL;
        r = find_part(recipe, paths, files[i].relative, &path, err);
        if (r < 0)
            return recipe_blame(recipe->image_path, "selinux", r, err);
        r = file_read(AT_FDCWD, path, RECIPE_MAX_BYTES, files[i].text, NULL, err);
    }
    return r;
}

// From here on the kernel is a package like the others.
static void add_kernel(struct recipe *recipe) {
    struct strings *packages = &recipe->image->packages;
    packages->items = mem_resize(packages->items, packages->count + 1, sizeof(*packages->items));
    packages->items[packages->count++] = str_dup(recipe->profile->kernel ?: recipe->image->kernel);
}

static int load_all(struct recipe *recipe, const char *profile, const struct recipe_paths *paths, struct err *err) {
    cleanup_free char *text = NULL;
    size_t size = 0;
    int r = find_profile(profile, paths, &recipe->profile_path, err);
    if (r >= 0)
        r = file_read(AT_FDCWD, recipe->profile_path, RECIPE_MAX_BYTES, &text, &size, err);
    if (r >= 0)
        r = recipe_parse_profile(text, size, recipe->profile_path, &recipe->profile, err);
    if (r < 0)
        return r;
    recipe->root = root_of(recipe->profile_path);
    r = load_image(recipe, paths, err);
    if (r >= 0)
        r = load_labels(recipe, paths, err);
    if (r >= 0 && recipe->image->disk)
        r = take_vendor(recipe, paths, err);
    else if (r >= 0)
        add_kernel(recipe);
    for (unsigned i = 0; r >= 0 && i < recipe->profile->layers.count; i++)
        r = load_layer(recipe, paths, i, err);
    return r < 0 ? r : recipe_load_stacks(recipe->layers, recipe->layer_count, &recipe->stacks, err);
}

int recipe_load(const char *profile, const struct recipe_paths *paths, struct recipe *ret_recipe, struct err *err) {
    struct recipe recipe = {0};
    int r = load_all(&recipe, profile, paths, err);
    if (r < 0)
        recipe_done(&recipe);
    else
        *ret_recipe = recipe;
    return r;
}

void recipe_done(struct recipe *recipe) {
    if (recipe->profile)
        recipe_profile_free(recipe->profile);
    if (recipe->image)
        recipe_image_free(recipe->image);
    for (unsigned i = 0; i < recipe->layer_count; i++)
        recipe_layer_free(recipe->layers[i]);
    stack_set_done(&recipe->stacks);
    free(recipe->profile_path);
    free(recipe->image_path);
    free(recipe->root);
    free(recipe->label_rules);
    free(recipe->label_aliases);
    *recipe = (struct recipe){0};
}
