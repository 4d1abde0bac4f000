// SPDX-License-Identifier: Apache-2.0
#include "builder/keyring.h"
#include "builder/tempdir.h"
#include "builder/tool_log.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/run.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define MAX_LISTING_BYTES (1u << 20)
#define FINGERPRINT_FIELD 9

// The fingerprint in a line "fpr:::::::::<hex>:" that follows the line of a primary key.
void keyring_parse(const char *listing, struct strings *ret_keys) {
    bool is_primary = false;
    for (const char *line = listing; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        if (strncmp(line, "pub:", 4) == 0)
            is_primary = true;
        if (!is_primary || strncmp(line, "fpr:", 4) != 0)
            continue;
        const char *field = line;
        for (int i = 0; field && i < FINGERPRINT_FIELD; i++)
            field = memchr(field, ':', strcspn(field, "\n")) ? strchr(field, ':') + 1 : NULL;
        cleanup_free char *key = field ? str_printf("%.*s", (int)strcspn(field, ":\n"), field) : NULL;
        if (key)
            strings_add(ret_keys, key);
        is_primary = false;
    }
}

// Where a distribution's keyring comes from; also docs/DISTRIBUTIONS.md, "Keys".
static const struct {
    const char *file, *from; // the beginning of the file's name
} origins[] = {
    {"debian-archive-keyring", "it comes with the package debian-archive-keyring"},
    {"ubuntu-archive-keyring", "it comes with the package ubuntu-keyring"},
    {"RPM-GPG-KEY-", "get it from the distribution's server"},
};

static const char *origin_of(const char *keyring) {
    const char *slash = strrchr(keyring, '/'), *file = slash ? slash + 1 : keyring;
    for (size_t i = 0; i < ARRAY_SIZE(origins); i++)
        if (strncmp(file, origins[i].file, strlen(origins[i].file)) == 0)
            return origins[i].from;
    return "put the distribution's keys there";
}

int keyring_require(const struct recipe_image *image, const struct recipe_source *source, struct err *err) {
    if (file_exists(AT_FDCWD, source->keyring))
        return 0;
    return err_set(err, -ENOENT, "keyring of %s: there is no %s, which images/%s.yaml names: %s (docs/DISTRIBUTIONS.md, Keys)",
                   source->archive, source->keyring, image->id, origin_of(source->keyring));
}

// gpg wants a directory of its own, even to look at a file.
static int list_keys(const char *keyring, char **ret_listing, struct err *err) {
    cleanup_tempdir char *home = NULL;
    if (access(keyring, R_OK) < 0)
        return err_sys(err, -errno, "cannot read the keyring %s", keyring);
    int r = tempdir_make("gpg", &home, err);
    if (r < 0)
        return r;
    cleanup_tool_env char **env = tool_env((const char *const[]){NULL});
    const struct run run = {.argv = RUN_ARGV("gpg", "--batch", "--no-options", "--no-autostart", "--no-keyring", "--homedir", home,
                                             "--with-colons", "--show-keys", keyring),
                            .env = (const char *const *)env,
                            .timeout_ms = 30000};
    return run_capture(&run, MAX_LISTING_BYTES, ret_listing, NULL, err);
}

static int check_source(const struct recipe_image *image, const struct recipe_source *source, struct err *err) {
    cleanup_free char *listing = NULL;
    cleanup_strings struct strings keys = {0};
    int r = keyring_require(image, source, err);
    if (r < 0)
        return r;
    r = list_keys(source->keyring, &listing, err);
    if (r < 0)
        return err_prefix(err, r, "image %s", image->id);
    keyring_parse(listing, &keys);
    if (!keys.count)
        return err_set(err, -EKEYREJECTED, "image %s: %s holds no key", image->id, source->keyring);
    for (unsigned i = 0; i < keys.count; i++)
        if (!strings_has(&source->keys, keys.items[i]))
            return err_set(err, -EKEYREJECTED,
                           "image %s: %s holds the key %s, which images/%s.yaml does not name: it is not that distribution's keyring",
                           image->id, source->keyring, keys.items[i], image->id);
    return 0;
}

int keyring_check(const struct recipe_image *image, struct err *err) {
    int r = 0;
    for (unsigned i = 0; r >= 0 && i < image->source_count; i++)
        if (image->sources[i].keys.count)
            r = check_source(image, &image->sources[i], err);
    return r;
}
