// SPDX-License-Identifier: Apache-2.0
// Lays the medium out and has xorriso write it. Nothing is copied before that: every file is named where it lies.
#include "builder/installer.h"
#include "builder/flash/image.h"
#include "builder/output.h"
#include "builder/tempdir.h"
#include "builder/tool_log.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/run.h"
#include "common/slot.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define CMDLINE_MAX_BYTES (64 << 10)
#define HYBRID "/usr/lib/grub/i386-pc/boot_hybrid.img"
// All that xorriso dates or numbers by the clock; the time of all files.
#define ISO_EPOCH "SOURCE_DATE_EPOCH=315532800"
#define ISO_DATE "1980010100000000"

static char *build_path(const struct build *build, const char *suffix) {
    return str_printf("%s/%s-%s%s", build->options.out_dir, build->recipe.profile->name, build->recipe.profile->version, suffix);
}

char *installer_path(const struct build *build, const char *suffix) {
    cleanup_free char *name = str_printf("-installer%s", suffix);
    return build_path(build, name);
}

// What is on the medium: "/path/on/it=path/here".
struct grafts {
    char *items[16];
    size_t count;
};

static void grafts_done(struct grafts *grafts) {
    for (size_t i = 0; i < grafts->count; i++)
        free(grafts->items[i]);
}

// mkisofs takes a backslash for "the next character as it is".
static void graft(struct grafts *grafts, const char *on_medium, const char *path) {
    struct buf item = {0};
    buf_printf(&item, "/%s=", on_medium);
    for (const char *c = path; *c; c++)
        buf_printf(&item, "%s%c", *c == '=' || *c == '\\' ? "\\" : "", *c);
    grafts->items[grafts->count++] = buf_take(&item);
}

static char *inside(const struct installer *installer, const char *name) {
    return str_printf("%s/%s", installer->dir, name);
}

static void graft_made(struct grafts *grafts, const struct installer *installer, const char *on_medium, const char *name) {
    cleanup_free char *path = inside(installer, name);
    graft(grafts, on_medium, path);
}

static void graft_node(struct grafts *grafts, const struct installer *installer, const char *on_medium, const struct node *node,
                       const char *file) {
    cleanup_free char *path = graph_path(&installer->build->cache, node, file);
    graft(grafts, on_medium, path);
}

static bool has_output(const struct build *build, const char *name) {
    const struct strings *outputs = &build->recipe.profile->outputs;
    for (unsigned i = 0; i < outputs->count; i++)
        if (strcmp(outputs->items[i], name) == 0)
            return true;
    return false;
}

// A machine holds what it installs against the map, and only when its disk's beginning is gone; and what else is in the image is for everybody to read.
static int check_image(const char *raw, const char *bmap, struct err *err) {
    cleanup_flash_image struct flash_image image = {.source = {.fd = -1}};
    int r = flash_image_open(&(struct flash_origin){.image = raw, .map = bmap}, &image, err);
    if (r >= 0)
        r = bmap_verify(&image.bmap, image.source.fd, raw, err);
    if (r != -EBADMSG)
        return r;
    struct err why = *err;
    return err_set(err, r,
                   "%s; it was changed after it was built, perhaps by putting a configuration on it. Remove it: the same command makes it "
                   "anew; a configuration goes onto the medium with --config",
                   why.text);
}

// The compressed image, where it is none of the build's own outputs.
static int compress_image(const struct installer *installer, struct err *err) {
    cleanup_free char *raw = build_path(installer->build, ".raw"), *bmap = build_path(installer->build, ".bmap"),
                      *own = inside(installer, "image.raw.zst");
    if (has_output(installer->build, "zst"))
        return 0;
    int r = check_image(raw, bmap, err);
    return r < 0 ? r : output_zst(raw, own, 3, err);
}

