// SPDX-License-Identifier: Apache-2.0
// The three recipes (image definition, layer, profile) as structs, loaded from YAML with libcyaml. Knows nothing of building.
#pragma once
#include "builder/strings.h"
#include "common/stack.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// images/<id>.yaml
struct recipe_unit {
    char *unit, *wants; // a symlink /etc/systemd/system/<wants>.wants/<unit>
};
struct recipe_link {
    char *path, *target; // a symbolic link: path absolute, target as it is written
};
struct recipe_source { // one line of an apt sources.list, or one repository of dnf's
    char *
        archive; // "debian", "rocky-9-baseos": what the mirror is looked for by; for apt also the end of its path in the build host's configuration
    char *
        mirror; // address; recipe_load() takes it from the list of mirrors when it is not given; NULL = from the build host's apt configuration
    struct strings suites, components; // apt only
    char *keyring; // absolute path on the build host
    struct strings keys; // fingerprints of the keys that may be in it, 40 hex digits; none = whatever is in it
    bool signed_metadata; // dnf: repomd.xml has a signature of its own
    bool snapshot; // the mirror is of a day in the past: its release file may have expired
};
struct recipe_disk { // of backend "vendor": an official cloud image
    char *file, *url; // one of the two; recipe_load() makes `file` relative to the working directory
    char *sha256; // needed for a URL; recipe_load() fills it in for a file
};
struct recipe_image {
    char *id, *name, *family, *backend, *architecture; // family: "debian", also in package URLs; backend: "apt", "dnf" or "vendor"
    struct recipe_disk *disk; // vendor only: what the base is made of
    char *manager; // vendor only: "apt" or "dnf", which installs what comes on top of the disk's packages
    struct strings remove; // vendor only: path patterns that are left out, with what lies below, and for dnf names of packages, which have
        // no / in front; recipe_load() adds images/vendor/remove.list, and for dnf remove.dnf.list
    char *release, *platform; // dnf: "9", "platform:el9"
    struct strings modules; // dnf: module streams, "name:stream"
    char *selinux; // policy whose labels the files get ("targeted"); NULL = none
    struct recipe_source *sources;
    unsigned source_count;
    struct strings
        packages; // base packages; recipe_load adds the kernel. For a vendor's base they become a layer, and "disk:SHA256" takes their place
    char *kernel; // kernel package, unless the profile names another; may be NULL for a vendor's image, which has one
    char *runtime; // libraries of our own programs: "system" (of the image, the default), or "bundled" (those of the build host)
    char *compression; // of layers: "zstd" (the default), or "gzip" for kernels that read no zstd in squashfs
    struct recipe_unit *enable; // units of this distribution that every image of it runs: its network
    unsigned enable_count;
    struct recipe_link *links; // names under which layers and webops know what is called otherwise here
    unsigned link_count;
    struct strings cmdline; // words for the kernel, before the profile's
    struct strings stand_ins; // package names satisfied by an empty package of ours (linux-initramfs-tool: our init replaces it)
    struct strings exclude; // path patterns that dpkg never unpacks (documentation, translations)
};

// overlays/<name>/layer.yaml
struct recipe_mode {
    char *path;
    unsigned mode;
    char *owner; // "user:group" by name or number; NULL = root:root
    char *mode_text; // as it is written, "0600", which `mode` is read from
};
struct recipe_fetch {
    char *url, *sha256, *path;
    unsigned mode; // 0 = 0644
    char *mode_text; // as above; NULL = there is none
};
struct recipe_layer {
    char *name, *version, *summary;
    struct recipe_packages {
        struct strings apt, dnf;
    } packages; // by package manager
    struct recipe_fetch *fetch;
    unsigned fetch_count;
    struct recipe_unit *enable;
    unsigned enable_count;
    struct recipe_link *links;
    unsigned link_count;
    struct strings mask; // units → /dev/null
    struct strings remove; // absolute paths hidden by a whiteout
    struct recipe_mode *modes;
    unsigned mode_count;
    struct strings programs; // our own programs to install: "webops" → /usr/sbin/webops, "webops-fetch" → /usr/lib/webops/webops-fetch
    char *dir; // overlays/<name>; its files/ is the tree that is put on top
    char *stack_json; // of its stack.yaml as it goes into the image; NULL = it has none
    struct strings templates; // files of dir/templates that the stack names
    struct strings stack_units, stack_programs; // what it starts and runs, and the image must have
    bool has_kernel; // the image's kernel is one of its packages (RECIPE_SYSTEM_LAYER)
};

