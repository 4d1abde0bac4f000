// SPDX-License-Identifier: Apache-2.0
// SELinux labels of an image's files, by the text of its own policy (file_contexts(5)): neither root nor a kernel with SELinux is needed. A path is
// looked up as what it is on the machine; what the image keeps elsewhere is said by aliases (images/selinux/file_contexts.subs).
#pragma once
#include "common/cleanup.h"
#include "common/err.h"
#include <sys/stat.h>

// In a base's directory (layer_files.h), for the layers above, too: the policy's own lines, and what webops adds to them.
#define LABELS_FILE "file_contexts"
#define LABELS_LOCAL LABELS_FILE ".local"
#define LABELS_ALIASES LABELS_FILE ".subs"
#define LABELS_IN_IMAGE "etc/selinux/%s/contexts/files" // where `policy` has them on the machine

struct labels;

// The files in `dir` are read when the first label is asked for: those of a base come out of its own packages.
struct labels *labels_new(const char *dir) nonnull(1);
void labels_free(struct labels **labels);
// *ret_label: of libselinux, for freecon(); NULL when the policy wants none there. `path` is relative to the root.
int labels_find(struct labels *labels, const char *path, mode_t mode, char **ret_label, struct err *err) must_check nonnull(1, 2, 4, 5);
// Copies what the policy of an installed tree says into `dir`. Only its texts: what is compiled depends on the build host's libraries.
int labels_keep(const char *root, const char *policy, const char *dir, struct err *err) must_check nonnull(1, 2, 3, 4);

static inline void labels_free_fn(struct labels **labels) {
    labels_free(labels);
}
#define cleanup_labels cleanup(labels_free_fn)
