// SPDX-License-Identifier: Apache-2.0
// YAML text → one recipe struct: schemas as libcyaml tables, and the checks that a type cannot express. No file access.
#include "builder/recipe.h"
#include "common/buf.h"
#include <cyaml/cyaml.h>
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

static const cyaml_schema_field_t source_fields[] = {
    TEXT_FIELD("archive", struct recipe_source, archive), OPTIONAL_TEXT_FIELD("mirror", struct recipe_source, mirror),
    TEXTS_FIELD("suites", struct recipe_source, suites),  TEXTS_FIELD("components", struct recipe_source, components),
    TEXT_FIELD("keyring", struct recipe_source, keyring), CYAML_FIELD_END,
};
static const cyaml_schema_value_t source_value = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct recipe_source, source_fields)};

static const cyaml_schema_field_t image_fields[] = {
    TEXT_FIELD("id", struct recipe_image, id),
    TEXT_FIELD("name", struct recipe_image, name),
    TEXT_FIELD("family", struct recipe_image, family),
    TEXT_FIELD("backend", struct recipe_image, backend),
    TEXT_FIELD("architecture", struct recipe_image, architecture),
    CYAML_FIELD_SEQUENCE_COUNT("sources", CYAML_FLAG_POINTER, struct recipe_image, sources, source_count, &source_value, 1, 16),
    TEXT_FIELD("kernel", struct recipe_image, kernel),
    TEXTS_FIELD("packages", struct recipe_image, packages),
    TEXTS_FIELD("stand_ins", struct recipe_image, stand_ins),
    TEXTS_FIELD("exclude", struct recipe_image, exclude),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t image_schema = {CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct recipe_image, image_fields)};

static const cyaml_schema_field_t unit_fields[] = {
    TEXT_FIELD("unit", struct recipe_unit, unit),
    TEXT_FIELD("wants", struct recipe_unit, wants),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t unit_value = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct recipe_unit, unit_fields)};

static const cyaml_schema_field_t mode_fields[] = {
    TEXT_FIELD("path", struct recipe_mode, path),
    CYAML_FIELD_UINT("mode", CYAML_FLAG_DEFAULT, struct recipe_mode, mode),
    OPTIONAL_TEXT_FIELD("owner", struct recipe_mode, owner),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t mode_value = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct recipe_mode, mode_fields)};

static const cyaml_schema_field_t fetch_fields[] = {
    TEXT_FIELD("url", struct recipe_fetch, url),
    TEXT_FIELD("sha256", struct recipe_fetch, sha256),
    TEXT_FIELD("path", struct recipe_fetch, path),
    CYAML_FIELD_UINT("mode", CYAML_FLAG_OPTIONAL, struct recipe_fetch, mode),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t fetch_value = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct recipe_fetch, fetch_fields)};

