// SPDX-License-Identifier: Apache-2.0
// The files of a finished build: made in a hidden directory beside their final place, renamed one by one, build.json last. A build.json
// that names the present key and files of the right size means that there is nothing to do.
#include "builder/bill.h"
#include "common/digest.h"
#include "builder/build.h"
#include "builder/disk.h"
#include "builder/output.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/schema.h"
#include "common/slot.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>

#define REPORT_MAX_BYTES (4 << 20)
#define FORMAT_OUTPUTS 5

struct outputs { // one run
    struct build *build;
    char *dir; // temporary, inside out_dir
    char *base; // <profile>-<version>
    json_t *files;
    double seconds_before;
};

static char *base_name(const struct build *build) {
    return str_printf("%s-%s", build->recipe.profile->name, build->recipe.profile->version);
}

static char *temporary_path(const struct outputs *outputs, const char *suffix) {
    return str_printf("%s/%s%s", outputs->dir, outputs->base, suffix);
}

// Everything beside slot and UKI that the disk and its other forms depend on.
static void outputs_key(const struct build *build, char ret_key[INPUTS_KEY_CHARS + 1]) {
    cleanup_inputs struct inputs inputs = {0};
    const struct recipe_profile *profile = build->recipe.profile;
    inputs_add_number(&inputs, "format", FORMAT_OUTPUTS);
    inputs_add(&inputs, "uki", build->uki->key);
    inputs_add(&inputs, "slot", build->slot->key);
    inputs_add_number(&inputs, "esp_size", profile->esp_size);
    inputs_add_number(&inputs, "state_size", profile->state_size);
    inputs_add(&inputs, "systemd-boot", build->tools[TOOL_SYSTEMD_BOOT].sha256);
    inputs_add(&inputs, "restart.efi", build->tools[TOOL_RESTART].sha256);
    inputs_add(&inputs, "grub boot.img", build->tools[TOOL_GRUB_BOOT].sha256);
    inputs_add(&inputs, "grub-mkimage", build->tools[TOOL_GRUB_MKIMAGE].sha256);
    if (build->programs)
        inputs_add(&inputs, "signed boot programs", build->programs->key);
    inputs_add(&inputs, "Secure Boot keys", build->secureboot.keys_key);
    inputs_add(&inputs, "image family", build->recipe.image->family); // in the SBOM
    for (unsigned i = 0; i < profile->outputs.count; i++)
        inputs_add(&inputs, "output", profile->outputs.items[i]);
    inputs_key(&inputs, ret_key);
}

static bool files_are_there(const char *out_dir, const json_t *files) {
    size_t i;
    json_t *file;
    json_array_foreach(files, i, file) {
        struct stat st;
        const char *name = json_string_value(json_object_get(file, "name"));
        cleanup_free char *path = str_printf("%s/%s", out_dir, name ?: "");
        if (!name || stat(path, &st) < 0 || st.st_size != json_integer_value(json_object_get(file, "bytes")))
            return false;
    }
    return json_array_size(files) > 0;
}

bool build_outputs_current(const struct build *build) {
    char key[INPUTS_KEY_CHARS + 1];
    struct err err;
    cleanup_free char *base = base_name(build);
    cleanup_free char *path = str_printf("%s/%s.build.json", build->options.out_dir, base);
    cleanup_free char *text = NULL;
    outputs_key(build, key);
    if (file_read(AT_FDCWD, path, REPORT_MAX_BYTES, &text, NULL, &err) < 0)
        return false;
    json_t *report = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    const char *recorded = json_string_value(json_object_get(report, "key"));
    bool current = recorded && strcmp(recorded, key) == 0 && files_are_there(build->options.out_dir, json_object_get(report, "files"));
    json_decref(report);
    return current;
}

