// SPDX-License-Identifier: Apache-2.0
// What a layer puts on top of its packages, as a list of entries: its files/ tree, units, programs, downloads, and what the caller adds. Planning
// reads directories and recipes but writes nothing.
#pragma once
#include "builder/index.h"
#include "builder/layer.h"

struct content_item {
    char *path; // final place, relative
    mode_t mode; // with type; S_IFCHR = whiteout
    uid_t uid;
    gid_t gid;
    char *target; // of a symlink
    char *source; // file to read; NULL = data
    const void *data; // of the caller
    size_t size;
    const char *owner; // "user:group" still to be looked up; NULL = as in uid, gid
    bool has_mode; // the recipe says which
    const char *needs_unit; // a unit that must exist in the image
};

struct content {
    struct content_item *items; // sorted by path
    size_t count;
    const struct recipe_layer *layer; // the recipe's own; NULL = no stack to check
};

void content_done(struct content *content);
// All entries, sorted; a path that two parts of the recipe bring, one that leaves the tree, a special file, and a mode for a path that is not
// there are errors naming the part. Downloads must already lie in downloads_dir under their hash.
int content_plan(const struct layer_request *request, struct content *ret_content, struct err *err) must_check nonnull(1, 2, 3);
// Against what lies below (`below`: lower layers and the layer's own packages): a file over a directory or the other way round, an enabled unit
// that nobody has, a removed path that is not there, a unit or program that the layer's stack names and nobody brings. A directory that is there already keeps its mode and owner unless the recipe gives a mode.
int content_check(struct content *content, struct index *below, struct err *err) must_check nonnull(1, 2, 3);
// Looks owners up in the text of /etc/passwd and /etc/group.
int content_owners(struct content *content, const char *passwd, const char *group, struct err *err) must_check nonnull(1, 2, 3, 4);

#define cleanup_content cleanup(content_done)
