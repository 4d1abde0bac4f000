// SPDX-License-Identifier: Apache-2.0
// webops-image lock: the exact packages that a profile comes to now, as a file that `build --locked` takes.
#include "builder/build.h"
#include "builder/verbs.h"
#include "common/file.h"
#include <fcntl.h>
#include <stdio.h>

static int write_lock(const struct build *build, const char *path, struct err *err) {
    cleanup_lockfile struct lockfile lockfile = {0};
    cleanup_buf struct buf text = {0};
    size_t packages = 0;
    build_lock(build, &lockfile);
    lockfile_format(&lockfile, &text);
    int r = file_publish(AT_FDCWD, path, buf_str(&text), text.size, 0644, err);
    for (size_t i = 0; i < lockfile.count; i++)
        packages += lockfile.parts[i].set.count;
    if (r >= 0)
        printf("%s: %zu packages of %s in %zu parts\n", path, packages, lockfile.image, lockfile.count);
    return r;
}

int verb_lock(const struct verb *self, int argc, char **argv) {
    struct build_options chosen = {.out_dir = "out"};
    const char *output = NULL;
    const struct opt options[] = {
        {"output", 'o', OPT_TEXT, &output, "FILE", "The file to write (default: PROFILE.lock, in the profile's place)."},
        {"offline", 0, OPT_FLAG, &chosen.offline, NULL, "Ask no mirror: use the package lists in the cache."},
        {0},
    };
    char **args;
    int count;
    int code = opt_parse(self, options, argc, argv, &args, &count);
    if (code >= 0)
        return code;
    cleanup_build struct build build = {0};
    struct err err = {0};
    chosen.profile = args[0];
    int r = build_plan(&chosen, &build, &err);
    cleanup_free char *beside = r < 0 || output ? NULL : recipe_lock_path(&build.recipe);
    if (r >= 0)
        r = write_lock(&build, output ? output : beside, &err);
    return r < 0 ? verb_failed(r, &err) : EXIT_OK;
}
