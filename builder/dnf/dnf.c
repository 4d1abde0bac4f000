// SPDX-License-Identifier: Apache-2.0
// Resolving with dnf's own library (dnf-resolve, a program of its own, because that library is Python), downloading by libcurl and hash, and rpmkeys for
// the signature that every package must have.
#include "builder/backend.h"
#include "builder/dnf/dnf.h"
#include "builder/dnf/repomd.h"
#include "builder/dnf/rpm_database.h"
#include "builder/download.h"
#include "builder/package_tree.h"
#include "builder/places.h"
#include "builder/tempdir.h"
#include "builder/tool_log.h"
#include "common/digest.h"
#include "common/file.h"
#include "common/run.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>

#define MAX_OUTPUT_BYTES (32u << 20)

// The packages are signed, which of them there are is not: on an open way anybody could serve the repository of a past day.
static bool is_open(const struct recipe_source *source) {
    return !source->signed_metadata && strncmp(source->mirror, "https://", 8) != 0 && strncmp(source->mirror, "file://", 7) != 0;
}

static int check_source(const struct recipe_image *image, const struct recipe_source *source, struct err *err) {
    if (!source->mirror)
        return err_set(
            err, -ENOENT,
            "image %s: no mirror is known for %s: give its address as `mirror` in images/%s.yaml, or as a line \"%s ADDRESS\" in %s",
            image->id, source->archive, image->id, source->archive, recipe_mirrors_path());
    if (is_open(source))
        return err_set(err, -EINVAL,
                       "image %s: the mirror of %s is %s: anybody on the way could serve old packages, and their signatures would be good; "
                       "take its https "
                       "address, or, where the repository has a repomd.xml.asc, say `signed_metadata: true` in images/%s.yaml",
                       image->id, source->archive, source->mirror, image->id);
    return 0;
}

static int check_sources(const struct recipe_image *image, struct err *err) {
    int r = 0;
    for (unsigned i = 0; r >= 0 && i < image->source_count; i++)
        r = check_source(image, &image->sources[i], err);
    return r;
}

static char *index_url(const struct recipe_source *source) {
    return str_printf("%s/repodata/repomd.xml", source->mirror);
}

static int fingerprint(const struct recipe_image *image, const struct package_dirs *dirs, long max_age_s,
                       char ret_hex[FINGERPRINT_HEX_BYTES], struct err *err) {
    cleanup_strings struct strings urls = {0};
    cleanup_buf struct buf text = {0};
    int r = check_sources(image, err);
    if (r < 0)
        return r;
    for (unsigned i = 0; i < image->source_count; i++) {
        cleanup_free char *url = index_url(&image->sources[i]);
        strings_add(&urls, url);
        buf_printf(&text, "%s%s\n", url, image->sources[i].signed_metadata ? " signed" : "");
    }
    buf_printf(&text, "%s %s\n", image->release, image->platform);
    // dnf asks again whenever it resolves, and must be given what we were: a minute's old answer will not do.
    r = fingerprint_mirrors(image, buf_str(&text), &urls, dirs->metadata, max_age_s < 0 ? max_age_s : 0, ret_hex, err);
    for (unsigned i = 0; r >= 0 && i < urls.count; i++) {
        cleanup_free char *copy = fingerprint_copy(urls.items[i], dirs->metadata);
        r = repomd_watch(&image->sources[i], copy, dirs->metadata, err);
    }
    return r;
}

static void add_texts(json_t *list, const struct strings *texts) {
    for (unsigned i = 0; texts && i < texts->count; i++)
        json_array_append_new(list, json_string(texts->items[i]));
}

static json_t *source_list(const struct recipe_image *image, const struct package_dirs *dirs) {
    json_t *list = json_array();
    for (unsigned i = 0; i < image->source_count; i++) {
        const struct recipe_source *source = &image->sources[i];
        cleanup_free char *url = index_url(source), *copy = fingerprint_copy(url, dirs->metadata);
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:b}", "id", source->archive, "url", source->mirror, "index", copy,
                                              "keyring", source->keyring, "is_signed", source->signed_metadata));
    }
    return list;
}

