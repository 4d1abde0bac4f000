// SPDX-License-Identifier: Apache-2.0
// Plans and carries out one build. What the nodes do is build_nodes.c's, what lands in the output directory build_outputs.c's.
#include "builder/backend.h"
#include "builder/build.h"
#include "builder/keyring.h"
#include "builder/recipe_line.h"
#include "builder/tools.h"
#include "common/digest.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/log.h"
#include "common/schema.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define DEFAULT_EPOCH 1767225600 // 2026-01-01T00:00:00Z: the same on every machine and every day
#define METADATA_MAX_AGE_S 60 // two builds in one minute ask the mirror once

static int take_epoch(int64_t *ret_epoch, struct err *err) {
    const char *text = getenv("SOURCE_DATE_EPOCH");
    *ret_epoch = DEFAULT_EPOCH;
    if (!text || !*text)
        return 0;
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || *end || value < 315532800 || value > UINT32_MAX) // FAT begins in 1980, squashfs ends in 2106
        return err_set(err, -EINVAL, "SOURCE_DATE_EPOCH must be seconds since 1970, from 315532800 (1980) to 4294967295");
    *ret_epoch = value;
    return 0;
}

// What to do where one of our own programs is missing.
static const char *advise_programs(void) {
    const char *own = getenv("WEBOPS_PROGRAMS");
    return own && *own ? "run make, or unset WEBOPS_PROGRAMS" : "run make";
}

// mksquashfs and grub-mkimage live in sbin or bin; the others have one place.
static int find_tools(struct build *build, struct err *err) {
    const struct {
        const char *name, *paths[2];
    } tools[TOOL_COUNT] = {
        [TOOL_STUB] = {"systemd-stub", {"/usr/lib/systemd/boot/efi/linuxx64.efi.stub"}},
        [TOOL_SYSTEMD_BOOT] = {"systemd-boot", {"/usr/lib/systemd/boot/efi/systemd-bootx64.efi"}},
        [TOOL_GRUB_BOOT] = {"grub boot.img", {"/usr/lib/grub/i386-pc/boot.img"}},
        [TOOL_GRUB_MKIMAGE] = {"grub-mkimage", {"/usr/bin/grub-mkimage", "/usr/sbin/grub-mkimage"}},
        [TOOL_MKSQUASHFS] = {"mksquashfs", {"/usr/bin/mksquashfs", "/usr/sbin/mksquashfs"}},
        [TOOL_MMDEBSTRAP] = {"mmdebstrap", {"/usr/bin/mmdebstrap"}},
        [TOOL_INIT] = {"init", {build->init_path}},
        [TOOL_RESTART] = {"restart.efi", {build->restart_path}},
    };
    for (unsigned i = 0; i < TOOL_COUNT; i++) {
        struct build_tool *tool = &build->tools[i];
        tool->name = tools[i].name;
        tool->path = tools[i].paths[0];
        if (tools[i].paths[1] && !file_exists(AT_FDCWD, tool->path))
            tool->path = tools[i].paths[1];
        int r = digest_file(AT_FDCWD, tool->path, tool->sha256, NULL, err);
        const char *package = tools_package(tool->name); // NULL = ours
        if (r < 0 && !package)
            return err_prefix(err, r, "%s is needed for building (%s)", tool->name, advise_programs());
        if (r < 0)
            return err_prefix(err, r, "%s is needed for building (install %s)", tool->name, package);
    }
    return 0;
}

// As `config check --profile` does, without the secrets, which come to the machine by other ways.
static int check_config(const struct build *build, const char *path, struct err *err) {
    cleanup_config struct config config = {0};
    cleanup_config_problems struct config_problems problems = {0};
    if (schema_parse(&build->recipe.stacks.schema, build->config_text, build->config_size, &config, &problems) >= 0)
        return 0;
    config_problems_log(&problems, path);
    return err_set(err, -EINVAL, "%s: %zu problem%s; docs/CONFIG.md lists every key", path, problems.count, problems.count == 1 ? "" : "s");
}