static int make_disk(struct outputs *outputs, struct err *err) {
    struct build *build = outputs->build;
    const struct recipe_profile *profile = build->recipe.profile;
    cleanup_free char *uki = graph_path(&build->cache, build->uki, "uki.efi");
    cleanup_free char *cmdline_path = graph_path(&build->cache, build->uki, "cmdline");
    cleanup_free char *kernel = graph_path(&build->cache, build_kernel_node(build), LAYER_KERNEL);
    cleanup_free char *initrd = graph_path(&build->cache, build->initramfs, "initrd");
    cleanup_free char *slot = graph_path(&build->cache, build->slot, "slot");
    cleanup_free char *cmdline = NULL;
    cleanup_free char *grub_dir = str_dup(build->tools[TOOL_GRUB_BOOT].path);
    cleanup_free char *raw = temporary_path(outputs, ".raw");
    cleanup_free char *systemd_boot = build_boot_program(build, TOOL_SYSTEMD_BOOT);
    cleanup_free char *restart = build_boot_program(build, TOOL_RESTART);
    *strrchr(grub_dir, '/') = 0;
    int r = file_read(AT_FDCWD, cmdline_path, 64 << 10, &cmdline, NULL, err);
    if (r < 0)
        return r;
    const struct disk_input input = {
        .esp = {.identity = {profile->name, profile->version},
                .sequence = profile->sequence,
                .uki_path = uki,
                .linux_path = kernel,
                .initrd_path = initrd,
                .cmdline = cmdline,
                .systemd_boot_path = systemd_boot,
                .restart_path = restart,
                .secure_boot_keys = build->secureboot.keys_dir,
                .source_date_epoch = (uint64_t)build->epoch},
        .sizes = {.esp = profile->esp_size, .slot = profile->slot_size, .state = profile->state_size},
        .slot_path = slot,
        .grub_dir = grub_dir,
        .temp_dir = outputs->dir,
    };
    return disk_create(&input, raw, err);
}

static int make_bmap(struct outputs *outputs, struct err *err) {
    cleanup_free char *raw = temporary_path(outputs, ".raw");
    cleanup_free char *bmap = temporary_path(outputs, ".bmap");
    return output_bmap(raw, bmap, err);
}

static int make_qcow2(struct outputs *outputs, struct err *err) {
    cleanup_free char *raw = temporary_path(outputs, ".raw");
    cleanup_free char *qcow2 = temporary_path(outputs, ".qcow2");
    return output_qcow2(raw, qcow2, false, err); // the slot in it is compressed already
}

static int make_zst(struct outputs *outputs, struct err *err) {
    cleanup_free char *raw = temporary_path(outputs, ".raw");
    cleanup_free char *zst = temporary_path(outputs, ".raw.zst");
    return output_zst(raw, zst, 3, err); // as above: a higher level gains nothing but time
}

static int save_text(const struct outputs *outputs, const char *suffix, const struct buf *text, struct err *err) {
    cleanup_free char *path = temporary_path(outputs, suffix);
    return file_publish(AT_FDCWD, path, buf_str(text), text->size, 0644, err);
}

static int make_bill(struct outputs *outputs, struct err *err) {
    struct build *build = outputs->build;
    struct bill_layer layers[BUILD_MAX_LAYERS];
    char *paths[BUILD_MAX_LAYERS];
    for (unsigned i = 0; i < build->layer_count; i++) {
        const struct recipe_layer *layer = build_layer(build, i);
        paths[i] = graph_path(&build->cache, build->layers[i], LAYER_INFO);
        layers[i] = (struct bill_layer){layer ? layer->name : build->recipe.image->id,
                                        layer ? layer->version : build->recipe.profile->version, paths[i]};
    }
    struct bill bill = {.identity = {build->recipe.profile->name, build->recipe.profile->version},
                        .distribution = build->recipe.image->family,
                        .is_rpm = strcmp(recipe_image_manager(build->recipe.image), "dnf") == 0,
                        .source_date_epoch = (uint64_t)build->epoch,
                        .layers = layers,
                        .layer_count = build->layer_count};
    cleanup_buf struct buf list = {0}, spdx = {0};
    int r = bill_load(&bill, err);
    if (r >= 0)
        r = bill_format_spdx(&bill, &spdx, err);
    if (r >= 0)
        r = save_text(outputs, ".spdx.json", &spdx, err);
    if (r >= 0) {
        bill_format_list(&bill, &list);
        r = save_text(outputs, ".packages", &list, err);
    }
    bill_done(&bill);
    for (unsigned i = 0; i < build->layer_count; i++)
        free(paths[i]);
    return r;
}

// In order; `output` names what the profile must ask for, NULL = always. Only small and compressed files are hashed whole: the raw disk is
// mostly holes and its block map has a hash per range.
static const struct output {
    const char *label, *output;
    const char *suffixes[3];
    bool hashed;
    int (*make)(struct outputs *outputs, struct err *err);
} output_table[] = {
    {"disk image", NULL, {".raw"}, false, make_disk},
    {"block map", NULL, {".bmap"}, true, make_bmap},
    {"qcow2", "qcow2", {".qcow2"}, true, make_qcow2},
    {"compressed image", "zst", {".raw.zst"}, true, make_zst},
    {"package list and SBOM", NULL, {".packages", ".spdx.json"}, true, make_bill},
};

