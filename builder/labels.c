// SPDX-License-Identifier: Apache-2.0
// libselinux reads file_contexts and what belongs to it; its order of precedence is the one that restorecon(8) has on the machine.
#include "builder/labels.h"
#include "common/buf.h"
#include "common/file.h"
#include <errno.h>
#include <fcntl.h>
#include <selinux/label.h>
#include <sys/stat.h>

#define MAX_FILE_BYTES (16u << 20)

struct labels {
    char *dir;
    struct selabel_handle *handle; // NULL until it is needed
};

struct labels *labels_new(const char *dir) {
    struct labels *labels = mem_array(1, sizeof(*labels));
    labels->dir = str_dup(dir);
    return labels;
}

void labels_free(struct labels **labels) {
    if (!*labels)
        return;
    if ((*labels)->handle)
        selabel_close((*labels)->handle);
    free((*labels)->dir);
    free(*labels);
    *labels = NULL;
}

static int read_policy(struct labels *labels, struct err *err) {
    cleanup_free char *path = str_printf("%s/" LABELS_FILE, labels->dir);
    const struct selinux_opt options[] = {{SELABEL_OPT_PATH, path}};
    labels->handle = selabel_open(SELABEL_CTX_FILE, options, ARRAY_SIZE(options));
    return labels->handle ? 0 : err_sys(err, errno ? -errno : -EINVAL, "cannot read the image's SELinux policy for files, %s", path);
}

int labels_find(struct labels *labels, const char *path, mode_t mode, char **ret_label, struct err *err) {
    int r = labels->handle ? 0 : read_policy(labels, err);
    if (r < 0)
        return r;
    cleanup_free char *absolute = str_printf("/%s", path);
    char *label = NULL;
    if (selabel_lookup_raw(labels->handle, &label, absolute, (int)mode) < 0 && errno != ENOENT)
        return err_sys(err, -errno, "cannot find the SELinux label of %s", absolute);
    *ret_label = label;
    return 0;
}

// No link is followed: it would lead into the build host. 1 = there is no such file.
static int keep_file(const char *from, const char *to, struct err *err) {
    struct stat info;
    cleanup_free char *text = NULL;
    size_t size = 0;
    if (lstat(from, &info) < 0)
        return errno == ENOENT ? 1 : err_sys(err, -errno, "cannot look at %s", from);
    if (!S_ISREG(info.st_mode))
        return err_set(err, -EINVAL, "selinux: %s: is no regular file", from);
    int r = file_read(AT_FDCWD, from, MAX_FILE_BYTES, &text, &size, err);
    return r < 0 ? r : file_publish(AT_FDCWD, to, text, size, 0644, err);
}

int labels_keep(const char *root, const char *policy, const char *dir, struct err *err) {
    static const struct {
        const char *name;
        bool is_needed;
    } files[] = {{LABELS_FILE, true}, {LABELS_FILE ".homedirs", false}, {LABELS_FILE ".subs_dist", false}};
    int r = 0;
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(files); i++) {
        cleanup_free char *from = str_printf("%s/" LABELS_IN_IMAGE "/%s", root, policy, files[i].name);
        cleanup_free char *to = str_printf("%s/%s", dir, files[i].name);
        r = keep_file(from, to, err);
        if (r > 0 && files[i].is_needed)
            return err_set(err, -ENOENT, "selinux: %s: the image has no such policy: no package brings /" LABELS_IN_IMAGE "/%s", policy,
                           policy, files[i].name);
    }
    return r < 0 ? r : 0;
}