static int load_config(struct build *build, struct err *err) {
    const char *name = build->recipe.profile->config;
    if (!name)
        return 0;
    cleanup_free char *path = recipe_beside(&build->recipe, name);
    int r = file_read(AT_FDCWD, path, CONFIG_MAX_BYTES, &build->config_text, &build->config_size, err);
    if (r >= 0)
        r = check_config(build, path, err);
    return r < 0 ? recipe_blame(build->recipe.profile_path, "config", r, err) : 0;
}

// images/modules/<name>.list, beside the profile's own image definitions or the shipped one.
static int find_modules_list(const struct build *build, const char *name, char **ret_path, struct err *err) {
    const char *roots[] = {build->recipe.root, build->places.data_dir};
    for (size_t i = 0; i < ARRAY_SIZE(roots); i++) {
        cleanup_free char *path = str_printf("%s/images/modules/%s.list", roots[i], name);
        if (file_exists(AT_FDCWD, path)) {
            *ret_path = take_ptr(path);
            return 0;
        }
    }
    (void)err_set(err, -ENOENT, "there is no images/modules/%s.list", name);
    return recipe_blame(build->recipe.profile_path, "modules", -ENOENT, err);
}

// The same programs are linked twice: one set for the libraries of its own day, one that brings them along (Makefile, scripts/bundle-runtime).
static void find_programs(struct build *build) {
    const char *dir = build->places.programs_dir, *runtime = build->recipe.image->runtime;
    bool is_bundled = runtime && strcmp(runtime, "bundled") == 0;
    build->programs_dir = is_bundled ? str_printf("%s/bundled", dir) : str_dup(dir);
    build->runtime_dir = is_bundled ? str_printf("%s/bundled/runtime", dir) : NULL;
}

static int prepare(struct build *build, struct err *err) {
    int r = places_find(&build->places, err);
    if (r >= 0)
        r = take_epoch(&build->epoch, err);
    if (r >= 0)
        r = recipe_load(build->options.profile, &(struct recipe_paths){build->places.data_dir}, &build->recipe, err);
    if (r >= 0)
        r = cache_open(build->places.cache_dir, &build->cache, err);
    if (r < 0)
        return r;
    build->packages_dir = str_printf("%s/packages", build->cache.path);
    build->metadata_dir = str_printf("%s/metadata", build->cache.path);
    build->downloads_dir = str_printf("%s/downloads", build->cache.path);
    build->package_dirs = (struct package_dirs){build->metadata_dir, build->packages_dir, build->options.offline};
    build->init_path = str_printf("%s/init", build->places.programs_dir);
    build->restart_path = str_printf("%s/restart.efi", build->places.programs_dir);
    find_programs(build);
    r = find_modules_list(build, build->recipe.profile->modules ?: "server", &build->modules_list, err);
    if (r >= 0 && build->options.is_installer)
        r = find_modules_list(build, "installer", &build->installer_list, err);
    if (r >= 0)
        r = load_config(build, err);
    if (r >= 0)
        r = generation_load(&build->recipe, build->options.trust, build->epoch, &build->generation, err);
    if (r >= 0)
        r = secureboot_load(build->options.secure_boot_key, build->options.secure_boot_cert, &build->secureboot, err);
    return r < 0 ? r : find_tools(build, err);
}

const struct recipe_layer *build_layer(const struct build *build, unsigned index) {
    if (index == 0)
        return NULL;
    return index <= build->recipe.layer_count ? build->recipe.layers[index - 1] : &build->generation_layer;
}

static const struct strings *wanted_packages(const struct build *build, unsigned index) {
    const struct recipe_layer *layer = build_layer(build, index);
    return layer ? recipe_layer_packages(layer, build->recipe.image) : &build->recipe.image->packages;
}

// Which packages of a disk a base has: all that it has with dpkg, without those that rpm removes.
static void disk_inputs(const struct recipe_image *image, struct inputs *inputs) {
    inputs_add(inputs, "manager", image->manager);
    inputs_add(inputs, "kernel", image->kernel ? "package" : "own");
    for (unsigned i = 0; i < image->remove.count; i++)
        if (image->remove.items[i][0] != '/')
            inputs_add(inputs, "remove", image->remove.items[i]);
}