static bool is_wanted(const struct build *build, const struct output *output) {
    const struct strings *outputs = &build->recipe.profile->outputs;
    for (unsigned i = 0; i < outputs->count; i++)
        if (output->output && strcmp(outputs->items[i], output->output) == 0)
            return true;
    return !output->output;
}

unsigned build_output_stages(const struct build *build) {
    unsigned count = 0;
    for (size_t i = 0; i < ARRAY_SIZE(output_table); i++)
        count += is_wanted(build, &output_table[i]);
    return count;
}

static int describe_file(struct outputs *outputs, const char *suffix, bool hashed, struct err *err) {
    cleanup_free char *path = temporary_path(outputs, suffix);
    cleanup_free char *name = str_printf("%s%s", outputs->base, suffix);
    struct stat st;
    char sha256[65];
    if (stat(path, &st) < 0)
        return err_sys(err, -errno, "cannot look at %s", path);
    json_t *file =
        json_pack("{s:s, s:I, s:I}", "name", name, "bytes", (json_int_t)st.st_size, "stored_bytes", (json_int_t)st.st_blocks * 512);
    json_array_append_new(outputs->files, file);
    if (!hashed)
        return 0;
    int r = digest_file(AT_FDCWD, path, sha256, NULL, err);
    if (r >= 0)
        json_object_set_new(file, "sha256", json_string(sha256));
    return r;
}

static int make_output(struct outputs *outputs, const struct output *output, struct progress *progress, struct err *err) {
    const size_t before = json_array_size(outputs->files);
    progress_start(progress, output->label);
    int r = output->make(outputs, err);
    for (unsigned i = 0; r >= 0 && i < ARRAY_SIZE(output->suffixes) && output->suffixes[i]; i++)
        r = describe_file(outputs, output->suffixes[i], output->hashed, err);
    const double seconds = progress_end(progress, r < 0 ? "failed" : "built");
    for (size_t i = before; i < json_array_size(outputs->files); i++)
        json_object_set_new(json_array_get(outputs->files, i), "seconds", json_real(seconds));
    return r < 0 ? err_prefix(err, r, "%s", output->label) : 0;
}

// Hash of one file of a node, for people who compare builds.
static int add_part(const struct build *build, const struct node *node, const char *file, const char *name, json_t *parts,
                    struct err *err) {
    char sha256[65];
    struct stat st;
    cleanup_free char *path = graph_path(&build->cache, node, file);
    int r = digest_file(AT_FDCWD, path, sha256, NULL, err);
    if (r < 0)
        return r;
    if (stat(path, &st) < 0)
        return err_sys(err, -errno, "cannot look at %s", path);
    json_object_set_new(parts, name, json_pack("{s:I, s:s}", "bytes", (json_int_t)st.st_size, "sha256", sha256));
    return 0;
}

static json_t *describe_nodes(const struct build *build) {
    json_t *nodes = json_array();
    for (unsigned i = 0; i < build->graph.count; i++) {
        const struct node *node = &build->graph.nodes[i];
        json_array_append_new(nodes, json_pack("{s:s, s:s, s:s, s:b, s:f}", "kind", node->kind, "label", node->label, "key", node->key,
                                               "cached", node->cached, "seconds", node->seconds));
    }
    return nodes;
}

// What a configuration for this image may hold (image_stacks.c reads it).
static json_t *describe_stacks(const struct build *build) {
    json_t *stacks = json_array();
    for (size_t i = 0; i < build->recipe.stacks.count; i++) {
        cleanup_buf struct buf text = {0};
        stack_format(build->recipe.stacks.stacks[i], &text);
        json_array_append_new(stacks, json_loads(buf_str(&text), 0, NULL));
    }
    return stacks;
}

