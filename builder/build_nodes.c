// SPDX-License-Identifier: Apache-2.0
// The nodes of the graph: their inputs, and the calls into the pipeline stages that make them.
#include "builder/backend.h"
#include "builder/build.h"
#include "builder/labels.h"
#include "builder/layer.h"
#include "builder/slotimage.h"
#include "common/buf.h"
#include "common/file.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

// Raise a number when the code behind a kind of node changes its output for the same inputs.
enum { FORMAT_LAYER = 3, FORMAT_INITRAMFS = 1, FORMAT_SLOT = 1, FORMAT_UKI = 1, FORMAT_PROGRAMS = 1, FORMAT_LABELS = 2 };

bool build_is_gzip(const struct build *build) {
    const char *compression = build->recipe.image->compression;
    return compression && strcmp(compression, "gzip") == 0;
}

static struct layer_format layer_format(const struct build *build) {
    const struct recipe_profile *profile = build->recipe.profile;
    return (struct layer_format){
        .epoch = build->epoch, .zstd_level = profile->zstd_level, .is_gzip = build_is_gzip(build), .block_size = profile->block_size};
}

static int build_layer_node(void *context, unsigned index, const char *dir, struct err *err) {
    struct build *build = context;
    const char *lower[BUILD_MAX_LAYERS];
    for (unsigned i = 0; i < index; i++)
        lower[i] = graph_path(&build->cache, build->layers[i], "");
    const struct generation *generation = &build->generation;
    const bool is_top = index > build->recipe.layer_count;
    const struct layer_extra extra[] = {
        {.path = "usr/lib/webops/generation.env", .data = generation->text, .size = strlen(generation->text), .mode = 0644},
        {.path = "usr/lib/webops/trust/ca.pem", .data = generation->trust, .size = generation->trust_size, .mode = 0644},
        {.path = "usr/lib/webops/default.env", .data = build->config_text, .size = build->config_size, .mode = 0644},
    };
    const struct layer_request request = {.image = build->recipe.image,
                                          .is_base = index == 0,
                                          .layer = index ? build_layer(build, index) : &build->image_layer,
                                          .set = &build->sets[index],
                                          .packages_dir = build->packages_dir,
                                          .exclude = &build->recipe.image->exclude,
                                          .lower = lower,
                                          .lower_count = index,
                                          .programs_dir = build->programs_dir,
                                          .runtime_dir = build->runtime_dir,
                                          .downloads_dir = build->downloads_dir,
                                          .is_offline = build->options.offline,
                                          .extra = extra,
                                          .extra_count = !is_top              ? 0
                                                         : build->config_text ? 3
                                                                              : 2,
                                          .label_rules = index ? NULL : build->recipe.label_rules,
                                          .label_aliases = index ? NULL : build->recipe.label_aliases,
                                          .out_dir = dir,
                                          .format = layer_format(build)};
    int r = 0;
    if (build->sets[index].count)
        r = backend_of(build->recipe.image)->download(build->recipe.image, &build->package_dirs, &build->sets[index], NULL, err);
    if (r >= 0)
        r = layer_build(&request, err);
    for (unsigned i = 0; i < index; i++)
        free((char *)lower[i]);
    return r;
}

static int build_slot_node(void *context, unsigned index, const char *dir, struct err *err) {
    struct build *build = context;
    const struct recipe_profile *profile = build->recipe.profile;
    struct slotimage_layer layers[BUILD_MAX_LAYERS];
    char *paths[BUILD_MAX_LAYERS];
    int r = 0;
    (void)index;
    for (unsigned i = 0; i < build->layer_count; i++) {
        const struct recipe_layer *layer = build_layer(build, i);
        cleanup_free char *layer_dir = graph_path(&build->cache, build->layers[i], "");
        struct layer_info info = {0};
        if (r >= 0)
            r = layer_info_load(layer_dir, &info, err);
        paths[i] = graph_path(&build->cache, build->layers[i], LAYER_SQUASHFS);
        layers[i] = (struct slotimage_layer){.name = layer ? layer->name : build->recipe.image->id,
                                             .version = layer ? layer->version : profile->version,
                                             .dir_fd = AT_FDCWD,
                                             .path = paths[i],
                                             .length = info.bytes};
        if (r >= 0 && !hex_parse(info.sha256, 32, layers[i].sha256))
            r = err_set(err, -EBADMSG, "%s: the recorded hash is damaged", layer_dir);
    }
    const struct slotimage_input input = {.profile = profile->name,
                                          .version = profile->version,
                                          .sequence = profile->sequence,
                                          .slot_bytes = profile->slot_size,
                                          .layers = layers,
                                          .layer_count = build->layer_count};
    struct slotimage image;
    char boot[SLOT_BOOT_TEXT_BYTES];
    cleanup_fd int dir_fd = r < 0 ? -1 : file_open(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, 0, err);
    if (r >= 0)
        r = dir_fd;
    if (r >= 0)
        r = slotimage_create(&input, dir_fd, "slot", &image, err);
    if (r >= 0) {
        slotimage_boot_text(&image, boot);
        r = file_publish(dir_fd, "boot", boot, strlen(boot), 0644, err);
    }
    for (unsigned i = 0; i < build->layer_count; i++)
        free(paths[i]);
    return r;
}