// Image definitions go by Debian's names, on which bundles and disks are built, too.
static const char *rpm_architecture(const struct recipe_image *image) {
    return strcmp(image->architecture, "amd64") == 0   ? "x86_64"
           : strcmp(image->architecture, "arm64") == 0 ? "aarch64"
                                                       : image->architecture;
}

// What dnf-resolve is asked. What lies below is named exactly, so that it is kept as it is; what a disk has, by its database.
static char *ask(const struct recipe_image *image, const struct package_dirs *dirs, const char *dir, const struct strings *packages,
                 bool has_disk, const struct package_set *const *parents, size_t parent_count) {
    json_t *install = json_array(), *below = json_array(), *modules = json_array();
    add_texts(modules, &image->modules);
    if (parent_count == 0)
        add_texts(install, &image->packages);
    add_texts(install, packages);
    for (size_t i = has_disk ? 1 : 0; i < parent_count; i++)
        for (size_t j = 0; j < parents[i]->count; j++) {
            const struct package *p = &parents[i]->packages[j];
            json_array_append_new(below, json_sprintf("%s-%s.%s", p->name, p->version, p->architecture));
        }
    json_t *all = json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:b, s:b}", "dir", dir, "architecture", rpm_architecture(image),
                            "release", image->release, "platform", image->platform, "modules", modules, "sources", source_list(image, dirs),
                            "below", below, "install", install, "is_offline", dirs->is_offline, "has_disk", has_disk);
    char *text = json_dumps(all, JSON_COMPACT);
    json_decref(all);
    return text;
}

static int run_resolve(const char *question, char **ret_lines, struct err *err) {
    cleanup_places struct places places = {0};
    int r = places_find(&places, err);
    if (r < 0)
        return r;
    cleanup_free char *program = str_printf("%s/dnf-resolve", places.programs_dir);
    cleanup_fd int in = file_in_memory("question", question, strlen(question), err);
    cleanup_tool_env char **env = tool_env((const char *const[]){NULL});
    if (in < 0)
        return in;
    const struct run run = {.argv = RUN_ARGV("/usr/bin/python3", "-IB", program), .env = (const char *const *)env, .in = in};
    return run_capture(&run, MAX_OUTPUT_BYTES, ret_lines, NULL, err);
}

// Of everything that is installed then, what is not below; and all that is below must be there as it was. Of a disk's packages dnf-resolve saw to that.
static int subtract(struct package_set *all, bool has_disk, const struct package_set *const *parents, size_t count, struct err *err) {
    size_t kept = 0;
    for (size_t i = has_disk ? 1 : 0; i < count; i++)
        for (size_t j = 0; j < parents[i]->count; j++) {
            const struct package *below = &parents[i]->packages[j], *now = package_set_find(all, below->name);
            if (!now || strcmp(now->version, below->version) != 0)
                return err_set(err, -EINVAL, "package %s %s would replace version %s of a lower layer", below->name,
                               now ? now->version : "(none)", below->version);
        }
    for (size_t i = 0; i < all->count; i++) {
        bool is_below = false;
        for (size_t j = has_disk ? 1 : 0; j < count; j++)
            is_below = is_below || package_set_find(parents[j], all->packages[i].name);
        if (is_below)
            package_done(&all->packages[i]);
        else
            all->packages[kept++] = all->packages[i];
    }
    all->count = kept;
    return 0;
}

// The disk's database, where dnf-resolve expects it.
static int put_database(const char *dir, const struct dnf_disk *disk, struct err *err) {
    cleanup_free char *database = str_printf("%s/rpm", dir);
    int r = file_remove_tree(AT_FDCWD, database, err);
    if (r >= 0)
        r = file_mkdirs(AT_FDCWD, database, 0755, err);
    return r < 0 ? r : rpm_database_without(disk->database, disk->removed, database, err);
}

