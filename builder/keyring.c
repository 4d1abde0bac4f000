// SPDX-License-Identifier: Apache-2.0
#include "builder/keyring.h"
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

// gpg wants a directory of its own, even to look at a file.
static int list_keys(const char *keyring, char **ret_listing, struct err *err) {
    char home[] = "/tmp/webops-gpg-XXXXXX";
    cleanup_tool_env char **env = tool_env((const char *const[]){NULL});
    const struct run run = {.argv = RUN_ARGV("gpg", "--batch", "--no-options", "--no-autostart", "--no-keyring", "--homedir", home,
                                             "--with-colons", "--show-keys", keyring),
                            .env = (const char *const *)env,
                            .timeout_ms = 30000};
    if (access(keyring, R_OK) < 0)
        return err_sys(err, -errno, "cannot read the keyring %s", keyring);
    if (!mkdtemp(home))
        return err_sys(err, -errno, "cannot make a directory in /tmp");
    int r = run_capture(&run, MAX_LISTING_BYTES, ret_listing, NULL, err);
    struct err ignored;
    (void)!file_remove_tree(AT_FDCWD, home, &ignored);
    return r;
}

static int check_source(const struct recipe_image *image, const struct recipe_source *source, struct err *err) {
    cleanup_free char *listing = NULL;
    cleanup_strings struct strings keys = {0};
    int r = list_keys(source->keyring, &listing, err);
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