// `packages: {apt: [...]}`: one list per package manager; each backend has its own member to fill.
static const cyaml_schema_field_t packages_fields[] = {
    CYAML_FIELD_SEQUENCE_COUNT("apt", LIST, struct strings, items, count, &text_value, 0, MAX_ITEMS),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t layer_fields[] = {
    TEXT_FIELD("name", struct recipe_layer, name),
    TEXT_FIELD("version", struct recipe_layer, version),
    TEXT_FIELD("summary", struct recipe_layer, summary),
    CYAML_FIELD_MAPPING("packages", CYAML_FLAG_OPTIONAL, struct recipe_layer, apt_packages, packages_fields),
    CYAML_FIELD_SEQUENCE_COUNT("fetch", LIST, struct recipe_layer, fetch, fetch_count, &fetch_value, 0, 64),
    CYAML_FIELD_SEQUENCE_COUNT("enable", LIST, struct recipe_layer, enable, enable_count, &unit_value, 0, MAX_ITEMS),
    TEXTS_FIELD("mask", struct recipe_layer, mask),
    TEXTS_FIELD("remove", struct recipe_layer, remove),
    CYAML_FIELD_SEQUENCE_COUNT("modes", LIST, struct recipe_layer, modes, mode_count, &mode_value, 0, MAX_ITEMS),
    TEXTS_FIELD("programs", struct recipe_layer, programs),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t layer_schema = {CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct recipe_layer, layer_fields)};

// Sizes are text in YAML ("512M") and bytes in the struct.
struct raw_profile {
    struct recipe_profile profile;
    char *slot_size, *esp_size, *state_size, *block_size;
};
static const cyaml_schema_field_t profile_fields[] = {
    TEXT_FIELD("name", struct raw_profile, profile.name),
    TEXT_FIELD("version", struct raw_profile, profile.version),
    CYAML_FIELD_UINT("sequence", CYAML_FLAG_DEFAULT, struct raw_profile, profile.sequence),
    TEXT_FIELD("image", struct raw_profile, profile.image),
    OPTIONAL_TEXT_FIELD("kernel", struct raw_profile, profile.kernel),
    TEXTS_FIELD("layers", struct raw_profile, profile.layers),
    OPTIONAL_TEXT_FIELD("slot_size", struct raw_profile, slot_size),
    OPTIONAL_TEXT_FIELD("esp_size", struct raw_profile, esp_size),
    OPTIONAL_TEXT_FIELD("state_size", struct raw_profile, state_size),
    CYAML_FIELD_INT("zstd_level", CYAML_FLAG_OPTIONAL, struct raw_profile, profile.zstd_level),
    OPTIONAL_TEXT_FIELD("block_size", struct raw_profile, block_size),
    OPTIONAL_TEXT_FIELD("modules", struct raw_profile, profile.modules),
    TEXTS_FIELD("cmdline", struct raw_profile, profile.cmdline),
    TEXTS_FIELD("outputs", struct raw_profile, profile.outputs),
    OPTIONAL_TEXT_FIELD("config", struct raw_profile, profile.config),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t profile_schema = {CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw_profile, profile_fields)};

// libcyaml reports through a log callback: first the fault, then a backtrace whose first line carries line and column.
struct yaml_fault {
    char what[400];
    unsigned line;
};

static void collect_fault(cyaml_log_t level, void *context, const char *format, va_list args) {
    struct yaml_fault *fault = context;
    char text[400];
    if (level < CYAML_LOG_ERROR)
        return;
    vsnprintf(text, sizeof(text), format, args);
    text[strcspn(text, "\n")] = 0;
    const char *line = strstr(text, "line: ");
    if (line && !fault->line)
        fault->line = (unsigned)strtoul(line + strlen("line: "), NULL, 10);
    if (!fault->what[0] && strncmp(text, "Load: ", 6) == 0 && strcmp(text, "Load: Backtrace:") != 0)
        snprintf(fault->what, sizeof(fault->what), "%s", text + strlen("Load: "));
}

static cyaml_config_t yaml_config(struct yaml_fault *fault) {
    return (cyaml_config_t){.log_fn = fault ? collect_fault : NULL,
                            .log_ctx = fault,
                            .mem_fn = cyaml_mem,
                            .log_level = CYAML_LOG_ERROR,
                            .flags = CYAML_CFG_NO_ALIAS};
}

static int load(const char *text, size_t size, const char *name, const cyaml_schema_value_t *schema, void *ret_data, struct err *err) {
    struct yaml_fault fault = {0};
    cyaml_config_t config = yaml_config(&fault);
    if (size > RECIPE_MAX_BYTES)
        return err_set(err, -EFBIG, "%s is larger than the %d bytes a recipe may have", name, RECIPE_MAX_BYTES);
    cyaml_data_t *data = NULL;
    cyaml_err_t r = cyaml_load_data((const uint8_t *)text, size, &config, schema, &data, NULL);
    if (r != CYAML_OK)
        return err_set(err, -EINVAL, "%s:%u: %s", name, fault.line ? fault.line : 1, fault.what[0] ? fault.what : cyaml_strerror(r));
    if (!data)
        return err_set(err, -EINVAL, "%s:1: the recipe is empty", name);
    *(void **)ret_data = data;
    return 0;
}

static void release(const cyaml_schema_value_t *schema, void *data) {
    cyaml_config_t config = yaml_config(NULL);
    cyaml_free(&config, schema, data, 0);
}

// The line on which `key:` stands first, for messages about values that are well-formed YAML; 1 when it is not there.
static unsigned line_of(const char *text, const char *key) {
    unsigned line = 1;
    for (const char *c = text; *c; line++) {
        const char *word = c + strspn(c, " -");
        if (strncmp(word, key, strlen(key)) == 0 && word[strlen(key)] == ':')
            return line;
        c += strcspn(c, "\n");
        c += *c == '\n';
    }
    return 1;
}

// The text as a string, for line_of: `text` itself need not end in NUL.
static char *terminated(const char *text, size_t size) {
    struct buf buf = {0};
    buf_add(&buf, text, size);
    return buf_take(&buf);
}

struct place { // where a check stands, for its message
    const char *text, *name;
    struct err *err;
};

#define complain(place, key, ...) complain_at(place, key, __VA_ARGS__)
static int complain_at(const struct place *place, const char *key, const char *format, ...) printf_like(3, 4);
static int complain_at(const struct place *place, const char *key, const char *format, ...) {
    char what[400];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    return err_set(place->err, -EINVAL, "%s:%u: %s: %s", place->name, line_of(place->text, key), key, what);
}

static bool is_name(const char *text) {
    size_t length = strlen(text);
    return length > 0 && length < 48 && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-.") == length && *text != '-' && *text != '.';
}

static int check_name(const struct place *place, const char *key, const char *value) {
    return is_name(value)
               ? 0
               : complain(place, key, "'%s' is not a name (1 to 47 characters of a-z 0-9 - . , starting with a letter or digit)", value);
}

static int check_version(const struct place *place, const char *value) {
    size_t length = strlen(value);
    for (const char *c = value; *c; c++)
        if (*c <= ' ' || *c > '~' || *c == '/' || *c == '"')
            return complain(place, "version", "'%s' may hold printable characters only, without blanks, '/' and '\"'", value);
    return length < 48 ? 0 : complain(place, "version", "more than 47 characters");
}

static int check_words(const struct place *place, const char *key, const struct strings *words) {
    for (unsigned i = 0; i < words->count; i++)
        if (!*words->items[i] || strpbrk(words->items[i], " \t\r\n\"'\\$`"))
            return complain(place, key, "entry %u must be one word without quotes and blanks", i + 1);
    return 0;
}

static int check_choice(const struct place *place, const char *key, const char *value, const char *const *choices, const char *list) {
    for (; *choices; choices++)
        if (strcmp(value, *choices) == 0)
            return 0;
    return complain(place, key, "'%s' is not one of %s", value, list);
}

bool recipe_parse_size(const char *text, uint64_t *ret_bytes) {
    static const char units[] = "KMGT";
    uint64_t value = 0;
    const char *c = text;
    for (; *c >= '0' && *c <= '9'; c++)
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, (uint64_t)(*c - '0'), &value))
            return false;
    if (c == text || value == 0)
        return false;
    const char *unit = *c ? strchr(units, *c) : NULL;
    if (*c && (!unit || c[1]))
        return false;
    for (const char *u = units; unit && u <= unit; u++)
        if (__builtin_mul_overflow(value, 1024, &value))
            return false;
    *ret_bytes = value;
    return true;
}

