// SPDX-License-Identifier: Apache-2.0
// One build of one profile: what it needs, its graph (build_plan), and carrying it out (build_apply). Output files are build_outputs.c's.
#pragma once
#include "builder/package_set.h"
#include "builder/generation.h"
#include "builder/graph.h"
#include "builder/layer_files.h"
#include "builder/lockfile.h"
#include "builder/places.h"
#include "builder/recipe.h"
#include "builder/secureboot.h"

#define BUILD_MAX_LAYERS 16 // base, the profile's layers, and what the build says of the generation

struct build_options {
    const char *profile; // path or name
    const char *out_dir;
    const char *trust; // root certificates instead of the profile's; NULL = those
    const char *secure_boot_key, *secure_boot_cert; // NULL = boot programs are not signed
    bool is_locked; // take the packages of a lock file instead of what the mirrors offer now
    const char *lock; // that file; NULL = the one beside the profile
    bool offline; // ask no mirror; use what is in the cache
    bool json;
    bool is_installer; // also what only an installation medium needs: an initramfs and a kernel image of its own
};

struct build_tool { // a file of the build host that goes into the image or shapes its bytes
    const char *name, *path;
    char sha256[65];
};
enum {
    TOOL_STUB,
    TOOL_SYSTEMD_BOOT,
    TOOL_GRUB_BOOT,
    TOOL_GRUB_MKIMAGE,
    TOOL_MKSQUASHFS,
    TOOL_MMDEBSTRAP,
    TOOL_INIT,
    TOOL_RESTART,
    TOOL_COUNT
};

struct build {
    struct build_options options;
    struct places places;
    struct recipe recipe;
    struct cache cache;
    struct package_dirs package_dirs; // point into packages_dir and metadata_dir
    char *packages_dir, *metadata_dir, *downloads_dir;
    char *programs_dir, *runtime_dir; // of what goes into the base layer; runtime_dir: NULL = the image's libraries serve
    char *init_path, *restart_path, *modules_list, *installer_list, *config_text; // configuration: NULL = none
    size_t config_size;
    struct generation generation;
    struct secureboot secureboot;
    struct build_tool tools[TOOL_COUNT];
    struct package_set sets[BUILD_MAX_LAYERS]; // by layer, base first
    struct recipe_layer image_layer, generation_layer; // what the base gets besides its packages; the top one
    unsigned layer_count; // base included
    int64_t epoch; // SOURCE_DATE_EPOCH
    struct graph graph;
    struct node *layers[BUILD_MAX_LAYERS], *initramfs, *slot, *uki,
        *programs; // of the graph; programs: boot programs with a signature, NULL without Secure Boot
    struct node *installer_initramfs, *installer_uki; // NULL unless options.is_installer
};

// Loads the recipe, resolves packages and computes every key. Nothing is built. build_done() must follow whatever the result.
int build_plan(const struct build_options *options, struct build *build, struct err *err) must_check nonnull(1, 2, 3);
// The packages of the plan, for a file that `options.lock` takes. lockfile_done() frees it.
void build_lock(const struct build *build, struct lockfile *ret_lockfile) nonnull(1, 2);
void build_done(struct build *build);
// True when every node is cached and every output in place.
bool build_is_current(const struct build *build) nonnull(1);
// Builds every missing node and then the outputs in options.out_dir; each appears under its name whole or not at all.
int build_apply(struct build *build, struct err *err) must_check nonnull(1, 2);

// build_nodes.c: the functions behind the graph's nodes.
int build_inputs(struct build *build, struct err *err) must_check nonnull(1, 2);
const struct recipe_layer *build_layer(const struct build *build, unsigned index); // NULL for the base
// Path of a boot program (TOOL_SYSTEMD_BOOT), with its signature if there is to be one; the caller frees.
char *build_boot_program(const struct build *build, unsigned tool);

// build_boot.c: the nodes of what firmware starts; index says for whom.
enum { BUILD_FOR_MACHINE, BUILD_FOR_INSTALLER };
int build_initramfs_node(void *context, unsigned index, const char *dir, struct err *err) must_check nonnull(1, 3, 4);
int build_uki_node(void *context, unsigned index, const char *dir, struct err *err) must_check nonnull(1, 3, 4);
// What the kernel is told, without webops.slot=: the profile's words, and panic=10 if they say nothing of that; the caller frees.
char *build_cmdline_words(const struct build *build);
// Whether layers are compressed with gzip instead of zstd, as the image definition says.
bool build_is_gzip(const struct build *build) nonnull(1);
// Text of the kernel image's section .osrel; the caller frees.
char *build_os_release(const struct build *build);
// Volume label of an installation medium, from the text behind webops.slot=: each generation has its own; the caller frees.
char *build_medium_label(const char *slot_boot) nonnull(1);
// The node of the layer that the kernel and its modules come from: the base, or what a vendor's base gets on top.
struct node *build_kernel_node(const struct build *build) nonnull(1);

// build_outputs.c
// True when every output of this plan is in place; *ret_key identifies the plan.
bool build_outputs_current(const struct build *build);
int build_outputs(struct build *build, struct progress *progress, double seconds_before, struct err *err) must_check nonnull(1, 2, 4);
unsigned build_output_stages(const struct build *build);

#define cleanup_build cleanup(build_done)