static int resolve_with(const struct recipe_image *image, const struct package_dirs *dirs, const struct strings *packages,
                        const struct dnf_disk *disk, const struct package_set *const *parents, size_t parent_count,
                        struct package_set *ret_set, struct err *err) {
    cleanup_free char *dir = str_printf("%s/dnf-%s", dirs->metadata, image->id), *path = str_printf("%s.lock", dir), *lines = NULL;
    cleanup_package_set struct package_set set = {0};
    int r = check_sources(image, err);
    cleanup_fd int lock = r < 0 ? -1 : file_lock(AT_FDCWD, path, err);
    if (lock < 0)
        return r < 0 ? r : lock;
    r = file_mkdirs(AT_FDCWD, dir, 0755, err);
    if (r >= 0 && disk)
        r = put_database(dir, disk, err);
    cleanup_free char *question = ask(image, dirs, dir, packages, disk != NULL, parents, parent_count);
    if (r >= 0)
        r = run_resolve(question, &lines, err);
    if (r >= 0)
        r = package_set_parse(lines, strlen(lines), &set, err);
    if (r >= 0)
        r = subtract(&set, disk != NULL, parents, parent_count, err);
    for (unsigned i = 0; r >= 0 && i < image->source_count; i++) {
        cleanup_free char *url = index_url(&image->sources[i]), *copy = fingerprint_copy(url, dirs->metadata);
        r = repomd_keep(&image->sources[i], copy, dirs->metadata, err);
    }
    if (r < 0)
        return err_prefix(err, r, "image %s: resolving packages", image->id);
    *ret_set = set;
    set = (struct package_set){0};
    return 0;
}

static int resolve(const struct recipe_image *image, const struct package_dirs *dirs, const struct strings *packages,
                   const struct package_set *const *parents, size_t parent_count, struct package_set *ret_set, struct err *err) {
    return resolve_with(image, dirs, packages, NULL, parents, parent_count, ret_set, err);
}

int dnf_resolve_over(const struct recipe_image *image, const struct package_dirs *dirs, const struct strings *packages,
                     const struct dnf_disk *disk, const struct package_set *const *parents, size_t parent_count,
                     struct package_set *ret_set, struct err *err) {
    return resolve_with(image, dirs, packages, disk, parents, parent_count, ret_set, err);
}

static int run_checksig(const char *dbpath, const char *dir, const struct package_set *set, struct err *err) {
    cleanup_strings struct strings words = {0};
    const char *const start[] = {"rpmkeys", dbpath, "--define=_pkgverify_level all", "--define=_pkgverify_flags 0x0", "--checksig"};
    for (size_t i = 0; i < ARRAY_SIZE(start); i++)
        strings_add(&words, start[i]);
    for (size_t i = 0; i < set->count; i++) {
        cleanup_free char *path = str_printf("%s/%s", dir, set->packages[i].sha256);
        strings_add(&words, path);
    }
    words.items = mem_resize(words.items, words.count + 1, sizeof(*words.items));
    words.items[words.count] = NULL;
    const struct run check = {.argv = (const char *const *)words.items};
    return run_quiet(&check, err);
}

// rpmkeys names files, which have the names of hashes, among all the good ones: the first bad one is looked for alone.
static int explain_signature(const char *dbpath, const char *dir, const struct package_set *set, struct err *err) {
    for (size_t i = 0; i < set->count; i++) {
        const struct package_set one = {&set->packages[i], 1};
        if (run_checksig(dbpath, dir, &one, err) < 0)
            return err_prefix(err, -EBADMSG, "package %s (%s) is not signed by a key of the image", one.packages->name, one.packages->uri);
    }
    return err_prefix(err, -EBADMSG, "the packages' signatures cannot be checked");
}