static int check_path(const struct place *place, const char *key, const char *path) {
    if (path[0] != '/' || strstr(path, "/../") || strstr(path, "//") || strstr(path, "/./") || path[strlen(path) - 1] == '/' ||
        (strlen(path) >= 3 && strcmp(path + strlen(path) - 3, "/..") == 0))
        return complain(place, key, "'%s' is not an absolute path without '..', '//' and a '/' at its end", path);
    return 0;
}

static int check_image(const struct recipe_image *image, const struct place *place) {
    static const char *const backends[] = {"apt", NULL};
    int r = check_name(place, "id", image->id);
    if (r >= 0)
        r = check_choice(place, "backend", image->backend, backends, "apt");
    if (r >= 0)
        r = check_words(place, "packages", &image->packages);
    if (r >= 0)
        r = check_words(place, "stand_ins", &image->stand_ins);
    if (r >= 0 && !image->packages.count)
        r = complain(place, "packages", "at least one package is needed");
    for (unsigned i = 0; r >= 0 && i < image->source_count; i++) {
        const struct recipe_source *source = &image->sources[i];
        r = check_words(place, "suites", &source->suites);
        if (r >= 0)
            r = check_words(place, "components", &source->components);
        if (r >= 0 && (!source->suites.count || !source->components.count))
            r = complain(place, "sources", "source %u needs suites and components", i + 1);
        if (r >= 0)
            r = check_path(place, "keyring", source->keyring);
    }
    return r;
}