// Programs on the ESP beside the UKI, which firmware starts, too.
static const struct boot_program {
    unsigned tool;
    const char *file;
} boot_programs[] = {{TOOL_SYSTEMD_BOOT, "systemd-bootx64.efi"}, {TOOL_RESTART, "restart.efi"}};

static int build_programs_node(void *context, unsigned index, const char *dir, struct err *err) {
    struct build *build = context;
    int r = 0;
    (void)index;
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(boot_programs); i++) {
        cleanup_free char *to = str_printf("%s/%s", dir, boot_programs[i].file);
        r = secureboot_sign(&build->secureboot, build->tools[boot_programs[i].tool].path, to, err);
    }
    return r;
}

char *build_boot_program(const struct build *build, unsigned tool) {
    for (size_t i = 0; build->programs && i < ARRAY_SIZE(boot_programs); i++)
        if (boot_programs[i].tool == tool)
            return graph_path(&build->cache, build->programs, boot_programs[i].file);
    return str_dup(build->tools[tool].path);
}

static void add_tool(struct inputs *inputs, const struct build *build, unsigned tool) {
    cleanup_free char *name = str_printf("tool %s", build->tools[tool].name);
    inputs_add(inputs, name, build->tools[tool].sha256);
}

static void add_format(struct inputs *inputs, const struct build *build, unsigned version) {
    inputs_add_number(inputs, "format", version);
    inputs_add_number(inputs, "SOURCE_DATE_EPOCH", (uint64_t)build->epoch);
    inputs_add_number(inputs, "profile zstd_level", (uint64_t)build->recipe.profile->zstd_level);
    inputs_add_number(inputs, "profile block_size", build->recipe.profile->block_size);
    if (build_is_gzip(build))
        inputs_add(inputs, "image compression", "gzip");
}

static void add_packages(struct inputs *inputs, const struct package_set *set) {
    for (size_t i = 0; i < set->count; i++) {
        cleanup_free char *name = str_printf("package %s", set->packages[i].name);
        cleanup_free char *value = str_printf("%s %s", set->packages[i].version, set->packages[i].sha256);
        inputs_add(inputs, name, value);
    }
}

// rpm packages are held against the keys when they are installed, and a node that is there already stands for that. apt's keys are in its fingerprint.
static int add_keyrings(struct inputs *inputs, const struct build *build, unsigned index, struct err *err) {
    const struct recipe_image *image = build->recipe.image;
    int r = 0;
    if (!build->sets[index].count || strcmp(recipe_image_manager(image), "dnf") != 0)
        return 0;
    for (unsigned i = 0; r >= 0 && i < image->source_count; i++) {
        cleanup_free char *name = str_printf("keyring %s", image->sources[i].archive);
        r = inputs_add_file(inputs, name, image->sources[i].keyring, err);
    }
    return r;
}

static void add_strings(struct inputs *inputs, const char *name, const struct strings *list) {
    for (unsigned i = 0; i < list->count; i++)
        inputs_add(inputs, name, list->items[i]);
}

static void layer_recipe_inputs(const struct recipe_layer *layer, struct inputs *inputs) {
    add_strings(inputs, "mask", &layer->mask);
    add_strings(inputs, "remove", &layer->remove);
    for (unsigned i = 0; i < layer->enable_count; i++)
        inputs_add(inputs, layer->enable[i].unit, layer->enable[i].wants);
    for (unsigned i = 0; i < layer->link_count; i++)
        inputs_add(inputs, layer->links[i].path, layer->links[i].target);
    for (unsigned i = 0; i < layer->fetch_count; i++) {
        cleanup_free char *value = str_printf("%s %s %o", layer->fetch[i].sha256, layer->fetch[i].path, layer->fetch[i].mode);
        inputs_add(inputs, "fetch", value);
    }
    for (unsigned i = 0; i < layer->mode_count; i++) {
        cleanup_free char *value = str_printf("%o %s", layer->modes[i].mode, layer->modes[i].owner ?: "");
        inputs_add(inputs, layer->modes[i].path, value);
    }
}

