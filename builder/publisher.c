// SPDX-License-Identifier: Apache-2.0
// Checks, copies, and flips the channel file. Older bundles stay: a machine may be in the middle of one.
#include "builder/publisher.h"
#include "common/buf.h"
#include "common/digest.h"
#include "common/file.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

static int lock_directory(const char *dir, struct err *err) {
    cleanup_fd int fd = file_open(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, 0, err);
    if (fd < 0)
        return fd;
    if (flock(fd, LOCK_EX) < 0)
        return err_sys(err, -errno, "cannot lock %s", dir);
    return take_fd(&fd);
}

// 1 when the channel already names exactly this bundle.
static int check_channel(const struct bundlefile *new, const char *path, bool force, struct err *err) {
    cleanup_bundlefile struct bundlefile old = {.fd = -1};
    if (!file_exists(AT_FDCWD, path))
        return 0;
    int r = bundlefile_open(path, &old, err);
    if (r < 0)
        return force ? 0 : err_prefix(err, r, "the present channel file cannot be read; --force replaces it");
    const struct manifest *before = &old.manifest, *now = &new->manifest;
    uint64_t head_bytes = bundle_head_bytes(&new->head);
    if (head_bytes == bundle_head_bytes(&old.head) && memcmp(old.head_bytes, new->head_bytes, head_bytes) == 0)
        return 1;
    if (force)
        return 0;
    if (strcmp(before->compatible, now->compatible) != 0)
        return err_set(err, -EEXIST, "%s is for machines '%s', the bundle for '%s'; use another directory, or --force", path,
                       before->compatible, now->compatible);
    if (now->sequence < before->sequence)
        return err_set(err, -EEXIST, "%s names %s, sequence %llu; the bundle (%s) has %llu, which machines refuse; --force publishes it",
                       path, before->version, (unsigned long long)before->sequence, now->version, (unsigned long long)now->sequence);
    if (now->sequence == before->sequence && memcmp(before->boot.root_hash, now->boot.root_hash, sizeof(now->boot.root_hash)) != 0)
        return err_set(err, -EEXIST,
                       "%s names %s, another generation with the same sequence %llu; raise sequence in the profile, or --force", path,
                       before->version, (unsigned long long)before->sequence);
    return 0;
}

static int hash_whole(int fd, const char *path, uint64_t bytes, uint8_t ret_sha256[DIGEST_BYTES], struct err *err) {
    return digest_range(fd, path, 0, bytes, ret_sha256, err);
}

// 1 when a file with these bytes lies there; 0 when nothing does, or it may be replaced.
static int check_target(const struct bundlefile *bundle, const char *path, bool force, struct err *err) {
    uint8_t here[DIGEST_BYTES], there[DIGEST_BYTES];
    struct stat st;
    if (!file_exists(AT_FDCWD, path))
        return 0;
    cleanup_fd int fd = file_open(AT_FDCWD, path, O_RDONLY, 0, err);
    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0)
        return err_sys(err, -errno, "%s", path);
    bool same = (uint64_t)st.st_size == bundle->bytes;
    int r = same ? hash_whole(fd, path, bundle->bytes, there, err) : 0;
    if (r >= 0 && same)
        r = hash_whole(bundle->fd, bundle->path, bundle->bytes, here, err);
    if (r < 0)
        return r;
    same = same && memcmp(here, there, sizeof(here)) == 0;
    if (same || force)
        return same;
    return err_set(err, -EEXIST, "%s is there with other bytes, and machines may be reading it; raise version, or --force", path);
}

// From the descriptor that was verified.
static int copy(const struct bundlefile *bundle, const char *path, struct err *err) {
    cleanup_free char *temporary = str_printf("%s.XXXXXX", path);
    cleanup_fd int to = mkostemp(temporary, O_CLOEXEC);
    if (to < 0)
        return err_sys(err, -errno, "cannot make a file beside %s", path);
    int r = fchmod(to, 0644) < 0 ? err_sys(err, -errno, "%s", temporary)
                                 : digest_copy_plain(bundle->fd, bundle->path, 0, bundle->bytes, to, 0, err);
    if (r >= 0 && (fsync(to) < 0 || rename(temporary, path) < 0))
        r = err_sys(err, -errno, "cannot put %s in its place", path);
    if (r < 0)
        unlink(temporary);
    return r;
}

static int check_bundle(const struct publisher_request *request, const struct bundlefile *bundle, struct err *err) {
    cleanup_findings struct bundlefile_findings findings = {0};
    const struct manifest *manifest = &bundle->manifest;
    if (bundle->is_channel)
        return err_set(err, -EINVAL, "%s is a channel file, a bundle is expected", request->bundle);
    if (request->channel && strcmp(request->channel, manifest->channel) != 0)
        return err_set(err, -EINVAL, "%s is for channel %s; the channel is signed: make a bundle with --channel %s", request->bundle,
                       manifest->channel, request->channel);
    if (request->time > manifest->valid_until)
        return err_set(err, -EKEYREJECTED, "%s: no machine accepts it any more (valid_until is past)", request->bundle);
    int r = bundlefile_verify_signature(bundle, request->trust, request->time, &findings, err);
    return r < 0 ? r : bundlefile_verify_payload(bundle, &findings, err);
}

static int publish(const struct publisher_request *request, const struct bundlefile *bundle, struct publisher_result *result,
                   struct err *err) {
    const struct manifest *manifest = &bundle->manifest;
    result->bundle_path = str_printf("%s/%s-%s.bundle", request->dir, manifest->profile, manifest->version);
    result->channel_path = str_printf("%s/%s.channel", request->dir, manifest->channel);
    cleanup_fd int lock = lock_directory(request->dir, err);
    if (lock < 0)
        return lock;
    int current = check_channel(bundle, result->channel_path, request->force, err);
    int there = current < 0 ? current : check_target(bundle, result->bundle_path, request->force, err);
    int r = there < 0 ? there : 0;
    if (r >= 0 && !there)
        r = copy(bundle, result->bundle_path, err);
    // Flushes the directory, too, and with it the bundle's name.
    if (r >= 0 && !current)
        r = file_publish(AT_FDCWD, result->channel_path, bundle->head_bytes, bundle_head_bytes(&bundle->head), 0644, err);
    result->changed = !there || !current;
    result->sequence = manifest->sequence;
    result->bytes = bundle->bytes;
    return r;
}

int publisher_run(const struct publisher_request *request, struct publisher_result *ret_result, struct err *err) {
    cleanup_bundlefile struct bundlefile bundle = {.fd = -1};
    struct publisher_result result = {0};
    int r = bundlefile_open(request->bundle, &bundle, err);
    if (r >= 0)
        r = check_bundle(request, &bundle, err);
    if (r >= 0)
        r = file_mkdirs(AT_FDCWD, request->dir, 0755, err);
    if (r >= 0)
        r = publish(request, &bundle, &result, err);
    if (r < 0)
        publisher_result_done(&result);
    else
        *ret_result = result;
    return r;
}

void publisher_result_done(struct publisher_result *result) {
    free(result->bundle_path);
    free(result->channel_path);
    *result = (struct publisher_result){0};
}
