// SPDX-License-Identifier: Apache-2.0
// The nodes of what firmware starts: initramfs and unified kernel image, of the machine and of an installation medium. Which files go into their keys is
// build_nodes.c's.
#include "builder/build.h"
#include "builder/initramfs.h"
#include "builder/kernel.h"
#include "builder/modules.h"
#include "builder/uki.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/log.h"
#include "common/run.h"
#include "common/slot.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define MODULES_LIST_MAX_BYTES (1 << 20)
#define SLOT_WAIT_S 60 // how long the init waits for its partition: slow RAID controllers take half a minute

// The one directory below `dir`; a base has one kernel.
static int only_entry(const char *dir, char **ret_path, struct err *err) {
    cleanup_dir DIR *handle = opendir(dir);
    cleanup_free char *found = NULL;
    if (!handle)
        return err_sys(err, -errno, "cannot list the kernel's modules in %s", dir);
    for (struct dirent *entry; (entry = readdir(handle));) {
        if (entry->d_name[0] == '.')
            continue;
        if (found)
            return err_set(err, -EINVAL,
                           "the base has more than one kernel in /usr/lib/modules; name one kernel package in the image definition");
        found = str_printf("%s/%s", dir, entry->d_name);
    }
    if (!found)
        return err_set(err, -ENOENT, "the base has no kernel modules; name a kernel package in the image definition");
    *ret_path = take_ptr(found);
    return 0;
}

struct node *build_kernel_node(const struct build *build) {
    const bool is_apart = build->recipe.layer_count && build->recipe.layers[0]->has_kernel;
    return build->layers[is_apart ? 1 : 0];
}

static int extract_modules(const struct build *build, const char *to, char **ret_tree, struct err *err) {
    cleanup_free char *squashfs = graph_path(&build->cache, build_kernel_node(build), LAYER_SQUASHFS);
    cleanup_free char *target = str_printf("%s/tree", to);
    cleanup_free char *modules = str_printf("%s/usr/lib/modules", target);
    const struct run unpack = {.argv = RUN_ARGV("unsquashfs", "-n", "-no-xattrs", "-d", target, squashfs, "usr/lib/modules")};
    int r = run_quiet(&unpack, err);
    return r < 0 ? r : only_entry(modules, ret_tree, err);
}

// No failure: one list serves the kernels of several distributions. But a machine that needs the driver will not find its disk.
static void warn_missing(const struct build *build, const char *list, const struct strings *missing) {
    cleanup_buf struct buf names = {0};
    for (unsigned i = 0; i < missing->count; i++)
        buf_printf(&names, " %s", missing->items[i]);
    if (missing->count)
        log_warn("%s: not in the kernel of %s, and so not in the initramfs:%s", strrchr(list, '/') + 1, build->recipe.image->id,
                 buf_str(&names));
}

static int write_initramfs(const struct build *build, const char *tree, const char *list, const char *dir, struct err *err) {
    cleanup_modules struct modules modules = {0};
    cleanup_buf struct buf plan = {0};
    cleanup_fd int dir_fd = file_open(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, 0, err);
    int r = dir_fd;
    if (r >= 0)
        r = modules_load(tree, list, &modules, err);
    if (r >= 0)
        r = kernel_verify(tree, &modules.missing, build_is_gzip(build), err);
    if (r >= 0)
        r = modules_plan_format(&modules, SLOT_WAIT_S, &plan, err);
    if (r < 0)
        return r;
    warn_missing(build, list, &modules.missing);
    const int level = build->recipe.profile->zstd_level;
    const struct initramfs_input input = {.init_path = build->init_path,
                                          .plan = buf_str(&plan),
                                          .modules = &modules,
                                          .zstd_level = level > 19 ? 19 : level,
                                          .is_gzip = !kernel_has_option(tree, "CONFIG_RD_ZSTD")};
    r = initramfs_create(&input, dir_fd, "initrd", NULL, err);
    return r < 0 ? r : file_publish(dir_fd, "plan", buf_str(&plan), plan.size, 0644, err);
}

// An installation medium needs what the machine needs, and the way to its slot.
static int modules_list_of(const struct build *build, unsigned index, const char *scratch, char **ret_path, struct err *err) {
    const char *const lists[] = {build->modules_list, build->installer_list};
    cleanup_buf struct buf text = {0};
    int r = 0;
    if (index == BUILD_FOR_MACHINE) {
        *ret_path = str_dup(build->modules_list);
        return 0;
    }
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(lists); i++) {
        cleanup_free char *part = NULL;
        size_t size = 0;
        r = file_read(AT_FDCWD, lists[i], MODULES_LIST_MAX_BYTES, &part, &size, err);
        if (r >= 0)
            buf_printf(&text, "%s\n", part);
    }
    cleanup_free char *path = str_printf("%s/installer.list", scratch);
    if (r >= 0)
        r = file_publish(AT_FDCWD, path, buf_str(&text), text.size, 0644, err);
    if (r >= 0)
        *ret_path = take_ptr(path);
    return r;
}

