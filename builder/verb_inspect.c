// SPDX-License-Identifier: Apache-2.0
// webops-image inspect: prints what is in an image, a bundle or a disk of somebody else; exit status 1 when a slot does not verify.
#include "builder/bundlefile.h"
#include "builder/inspect.h"
#include "builder/release.h"
#include "builder/vendor/foreign.h"
#include "builder/verbs.h"
#include "common/buf.h"
#include <errno.h>
#include <stdio.h>
#include <time.h>

static int print(const struct buf *text, struct err *err) {
    return fputs(buf_str(text), stdout) < 0 || fflush(stdout) != 0 ? err_set(err, -EIO, "writing to standard output failed") : 0;
}

static int inspect_bundle(const char *path, const char *trust, bool json, struct err *err) {
    cleanup_bundlefile struct bundlefile file = {.fd = -1};
    cleanup_findings struct bundlefile_findings findings = {0};
    cleanup_buf struct buf text = {0};
    int r = bundlefile_open(path, &file, err);
    if (r < 0)
        return verb_failed(r, err);
    int verified = bundlefile_verify_signature(&file, trust, (int64_t)time(NULL), &findings, err);
    if (verified >= 0)
        verified = bundlefile_verify_payload(&file, &findings, err);
    const struct err *problem = verified < 0 ? err : NULL;
    if (json)
        bundlefile_format_json(&file, &findings, problem, &text);
    else
        bundlefile_format_text(&file, &findings, problem, &text);
    r = print(&text, err);
    return r < 0 ? verb_failed(r, err) : verified < 0 ? EXIT_PERMANENT : EXIT_OK;
}

// What is not ours may still be a disk.
static int inspect_foreign(const char *path, bool json, bool packages, struct err *err) {
    cleanup_foreign struct foreign foreign = {0};
    cleanup_buf struct buf text = {0};
    int r = foreign_load(path, &foreign, err);
    if (r < 0)
        return verb_failed(r, err);
    if (json)
        foreign_format_json(&foreign, &text);
    else
        foreign_format_text(&foreign, path, packages, &text);
    r = print(&text, err);
    return r < 0 ? verb_failed(r, err) : EXIT_OK;
}

int verb_inspect(const struct verb *self, int argc, char **argv) {
    bool json = false, packages = false;
    const char *trust = NULL;
    const struct opt options[] = {
        {"json", 0, OPT_FLAG, &json, NULL, "Print JSON."},
        {"packages", 'p', OPT_FLAG, &packages, NULL, "List the packages of an image, not only their number."},
        {"trust", 0, OPT_TEXT, &trust, "FILE", "Root certificates that a bundle's signer must chain up to."},
        {0},
    };
    cleanup_inspect struct inspect inspect = {0};
    cleanup_buf struct buf text = {0};
    struct err err = {0};
    char **args;
    int count;
    int exit_code = opt_parse(self, options, argc, argv, &args, &count);
    if (exit_code >= 0)
        return exit_code;
    cleanup_free char *path = NULL;
    int r = release_find_image(args[0], &path, &err);
    if (r < 0)
        return verb_failed(r, &err);
    if (bundlefile_is(path))
        return inspect_bundle(path, trust, json, &err);
    r = inspect_load(path, &inspect, &err);
    if (r == -EMEDIUMTYPE)
        return inspect_foreign(path, json, packages, &err);
    if (r < 0)
        return verb_failed(r, &err);
    if (json)
        inspect_format_json(&inspect, &text);
    else
        inspect_format_text(&inspect, path, packages, &text);
    r = print(&text, &err);
    if (r < 0)
        return verb_failed(r, &err);
    return inspect_is_good(&inspect) ? EXIT_OK : EXIT_PERMANENT;
}