static void graft_image(struct grafts *grafts, const struct installer *installer) {
    cleanup_free char *zst = build_path(installer->build, ".raw.zst"), *bmap = build_path(installer->build, ".bmap"),
                      *own = inside(installer, "image.raw.zst");
    graft(grafts, "webops/image.raw.zst", has_output(installer->build, "zst") ? zst : own);
    graft(grafts, "webops/image.bmap", bmap);
}

// config.env, secrets/ or the envelope, as seed_save() has left them.
static void graft_seed(struct grafts *grafts, const char *seed_dir) {
    static const struct {
        const char *name, *on_medium;
    } files[] = {{"user-data", "webops/config.env"}, {"secrets", "webops/secrets"}, {"secrets.cms", "webops/secrets.cms"}};
    for (size_t i = 0; seed_dir && i < ARRAY_SIZE(files); i++) {
        cleanup_free char *path = str_printf("%s/%s", seed_dir, files[i].name);
        if (file_exists(AT_FDCWD, path))
            graft(grafts, files[i].on_medium, path);
    }
}

// The layout that Debian's and Ubuntu's own media have: El Torito entries for both firmwares, GRUB's boot sector in front, and the FAT file
// system as a partition behind the ISO file system, which the UEFI entry points to. ISO level 3 is for files above 4 GiB.
static int write_iso(const struct installer *installer, const struct grafts *grafts, const char *path, struct err *err) {
    cleanup_tool_env char **env = tool_env((const char *const[]){ISO_EPOCH, NULL});
    cleanup_free char *efi = inside(installer, "efi.img");
    const char *const head[] = {"xorriso",
                                "-no_rc",
                                "-as",
                                "mkisofs",
                                "-quiet",
                                "-V",
                                installer->label,
                                "-iso-level",
                                "3",
                                "-R",
                                "-uid",
                                "0",
                                "-gid",
                                "0",
                                "--set_all_file_dates",
                                ISO_DATE,
                                "--mbr-force-bootable",
                                "--grub2-mbr",
                                HYBRID,
                                "-partition_offset",
                                "16",
                                "-append_partition",
                                "2",
                                "0xef",
                                efi,
                                "-appended_part_as_gpt",
                                "-c",
                                "/boot/boot.cat",
                                "-b",
                                "/boot/grub/eltorito.img",
                                "-no-emul-boot",
                                "-boot-load-size",
                                "4",
                                "-boot-info-table",
                                "--grub2-boot-info",
                                "-eltorito-alt-boot",
                                "-e",
                                "--interval:appended_partition_2:all::",
                                "-no-emul-boot",
                                "-o",
                                path,
                                "-graft-points"};
    const char *argv[ARRAY_SIZE(head) + ARRAY_SIZE(grafts->items) + 1] = {0};
    memcpy(argv, head, sizeof(head));
    for (size_t i = 0; i < grafts->count; i++)
        argv[ARRAY_SIZE(head) + i] = grafts->items[i];
    return run_quiet(&(struct run){.argv = argv, .env = (const char *const *)env}, err);
}

static int make_iso(const struct installer *installer, const char *seed_dir, const char *path, struct err *err) {
    const struct build *build = installer->build;
    cleanup(grafts_done) struct grafts grafts = {0};
    cleanup_free char *core = inside(installer, "eltorito.img"), *script = inside(installer, "grub.cfg"),
                      *efi = inside(installer, "efi.img");
    int r = installer_save_grub(installer, core, err);
    if (r >= 0)
        r = installer_save_grub_config(installer, script, err);
    if (r >= 0)
        r = installer_save_efi(installer, efi, err);
    if (r < 0)
        return r;
    graft_image(&grafts, installer);
    graft_made(&grafts, installer, "boot/grub/eltorito.img", "eltorito.img");
    graft_made(&grafts, installer, "boot/grub/grub.cfg", "grub.cfg");
    graft_node(&grafts, installer, "boot/vmlinuz", build_kernel_node(build), LAYER_KERNEL);
    graft_node(&grafts, installer, "boot/initrd", build->installer_initramfs, "initrd");
    graft_node(&grafts, installer, "webops/slot.img", build->slot, "slot");
    graft_seed(&grafts, seed_dir);
    return write_iso(installer, &grafts, path, err);
}

