// SPDX-License-Identifier: Apache-2.0
// The build host's list of mirrors: where image definitions, which name none, get their packages from.
#include "builder/recipe.h"
#include "common/buf.h"
#include "common/file.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define DEFAULT_PATH "/etc/webops/mirrors"
static const char blanks[] = " \t\r";

// The word at *cursor, which is moved behind it; "" at the end of the line. The caller frees.
static char *take_word(const char **cursor) {
    const char *word = *cursor + strspn(*cursor, blanks);
    size_t size = strcspn(word, " \t\r\n");
    *cursor = word + size;
    return *word == '#' ? str_dup("") : str_printf("%.*s", (int)size, word);
}

static bool is_address(const char *text) {
    static const char *const schemes[] = {"https://", "http://", "file:/"};
    for (size_t i = 0; i < ARRAY_SIZE(schemes); i++)
        if (strncmp(text, schemes[i], strlen(schemes[i])) == 0 && text[strlen(schemes[i])])
            return true;
    return false;
}

// A line is empty, a comment, or a mirror; of several for one archive the first is taken.
static int take_line(const char *line, struct recipe_image *image, const char *place, struct err *err) {
    cleanup_free char *archive = take_word(&line), *address = take_word(&line), *more = NULL;
    if (!*archive)
        return 0;
    if (!*address)
        return err_set(err, -EINVAL, "%s: %.40s has no address: a line is ARCHIVE ADDRESS", place, archive);
    if (!is_address(address))
        return err_set(err, -EINVAL, "%s: %.80s is no address that begins with https://, http:// or file:/", place, address);
    more = take_word(&line);
    if (*more)
        return err_set(err, -EINVAL, "%s: %.40s stands behind the address: a line is ARCHIVE ADDRESS, a comment begins with #", place,
                       more);
    for (unsigned i = 0; i < image->source_count; i++)
        if (!image->sources[i].mirror && strcmp(image->sources[i].archive, archive) == 0)
            image->sources[i].mirror = str_dup(address);
    return 0;
}

static const char *own_path(void) {
    const char *own = getenv("WEBOPS_MIRRORS");
    return own && *own ? own : NULL;
}

const char *recipe_mirrors_path(void) {
    return own_path() ?: DEFAULT_PATH;
}

int recipe_add_mirrors(struct recipe_image *image, struct err *err) {
    cleanup_free char *text = NULL;
    const char *path = recipe_mirrors_path();
    if (!own_path() && !file_exists(AT_FDCWD, path))
        return 0;
    int r = file_read(AT_FDCWD, path, RECIPE_MAX_BYTES, &text, NULL, err);
    if (r < 0)
        return err_prefix(err, r, "%s", own_path() ? "WEBOPS_MIRRORS" : "list of mirrors");
    unsigned number = 1;
    for (const char *line = text; r >= 0 && *line; line += strcspn(line, "\n"), line += *line == '\n', number++) {
        cleanup_free char *place = str_printf("%s:%u", path, number);
        r = take_line(line, image, place, err);
    }
    return r;
}
