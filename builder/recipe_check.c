// SPDX-License-Identifier: Apache-2.0
// Names, words, paths, choices: what a well-formed recipe must also be. No file access.
#include "builder/recipe_check.h"
#include "common/buf.h"
#include <errno.h>
#include <string.h>

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

typedef int value_check(const struct recipe_place *place, const char *key, const char *value);

// Each entry of a list, which a complaint names by its number.
static int check_each(const struct recipe_place *place, const char *key, const struct strings *list, value_check *check) {
    int r = 0;
    for (unsigned i = 0; r >= 0 && i < list->count; i++) {
        cleanup_free char *entry = str_printf("%s[%u]", key, i);
        r = check(place, entry, list->items[i]);
    }
    return r;
}

static int check_word(const struct recipe_place *place, const char *key, const char *word) {
    return *word && !strpbrk(word, " \t\r\n\"'\\$`") ? 0 : recipe_complain(place, key, "must be one word without quotes and blanks");
}

static int check_words(const struct recipe_place *place, const char *key, const struct strings *words) {
    return check_each(place, key, words, check_word);
}

static int check_unit(const struct recipe_place *place, const char *key, const char *unit) {
    return strchr(unit, '/') ? recipe_complain(place, key, "unit names have no '/'") : 0;
}

static int check_choice(const struct recipe_place *place, const char *key, const char *value, const char *const *choices) {
    cleanup_buf struct buf list = {0};
    for (const char *const *choice = choices; *choice; choice++) {
        if (strcmp(value, *choice) == 0)
            return 0;
        buf_printf(&list, "%s%s", choice == choices ? "" : ", ", *choice);
    }
    return recipe_complain(place, key, "'%.40s' is not one of %s", value, buf_str(&list));
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
        return recipe_complain(place, "disk.sha256", "64 lower-case hex digits are expected");
    return disk->url ? check_url(place, "disk.url", disk->url) : 0;
}

static int check_path_or_package(const struct recipe_place *place, const char *key, const char *value) {
    return recipe_is_rpm_name(value) ? 0 : check_path(place, key, value);
}

// Of paths, or with rpm of packages: dpkg's are left out by path and stay listed.
static int check_removals(const struct recipe_image *image, const struct recipe_place *place) {
    return check_each(place, "remove", &image->remove, strcmp(image->manager, "dnf") == 0 ? check_path_or_package : check_path);
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
        r = check_choice(place, "manager", image->manager, managers);
    if (r >= 0 && image->stand_ins.count)
        r = recipe_complain(place, "stand_ins", "a vendor's image has its packages already");
    return r < 0 ? r : check_removals(image, place);
}

static int check_links(const struct recipe_link *links, unsigned count, const struct recipe_place *place) {
    int r = 0;
    for (unsigned i = 0; r >= 0 && i < count; i++) {
        struct recipe_place here = recipe_within(place, "links", i);
        r = check_path(&here, "path", links[i].path);
    }
    return r;
}

static int check_fingerprint(const struct recipe_place *place, const char *key, const char *value) {
    if (strlen(value) != 40 || strspn(value, "0123456789ABCDEF") != 40)
        return recipe_complain(place, key, "'%.60s' is not a fingerprint of 40 upper-case hex digits", value);
    return 0;
}

static int check_apt_source(const struct recipe_source *source, const struct recipe_place *place) {
    int r = check_words(place, "suites", &source->suites);
    if (r >= 0)
        r = check_words(place, "components", &source->components);
    if (r >= 0 && (!source->suites.count || !source->components.count))
        r = recipe_complain(place, source->suites.count ? "components" : "suites", "apt needs suites and components");
    return r;
}

static int check_dnf_source(const struct recipe_source *source, const struct recipe_place *place) {
    if (source->suites.count || source->components.count)
        return recipe_complain(place, source->suites.count ? "suites" : "components", "a repository of dnf's has no suites and components");
    return check_name(place, "archive", source->archive);
}