int build_initramfs_node(void *context, unsigned index, const char *dir, struct err *err) {
    struct build *build = context;
    struct cache_entry scratch;
    cleanup_free char *tree = NULL, *list = NULL;
    int r = cache_scratch(&build->cache, &scratch, err);
    if (r < 0)
        return r;
    r = extract_modules(build, scratch.dir, &tree, err);
    if (r >= 0)
        r = modules_list_of(build, index, scratch.dir, &list, err);
    if (r >= 0)
        r = write_initramfs(build, tree, list, dir, err);
    cache_abort(&scratch);
    return r;
}

// A kernel that panics and waits for ever would end no trial: after this many seconds the machine restarts, unless the profile says otherwise.
#define PANIC_WORD "panic=10"

// Whether the profile has a word "name=…" for one of the image's: libselinux, for one, goes by the first it finds.
static bool is_replaced(const char *word, const struct strings *by) {
    size_t size = strcspn(word, "=") + 1;
    for (unsigned i = 0; word[size - 1] && i < by->count; i++)
        if (strncmp(by->items[i], word, size) == 0)
            return true;
    return false;
}

char *build_cmdline_words(const struct build *build) {
    struct buf words = {0};
    bool has_panic = false;
    const struct strings *const lists[] = {&build->recipe.image->cmdline, &build->recipe.profile->cmdline};
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
        for (unsigned j = 0; j < lists[i]->count; j++) {
            if (i == 0 && is_replaced(lists[0]->items[j], lists[1]))
                continue;
            buf_printf(&words, "%s%s", words.size ? " " : "", lists[i]->items[j]);
            has_panic = has_panic || strncmp(lists[i]->items[j], "panic=", 6) == 0;
        }
    if (!has_panic)
        buf_printf(&words, "%s" PANIC_WORD, words.size ? " " : "");
    return buf_take(&words);
}

char *build_os_release(const struct build *build) {
    const struct recipe_profile *profile = build->recipe.profile;
    return str_printf("ID=webops\nNAME=\"webops %s\"\nPRETTY_NAME=\"webops %s %s (%s)\"\nVERSION_ID=%s\nIMAGE_ID=%s\nIMAGE_VERSION=%s\n",
                      profile->name, profile->name, profile->version, build->recipe.image->name, profile->version, profile->name,
                      profile->version);
}

static int build_signed_uki(const struct build *build, const struct uki_input *input, const char *dir, const char *uki, struct err *err) {
    cleanup_free char *plain = str_printf("%s/unsigned.efi", dir);
    int r = uki_create(input, AT_FDCWD, plain, NULL, err);
    if (r >= 0)
        r = secureboot_sign(&build->secureboot, plain, uki, err);
    if (r >= 0 && unlink(plain) < 0)
        r = err_sys(err, -errno, "cannot remove %s", plain);
    return r;
}

char *build_medium_label(const char *slot_boot) {
    char *label = str_printf("WEBOPS_%.16s", slot_boot);
    for (char *c = label; *c; c++)
        *c = (char)toupper((unsigned char)*c);
    return label;
}

static int make_cmdline(const struct build *build, unsigned index, char **ret_cmdline, struct err *err) {
    cleanup_free char *words = build_cmdline_words(build), *path = graph_path(&build->cache, build->slot, "boot"), *boot = NULL;
    int r = file_read(AT_FDCWD, path, SLOT_BOOT_TEXT_BYTES, &boot, NULL, err);
    if (r < 0)
        return r;
    cleanup_free char *label = build_medium_label(boot);
    *ret_cmdline = str_printf("%s%s%s%s%swebops.slot=%s", words, *words ? " " : "", index == BUILD_FOR_INSTALLER ? "webops.medium=" : "",
                              index == BUILD_FOR_INSTALLER ? label : "", index == BUILD_FOR_INSTALLER ? " " : "", boot);
    return 0;
}

int build_uki_node(void *context, unsigned index, const char *dir, struct err *err) {
    struct build *build = context;
    cleanup_free char *release = build_os_release(build);
    cleanup_free char *initrd =
        graph_path(&build->cache, index == BUILD_FOR_INSTALLER ? build->installer_initramfs : build->initramfs, "initrd");
    cleanup_free char *kernel = graph_path(&build->cache, build_kernel_node(build), LAYER_KERNEL);
    cleanup_free char *cmdline = NULL;
    int r = make_cmdline(build, index, &cmdline, err);
    if (r < 0)
        return r;
    const struct uki_input input = {.dir_fd = AT_FDCWD,
                                    .stub_path = build->tools[TOOL_STUB].path,
                                    .os_release = release,
                                    .cmdline = cmdline,
                                    .initrd_path = initrd,
                                    .linux_path = kernel};
    cleanup_free char *uki = str_printf("%s/uki.efi", dir);
    cleanup_free char *cmdline_path = str_printf("%s/cmdline", dir);
    r = build->secureboot.key ? build_signed_uki(build, &input, dir, uki, err) : uki_create(&input, AT_FDCWD, uki, NULL, err);
    return r < 0 ? r : file_publish(AT_FDCWD, cmdline_path, cmdline, strlen(cmdline), 0644, err);
}