// A resolution depends on the recipe's lists, on what lies below, and on what the archive offers now; it is kept in the cache.
static void resolve_inputs(const struct build *build, unsigned index, const char *fingerprint, struct inputs *inputs) {
    const struct strings *packages = wanted_packages(build, index);
    inputs_add(inputs, "archive", fingerprint);
    inputs_add(inputs, "architecture", build->recipe.image->architecture);
    for (unsigned i = 0; i < build->recipe.image->modules.count; i++)
        inputs_add(inputs, "module", build->recipe.image->modules.items[i]);
    for (unsigned i = 0; i < packages->count; i++)
        inputs_add(inputs, "package", packages->items[i]);
    if (index == 0 && build->recipe.image->disk)
        disk_inputs(build->recipe.image, inputs);
    for (unsigned i = 0; index == 0 && i < build->recipe.image->stand_ins.count; i++)
        inputs_add(inputs, "stand-in", build->recipe.image->stand_ins.items[i]);
    for (unsigned i = 0; i < index; i++) {
        cleanup_buf struct buf text = {0};
        package_set_format(&build->sets[i], &text);
        inputs_add_hash(inputs, "below", buf_str(&text), text.size);
    }
}

static int resolve_now(struct build *build, unsigned index, struct err *err) {
    const struct recipe_image *image = build->recipe.image;
    const struct package_set *parents[BUILD_MAX_LAYERS];
    static const struct strings none = {0};
    for (unsigned i = 0; i < index; i++)
        parents[i] = &build->sets[i];
    const struct strings *packages = index ? wanted_packages(build, index) : &none; // a base's are the image's own
    return backend_of(image)->resolve(image, &build->package_dirs, packages, parents, index, &build->sets[index], err);
}

static int load_set(struct build *build, unsigned index, const char *key, struct err *err) {
    cleanup_free char *path = cache_path(&build->cache, "packages", key, "set");
    cleanup_free char *text = NULL;
    size_t size = 0;
    int r = file_read(AT_FDCWD, path, 16 << 20, &text, &size, err);
    return r < 0 ? r : package_set_parse(text, size, &build->sets[index], err);
}

static int resolve(struct build *build, unsigned index, const char *fingerprint, struct err *err) {
    cleanup_inputs struct inputs inputs = {0};
    cleanup_buf struct buf text = {0};
    char key[INPUTS_KEY_CHARS + 1];
    struct cache_entry entry;
    resolve_inputs(build, index, fingerprint, &inputs);
    inputs_key(&inputs, key);
    int r = cache_begin(&build->cache, "packages", key, &entry, err);
    if (r != 0)
        return r < 0 ? r : load_set(build, index, key, err);
    r = resolve_now(build, index, err);
    cleanup_free char *path = str_printf("%s/set", entry.dir);
    if (r >= 0) {
        package_set_format(&build->sets[index], &text);
        r = file_publish(AT_FDCWD, path, buf_str(&text), text.size, 0644, err);
    }
    if (r < 0) {
        cache_abort(&entry);
        return r;
    }
    return cache_commit(&build->cache, &entry, &inputs, err);
}

static const char *part_name(const struct build *build, unsigned index) {
    const struct recipe_layer *layer = build_layer(build, index);
    return layer ? layer->name : build->recipe.image->id;
}

static int take_locked(struct build *build, struct err *err) {
    cleanup_free char *path = build->options.lock ? str_dup(build->options.lock) : recipe_lock_path(&build->recipe);
    const struct recipe_image *image = build->recipe.image;
    cleanup_free char *text = NULL;
    cleanup_lockfile struct lockfile lockfile = {0};
    size_t size = 0, taken = 0;
    int r = file_read(AT_FDCWD, path, LOCKFILE_MAX_BYTES, &text, &size, err);
    if (r == -ENOENT)
        return err_prefix(err, r, "there is no lock file (make it with `webops-image lock%s%s %s`)", build->options.lock ? " -o " : "",
                          build->options.lock ?: "", build->options.profile);
    if (r >= 0)
        r = lockfile_parse(text, size, path, &lockfile, err);
    if (r >= 0 && (strcmp(lockfile.image, image->id) != 0 || strcmp(lockfile.architecture, image->architecture) != 0))
        r = err_set(err, -ESTALE, "%s is of %s on %s, the profile is of %s on %s", path, lockfile.image, lockfile.architecture, image->id,
                    image->architecture);
    for (unsigned i = 0; r >= 0 && i < build->layer_count; i++)
        if (wanted_packages(build, i)->count)
            r = lockfile_take(&lockfile, taken++, part_name(build, i), wanted_packages(build, i), &build->sets[i], err);
    if (r >= 0)
        r = lockfile_end(&lockfile, taken, err);
    return r == -ESTALE ? err_prefix(err, r, "%s does not fit the recipes; make it anew with `webops-image lock`", path) : r;
}