// profiles/<name>.yaml
struct recipe_profile {
    char *name, *version;
    uint64_t sequence;
    char *image; // id
    char *kernel; // kernel package instead of the image definition's; NULL = that one
    struct strings layers; // names, bottom to top
    uint64_t slot_size, esp_size, state_size; // bytes
    int zstd_level; // 1 … 22, default 15
    uint32_t block_size; // bytes, default 131072
    char *modules; // "virtio" | "server": images/modules/<name>.list
    struct strings cmdline;
    struct strings outputs; // "qcow2", "zst"; raw is always made
    char *config; // default config.env beside the profile; NULL = none
    char *compatible; // which machines take a bundle of it; NULL = <name>-<architecture>
    char *channel; // default "stable"
    char *trust; // root certificates beside the profile, which updates must chain up to; NULL = development keys
};

// What a vendor's image gets besides its own packages: the definition's packages and kernel. It lies on the base, if there is anything in it.
#define RECIPE_SYSTEM_LAYER "system"

// A profile with everything it names, loaded.
struct recipe {
    struct recipe_profile *profile;
    struct recipe_image *image;
    struct recipe_layer *layers[16]; // bottom to top
    unsigned layer_count;
    struct stack_set stacks; // of all layers, with the schema of this image
    char *profile_path; // as found
    char *image_path;
    char *root; // the directory that holds profiles/ (of this profile)
    char *label_rules, *label_aliases; // images/selinux/, for an image with a policy; else NULL
};

// Where recipes are looked for: the profile's own tree first, then the data that came with the program.
struct recipe_paths {
    const char *data_dir; // holds images/ overlays/ profiles/
};

void recipe_done(struct recipe *recipe);
// Path of a file that the profile names, relative to the profile's own directory; the caller frees.
char *recipe_beside(const struct recipe *recipe, const char *name) nonnull(1, 2);
// PROFILE.lock in the profile's place; the caller frees.
char *recipe_lock_path(const struct recipe *recipe) nonnull(1);
// `profile` is a path to a YAML file, or a name looked up as profiles/<name>.yaml in the working directory and in paths->data_dir.
// Errors are FILE:LINE: what was expected. -ENOENT names the places that were searched.
int recipe_load(const char *profile, const struct recipe_paths *paths, struct recipe *ret_recipe, struct err *err) must_check
    nonnull(1, 2, 3, 4);

// "apt" or "dnf": what installs packages into images of this definition.
const char *recipe_image_manager(const struct recipe_image *image) nonnull(1);
// The packages that a layer wants of an image's package manager.
const struct strings *recipe_layer_packages(const struct recipe_layer *layer, const struct recipe_image *image) nonnull(1, 2);
// The build host's list of mirrors: WEBOPS_MIRRORS, or /etc/webops/mirrors, which may be missing. Lines "ARCHIVE ADDRESS"; # begins a comment.
const char *recipe_mirrors_path(void);
// Gives the sources without a mirror theirs from the list, as far as it names them.
int recipe_add_mirrors(struct recipe_image *image, struct err *err) must_check nonnull(1, 2);

// Single files, from their text; `name` is for messages. The structs are freed by the functions below.
int recipe_parse_image(const char *text, size_t size, const char *name, struct recipe_image **ret_image, struct err *err) must_check;
int recipe_parse_layer(const char *text, size_t size, const char *name, struct recipe_layer **ret_layer, struct err *err) must_check;
int recipe_parse_profile(const char *text, size_t size, const char *name, struct recipe_profile **ret_profile, struct err *err) must_check;
// overlays/<name>/stack.yaml, as far as one stack can be judged alone.
int recipe_parse_stack(const char *text, size_t size, const char *name, struct stack *ret_stack, struct err *err) must_check;
void recipe_image_free(struct recipe_image *image);
void recipe_layer_free(struct recipe_layer *layer);
void recipe_layer_done(struct recipe_layer *layer) nonnull(1); // only what is not part of the YAML
void recipe_profile_free(struct recipe_profile *profile);
// Bytes with an optional K, M, G or T (powers of 1024), without zeros in front; false for anything else, zero or an overflow.
bool recipe_parse_size(const char *text, uint64_t *ret_bytes);

// Whether the text may be the name of an rpm package.
bool recipe_is_rpm_name(const char *text) nonnull(1);

// The stacks of these layers, with their templates checked; fills in each layer's stack_json and templates. Layers have a `dir`.
int recipe_load_stacks(struct recipe_layer *const *layers, unsigned count, struct stack_set *ret_set, struct err *err) must_check
    nonnull(1, 3, 4);
// Of every overlays/*/stack.yaml below a root, whatever image they are in: all keys there are, for documentation.
int recipe_load_tree(const char *root, struct stack_set *ret_set, struct err *err) must_check nonnull(1, 2, 3);

#define RECIPE_MAX_BYTES (256 << 10)