static int copy_kernel(const struct installer *installer, const char *path, struct err *err) {
    cleanup_free char *kernel = graph_path(&installer->build->cache, build_kernel_node(installer->build), LAYER_KERNEL);
    cleanup_fd int from = file_open(AT_FDCWD, kernel, O_RDONLY, 0, err);
    cleanup_fd int to = from < 0 ? from : file_open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL, 0644, err);
    return to < 0 ? to : file_copy_fd(from, to, path, NULL, err);
}

// Each is complete before it gets its name; what holds the configuration is for nobody else to read.
static int publish(const struct installer *installer, struct err *err) {
    static const struct {
        const char *suffix;
        bool holds_config;
    } files[] = {{".vmlinuz", false}, {".initrd", true}, {".cmdline", false}, {".iso", true}};
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        cleanup_free char *from = inside(installer, files[i].suffix), *to = installer_path(installer->build, files[i].suffix);
        cleanup_fd int fd = file_open(AT_FDCWD, from, O_RDONLY, 0, err);
        if (fd < 0)
            return fd;
        const mode_t mode = files[i].holds_config && installer->seed->config ? 0600 : 0644;
        if (fchmod(fd, mode) < 0 || fdatasync(fd) < 0 || rename(from, to) < 0)
            return err_sys(err, -errno, "cannot put %s in its place", to);
    }
    return 0;
}

static int make_files(const struct installer *installer, struct err *err) {
    cleanup_free char *seed_dir = installer->seed->config ? inside(installer, "seed") : NULL;
    cleanup_free char *iso = inside(installer, ".iso"), *kernel = inside(installer, ".vmlinuz"), *initrd = inside(installer, ".initrd"),
                      *cmdline = inside(installer, ".cmdline"), *line = str_printf("%s\n", installer->cmdline);
    int r = compress_image(installer, err); // takes longest, so before there are secrets
    if (r >= 0 && seed_dir) {
        struct seed seed = *installer->seed;
        seed.path = seed_dir;
        r = seed_save(&seed, err);
    }
    if (r >= 0)
        r = make_iso(installer, seed_dir, iso, err);
    if (r >= 0)
        r = copy_kernel(installer, kernel, err);
    if (r >= 0)
        r = installer_save_initrd(installer, seed_dir, initrd, err);
    if (r >= 0)
        r = file_publish(AT_FDCWD, cmdline, line, strlen(line), 0644, err);
    return r < 0 ? r : publish(installer, err);
}

static int load_texts(struct installer *installer, struct err *err) {
    const struct build *build = installer->build;
    cleanup_free char *boot_path = graph_path(&build->cache, build->slot, "boot"), *boot = NULL,
                      *path = graph_path(&build->cache, build->installer_uki, "cmdline");
    int r = file_read(AT_FDCWD, boot_path, SLOT_BOOT_TEXT_BYTES, &boot, NULL, err);
    if (r >= 0)
        r = file_read(AT_FDCWD, path, CMDLINE_MAX_BYTES, &installer->cmdline, NULL, err);
    if (r >= 0)
        installer->label = build_medium_label(boot);
    return r;
}

int installer_save(const struct build *build, const struct seed *seed, struct err *err) {
    cleanup_free char *base = installer_path(build, "");
    cleanup_tempdir char *dir = NULL; // what is written into it may hold secrets from its first byte
    int r = tempdir_make_beside(base, &dir, err);
    struct installer installer = {.build = build, .seed = seed, .dir = dir};
    if (r >= 0)
        r = load_texts(&installer, err);
    if (r >= 0)
        r = make_files(&installer, err);
    free(installer.label);
    free(installer.cmdline);
    return r < 0 ? err_prefix(err, r, "making the installation medium") : 0;
}
