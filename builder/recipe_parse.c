// SPDX-License-Identifier: Apache-2.0
// YAML text → one recipe struct: schemas as libcyaml tables. What a type cannot express is recipe_check.c's. No file access.
#include "builder/recipe_check.h"
#include "builder/recipe_value.h"
#include "builder/recipe_yaml.h"
#include <errno.h>
#include <string.h>

#define OPTIONAL_TEXT (CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL)
#define LIST (CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL)
#define MAX_TEXT 4096
#define MAX_ITEMS 1024

static const cyaml_schema_value_t text_value = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, MAX_TEXT)};

#define TEXT_FIELD(key, struct_, member) CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER, struct_, member, 1, MAX_TEXT)
#define OPTIONAL_TEXT_FIELD(key, struct_, member) CYAML_FIELD_STRING_PTR(key, OPTIONAL_TEXT, struct_, member, 1, MAX_TEXT)
#define TEXTS_FIELD(key, struct_, member)                                                                                                  \
    CYAML_FIELD_SEQUENCE_COUNT(key, LIST, struct_, member.items, member.count, &text_value, 0, MAX_ITEMS)

// libcyaml's own type takes every word that does not mean "false" for true.
static const cyaml_strval_t bool_words[] = {{"false", false}, {"true", true}};
#define BOOL_FIELD(key, struct_, member)                                                                                                   \
    CYAML_FIELD_ENUM(key, CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT, struct_, member, bool_words, ARRAY_SIZE(bool_words))

static const cyaml_schema_field_t source_fields[] = {
    TEXT_FIELD("archive", struct recipe_source, archive),
    OPTIONAL_TEXT_FIELD("mirror", struct recipe_source, mirror),
    TEXTS_FIELD("suites", struct recipe_source, suites),
    TEXTS_FIELD("components", struct recipe_source, components),
    TEXT_FIELD("keyring", struct recipe_source, keyring),
    TEXTS_FIELD("keys", struct recipe_source, keys),
    BOOL_FIELD("signed_metadata", struct recipe_source, signed_metadata),
    BOOL_FIELD("snapshot", struct recipe_source, snapshot),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t source_value = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct recipe_source, source_fields)};

static const cyaml_schema_field_t disk_fields[] = {
    OPTIONAL_TEXT_FIELD("file", struct recipe_disk, file),
    OPTIONAL_TEXT_FIELD("url", struct recipe_disk, url),
    OPTIONAL_TEXT_FIELD("sha256", struct recipe_disk, sha256),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t unit_fields[] = {
    TEXT_FIELD("unit", struct recipe_unit, unit),
    TEXT_FIELD("wants", struct recipe_unit, wants),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t unit_value = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct recipe_unit, unit_fields)};

static const cyaml_schema_field_t link_fields[] = {
    TEXT_FIELD("path", struct recipe_link, path),
    TEXT_FIELD("target", struct recipe_link, target),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t link_value = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct recipe_link, link_fields)};

static const cyaml_schema_field_t image_fields[] = {
    TEXT_FIELD("id", struct recipe_image, id),
    TEXT_FIELD("name", struct recipe_image, name),
    TEXT_FIELD("family", struct recipe_image, family),
    TEXT_FIELD("backend", struct recipe_image, backend),
    TEXT_FIELD("architecture", struct recipe_image, architecture),
    CYAML_FIELD_MAPPING_PTR("disk", OPTIONAL_TEXT, struct recipe_image, disk, disk_fields),
    OPTIONAL_TEXT_FIELD("manager", struct recipe_image, manager),
    TEXTS_FIELD("remove", struct recipe_image, remove),
    CYAML_FIELD_SEQUENCE_COUNT("sources", LIST, struct recipe_image, sources, source_count, &source_value, 1, 16),
    OPTIONAL_TEXT_FIELD("kernel", struct recipe_image, kernel),
    OPTIONAL_TEXT_FIELD("runtime", struct recipe_image, runtime),
    OPTIONAL_TEXT_FIELD("compression", struct recipe_image, compression),
    TEXTS_FIELD("packages", struct recipe_image, packages),
    OPTIONAL_TEXT_FIELD("release", struct recipe_image, release),
    OPTIONAL_TEXT_FIELD("platform", struct recipe_image, platform),
    TEXTS_FIELD("modules", struct recipe_image, modules),
    OPTIONAL_TEXT_FIELD("selinux", struct recipe_image, selinux),
    CYAML_FIELD_SEQUENCE_COUNT("enable", LIST, struct recipe_image, enable, enable_count, &unit_value, 0, MAX_ITEMS),
    CYAML_FIELD_SEQUENCE_COUNT("links", LIST, struct recipe_image, links, link_count, &link_value, 0, MAX_ITEMS),
    TEXTS_FIELD("cmdline", struct recipe_image, cmdline),
    TEXTS_FIELD("stand_ins", struct recipe_image, stand_ins),
    TEXTS_FIELD("exclude", struct recipe_image, exclude),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t image_schema = {CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct recipe_image, image_fields)};