void build_lock(const struct build *build, struct lockfile *ret_lockfile) {
    const struct recipe_image *image = build->recipe.image;
    *ret_lockfile = (struct lockfile){.image = str_dup(image->id), .architecture = str_dup(image->architecture)};
    for (unsigned i = 0; i < build->layer_count; i++)
        if (wanted_packages(build, i)->count)
            lockfile_add(ret_lockfile, part_name(build, i), wanted_packages(build, i), &build->sets[i]);
}

static int resolve_all(struct build *build, struct err *err) {
    const struct recipe_image *image = build->recipe.image;
    char fingerprint[FINGERPRINT_HEX_BYTES];
    int r = keyring_check(image, err);
    if (r < 0 || build->options.is_locked)
        return r < 0 ? r : take_locked(build, err);
    const long max_age_s = build->options.offline ? -1 : METADATA_MAX_AGE_S;
    r = backend_of(image)->fingerprint(image, &build->package_dirs, max_age_s, fingerprint, err);
    for (unsigned i = 0; r >= 0 && i < build->layer_count; i++)
        if (wanted_packages(build, i)->count)
            r = resolve(build, i, fingerprint, err);
    return r;
}

int build_plan(const struct build_options *options, struct build *build, struct err *err) {
    *build = (struct build){.options = *options, .cache = {.dir_fd = -1}};
    int r = prepare(build, err);
    if (r < 0)
        return r;
    build->layer_count = 1 + build->recipe.layer_count + 1;
    const struct recipe_image *image = build->recipe.image;
    build->image_layer = (struct recipe_layer){.name = image->id,
                                               .enable = image->enable,
                                               .enable_count = image->enable_count,
                                               .links = image->links,
                                               .link_count = image->link_count};
    build->generation_layer = (struct recipe_layer){.name = (char *)"generation", .version = build->recipe.profile->version};
    r = resolve_all(build, err);
    if (r < 0)
        return r;
    r = build_inputs(build, err);
    if (r >= 0)
        graph_check(&build->graph, &build->cache, build->recipe.profile->name);
    return r;
}

void build_done(struct build *build) {
    graph_done(&build->graph);
    for (unsigned i = 0; i < BUILD_MAX_LAYERS; i++)
        package_set_done(&build->sets[i]);
    recipe_done(&build->recipe);
    cache_done(&build->cache);
    places_done(&build->places);
    free(build->packages_dir);
    free(build->metadata_dir);
    free(build->downloads_dir);
    free(build->programs_dir);
    free(build->runtime_dir);
    free(build->init_path);
    free(build->restart_path);
    free(build->modules_list);
    free(build->installer_list);
    free(build->config_text);
    generation_done(&build->generation);
    secureboot_done(&build->secureboot);
    *build = (struct build){.cache = {.dir_fd = -1}};
}

bool build_is_current(const struct build *build) {
    for (unsigned i = 0; i < build->graph.count; i++)
        if (!build->graph.nodes[i].cached)
            return false;
    return build_outputs_current(build);
}

int build_apply(struct build *build, struct err *err) {
    const char *profile = build->recipe.profile->name;
    int64_t started = clock_ms();
    cleanup_progress struct progress *progress = progress_new(build->graph.count + build_output_stages(build), build->options.json);
    int r = graph_run(&build->graph, &build->cache, profile, progress, err);
    return r < 0 ? r : build_outputs(build, progress, (double)(clock_ms() - started) / 1000, err);
}
