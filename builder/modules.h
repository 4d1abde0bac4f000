// SPDX-License-Identifier: Apache-2.0
// Which kernel modules the initramfs carries and in which order the init loads them: closure over a tree of lib/modules/<version>,
// computed with libkmod (dependencies, soft dependencies), and the init plan made of it (docs/FORMATS.md "Init plan").
#pragma once
#include "builder/recipe.h"
#include "common/buf.h"
#include "common/err.h"

#define MODULES_MAX 1024 // as the init allows

struct module {
    char *name; // with '_' for '-'
    char *path; // under lib/modules/<version>
    bool load; // wanted at once
    unsigned *closure; // indices in load order, its own last
    unsigned closure_count;
    struct strings aliases; // device aliases (with a ':') in the order of modules.alias
};

struct modules {
    char *dir; // the tree: …/lib/modules/<version>
    struct module *items; // dependencies stand before what needs them
    unsigned count;
    struct strings builtin; // list entries the kernel has built in
    struct strings missing; // list entries this kernel does not ship
};

void modules_done(struct modules *modules);
// Resolves the entries of the list file (its format: images/modules/virtio.list) against `tree`, which depmod(8) must have indexed.
// Entries that are built in or missing are recorded, not refused. The host's modprobe configuration is not looked at.
int modules_load(const char *tree, const char *list_path, struct modules *ret_modules, struct err *err) must_check nonnull(1, 2, 3, 4);
// The plan text. `timeout_s`: how long the init waits for the slot, 1 … 600.
int modules_plan_format(const struct modules *modules, unsigned timeout_s, struct buf *plan, struct err *err) must_check nonnull(1, 3, 4);
// Path of module `index` inside the initramfs, without leading '/'; the caller frees.
char *modules_initramfs_path(const struct modules *modules, unsigned index) nonnull(1);
// The decompressed .ko (from plain, .xz, .zst or .gz), at most 64 MiB, appended to `data`.
int modules_read(const struct modules *modules, unsigned index, struct buf *data, struct err *err) must_check nonnull(1, 3, 4);

#define cleanup_modules cleanup(modules_done)
