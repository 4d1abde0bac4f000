// SPDX-License-Identifier: Apache-2.0
// mmdebstrap over a local repository of exactly the resolved packages. It needs no lists of the whole archive and downloads nothing, and what it
// installs can be held against what was resolved.
#include "builder/base.h"
#include "builder/deb.h"
#include "builder/layer_output.h"
#include "common/file.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define TREE_BYTES_PER_DEB_BYTE 8 // unpacked size of compressed packages, generously
#define TREE_MIN_BYTES (UINT64_C(256) << 20)

static uint64_t tree_bytes(const struct apt_set *set) {
    uint64_t bytes = TREE_MIN_BYTES;
    for (size_t i = 0; i < set->count; i++)
        bytes += set->packages[i].size_bytes * TREE_BYTES_PER_DEB_BYTE;
    return bytes;
}

static char *include_list(const struct apt_set *set) {
    struct buf list = {0};
    for (size_t i = 0; i < set->count; i++)
        buf_printf(&list, "%s%s=%s", i ? "," : "", set->packages[i].name, set->packages[i].version);
    return buf_take(&list);
}

// Releases before Debian 12 leave it to the bootstrap tool that /bin, /lib and /sbin are links into /usr; later ones have a package for it, or base-files
// brings the links.
static const char *merge_usr(const struct apt_set *set) {
    static const char *const by_package[] = {"usrmerge", "usr-is-merged"};
    for (size_t i = 0; i < ARRAY_SIZE(by_package); i++)
        if (apt_set_find(set, by_package[i]))
            return "--setup-hook=true";
    return "--setup-hook=for d in bin sbin lib lib64; do mkdir -p \"$1/usr/$d\" && ln -s \"usr/$d\" \"$1/$d\" || exit 1; done";
}

static int start_bootstrap(const struct base_request *request, const char *work, const char *repository, struct sandbox *ret_sandbox,
                           struct err *err) {
    cleanup_free char *list = include_list(request->set);
    cleanup_free char *include = str_printf("--include=%s", list);
    cleanup_free char *architecture = str_printf("--architectures=%s", request->image->architecture);
    cleanup_free char *source = str_printf("deb [trusted=yes] copy:%s ./", repository);
    cleanup_free char *epoch = str_printf("%lld", (long long)request->format.epoch);
    // variant=essential: the essential packages first, the rest by apt from outside; measured 14.7 s against 18.1 s for variant=custom.
    // Excluded paths are dropped by the normaliser: --dpkgopt=path-exclude makes mmdebstrap filter every package in Python, +10 s.
    const char *const argv[] = {"base",
                                epoch,
                                "mmdebstrap",
                                "--mode=root",
                                "--variant=essential",
                                "--format=tar",
                                include,
                                architecture,
                                "--aptopt=APT::Install-Recommends \"false\"",
                                "--aptopt=Acquire::Languages \"none\"",
                                "--aptopt=APT::Sandbox::User \"root\"",
                                "--aptopt=pkgCacheGen::ForceEssential \",\"",
                                "--dpkgopt=force-unsafe-io",
                                merge_usr(request->set),
                                "",
                                "-",
                                source,
                                NULL};
    return sandbox_start(work, tree_bytes(request->set), argv, ret_sandbox, err);
}

static int build(const struct base_request *request, const char *work, const char *repository, struct err *err) {
    struct sandbox sandbox;
    struct layer_output output;
    struct normalise_options options = {.base = true, .exclude = &request->image->exclude};
    int r = start_bootstrap(request, work, repository, &sandbox, err);
    if (r < 0)
        return r;
    r = layer_output_open(request->out_dir, &request->format, &options, &output, err);
    if (r < 0) {
        sandbox_abort(&sandbox);
        return r;
    }
    size_t size;
    r = layer_output_stream(&output, &sandbox, err);
    const char *status = normalise_dpkg_status(output.normalise, &size);
    if (r >= 0)
        r = apt_set_verify_status(&request->set, 1, status, size, err);
    if (r >= 0)
        r = layer_output_finish(&output, request->set, err);
    layer_output_done(&output);
    return r;
}

int base_build(const struct base_request *request, struct err *err) {
    cleanup_free char *work = str_printf("%s/work", request->out_dir), *repository = str_printf("%s/repository", request->out_dir);
    int r = file_mkdirs(AT_FDCWD, work, 0755, err);
    if (r >= 0)
        r = deb_repository(repository, request->packages_dir, request->set, err);
    if (r >= 0)
        r = build(request, work, repository, err);
    struct err cleaning;
    int cleaned = sandbox_remove_work(work, &cleaning);
    if (cleaned >= 0)
        cleaned = file_remove_tree(AT_FDCWD, repository, &cleaning);
    if (r >= 0 && cleaned < 0)
        *err = cleaning;
    return r < 0 ? err_prefix(err, r, "base %s", request->image->id) : cleaned;
}