static int check_fetch(const struct recipe_fetch *fetch, const struct place *place) {
    if (strlen(fetch->sha256) != 64 || strspn(fetch->sha256, "0123456789abcdef") != 64)
        return complain(place, "sha256", "64 lower-case hex digits are expected; every download is pinned");
    if (strncmp(fetch->url, "https://", 8) != 0 && strncmp(fetch->url, "http://", 7) != 0 && strncmp(fetch->url, "file:///", 8) != 0)
        return complain(place, "url", "an http, https or file address is expected");
    return check_path(place, "path", fetch->path);
}

static int check_layer(const struct recipe_layer *layer, const struct place *place) {
    static const char *const programs[] = {"webops", "webops-fetch", NULL};
    int r = check_name(place, "name", layer->name);
    if (r >= 0)
        r = check_version(place, layer->version);
    if (r >= 0)
        r = check_words(place, "packages", &layer->apt_packages);
    for (unsigned i = 0; r >= 0 && i < layer->fetch_count; i++)
        r = check_fetch(&layer->fetch[i], place);
    for (unsigned i = 0; r >= 0 && i < layer->enable_count; i++)
        if (strchr(layer->enable[i].unit, '/') || strchr(layer->enable[i].wants, '/'))
            r = complain(place, "enable", "unit names have no '/'");
    for (unsigned i = 0; r >= 0 && i < layer->mask.count; i++)
        if (strchr(layer->mask.items[i], '/'))
            r = complain(place, "mask", "unit names have no '/'");
    for (unsigned i = 0; r >= 0 && i < layer->remove.count; i++)
        r = check_path(place, "remove", layer->remove.items[i]);
    for (unsigned i = 0; r >= 0 && i < layer->mode_count; i++) {
        r = check_path(place, "path", layer->modes[i].path);
        if (r >= 0 && layer->modes[i].mode > 07777)
            r = complain(place, "mode", "an octal mode such as 0640 is expected");
    }
    for (unsigned i = 0; r >= 0 && i < layer->programs.count; i++)
        r = check_choice(place, "programs", layer->programs.items[i], programs, "webops, webops-fetch");
    return r;
}

static int take_size(const struct place *place, const char *key, const char *text, uint64_t fallback, uint64_t unit, uint64_t *ret_bytes) {
    uint64_t bytes = fallback;
    if (text && !recipe_parse_size(text, &bytes))
        return complain(place, key, "'%s' is not a size such as 512M or 2G", text);
    if (bytes % unit || bytes > 16ULL << 40)
        return complain(place, key, "must be a multiple of %llu bytes, at most 16T", (unsigned long long)unit);
    *ret_bytes = bytes;
    return 0;
}

static int take_sizes(struct raw_profile *raw, const struct place *place) {
    const uint64_t mib = 1 << 20;
    uint64_t block = 0;
    int r = take_size(place, "slot_size", raw->slot_size, 2048 * mib, mib, &raw->profile.slot_size);
    if (r >= 0)
        r = take_size(place, "esp_size", raw->esp_size, 512 * mib, mib, &raw->profile.esp_size);
    if (r >= 0)
        r = take_size(place, "state_size", raw->state_size, 64 * mib, mib, &raw->profile.state_size);
    if (r >= 0)
        r = take_size(place, "block_size", raw->block_size, 131072, 4096, &block);
    if (r >= 0 && (block > mib || (block & (block - 1))))
        r = complain(place, "block_size", "a power of two from 4K to 1M is expected");
    if (r >= 0 && raw->profile.esp_size < 64 * mib)
        r = complain(place, "esp_size", "at least 64M is needed: three kernels must fit into a FAT32 file system");
    if (r >= 0 && raw->profile.state_size < 32 * mib)
        r = complain(place, "state_size", "at least 32M is needed");
    raw->profile.block_size = (uint32_t)block;
    return r;
}

