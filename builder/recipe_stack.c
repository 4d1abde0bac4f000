// SPDX-License-Identifier: Apache-2.0
// The stacks of a recipe's layers: loaded, made one set, verified with the keys of all, templates checked. What one stack.yaml says is
// recipe_stack_yaml.c's.
#include "builder/recipe.h"
#include "builder/recipe_line.h"
#include "common/file.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

struct loading {
    struct stack **stacks; // parallel to
    struct recipe_layer **layers;
    size_t count;
};

static void loading_done(struct loading *loading) {
    for (size_t i = 0; loading->stacks && i < loading->count; i++)
        stack_free(loading->stacks[i]);
    free(loading->stacks);
    free(loading->layers);
}

static char *stack_path(const struct recipe_layer *layer) {
    return str_printf("%s/stack.yaml", layer->dir);
}

static int load_one(struct recipe_layer *layer, struct loading *loading, struct err *err) {
    cleanup_free char *path = stack_path(layer), *text = NULL;
    size_t size = 0;
    if (!file_exists(AT_FDCWD, path))
        return 0;
    int r = file_read(AT_FDCWD, path, RECIPE_MAX_BYTES, &text, &size, err);
    if (r < 0)
        return r;
    struct stack *stack = mem_array(1, sizeof(*stack));
    r = recipe_parse_stack(text, size, path, stack, err);
    if (r >= 0 && strcmp(stack->name, layer->name) != 0)
        r = err_set(err, -EINVAL, "%s:%u: name: must be that of its directory, '%s'", path, recipe_line(text, size, "name"), layer->name);
    if (r < 0) {
        stack_free(stack);
        return r;
    }
    loading->stacks[loading->count] = stack;
    loading->layers[loading->count++] = layer;
    return 0;
}

// `err` begins with a member of the layer's stack.yaml: puts file and line in front.
static int complain_at(const struct recipe_layer *layer, struct err *err) {
    cleanup_free char *path = stack_path(layer), *text = NULL;
    size_t size = 0;
    struct err ignored;
    if (file_read(AT_FDCWD, path, RECIPE_MAX_BYTES, &text, &size, &ignored) < 0)
        return err_prefix(err, -EINVAL, "%s", path);
    return recipe_stack_complain(text, size, path, err);
}

static bool has_text(const struct strings *list, const char *text) {
    for (unsigned i = 0; i < list->count; i++)
        if (strcmp(list->items[i], text) == 0)
            return true;
    return false;
}

static void add_text(struct strings *list, const char *text) {
    if (has_text(list, text))
        return;
    strings_add(list, text);
}

static int check_template(struct recipe_layer *layer, const struct stack *stack, size_t index, const struct schema *schema,
                          struct err *err) {
    const struct stack_file *file = &stack->files[index];
    cleanup_free char *path = str_printf("%s/templates/%s", layer->dir, file->template), *text = NULL;
    size_t size = 0;
    bool uses_secret = false;
    if (!file_exists(AT_FDCWD, path)) {
        (void)err_set(err, -ENOENT, "files[%zu].template: there is no %s", index, path);
        return complain_at(layer, err);
    }
    int r = file_read(AT_FDCWD, path, TEMPLATE_MAX_BYTES, &text, &size, err);
    if (r >= 0)
        r = template_check(path, text, size, file->format, schema, &uses_secret, err);
    if (r < 0)
        return r;
    if (uses_secret && file->mode & 07) {
        (void)err_set(err, -EINVAL, "files[%zu].mode: %s uses a secret, so others may have no rights", index, file->template);
        return complain_at(layer, err);
    }
    add_text(&layer->templates, file->template);
    return 0;
}

