// SPDX-License-Identifier: Apache-2.0
// webops-image build: bakes a profile into a bootable disk image.
#include "builder/build.h"
#include "builder/verbs.h"
#include "common/buf.h"
#include "common/jsontext.h"
#include "common/log.h"
#include <assert.h>
#include <jansson.h>
#include <sys/stat.h>

static void print_result(const struct build *build, bool changed) {
    cleanup_free char *image =
        str_printf("%s/%s-%s.raw", build->options.out_dir, build->recipe.profile->name, build->recipe.profile->version);
    struct stat st = {0};
    if (stat(image, &st) < 0)
        return;
    if (build->options.json) {
        json_t *event = json_pack("{s:s, s:o, s:b, s:I, s:I}", "event", "done", "image", jsontext(image), "changed", changed, "bytes",
                                  (json_int_t)st.st_size, "stored_bytes", (json_int_t)st.st_blocks * 512);
        char *text = json_dumps(event, JSON_COMPACT);
        puts(text ?: "{}");
        free(text);
        json_decref(event);
        return;
    }
    printf("%s: %s, %.1f MiB stored of %.1f MiB\n", image, changed ? "built" : "nothing to do", (double)st.st_blocks / 2048,
           (double)st.st_size / (1 << 20));
}

#define MAX_OPTIONS 20

int build_verb_start_with(const struct verb *self, int argc, char **argv, const struct opt *more, const struct build_options *preset,
                          struct build *build) {
    struct build_options chosen = *preset;
    struct opt options[MAX_OPTIONS] = {
        {"output", 'o', OPT_TEXT, &chosen.out_dir, "DIR", "Where the finished images go (default: out)."},
        {"trust", 0, OPT_TEXT, &chosen.trust, "FILE",
         "Root certificates that updates must chain up to (default: the profile's, else development keys)."},
        {"secure-boot-key", 0, OPT_TEXT, &chosen.secure_boot_key, "KEY", "Sign what the firmware starts: a file (0600) or a pkcs11: URI."},
        {"secure-boot-cert", 0, OPT_TEXT, &chosen.secure_boot_cert, "FILE",
         "Its certificate; PK.auth, KEK.auth and db.auth beside it make machines in setup mode enrol."},
        {"locked", 0, OPT_FLAG, &chosen.is_locked, NULL, "Take exactly the packages of PROFILE.lock (see webops-image lock)."},
        {"lock", 0, OPT_TEXT, &chosen.lock, "FILE", "The same, of this file."},
        {"offline", 0, OPT_FLAG, &chosen.offline, NULL, "Ask no mirror: use package lists and packages in the cache."},
        {"json", 0, OPT_FLAG, &chosen.json, NULL, "Print JSON: progress and result as one event per line, or the plan."},
        {0},
    };
    size_t last = 0;
    while (options[last].name)
        last++;
    for (; more && more->name; more++) {
        assert(last + 1 < MAX_OPTIONS);
        options[last++] = *more;
    }
    char **args;
    int count;
    int code = opt_parse(self, options, argc, argv, &args, &count);
    if (code >= 0)
        return code;
    chosen.profile = args[0];
    chosen.is_locked = chosen.is_locked || chosen.lock;
    struct err err = {0};
    int r = build_plan(&chosen, build, &err);
    return r < 0 ? verb_failed(r, &err) : -1;
}

int build_verb_start(const struct verb *self, int argc, char **argv, struct build *build) {
    return build_verb_start_with(self, argc, argv, NULL, &(struct build_options){.out_dir = "out"}, build);
}

void build_verb_warn(const struct build *build) {
    if (build->generation.is_development)
        log_warn(
            "the image trusts DEVELOPMENT keys; for machines that matter make your own (webops-image keygen) and name them with --trust");
}

int verb_build(const struct verb *self, int argc, char **argv) {
    cleanup_build struct build build = {0};
    int code = build_verb_start(self, argc, argv, &build);
    if (code >= 0)
        return code;
    struct err err = {0};
    build_verb_warn(&build);
    bool changed = !build_is_current(&build);
    int r = changed ? build_apply(&build, &err) : 0;
    if (r < 0)
        return verb_failed(r, &err);
    print_result(&build, changed);
    return EXIT_OK;
}
