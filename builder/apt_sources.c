// SPDX-License-Identifier: Apache-2.0
// The sources.list of an image, from its definition and, where that names no mirror, from the build host's apt configuration.
#include "builder/apt.h"
#include "common/file.h"
#include "common/run.h"
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

#define NOT_DATED "check-valid-until=no"

static bool is_usable(const char *uri) {
    static const char *const schemes[] = {"http://", "https://", "file:"};
    for (size_t i = 0; i < ARRAY_SIZE(schemes); i++)
        if (strncmp(uri, schemes[i], strlen(schemes[i])) == 0)
            return true;
    return false;
}

// The address in a line of `apt-get update --print-uris`: 'URI/dists/SUITE/InRelease' …; its size is 0 when it is none.
static const char *line_uri(const char *line, size_t size, size_t *ret_size) {
    const char *quote = size && line[0] == '\'' ? memchr(line + 1, '\'', size - 1) : NULL;
    const char *dists = quote ? memmem(line, (size_t)(quote - line), "/dists/", strlen("/dists/")) : NULL;
    const char *end = dists;
    while (end && end > line + 1 && end[-1] == '/')
        end--;
    *ret_size = end ? (size_t)(end - line) - 1 : 0;
    return line + 1;
}

// The first address that ends in /<archive>; NULL = none. The caller frees.
static char *find_host_uri(const char *uris, const char *archive) {
    size_t wanted = strlen(archive);
    while (uris && *uris) {
        size_t line = strcspn(uris, "\n"), size;
        const char *uri = line_uri(uris, line, &size);
        if (size > wanted && uri[size - wanted - 1] == '/' && strncmp(uri + size - wanted, archive, wanted) == 0 && is_usable(uri))
            return str_printf("%.*s", (int)size, uri);
        uris += line + (uris[line] == '\n');
    }
    return NULL;
}

static bool is_plain(const char *text) { // nothing that ends a word, an option list or a line of sources.list
    return *text && !strpbrk(text, " \t\r\n[]#\"");
}

static int add_source(const struct recipe_image *image, const struct recipe_source *source, const char *host_uris, struct buf *text,
                      struct err *err) {
    cleanup_free char *uri = source->mirror ? str_dup(source->mirror) : find_host_uri(host_uris, source->archive);
    if (!uri)
        return err_set(err, -ENOENT,
                       "image %s: the apt configuration of this machine knows no mirror whose address ends in /%s: add one, or a line "
                       "\"%s ADDRESS\" to %s, or set `mirror` in images/%s.yaml",
                       image->id, source->archive, source->archive, recipe_mirrors_path(), image->id);
    if (!is_plain(uri) || !is_usable(uri) || !source->keyring || !is_plain(source->keyring) || source->keyring[0] != '/')
        return err_set(err, -EINVAL, "image %s: mirror of %s must be an http, https or file address, and its keyring an absolute path",
                       image->id, source->archive);
    for (unsigned i = 0; i < source->suites.count; i++) {
        buf_printf(text, "deb [arch=%s signed-by=%s%s] %s %s", image->architecture, source->keyring, source->snapshot ? " " NOT_DATED : "",
                   uri, source->suites.items[i]);
        for (unsigned j = 0; j < source->components.count; j++)
            buf_printf(text, " %s", source->components.items[j]);
        buf_add_str(text, "\n");
    }
    return 0;
}

int apt_sources_format(const struct recipe_image *image, const char *host_uris, char **ret_text, struct err *err) {
    cleanup_buf struct buf text = {0};
    for (unsigned i = 0; i < image->source_count; i++) {
        int r = add_source(image, &image->sources[i], host_uris, &text, err);
        if (r < 0)
            return r;
    }
    *ret_text = buf_take(&text);
    return 0;
}

int apt_sources(const struct recipe_image *image, char **ret_text, struct err *err) {
    cleanup_free char *uris = NULL;
    bool ask = false;
    for (unsigned i = 0; i < image->source_count; i++)
        ask = ask || !image->sources[i].mirror;
    // Answers from the sources alone: 0.02 s, where `apt-get indextargets` reads all package lists for 0.5 s.
    struct run run = {.argv = RUN_ARGV("apt-get", "update", "--print-uris"), .timeout_ms = 30000};
    int r = ask ? run_capture(&run, 1 << 20, &uris, NULL, err) : 0;
    return r < 0 ? r : apt_sources_format(image, uris, ret_text, err);
}

// The lines of our own sources.list: "deb [options] uri suite components…". A suite that ends in a slash is a flat repository. `dated` are those that are
// of today, and no snapshots.
static void list_releases(const char *sources, struct strings *urls, struct strings *dated) {
    cleanup_free char *text = str_dup(sources);
    char *state = NULL;
    for (char *line = strtok_r(text, "\n", &state); line; line = strtok_r(NULL, "\n", &state)) {
        char *uri = strstr(line, "] "), *suite = uri ? strchr(uri + 2, ' ') : NULL;
        if (!suite)
            continue;
        *suite++ = 0;
        suite[strcspn(suite, " ")] = 0;
        cleanup_free char *url =
            str_ends_with(suite, "/") ? str_printf("%s/%sInRelease", uri + 2, suite) : str_printf("%s/dists/%s/InRelease", uri + 2, suite);
        strings_add(urls, url);
        if (!strstr(line, NOT_DATED))
            strings_add(dated, url);
    }
}

// apt looks at the last day of an index when it fetches lists; while a mirror stands still there are none to fetch.
static int check_last_day(const struct recipe_image *image, const char *url, const char *metadata, struct err *err) {
    static const char field[] = "\nValid-Until: ";
    cleanup_free char *path = fingerprint_copy(url, metadata), *text = NULL;
    int r = file_read(AT_FDCWD, path, FINGERPRINT_MAX_BYTES, &text, NULL, err);
    const char *value = r < 0 ? NULL : strstr(text, field);
    if (!value)
        return r;
    value += strlen(field);
    cleanup_free char *date = str_printf("%.*s", (int)strcspn(value, "\r\n"), value);
    const time_t last = curl_getdate(date, NULL);
    if (last < 0 || last >= time(NULL)) // what is no date is for apt to refuse
        return 0;
    return err_set(
        err, -ESTALE,
        "%s was to be used until %s: the mirror stands still, or somebody holds updates back; name another one, or, where this is a "
        "mirror of that day, say `snapshot: true` in images/%s.yaml",
        url, date, image->id);
}

int apt_fingerprint(const struct recipe_image *image, const struct package_dirs *dirs, long max_age_s, char ret_hex[FINGERPRINT_HEX_BYTES],
                    struct err *err) {
    cleanup_free char *sources = NULL;
    cleanup_strings struct strings urls = {0}, dated = {0};
    char hex[FINGERPRINT_HEX_BYTES];
    int r = apt_sources(image, &sources, err);
    if (r < 0)
        return r;
    list_releases(sources, &urls, &dated);
    r = fingerprint_mirrors(image, sources, &urls, dirs->metadata, max_age_s, hex, err);
    for (unsigned i = 0; r >= 0 && max_age_s >= 0 && i < dated.count; i++)
        r = check_last_day(image, dated.items[i], dirs->metadata, err);
    if (r >= 0)
        memcpy(ret_hex, hex, sizeof(hex));
    return r;
}