// A template that nothing is made from is a slip, too.
static int refuse_unused(const struct recipe_layer *layer, struct err *err) {
    cleanup_free char *path = str_printf("%s/templates", layer->dir);
    cleanup_dir DIR *dir = opendir(path);
    if (!dir)
        return errno == ENOENT ? 0 : err_sys(err, -errno, "cannot read %s", path);
    for (const struct dirent *entry; (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 && !has_text(&layer->templates, entry->d_name))
            return err_set(err, -EINVAL, "%s/%s: no file of stack.yaml is made from it", path, entry->d_name);
    return 0;
}

static bool is_rendered(const struct stack *stack, const char *unit) {
    for (size_t i = 0; i < stack->file_count; i++)
        if (strcmp(strrchr(stack->files[i].path, '/') + 1, unit) == 0)
            return true;
    return false;
}

// A unit may be one of the stack's own files; everything else must be in the image, which content_check() can tell.
static void collect_needs(struct recipe_layer *layer, const struct stack *stack) {
    for (size_t i = 0; i < stack->unit_count; i++)
        if (!is_rendered(stack, stack->units[i].unit))
            add_text(&layer->stack_units, stack->units[i].unit);
    for (size_t i = 0; i < stack->check_count; i++)
        if (stack->checks[i].command.count)
            add_text(&layer->stack_programs, stack->checks[i].command.items[0]);
    for (size_t i = 0; i < stack->hook_count; i++)
        add_text(&layer->stack_programs, stack->hooks[i].command.items[0]);
}

static int finish_one(struct recipe_layer *layer, const struct stack *stack, const struct schema *schema, struct err *err) {
    cleanup_buf struct buf json = {0};
    int r = 0;
    for (size_t i = 0; r >= 0 && i < stack->file_count; i++)
        r = check_template(layer, stack, i, schema, err);
    if (r >= 0)
        r = refuse_unused(layer, err);
    if (r < 0)
        return r;
    stack_format(stack, &json);
    if (json.size > STACK_MAX_BYTES)
        return err_set(err, -EFBIG, "%s/stack.yaml: more than %d bytes as JSON", layer->dir, STACK_MAX_BYTES);
    layer->stack_json = buf_take(&json);
    collect_needs(layer, stack);
    return 0;
}

// The set is in start order, the layers are not.
static struct recipe_layer *layer_of(const struct loading *loading, const struct stack *stack) {
    size_t i = 0;
    while (strcmp(loading->layers[i]->name, stack->name) != 0)
        i++;
    return loading->layers[i];
}

static int finish(const struct loading *loading, const struct stack_set *set, struct err *err) {
    size_t index = 0;
    int r = stack_set_verify(set, &index, err);
    if (r < 0)
        return complain_at(layer_of(loading, set->stacks[index]), err);
    for (size_t i = 0; r >= 0 && i < set->count; i++)
        r = finish_one(layer_of(loading, set->stacks[i]), set->stacks[i], &set->schema, err);
    return r;
}

int recipe_load_stacks(struct recipe_layer *const *layers, unsigned count, struct stack_set *ret_set, struct err *err) {
    cleanup(loading_done) struct loading loading = {.stacks = mem_array(count, sizeof(*loading.stacks)),
                                                    .layers = mem_array(count, sizeof(*loading.layers))};
    cleanup_stack_set struct stack_set set = {0};
    int r = 0;
    for (unsigned i = 0; r >= 0 && i < count; i++)
        r = load_one(layers[i], &loading, err);
    if (r < 0)
        return r;
    r = stack_set_make(take_ptr(loading.stacks), loading.count, &set, err);
    if (r >= 0)
        r = finish(&loading, &set, err);
    if (r < 0)
        return r;
    *ret_set = set;
    set = (struct stack_set){0};
    return 0;
}

static int is_overlay(const struct dirent *entry) {
    return entry->d_name[0] != '.';
}

int recipe_load_tree(const char *root, struct stack_set *ret_set, struct err *err) {
    cleanup_free char *overlays = str_printf("%s/overlays", root);
    struct dirent **entries = NULL;
    int count = scandir(overlays, &entries, is_overlay, alphasort);
    if (count < 0)
        return err_sys(err, -errno, "cannot read %s", overlays);
    struct recipe_layer *layers = mem_array((size_t)count, sizeof(*layers));
    cleanup_free struct recipe_layer **pointers = mem_array((size_t)count, sizeof(*pointers));
    for (int i = 0; i < count; i++) {
        layers[i] = (struct recipe_layer){.name = str_dup(entries[i]->d_name), .dir = str_printf("%s/%s", overlays, entries[i]->d_name)};
        pointers[i] = &layers[i];
        free(entries[i]);
    }
    free(entries);
    int r = recipe_load_stacks(pointers, (unsigned)count, ret_set, err);
    for (int i = 0; i < count; i++) {
        free(layers[i].name);
        recipe_layer_done(&layers[i]);
    }
    free(layers);
    return r;
}