static int save_report(struct outputs *outputs, struct err *err) {
    const struct build *build = outputs->build;
    const struct recipe_profile *profile = build->recipe.profile;
    char key[INPUTS_KEY_CHARS + 1];
    cleanup_free char *cmdline_path = graph_path(&build->cache, build->uki, "cmdline");
    cleanup_free char *cmdline = NULL;
    json_t *parts = json_object();
    outputs_key(build, key);
    int r = file_read(AT_FDCWD, cmdline_path, 64 << 10, &cmdline, NULL, err);
    if (r >= 0)
        r = add_part(build, build->slot, "slot", "slot", parts, err);
    if (r >= 0)
        r = add_part(build, build->uki, "uki.efi", "uki", parts, err);
    if (r >= 0)
        r = add_part(build, build->initramfs, "initrd", "initramfs", parts, err);
    const struct generation *generation = &build->generation;
    json_t *report = json_pack(
        "{s:s, s:s, s:I, s:s, s:s, s:s, s:i, s:b, s:b, s:s, s:s, s:I, s:s, s:s, s:f, s:o, s:o, s:o, s:O}", "profile", profile->name,
        "version", profile->version, "sequence", (json_int_t)profile->sequence, "image", build->recipe.image->id, "compatible",
        generation->compatible, "channel", generation->channel, "config_schema", SCHEMA_VERSION, "development_keys",
        generation->is_development, "secure_boot", build->secureboot.key != NULL, "webops", WEBOPS_VERSION, "key", key, "source_date_epoch",
        (json_int_t)build->epoch, "trust", generation->trust, "cmdline", cmdline ?: "", "seconds", outputs->seconds_before, "nodes",
        describe_nodes(build), "stacks", describe_stacks(build), "parts", parts, "files", outputs->files);
    char *text = json_dumps(report, JSON_INDENT(2));
    json_decref(report);
    if (r >= 0 && !text)
        r = err_set(err, -EINVAL, "cannot write the build report: a name is not UTF-8");
    cleanup_buf struct buf buf = {0};
    if (r >= 0) {
        buf_printf(&buf, "%s\n", text);
        r = save_text(outputs, ".build.json", &buf, err);
    }
    free(text);
    return r;
}

// Big files last but one: whoever watches for build.json finds everything else in place.
static int publish(const struct outputs *outputs, struct err *err) {
    size_t i;
    json_t *file;
    json_array_foreach(outputs->files, i, file) {
        const char *name = json_string_value(json_object_get(file, "name"));
        cleanup_free char *from = str_printf("%s/%s", outputs->dir, name);
        cleanup_free char *to = str_printf("%s/%s", outputs->build->options.out_dir, name);
        cleanup_fd int fd = file_open(AT_FDCWD, from, O_RDONLY, 0, err);
        if (fd < 0)
            return fd;
        if (fdatasync(fd) < 0 || rename(from, to) < 0)
            return err_sys(err, -errno, "cannot put %s in its place", to);
    }
    cleanup_free char *from = temporary_path(outputs, ".build.json");
    cleanup_free char *to = str_printf("%s/%s.build.json", outputs->build->options.out_dir, outputs->base);
    return rename(from, to) < 0 ? err_sys(err, -errno, "cannot put %s in its place", to) : 0;
}

static int make_all(struct outputs *outputs, struct progress *progress, struct err *err) {
    int r = 0;
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(output_table); i++)
        if (is_wanted(outputs->build, &output_table[i]))
            r = make_output(outputs, &output_table[i], progress, err);
    if (r >= 0)
        r = save_report(outputs, err);
    return r < 0 ? r : publish(outputs, err);
}

// One build per output name at a time; what a killed one left in the hidden directory goes away with the next.
static int lock_output(const char *out_dir, const char *base, struct err *err) {
    cleanup_free char *path = str_printf("%s/.%s.lock", out_dir, base);
    return file_lock(AT_FDCWD, path, err);
}

int build_outputs(struct build *build, struct progress *progress, double seconds_before, struct err *err) {
    cleanup_free char *base = base_name(build);
    int r = file_mkdirs(AT_FDCWD, build->options.out_dir, 0755, err);
    cleanup_fd int lock = r < 0 ? -1 : lock_output(build->options.out_dir, base, err);
    if (r < 0 || lock < 0)
        return r < 0 ? r : lock;
    if (build_outputs_current(build))
        return 0;
    cleanup_free char *dir = str_printf("%s/.%s.partial", build->options.out_dir, base);
    struct outputs outputs = {.build = build, .dir = dir, .base = base, .seconds_before = seconds_before};
    r = file_remove_tree(AT_FDCWD, dir, err);
    if (r >= 0)
        r = file_mkdirs(AT_FDCWD, dir, 0700, err);
    if (r < 0)
        return r;
    outputs.files = json_array();
    r = make_all(&outputs, progress, err);
    json_decref(outputs.files);
    struct err ignored;
    if (file_remove_tree(AT_FDCWD, dir, &ignored) < 0 && r >= 0)
        *err = ignored;
    return r;
}