static int base_inputs(const struct build *build, struct inputs *inputs, struct err *err) {
    add_format(inputs, build, FORMAT_LAYER);
    add_tool(inputs, build, TOOL_MMDEBSTRAP);
    add_tool(inputs, build, TOOL_MKSQUASHFS);
    add_packages(inputs, &build->sets[0]);
    add_strings(inputs, "image stand_ins", &build->recipe.image->stand_ins);
    add_strings(inputs, "image exclude", &build->recipe.image->exclude);
    inputs_add(inputs, "image backend", build->recipe.image->backend);
    add_strings(inputs, "image remove", &build->recipe.image->remove);
    if (build->recipe.image->disk)
        inputs_add(inputs, "image kernel", build->recipe.image->kernel ? "package" : "own");
    inputs_add(inputs, "image selinux", build->recipe.image->selinux ?: "");
    if (build->recipe.label_rules) { // the layers above have them through the key of this node
        inputs_add_number(inputs, "labels format", FORMAT_LABELS);
        inputs_add_hash(inputs, "labels " LABELS_LOCAL, build->recipe.label_rules, strlen(build->recipe.label_rules));
        inputs_add_hash(inputs, "labels " LABELS_ALIASES, build->recipe.label_aliases, strlen(build->recipe.label_aliases));
    }
    layer_recipe_inputs(&build->image_layer, inputs);
    return add_keyrings(inputs, build, 0, err);
}

static int layer_inputs(const struct build *build, unsigned index, struct inputs *inputs, struct err *err) {
    const struct recipe_layer *layer = build_layer(build, index);
    add_format(inputs, build, FORMAT_LAYER);
    add_tool(inputs, build, TOOL_MKSQUASHFS);
    // What lies below decides what packages see and which paths conflict.
    for (unsigned i = 0; i < index; i++)
        inputs_add(inputs, "below", build->layers[i]->key);
    add_packages(inputs, &build->sets[index]);
    if (layer->has_kernel)
        inputs_add(inputs, "kernel", build->recipe.image->kernel);
    layer_recipe_inputs(layer, inputs);
    if (index > build->recipe.layer_count) {
        if (build->config_text)
            inputs_add_hash(inputs, "profile config", build->config_text, build->config_size);
        inputs_add_hash(inputs, "generation", build->generation.text, strlen(build->generation.text));
        inputs_add_hash(inputs, "trust", build->generation.trust, build->generation.trust_size);
    }
    int r = add_keyrings(inputs, build, index, err);
    for (unsigned i = 0; r >= 0 && i < layer->programs.count; i++) {
        cleanup_free char *name = str_printf("program %s", layer->programs.items[i]);
        cleanup_free char *path = str_printf("%s/%s", build->programs_dir, layer->programs.items[i]);
        r = inputs_add_file(inputs, name, path, err);
    }
    if (r >= 0 && layer->programs.count && build->runtime_dir)
        r = inputs_add_tree(inputs, "runtime ", build->runtime_dir, err);
    if (layer->stack_json)
        inputs_add_hash(inputs, "stack", layer->stack_json, strlen(layer->stack_json));
    for (unsigned i = 0; r >= 0 && i < layer->templates.count; i++) {
        cleanup_free char *name = str_printf("template %s", layer->templates.items[i]);
        cleanup_free char *path = str_printf("%s/templates/%s", layer->dir, layer->templates.items[i]);
        r = inputs_add_file(inputs, name, path, err);
    }
    cleanup_free char *own = str_printf("files.%s", recipe_image_manager(build->recipe.image));
    const char *const trees[] = {"files", own};
    for (size_t i = 0; r >= 0 && layer->dir && i < ARRAY_SIZE(trees); i++) {
        cleanup_free char *tree = str_printf("%s/%s", layer->dir, trees[i]);
        r = inputs_add_tree(inputs, "file ", tree, err);
    }
    return r;
}

