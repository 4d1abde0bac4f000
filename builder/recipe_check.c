// SPDX-License-Identifier: Apache-2.0
// Names, words, paths, choices: what a well-formed recipe must also be. No file access.
#include "builder/recipe_check.h"
#include <errno.h>
#include <stdarg.h>
#include <string.h>

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

int recipe_complain(const struct recipe_place *place, const char *key, const char *format, ...) {
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

static int check_name(const struct recipe_place *place, const char *key, const char *value) {
    return is_name(value)
               ? 0
               : recipe_complain(place, key, "'%s' is not a name (1 to 47 characters of a-z 0-9 - . , starting with a letter or digit)",
                                 value);
}

static int check_version(const struct recipe_place *place, const char *value) {
    size_t length = strlen(value);
    for (const char *c = value; *c; c++)
        if (*c <= ' ' || *c > '~' || *c == '/' || *c == '"')
            return recipe_complain(place, "version", "'%s' may hold printable characters only, without blanks, '/' and '\"'", value);
    return length < 48 ? 0 : recipe_complain(place, "version", "more than 47 characters");
}

static int check_words(const struct recipe_place *place, const char *key, const struct strings *words) {
    for (unsigned i = 0; i < words->count; i++)
        if (!*words->items[i] || strpbrk(words->items[i], " \t\r\n\"'\\$`"))
            return recipe_complain(place, key, "entry %u must be one word without quotes and blanks", i + 1);
    return 0;
}

static int check_word(const struct recipe_place *place, const char *key, char *word) {
    return check_words(place, key, &(struct strings){&word, 1});
}

static int check_choice(const struct recipe_place *place, const char *key, const char *value, const char *const *choices,
                        const char *list) {
    for (; *choices; choices++)
        if (strcmp(value, *choices) == 0)
            return 0;
    return recipe_complain(place, key, "'%s' is not one of %s", value, list);
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

static int check_path(const struct recipe_place *place, const char *key, const char *path) {
    if (path[0] != '/' || strstr(path, "/../") || strstr(path, "//") || strstr(path, "/./") || path[strlen(path) - 1] == '/' ||
        (strlen(path) >= 3 && strcmp(path + strlen(path) - 3, "/..") == 0))
        return recipe_complain(place, key, "'%s' is not an absolute path without '..', '//' and a '/' at its end", path);
    return 0;
}

static int check_url(const struct recipe_place *place, const char *key, const char *url) {
    static const char *const schemes[] = {"https://", "http://", "file:///"};
    for (size_t i = 0; i < ARRAY_SIZE(schemes); i++)
        if (strncmp(url, schemes[i], strlen(schemes[i])) == 0)
            return 0;
    return recipe_complain(place, key, "an http, https or file address is expected");
}

bool recipe_is_rpm_name(const char *text) {
    size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-._");
    return length && !text[length] && length < 128 && *text != '-' && *text != '.';
}

static bool is_sha256(const char *text) {
    return strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

static int check_disk(const struct recipe_disk *disk, const struct recipe_place *place) {
    if (!disk)
        return recipe_complain(place, "backend", "vendor needs `disk`: a file, or a url with its sha256");
    if (!disk->file == !disk->url)
        return recipe_complain(place, "disk", "one of file and url is expected");
    if (disk->url && !disk->sha256)
        return recipe_complain(place, "disk", "a url needs a sha256, too: every download is pinned");
    if (disk->sha256 && !is_sha256(disk->sha256))
        return recipe_complain(place, "sha256", "64 lower-case hex digits are expected");
    return disk->url ? check_url(place, "url", disk->url) : 0;
}

// Of paths, or with rpm of packages: dpkg's are left out by path and stay listed.
static int check_removals(const struct recipe_image *image, const struct recipe_place *place) {
    const bool may_be_package = strcmp(image->manager, "dnf") == 0;
    int r = 0;
    for (unsigned i = 0; r >= 0 && i < image->remove.count; i++)
        r = may_be_package && recipe_is_rpm_name(image->remove.items[i]) ? 0 : check_path(place, "remove", image->remove.items[i]);
    return r;
}

// What an image of packages must have, and a vendor's disk may have.
static int check_vendor(const struct recipe_image *image, const struct recipe_place *place) {
    static const char *const managers[] = {"apt", "dnf", NULL};
    const bool is_vendor = strcmp(image->backend, "vendor") == 0;
    int r = 0;
    if (!is_vendor && (image->disk || image->manager || image->remove.count))
        return recipe_complain(place, image->disk ? "disk" : image->manager ? "manager" : "remove", "is for `backend: vendor` only");
    if (!is_vendor && !image->kernel)
        return recipe_complain(place, "backend", "%s needs `kernel`: the name of a package", image->backend);
    if (!is_vendor && !image->source_count)
        return recipe_complain(place, "backend", "%s needs `sources`", image->backend);
    if (!is_vendor)
        return image->packages.count ? 0 : recipe_complain(place, "packages", "at least one package is needed");
    r = check_disk(image->disk, place);
    if (r >= 0 && !image->manager)
        r = recipe_complain(place, "backend", "vendor needs `manager`: apt or dnf");
    if (r >= 0)
        r = check_choice(place, "manager", image->manager, managers, "apt, dnf");
    if (r >= 0 && image->stand_ins.count)
        r = recipe_complain(place, "stand_ins", "a vendor's image has its packages already");
    return r < 0 ? r : check_removals(image, place);
}

static int check_links(const struct recipe_link *links, unsigned count, const struct recipe_place *place) {
    int r = 0;
    for (unsigned i = 0; r >= 0 && i < count; i++)
        r = check_path(place, "path", links[i].path);
    return r;
}

static int check_keys(const struct recipe_source *source, const struct recipe_place *place) {
    for (unsigned i = 0; i < source->keys.count; i++)
        if (strlen(source->keys.items[i]) != 40 || strspn(source->keys.items[i], "0123456789ABCDEF") != 40)
            return recipe_complain(place, "keys", "'%s' is not a fingerprint of 40 upper-case hex digits", source->keys.items[i]);
    return 0;
}

static int check_apt_source(const struct recipe_source *source, unsigned number, const struct recipe_place *place) {
    int r = check_words(place, "suites", &source->suites);
    if (r >= 0)
        r = check_words(place, "components", &source->components);
    if (r >= 0 && (!source->suites.count || !source->components.count))
        r = recipe_complain(place, "sources", "source %u needs suites and components", number);
    return r;
}

static int check_dnf_source(const struct recipe_source *source, unsigned number, const struct recipe_place *place) {
    if (source->suites.count || source->components.count)
        return recipe_complain(place, "sources", "source %u: a repository of dnf's has no suites and components", number);
    return check_name(place, "archive", source->archive);
}

static int check_sources(const struct recipe_image *image, const struct recipe_place *place) {
    const bool is_apt = strcmp(recipe_image_manager(image), "apt") == 0;
    int r = 0;
    for (unsigned i = 0; r >= 0 && i < image->source_count; i++) {
        const struct recipe_source *source = &image->sources[i];
        r = (is_apt ? check_apt_source : check_dnf_source)(source, i + 1, place);
        if (r >= 0)
            r = check_path(place, "keyring", source->keyring);
        if (r >= 0)
            r = check_keys(source, place);
    }
    if (r >= 0 && !is_apt && image->source_count && (!image->release || !image->platform))
        r = recipe_complain(place, "backend", "dnf needs release (9) and platform (platform:el9), too");
    return r;
}

int recipe_check_image(const struct recipe_image *image, const struct recipe_place *place) {
    static const char *const backends[] = {"apt", "dnf", "vendor", NULL}, *const runtimes[] = {"system", "bundled", NULL},
                             *const compressions[] = {"zstd", "gzip", NULL};
    const struct {
        const char *key;
        const struct strings *words;
    } lists[] = {
        {"packages", &image->packages}, {"stand_ins", &image->stand_ins}, {"modules", &image->modules}, {"cmdline", &image->cmdline}};
    int r = check_name(place, "id", image->id);
    if (r >= 0)
        r = check_choice(place, "backend", image->backend, backends, "apt, dnf, vendor");
    if (r >= 0)
        r = check_name(place, "family", image->family);
    if (r >= 0) // ends up in an option list of sources.list
        r = check_name(place, "architecture", image->architecture);
    if (r >= 0 && image->kernel)
        r = check_word(place, "kernel", image->kernel);
    if (r >= 0 && image->runtime)
        r = check_choice(place, "runtime", image->runtime, runtimes, "system, bundled");
    if (r >= 0 && image->compression)
        r = check_choice(place, "compression", image->compression, compressions, "zstd, gzip");
    if (r >= 0 && image->selinux)
        r = check_name(place, "selinux", image->selinux);
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(lists); i++)
        r = check_words(place, lists[i].key, lists[i].words);
    if (r >= 0)
        r = check_vendor(image, place);
    if (r >= 0 && image->selinux && strcmp(recipe_image_manager(image), "dnf") != 0)
        r = recipe_complain(place, "selinux", "is for images of rpm packages only: no others bring labels of files");
    if (r >= 0)
        r = check_links(image->links, image->link_count, place);
    return r < 0 ? r : check_sources(image, place);
}

static int check_fetch(const struct recipe_fetch *fetch, const struct recipe_place *place) {
    if (!is_sha256(fetch->sha256))
        return recipe_complain(place, "sha256", "64 lower-case hex digits are expected; every download is pinned");
    int r = check_url(place, "url", fetch->url);
    return r < 0 ? r : check_path(place, "path", fetch->path);
}

int recipe_check_layer(const struct recipe_layer *layer, const struct recipe_place *place) {
    static const char *const programs[] = {"webops", "webops-fetch", "webops-verify", "webops-unseal", "webops-http", "webops-flash", NULL};
    int r = check_name(place, "name", layer->name);
    if (r >= 0)
        r = check_version(place, layer->version);
    if (r >= 0)
        r = check_words(place, "packages", &layer->packages.apt);
    if (r >= 0)
        r = check_words(place, "packages", &layer->packages.dnf);
    if (r >= 0)
        r = check_links(layer->links, layer->link_count, place);
    for (unsigned i = 0; r >= 0 && i < layer->fetch_count; i++)
        r = check_fetch(&layer->fetch[i], place);
    for (unsigned i = 0; r >= 0 && i < layer->enable_count; i++)
        if (strchr(layer->enable[i].unit, '/') || strchr(layer->enable[i].wants, '/'))
            r = recipe_complain(place, "enable", "unit names have no '/'");
    for (unsigned i = 0; r >= 0 && i < layer->mask.count; i++)
        if (strchr(layer->mask.items[i], '/'))
            r = recipe_complain(place, "mask", "unit names have no '/'");
    for (unsigned i = 0; r >= 0 && i < layer->remove.count; i++)
        r = check_path(place, "remove", layer->remove.items[i]);
    for (unsigned i = 0; r >= 0 && i < layer->mode_count; i++) {
        r = check_path(place, "path", layer->modes[i].path);
        if (r >= 0 && layer->modes[i].mode > 07777)
            r = recipe_complain(place, "mode", "an octal mode such as 0640 is expected");
    }
    for (unsigned i = 0; r >= 0 && i < layer->programs.count; i++)
        r = check_choice(place, "programs", layer->programs.items[i], programs,
                         "webops, webops-fetch, webops-verify, webops-unseal, webops-http, webops-flash");
    return r;
}

int recipe_check_profile(struct recipe_profile *profile, const struct recipe_place *place) {
    static const char *const outputs[] = {"qcow2", "zst", NULL};
    static const char *const modules[] = {"virtio", "cloud", "server", NULL};
    int r = check_name(place, "name", profile->name);
    if (r >= 0)
        r = check_version(place, profile->version);
    if (r >= 0)
        r = check_name(place, "image", profile->image);
    // libcyaml lets strtoull() wrap a minus sign around.
    if (r >= 0 && (profile->sequence < 1 || profile->sequence > INT64_MAX))
        r = recipe_complain(place, "sequence", "a number from 1 on is expected");
    if (r >= 0 && profile->compatible)
        r = check_name(place, "compatible", profile->compatible);
    if (r >= 0 && profile->channel)
        r = check_name(place, "channel", profile->channel);
    // A slot holds 16: base and generation are the others.
    if (r >= 0 && profile->layers.count > 14)
        r = recipe_complain(place, "layers", "%u layers, at most 14 are possible on top of the base", profile->layers.count);
    for (unsigned i = 0; r >= 0 && i < profile->layers.count; i++) {
        r = check_name(place, "layers", profile->layers.items[i]);
        if (r >= 0 && strcmp(profile->layers.items[i], "generation") == 0)
            r = recipe_complain(place, "layers", "'generation' is what the build itself puts on top");
        if (r >= 0 && strcmp(profile->layers.items[i], RECIPE_SYSTEM_LAYER) == 0)
            r = recipe_complain(place, "layers", "'" RECIPE_SYSTEM_LAYER "' is what a vendor's image gets by its definition");
        for (unsigned j = 0; r >= 0 && j < i; j++)
            if (strcmp(profile->layers.items[i], profile->layers.items[j]) == 0)
                r = recipe_complain(place, "layers", "'%s' stands twice", profile->layers.items[i]);
    }
    if (r >= 0)
        r = check_words(place, "cmdline", &profile->cmdline);
    if (r >= 0 && profile->kernel)
        r = check_word(place, "kernel", profile->kernel);
    for (unsigned i = 0; r >= 0 && i < profile->cmdline.count; i++)
        if (strncmp(profile->cmdline.items[i], "webops.slot=", 12) == 0)
            r = recipe_complain(place, "cmdline", "webops.slot= is written by the build");
    for (unsigned i = 0; r >= 0 && i < profile->outputs.count; i++)
        r = check_choice(place, "outputs", profile->outputs.items[i], outputs, "qcow2, zst");
    if (r >= 0 && profile->modules)
        r = check_choice(place, "modules", profile->modules, modules, "virtio, cloud, server");
    if (!profile->zstd_level)
        profile->zstd_level = 15;
    if (r >= 0 && (profile->zstd_level < 1 || profile->zstd_level > 22))
        r = recipe_complain(place, "zstd_level", "1 to 22 is expected");
    return r;
}
