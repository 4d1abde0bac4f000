// SPDX-License-Identifier: Apache-2.0
// Runs webops-verify over a head. What the child prints is parsed as strictly as if it came from outside.
#include "firstboot/update/verify.h"
#include "common/bundle.h"
#include "common/config.h"
#include "common/file.h"
#include "common/run.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define TIMEOUT_MS 60000
#define SIGNER_LINE "SIGNER="

// The child gets paths, not descriptors: where the root is by its name.
static int root_path(int root_fd, char **ret_path, struct err *err) {
    char path[4096];
    cleanup_free char *link = root_fd == AT_FDCWD ? str_dup("/proc/self/cwd") : str_printf("/proc/self/fd/%d", root_fd);
    ssize_t size = readlink(link, path, sizeof(path));
    if (size <= 0 || (size_t)size >= sizeof(path))
        return err_sys(err, size < 0 ? -errno : -ENAMETOOLONG, "cannot find the root's path");
    *ret_path = str_printf("%.*s", size == 1 ? 0 : (int)size, path);
    return 0;
}

static int judge(int root_fd, const void *head, size_t size, int64_t time, char **ret_text, size_t *ret_size, struct err *err) {
    cleanup_free char *root = NULL;
    int r = root_path(root_fd, &root, err);
    if (r < 0)
        return r;
    cleanup_fd int input = file_in_memory("head", head, size, err);
    if (input < 0)
        return input;
    cleanup_free char *program = str_printf("%s/" VERIFY_PROGRAM, root), *trust = str_printf("--trust=%s/" VERIFY_TRUST, root),
                      *at = str_printf("--time=%lld", (long long)time), *updater = str_printf("--updater=%d", MANIFEST_UPDATER);
    static const char *const no_environment[] = {NULL};
    const struct run run = {.argv = RUN_ARGV(program, trust, at, updater), .env = no_environment, .in = input, .timeout_ms = TIMEOUT_MS};
    return run_capture(&run, CONFIG_MAX_BYTES, ret_text, ret_size, err);
}

// The last line is the signer's, all before it the manifest.
static int parse(const char *text, size_t size, struct manifest *ret_manifest, char **ret_signer, struct err *err) {
    cleanup_config struct config config = {0};
    cleanup_config_problems struct config_problems problems = {0};
    const char *line = size > 1 ? memrchr(text, '\n', size - 1) : NULL;
    line = line ? line + 1 : text;
    size_t before = (size_t)(line - text);
    int r = config_parse(line, size - before, &config, &problems);
    if (r < 0 || config.count != 1 || strncmp(line, SIGNER_LINE, strlen(SIGNER_LINE)) != 0)
        return err_set(err, -EBADMSG, "webops-verify did not say who signed");
    r = manifest_parse_flat(text, before, ret_manifest, err);
    if (r < 0)
        return err_prefix(err, -EBADMSG, "webops-verify");
    *ret_signer = str_dup(config.entries[0].value);
    return 0;
}

int verify_head(int root_fd, const void *head, size_t size, int64_t time, struct manifest *ret_manifest, char **ret_signer,
                struct err *err) {
    cleanup_free char *text = NULL;
    size_t text_size = 0;
    if (size > BUNDLE_MAX_HEAD_BYTES)
        return err_set(err, -EKEYREJECTED, "the head is larger than %d bytes", BUNDLE_MAX_HEAD_BYTES);
    int r = judge(root_fd, head, size, time, &text, &text_size, err);
    if (r == -EIO || r == -EFBIG)
        return err_prefix(err, -EKEYREJECTED, "the bundle is refused");
    return r < 0 ? r : parse(text, text_size, ret_manifest, ret_signer, err);
}