static int check_profile(struct recipe_profile *profile, const struct place *place) {
    static const char *const outputs[] = {"qcow2", "zst", NULL};
    static const char *const modules[] = {"virtio", "server", NULL};
    int r = check_name(place, "name", profile->name);
    if (r >= 0)
        r = check_version(place, profile->version);
    if (r >= 0)
        r = check_name(place, "image", profile->image);
    // libcyaml lets strtoull() wrap a minus sign around.
    if (r >= 0 && (profile->sequence < 1 || profile->sequence > INT64_MAX))
        r = complain(place, "sequence", "a number from 1 on is expected");
    if (r >= 0 && profile->layers.count > 15)
        r = complain(place, "layers", "%u layers, at most 15 are possible on top of the base", profile->layers.count);
    for (unsigned i = 0; r >= 0 && i < profile->layers.count; i++) {
        r = check_name(place, "layers", profile->layers.items[i]);
        for (unsigned j = 0; r >= 0 && j < i; j++)
            if (strcmp(profile->layers.items[i], profile->layers.items[j]) == 0)
                r = complain(place, "layers", "'%s' stands twice", profile->layers.items[i]);
    }
    if (r >= 0)
        r = check_words(place, "cmdline", &profile->cmdline);
    for (unsigned i = 0; r >= 0 && i < profile->cmdline.count; i++)
        if (strncmp(profile->cmdline.items[i], "webops.slot=", 12) == 0)
            r = complain(place, "cmdline", "webops.slot= is written by the build");
    for (unsigned i = 0; r >= 0 && i < profile->outputs.count; i++)
        r = check_choice(place, "outputs", profile->outputs.items[i], outputs, "qcow2, zst");
    if (r >= 0 && profile->modules)
        r = check_choice(place, "modules", profile->modules, modules, "virtio, server");
    if (!profile->zstd_level)
        profile->zstd_level = 15;
    if (r >= 0 && (profile->zstd_level < 1 || profile->zstd_level > 22))
        r = complain(place, "zstd_level", "1 to 22 is expected");
    return r;
}

int recipe_parse_image(const char *text, size_t size, const char *name, struct recipe_image **ret_image, struct err *err) {
    struct recipe_image *image = NULL;
    int r = load(text, size, name, &image_schema, &image, err);
    if (r < 0)
        return r;
    cleanup_free char *copy = terminated(text, size);
    r = check_image(image, &(struct place){copy, name, err});
    if (r < 0)
        recipe_image_free(image);
    else
        *ret_image = image;
    return r;
}

int recipe_parse_layer(const char *text, size_t size, const char *name, struct recipe_layer **ret_layer, struct err *err) {
    struct recipe_layer *layer = NULL;
    int r = load(text, size, name, &layer_schema, &layer, err);
    if (r < 0)
        return r;
    cleanup_free char *copy = terminated(text, size);
    r = check_layer(layer, &(struct place){copy, name, err});
    if (r < 0)
        recipe_layer_free(layer);
    else
        *ret_layer = layer;
    return r;
}

int recipe_parse_profile(const char *text, size_t size, const char *name, struct recipe_profile **ret_profile, struct err *err) {
    struct raw_profile *raw = NULL;
    int r = load(text, size, name, &profile_schema, &raw, err);
    if (r < 0)
        return r;
    cleanup_free char *copy = terminated(text, size);
    struct place place = {copy, name, err};
    r = take_sizes(raw, &place);
    if (r >= 0)
        r = check_profile(&raw->profile, &place);
    if (r < 0)
        recipe_profile_free(&raw->profile);
    else
        *ret_profile = &raw->profile;
    return r;
}

void recipe_image_free(struct recipe_image *image) {
    release(&image_schema, image);
}

void recipe_layer_free(struct recipe_layer *layer) {
    if (layer)
        free(layer->dir); // not part of the YAML
    release(&layer_schema, layer);
}

void recipe_profile_free(struct recipe_profile *profile) {
    release(&profile_schema, profile); // the first member of the struct raw_profile it was parsed into
}