static const cyaml_schema_field_t mode_fields[] = {
    TEXT_FIELD("path", struct recipe_mode, path),
    TEXT_FIELD("mode", struct recipe_mode, mode_text),
    OPTIONAL_TEXT_FIELD("owner", struct recipe_mode, owner),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t mode_value = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct recipe_mode, mode_fields)};

static const cyaml_schema_field_t fetch_fields[] = {
    TEXT_FIELD("url", struct recipe_fetch, url),
    TEXT_FIELD("sha256", struct recipe_fetch, sha256),
    TEXT_FIELD("path", struct recipe_fetch, path),
    OPTIONAL_TEXT_FIELD("mode", struct recipe_fetch, mode_text),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t fetch_value = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct recipe_fetch, fetch_fields)};

// `packages: {apt: [...], dnf: [...]}`: one list per package manager.
static const cyaml_schema_field_t packages_fields[] = {
    TEXTS_FIELD("apt", struct recipe_packages, apt),
    TEXTS_FIELD("dnf", struct recipe_packages, dnf),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t layer_fields[] = {
    TEXT_FIELD("name", struct recipe_layer, name),
    TEXT_FIELD("version", struct recipe_layer, version),
    TEXT_FIELD("summary", struct recipe_layer, summary),
    CYAML_FIELD_MAPPING("packages", CYAML_FLAG_OPTIONAL, struct recipe_layer, packages, packages_fields),
    CYAML_FIELD_SEQUENCE_COUNT("fetch", LIST, struct recipe_layer, fetch, fetch_count, &fetch_value, 0, 64),
    CYAML_FIELD_SEQUENCE_COUNT("enable", LIST, struct recipe_layer, enable, enable_count, &unit_value, 0, MAX_ITEMS),
    CYAML_FIELD_SEQUENCE_COUNT("links", LIST, struct recipe_layer, links, link_count, &link_value, 0, MAX_ITEMS),
    TEXTS_FIELD("mask", struct recipe_layer, mask),
    TEXTS_FIELD("remove", struct recipe_layer, remove),
    CYAML_FIELD_SEQUENCE_COUNT("modes", LIST, struct recipe_layer, modes, mode_count, &mode_value, 0, MAX_ITEMS),
    TEXTS_FIELD("programs", struct recipe_layer, programs),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t layer_schema = {CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct recipe_layer, layer_fields)};

// What is text in YAML ("512M") and a number in the struct.
struct raw_profile {
    struct recipe_profile profile;
    char *sequence, *zstd_level, *slot_size, *esp_size, *state_size, *block_size;
};
static const cyaml_schema_field_t profile_fields[] = {
    TEXT_FIELD("name", struct raw_profile, profile.name),
    TEXT_FIELD("version", struct raw_profile, profile.version),
    TEXT_FIELD("sequence", struct raw_profile, sequence),
    TEXT_FIELD("image", struct raw_profile, profile.image),
    OPTIONAL_TEXT_FIELD("kernel", struct raw_profile, profile.kernel),
    TEXTS_FIELD("layers", struct raw_profile, profile.layers),
    OPTIONAL_TEXT_FIELD("slot_size", struct raw_profile, slot_size),
    OPTIONAL_TEXT_FIELD("esp_size", struct raw_profile, esp_size),
    OPTIONAL_TEXT_FIELD("state_size", struct raw_profile, state_size),
    OPTIONAL_TEXT_FIELD("zstd_level", struct raw_profile, zstd_level),
    OPTIONAL_TEXT_FIELD("block_size", struct raw_profile, block_size),
    OPTIONAL_TEXT_FIELD("modules", struct raw_profile, profile.modules),
    TEXTS_FIELD("cmdline", struct raw_profile, profile.cmdline),
    TEXTS_FIELD("outputs", struct raw_profile, profile.outputs),
    OPTIONAL_TEXT_FIELD("config", struct raw_profile, profile.config),
    OPTIONAL_TEXT_FIELD("compatible", struct raw_profile, profile.compatible),
    OPTIONAL_TEXT_FIELD("channel", struct raw_profile, profile.channel),
    OPTIONAL_TEXT_FIELD("trust", struct raw_profile, profile.trust),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t profile_schema = {CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw_profile, profile_fields)};

static int take_sizes(struct raw_profile *raw, const struct recipe_place *place) {
    const uint64_t mib = 1 << 20;
    struct recipe_profile *profile = &raw->profile;
    uint64_t block = 131072;
    profile->slot_size = 2048 * mib;
    profile->esp_size = 512 * mib;
    profile->state_size = 64 * mib;
    int r = recipe_take_size(place, "slot_size", raw->slot_size, mib, &profile->slot_size);
    if (r >= 0)
        r = recipe_take_size(place, "esp_size", raw->esp_size, mib, &profile->esp_size);
    if (r >= 0)
        r = recipe_take_size(place, "state_size", raw->state_size, mib, &profile->state_size);
    if (r >= 0)
        r = recipe_take_size(place, "block_size", raw->block_size, 4096, &block);
    if (r >= 0 && (block > mib || (block & (block - 1))))
        r = recipe_complain(place, "block_size", "a power of two from 4K to 1M is expected");
    if (r >= 0 && profile->esp_size < 64 * mib)
        r = recipe_complain(place, "esp_size", "at least 64M is needed: three kernels must fit into a FAT32 file system");
    if (r >= 0 && profile->state_size < 32 * mib)
        r = recipe_complain(place, "state_size", "at least 32M is needed");
    profile->block_size = (uint32_t)block;
    return r;
}

static int take_numbers(struct raw_profile *raw, const struct recipe_place *place) {
    int64_t sequence = 0, level = 15;
    int r = recipe_take_number(place, "sequence", raw->sequence, 1, INT64_MAX, &sequence);
    if (r >= 0 && raw->zstd_level)
        r = recipe_take_number(place, "zstd_level", raw->zstd_level, 1, 22, &level);
    raw->profile.sequence = (uint64_t)sequence;
    raw->profile.zstd_level = (int)level;
    return r;
}

static int take_modes(struct recipe_layer *layer, const struct recipe_place *place) {
    int r = 0;
    for (unsigned i = 0; r >= 0 && i < layer->mode_count; i++) {
        struct recipe_place here = recipe_within(place, "modes", i);
        r = recipe_take_mode(&here, "mode", layer->modes[i].mode_text, &layer->modes[i].mode);
    }
    for (unsigned i = 0; r >= 0 && i < layer->fetch_count; i++) {
        struct recipe_place here = recipe_within(place, "fetch", i);
        if (layer->fetch[i].mode_text)
            r = recipe_take_mode(&here, "mode", layer->fetch[i].mode_text, &layer->fetch[i].mode);
    }
    return r;
}

int recipe_parse_image(const char *text, size_t size, const char *name, struct recipe_image **ret_image, struct err *err) {
    struct recipe_image *image = NULL;
    int r = recipe_yaml_load(text, size, name, &image_schema, &image, err);
    if (r < 0)
        return r;
    r = recipe_check_image(image, &(struct recipe_place){.text = text, .size = size, .name = name, .err = err});
    if (r < 0)
        recipe_image_free(image);
    else
        *ret_image = image;
    return r;
}

int recipe_parse_layer(const char *text, size_t size, const char *name, struct recipe_layer **ret_layer, struct err *err) {
    struct recipe_layer *layer = NULL;
    int r = recipe_yaml_load(text, size, name, &layer_schema, &layer, err);
    if (r < 0)
        return r;
    const struct recipe_place place = {.text = text, .size = size, .name = name, .err = err};
    r = take_modes(layer, &place);
    if (r >= 0)
        r = recipe_check_layer(layer, &place);
    if (r < 0)
        recipe_layer_free(layer);
    else
        *ret_layer = layer;
    return r;
}

int recipe_parse_profile(const char *text, size_t size, const char *name, struct recipe_profile **ret_profile, struct err *err) {
    struct raw_profile *raw = NULL;
    int r = recipe_yaml_load(text, size, name, &profile_schema, &raw, err);
    if (r < 0)
        return r;
    const struct recipe_place place = {.text = text, .size = size, .name = name, .err = err};
    r = take_numbers(raw, &place);
    if (r >= 0)
        r = take_sizes(raw, &place);
    if (r >= 0)
        r = recipe_check_profile(&raw->profile, &place);
    if (r < 0)
        recipe_profile_free(&raw->profile);
    else
        *ret_profile = &raw->profile;
    return r;
}

void recipe_image_free(struct recipe_image *image) {
    recipe_yaml_free(&image_schema, image);
}

void recipe_layer_done(struct recipe_layer *layer) {
    struct strings *const lists[] = {&layer->templates, &layer->stack_units, &layer->stack_programs};
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        for (unsigned j = 0; j < lists[i]->count; j++)
            free(lists[i]->items[j]);
        free(lists[i]->items);
    }
    free(layer->stack_json);
    free(layer->dir);
}

void recipe_layer_free(struct recipe_layer *layer) {
    if (layer)
        recipe_layer_done(layer);
    recipe_yaml_free(&layer_schema, layer);
}

void recipe_profile_free(struct recipe_profile *profile) {
    recipe_yaml_free(&profile_schema, profile); // the first member of the struct raw_profile it was parsed into
}
