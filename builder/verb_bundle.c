// SPDX-License-Identifier: Apache-2.0
// webops-image bundle: one signed file of a finished image (built first, when a profile is named).
#include "builder/build.h"
#include "builder/bundlefile.h"
#include "builder/bundler.h"
#include "builder/verbs.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/jsontext.h"
#include "common/log.h"
#include "common/signature.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <time.h>

#define MAX_VALID_DAYS 36500

struct bundle_options {
    struct signer_paths signer;
    struct build_options build;
    const char *channel, *output;
    long valid_days;
};

// Today; SOURCE_DATE_EPOCH when it is set, so that the same bundle can be made again.
static int64_t today(void) {
    const char *text = getenv("SOURCE_DATE_EPOCH");
    long long seconds = text ? strtoll(text, NULL, 10) : 0;
    return seconds > 0 ? seconds : (int64_t)time(NULL);
}

// A profile is built; everything else is there already. Returns the path that release_load() takes.
static int find_release(struct bundle_options *options, const char *what, char **ret_path, struct err *err) {
    if (file_exists(AT_FDCWD, what) && !strstr(what, ".yaml")) {
        *ret_path = str_dup(what);
        return 0;
    }
    cleanup_build struct build build = {0};
    options->build.profile = what;
    int r = build_plan(&options->build, &build, err);
    if (r >= 0 && !build_is_current(&build))
        r = build_apply(&build, err);
    if (r >= 0)
        *ret_path = str_printf("%s/%s-%s.raw", options->build.out_dir, build.recipe.profile->name, build.recipe.profile->version);
    return r;
}

// Beside the image, in the directory that -o names, or exactly where it says.
static char *output_path(const struct bundle_options *options, const struct release *release) {
    cleanup_free char *name = str_printf("%s-%s.bundle", release->profile, release->version);
    struct stat st;
    if (!options->output)
        return str_printf("%.*s%s",
                          (int)(strrchr(release->image_path, '/') ? strrchr(release->image_path, '/') + 1 - release->image_path : 0),
                          release->image_path, name);
    if (stat(options->output, &st) == 0 && S_ISDIR(st.st_mode))
        return str_printf("%s/%s", options->output, name);
    return str_dup(options->output);
}

static void print_result(const struct bundle_options *options, const struct release *release, const char *path,
                         const struct bundler_result *result) {
    if (!options->build.json) {
        printf("%s: %.1f MiB, index %.1f KiB, SHA-256 %s\n", path, (double)result->bytes / (1 << 20), (double)result->index_bytes / 1024,
               result->sha256);
        return;
    }
    json_t *event = json_pack("{s:s, s:o, s:s, s:s, s:I, s:I, s:I, s:s}", "event", "done", "bundle", jsontext(path), "profile",
                              release->profile, "version", release->version, "sequence", (json_int_t)release->sequence, "bytes",
                              (json_int_t)result->bytes, "index_bytes", (json_int_t)result->index_bytes, "sha256", result->sha256);
    cleanup_free char *text = json_dumps(event, JSON_COMPACT);
    json_decref(event);
    puts(text ?: "{}");
}

// Legitimate while a root is being replaced; otherwise a mistake that shows one update too late.
static void warn_untrusted(const struct release *release, const char *path, int64_t now) {
    cleanup_bundlefile struct bundlefile file = {.fd = -1};
    struct err err = {0};
    const struct signature_trust trust = {.ca_pem = release->trust, .time = now};
    int r = bundlefile_open(path, &file, &err);
    if (r >= 0) {
        const char *manifest = file.head_bytes + BUNDLE_FIXED_BYTES;
        r = signature_verify(&trust, manifest, file.head.manifest_bytes, manifest + file.head.manifest_bytes, file.head.signature_bytes,
                             NULL, &err);
    }
    if (r < 0)
        log_warn("the image does not trust who signed its bundle, so machines that run it will refuse the next one like it: %s", err.text);
}