static int add_layers(struct build *build, struct err *err) {
    int r = 0;
    for (unsigned i = 0; r >= 0 && i < build->layer_count; i++) {
        const struct recipe_layer *layer = build_layer(build, i);
        cleanup_free char *label = layer ? str_printf("layer %s", layer->name) : str_printf("base %s", build->recipe.image->id);
        struct node *node = graph_add(&build->graph, layer ? "layer" : "base", label, build_layer_node, i);
        build->layers[i] = node;
        if (layer)
            r = layer_inputs(build, i, &node->inputs, err);
        else
            r = base_inputs(build, &node->inputs, err);
        graph_seal(node);
    }
    return r;
}

static int add_initramfs(struct build *build, unsigned index, struct node **ret_node, struct err *err) {
    const char *label = index == BUILD_FOR_INSTALLER ? "installer initramfs" : "initramfs";
    struct node *node = graph_add(&build->graph, "initramfs", label, build_initramfs_node, index);
    add_format(&node->inputs, build, FORMAT_INITRAMFS);
    inputs_add(&node->inputs, "kernel", build_kernel_node(build)->key);
    add_tool(&node->inputs, build, TOOL_INIT);
    int r = inputs_add_file(&node->inputs, "profile modules", build->modules_list, err);
    if (r >= 0 && index == BUILD_FOR_INSTALLER)
        r = inputs_add_file(&node->inputs, "installer modules", build->installer_list, err);
    graph_seal(node);
    *ret_node = node;
    return r;
}

static void add_slot(struct build *build) {
    const struct recipe_profile *profile = build->recipe.profile;
    struct node *node = build->slot = graph_add(&build->graph, "slot", "slot image", build_slot_node, 0);
    inputs_add_number(&node->inputs, "format", FORMAT_SLOT);
    inputs_add(&node->inputs, "profile name", profile->name);
    inputs_add(&node->inputs, "profile version", profile->version);
    inputs_add_number(&node->inputs, "profile sequence", profile->sequence);
    inputs_add_number(&node->inputs, "profile slot_size", profile->slot_size);
    for (unsigned i = 0; i < build->layer_count; i++) {
        const struct recipe_layer *layer = build_layer(build, i);
        cleanup_free char *value = str_printf("%s %s", layer ? layer->version : "", build->layers[i]->key);
        inputs_add(&node->inputs, build->layers[i]->label, value);
    }
    graph_seal(node);
}

static struct node *add_uki(struct build *build, unsigned index) {
    cleanup_free char *words = build_cmdline_words(build);
    cleanup_free char *release = build_os_release(build);
    const char *label = index == BUILD_FOR_INSTALLER ? "installer kernel image" : "unified kernel image";
    struct node *node = graph_add(&build->graph, "uki", label, build_uki_node, index);
    inputs_add_number(&node->inputs, "format", FORMAT_UKI);
    inputs_add(&node->inputs, "profile cmdline", words);
    inputs_add_hash(&node->inputs, "os-release", release, strlen(release));
    add_tool(&node->inputs, build, TOOL_STUB);
    inputs_add(&node->inputs, "slot image", build->slot->key);
    inputs_add(&node->inputs, "initramfs", (index == BUILD_FOR_INSTALLER ? build->installer_initramfs : build->initramfs)->key);
    if (index == BUILD_FOR_INSTALLER)
        inputs_add(&node->inputs, "medium", "yes");
    if (build->secureboot.key)
        inputs_add(&node->inputs, "Secure Boot certificate", build->secureboot.sha256);
    graph_seal(node);
    return node;
}

static void add_programs(struct build *build) {
    if (!build->secureboot.key)
        return;
    struct node *node = build->programs = graph_add(&build->graph, "programs", "signed boot programs", build_programs_node, 0);
    inputs_add_number(&node->inputs, "format", FORMAT_PROGRAMS);
    inputs_add(&node->inputs, "Secure Boot certificate", build->secureboot.sha256);
    for (size_t i = 0; i < ARRAY_SIZE(boot_programs); i++)
        add_tool(&node->inputs, build, boot_programs[i].tool);
    graph_seal(node);
}

int build_inputs(struct build *build, struct err *err) {
    build->graph.context = build;
    int r = add_layers(build, err);
    if (r >= 0)
        r = add_initramfs(build, BUILD_FOR_MACHINE, &build->initramfs, err);
    if (r < 0)
        return r;
    add_slot(build);
    build->uki = add_uki(build, BUILD_FOR_MACHINE);
    add_programs(build);
    if (!build->options.is_installer)
        return 0;
    r = add_initramfs(build, BUILD_FOR_INSTALLER, &build->installer_initramfs, err);
    build->installer_uki = r < 0 ? NULL : add_uki(build, BUILD_FOR_INSTALLER);
    return r;
}