static int check_sources(const struct recipe_image *image, const struct recipe_place *place) {
    const bool is_apt = strcmp(recipe_image_manager(image), "apt") == 0;
    int r = 0;
    for (unsigned i = 0; r >= 0 && i < image->source_count; i++) {
        const struct recipe_source *source = &image->sources[i];
        struct recipe_place here = recipe_within(place, "sources", i);
        r = (is_apt ? check_apt_source : check_dnf_source)(source, &here);
        if (r >= 0)
            r = check_path(&here, "keyring", source->keyring);
        if (r >= 0)
            r = check_each(&here, "keys", &source->keys, check_fingerprint);
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
        r = check_choice(place, "backend", image->backend, backends);
    if (r >= 0)
        r = check_name(place, "family", image->family);
    if (r >= 0) // ends up in an option list of sources.list
        r = check_name(place, "architecture", image->architecture);
    if (r >= 0 && image->kernel)
        r = check_word(place, "kernel", image->kernel);
    if (r >= 0 && image->runtime)
        r = check_choice(place, "runtime", image->runtime, runtimes);
    if (r >= 0 && image->compression)
        r = check_choice(place, "compression", image->compression, compressions);
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

static int check_program(const struct recipe_place *place, const char *key, const char *value) {
    static const char *const programs[] = {"webops", "webops-fetch", "webops-verify", "webops-unseal", "webops-http", "webops-flash", NULL};
    return check_choice(place, key, value, programs);
}

// What stands in lists of mappings.
static int check_items(const struct recipe_layer *layer, const struct recipe_place *place) {
    int r = check_links(layer->links, layer->link_count, place);
    for (unsigned i = 0; r >= 0 && i < layer->fetch_count; i++) {
        struct recipe_place here = recipe_within(place, "fetch", i);
        r = check_fetch(&layer->fetch[i], &here);
    }
    for (unsigned i = 0; r >= 0 && i < layer->enable_count; i++) {
        struct recipe_place here = recipe_within(place, "enable", i);
        r = check_unit(&here, "unit", layer->enable[i].unit);
        if (r >= 0)
            r = check_unit(&here, "wants", layer->enable[i].wants);
    }
    for (unsigned i = 0; r >= 0 && i < layer->mode_count; i++) {
        struct recipe_place here = recipe_within(place, "modes", i);
        r = check_path(&here, "path", layer->modes[i].path);
    }
    return r;
}

int recipe_check_layer(const struct recipe_layer *layer, const struct recipe_place *place) {
    const struct {
        const char *key;
        const struct strings *list;
        value_check *check;
    } lists[] = {
        {"packages.apt", &layer->packages.apt, check_word},
        {"packages.dnf", &layer->packages.dnf, check_word},
        {"mask", &layer->mask, check_unit},
        {"remove", &layer->remove, check_path},
        {"programs", &layer->programs, check_program},
    };
    int r = check_name(place, "name", layer->name);
    if (r >= 0)
        r = check_version(place, layer->version);
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(lists); i++)
        r = check_each(place, lists[i].key, lists[i].list, lists[i].check);
    return r < 0 ? r : check_items(layer, place);
}

static int check_layer_name(const struct recipe_place *place, const char *key, const char *value) {
    if (strcmp(value, "generation") == 0)
        return recipe_complain(place, key, "'generation' is what the build itself puts on top");
    if (strcmp(value, RECIPE_SYSTEM_LAYER) == 0)
        return recipe_complain(place, key, "'" RECIPE_SYSTEM_LAYER "' is what a vendor's image gets by its definition");
    return check_name(place, key, value);
}

static int check_layer_names(const struct strings *layers, const struct recipe_place *place) {
    if (layers->count > 14) // A slot holds 16: base and generation are the others.
        return recipe_complain(place, "layers", "%u layers, at most 14 are possible on top of the base", layers->count);
    int r = check_each(place, "layers", layers, check_layer_name);
    for (unsigned i = 0; r >= 0 && i < layers->count; i++)
        for (unsigned j = 0; r >= 0 && j < i; j++)
            if (strcmp(layers->items[i], layers->items[j]) == 0)
                r = recipe_complain(place, "layers", "'%s' stands twice", layers->items[i]);
    return r;
}

static int check_output(const struct recipe_place *place, const char *key, const char *value) {
    static const char *const outputs[] = {"qcow2", "zst", NULL};
    return check_choice(place, key, value, outputs);
}

static int check_modules(const struct recipe_place *place, const char *key, const char *value) {
    static const char *const modules[] = {"virtio", "cloud", "server", NULL};
    return check_choice(place, key, value, modules);
}

static int check_cmdline_word(const struct recipe_place *place, const char *key, const char *word) {
    if (strncmp(word, "webops.slot=", 12) == 0)
        return recipe_complain(place, key, "webops.slot= is written by the build");
    return check_word(place, key, word);
}

int recipe_check_profile(const struct recipe_profile *profile, const struct recipe_place *place) {
    const struct {
        const char *key, *value; // NULL is as good
        value_check *check;
    } values[] = {
        {"name", profile->name, check_name},       {"image", profile->image, check_name},
        {"kernel", profile->kernel, check_word},   {"compatible", profile->compatible, check_name},
        {"channel", profile->channel, check_name}, {"modules", profile->modules, check_modules},
    };
    int r = check_version(place, profile->version);
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(values); i++)
        if (values[i].value)
            r = values[i].check(place, values[i].key, values[i].value);
    if (r >= 0)
        r = check_layer_names(&profile->layers, place);
    if (r >= 0)
        r = check_each(place, "cmdline", &profile->cmdline, check_cmdline_word);
    return r < 0 ? r : check_each(place, "outputs", &profile->outputs, check_output);
}