static int make(struct bundle_options *options, const char *what, struct err *err) {
    cleanup_signer struct signer signer = {0};
    cleanup_release struct release release = {0};
    cleanup_free char *found = NULL;
    struct bundler_result result = {0};
    const int64_t now = today();
    int r = signer_open(&options->signer, now, &signer, err);
    if (r >= 0)
        r = find_release(options, what, &found, err);
    if (r >= 0)
        r = release_load(found, &release, err);
    if (r < 0)
        return r;
    if (signer.is_development)
        log_warn("the bundle is signed with DEVELOPMENT keys, which only this workstation has; name real ones with --key and --cert");
    cleanup_free char *path = output_path(options, &release);
    const struct bundler_request request = {.release = &release,
                                            .signer = &signer,
                                            .channel = options->channel,
                                            .valid_until = now + (int64_t)options->valid_days * 86400,
                                            .path = path};
    cleanup_progress struct progress *progress = progress_new(BUNDLER_STAGES, options->build.json);
    r = bundler_make(&request, progress, &result, err);
    if (r < 0)
        return r;
    warn_untrusted(&release, path, now);
    print_result(options, &release, path, &result);
    return r;
}

static int check(const struct bundle_options *options, struct err *err) {
    const struct signer_paths *signer = &options->signer;
    if (options->valid_days < 1 || options->valid_days > MAX_VALID_DAYS)
        return err_set(err, -EINVAL, "--valid-days: 1 to %d are possible", MAX_VALID_DAYS);
    if (signer->key && !signer->certificate)
        return err_set(err, -EINVAL, "--key needs its certificate: --cert FILE");
    if (!signer->key && (signer->certificate || signer->chain))
        return err_set(err, -EINVAL, "--cert and --chain need --key");
    return 0;
}

int verb_bundle(const struct verb *self, int argc, char **argv) {
    struct bundle_options chosen = {.build.out_dir = "out", .valid_days = 365};
    const struct opt options[] = {
        {"key", 'k', OPT_TEXT, &chosen.signer.key, "KEY", "Private key: a file (0600) or a pkcs11: URI (default: development keys)."},
        {"cert", 0, OPT_TEXT, &chosen.signer.certificate, "FILE", "Its certificate."},
        {"chain", 0, OPT_TEXT, &chosen.signer.chain, "FILE", "Certificates between that one and the root."},
        {"channel", 0, OPT_TEXT, &chosen.channel, "NAME", "Which channel it is for (default: the profile's)."},
        {"valid-days", 0, OPT_NUMBER, &chosen.valid_days, "N", "How many days from today machines accept it (default: 365)."},
        {"output", 'o', OPT_TEXT, &chosen.output, "FILE|DIR", "Where the bundle goes (default: beside the image)."},
        {"build-dir", 0, OPT_TEXT, &chosen.build.out_dir, "DIR", "Where a PROFILE is built (default: out)."},
        {"trust", 0, OPT_TEXT, &chosen.build.trust, "FILE", "For building a PROFILE, as with build."},
        {"secure-boot-key", 0, OPT_TEXT, &chosen.build.secure_boot_key, "KEY", "For building a PROFILE, as with build."},
        {"secure-boot-cert", 0, OPT_TEXT, &chosen.build.secure_boot_cert, "FILE", "For building a PROFILE, as with build."},
        {"locked", 0, OPT_FLAG, &chosen.build.is_locked, NULL, "For building a PROFILE, as with build."},
        {"lock", 0, OPT_TEXT, &chosen.build.lock, "FILE", "For building a PROFILE, as with build."},
        {"offline", 0, OPT_FLAG, &chosen.build.offline, NULL, "For building a PROFILE, as with build."},
        {"json", 0, OPT_FLAG, &chosen.build.json, NULL, "Print progress and result as JSON, one event per line."},
        {0},
    };
    struct err err = {0};
    char **args;
    int count;
    int code = opt_parse(self, options, argc, argv, &args, &count);
    if (code >= 0)
        return code;
    if (check(&chosen, &err) < 0) {
        log_error("bundle: %s", err.text);
        return EXIT_USAGE;
    }
    chosen.build.is_locked = chosen.build.is_locked || chosen.build.lock;
    int r = make(&chosen, args[0], &err);
    return r < 0 ? verb_failed(r, &err) : EXIT_OK;
}