// Every package must be signed by a key of the image's keyrings, whatever the repository says of its hash; also one that was in the cache already:
// another image, with other keys, may have brought it there.
static int check_signatures(const struct recipe_image *image, const char *dir, const struct package_set *set, struct err *err) {
    cleanup_free char *base = str_printf("%s/keys", dir), *dbpath = NULL;
    cleanup_tempdir char *database = NULL;
    if (!set->count)
        return 0;
    int r = tempdir_make_beside(base, &database, err);
    if (r < 0)
        return r;
    dbpath = str_printf("--dbpath=%s", database);
    for (unsigned i = 0; r >= 0 && i < image->source_count; i++) {
        const struct run import = {.argv = RUN_ARGV("rpmkeys", dbpath, "--import", image->sources[i].keyring)};
        r = run_quiet(&import, err);
    }
    if (r < 0)
        r = err_prefix(err, r, "importing the keys of the image");
    else if (run_checksig(dbpath, dir, set, err) < 0)
        r = explain_signature(dbpath, dir, set, err);
    return r;
}

static int fetch_one(const struct package_dirs *dirs, const struct package *package, unsigned *fetched, struct err *err) {
    const struct recipe_fetch fetch = {.url = package->uri, .sha256 = package->sha256, .path = package->file};
    int r = download_ensure(dirs->packages, &fetch, dirs->is_offline, err);
    if (r == -EAGAIN && dirs->is_offline)
        return package_refuse_offline(package, err);
    if (r < 0)
        return err_prefix(err, r, "package %s", package->name);
    *fetched += (unsigned)r;
    return 0;
}

static int download(const struct recipe_image *image, const struct package_dirs *dirs, const struct package_set *set, unsigned *ret_fetched,
                    struct err *err) {
    unsigned count = 0;
    int r = 0;
    for (size_t i = 0; r >= 0 && i < set->count; i++)
        r = fetch_one(dirs, &set->packages[i], &count, err);
    if (ret_fetched)
        *ret_fetched = count;
    if (r >= 0)
        r = check_signatures(image, dirs->packages, set, err);
    return r < 0 ? err_prefix(err, r, "image %s: downloading packages", image->id) : 0;
}

static int start_job(const struct layer_request *request, const char *work, uint64_t bytes, struct sandbox *ret_sandbox, struct err *err) {
    const struct package_set *set = request->set;
    const bool has_policy = request->is_base && request->image->selinux;
    // rpm sets the owner of every directory, also of those that are mounted while scripts run.
    if (geteuid() != 0)
        return err_set(err, -EPERM, "image %s: rpm needs root: packages own /proc and /sys, which it may not give away as another user",
                       request->image->id);
    cleanup_strings struct strings words = {0};
    cleanup_free char *epoch = str_printf("%lld", (long long)request->format.epoch);
    const char *const head[] = {"rpm", epoch, has_policy ? request->image->selinux : "-", request->out_dir, request->packages_dir};
    for (size_t i = 0; i < ARRAY_SIZE(head); i++)
        strings_add(&words, head[i]);
    for (size_t i = 0; i < request->lower_count; i++) {
        cleanup_free char *path = str_printf("%s/" LAYER_SQUASHFS, request->lower[i]);
        strings_add(&words, path);
    }
    strings_add(&words, "--");
    for (size_t i = 0; i < set->count; i++)
        strings_add(&words, set->packages[i].sha256);
    words.items = mem_resize(words.items, words.count + 1, sizeof(*words.items));
    words.items[words.count] = NULL;
    return sandbox_start(work, bytes, (const char *const *)words.items, ret_sandbox, err);
}

static int bootstrap(const struct layer_request *request, const char *work, const char *scratch, struct sandbox *ret_sandbox,
                     struct err *err) {
    (void)scratch;
    return start_job(request, work, package_tree_bytes(request->set), ret_sandbox, err);
}

static int install(const struct layer_request *request, const char *work, const char *scratch, struct sandbox *ret_sandbox,
                   struct err *err) {
    uint64_t bytes = 0;
    (void)scratch;
    int r = package_layer_bytes(request, &bytes, err);
    return r < 0 ? r : start_job(request, work, bytes, ret_sandbox, err);
}

const struct backend dnf_backend = {
    .name = "dnf", .fingerprint = fingerprint, .resolve = resolve, .download = download, .bootstrap = bootstrap, .install = install};
