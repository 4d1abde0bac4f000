// SPDX-License-Identifier: Apache-2.0
// Looks into an image and verifies it. Images come from anywhere: every size is checked before it is used, nothing of a slot is
// interpreted beyond its header until its hash tree was verified.
#include "builder/inspect.h"
#include "common/digest.h"
#include "builder/esp.h"
#include "builder/grub.h"
#include "builder/qcow2.h"
#include "builder/slotimage.h"
#include "builder/tempdir.h"
#include "builder/tool_log.h"
#include "builder/uki.h"
#include "builder/verity.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/grubenv.h"
#include "common/run.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#define CMDLINE_MAX_BYTES 4096
#define STATUS_MAX_BYTES (32 << 20)
#define TOOL_TIMEOUT_MS 600000

// A slot's files on the ESP: <directory><letter>.<suffix>.
struct esp_name {
    const char *directory, *suffix;
    const char *section; // of the UKI that holds the same bytes
};
enum { ESP_UKI, ESP_CONFIG, ESP_LINUX, ESP_INITRD };
static const struct esp_name esp_names[] = {
    [ESP_UKI] = {"/EFI/webops/", "efi", NULL},
    [ESP_CONFIG] = {"/webops/", "cfg", NULL},
    [ESP_LINUX] = {"/webops/", "linux", ".linux"},
    [ESP_INITRD] = {"/webops/", "initrd", ".initrd"},
};

// The image as a plain file, wherever it came from.
struct source {
    int fd;
    char *path; // of the raw bytes: the image itself, or a file in temp_dir
    char *temp_dir;
};

static void source_done(struct source *source) {
    if (source->fd >= 0)
        close(source->fd);
    tempdir_done(&source->temp_dir);
    free(source->path);
}

void inspect_done(struct inspect *inspect) {
    for (unsigned i = 0; i < inspect->slot_count; i++)
        free(inspect->slots[i].cmdline);
    dpkg_status_done(&inspect->packages);
    *inspect = (struct inspect){0};
}

static int make_temp_dir(struct source *source, struct err *err) {
    return source->temp_dir ? 0 : tempdir_make("inspect", &source->temp_dir, err);
}

// A qcow2 that names other files would show us their contents, and one that claims to be huge would fill the disk.
static int check_qcow2(const char *path, struct err *err) {
    struct qcow2_info info;
    int r = qcow2_info(path, &info, err);
    if (r < 0)
        return r;
    if (info.needs_others)
        return err_set(err, -EINVAL, "%s: the qcow2 depends on another file; convert it to one that stands alone", path);
    return info.bytes <= INSPECT_MAX_DISK_BYTES
               ? 0
               : err_set(err, -EINVAL, "%s: the qcow2 claims a disk of %llu bytes", path, (unsigned long long)info.bytes);
}

static int unpack_qcow2(const char *path, struct source *source, struct err *err) {
    int r = check_qcow2(path, err);
    if (r == 0)
        r = make_temp_dir(source, err);
    if (r < 0)
        return r;
    cleanup_free char *raw = str_printf("%s/disk.raw", source->temp_dir), *from = tool_path(path);
    r = run_quiet(&(struct run){.argv = RUN_ARGV("qemu-img", "convert", "-q", "-U", "-f", "qcow2", "-O", "raw", from, raw),
                                .timeout_ms = TOOL_TIMEOUT_MS},
                  err);
    if (r < 0)
        return r;
    close(take_fd(&source->fd));
    source->fd = file_open(AT_FDCWD, raw, O_RDONLY, 0, err);
    if (source->fd < 0)
        return source->fd;
    free(source->path);
    source->path = take_ptr(raw);
    return 0;
}

// Copies a file of the slot from the ESP into the temporary directory and opens it.
// The caller frees *ret_path, its name on the ESP.
static int read_esp(const struct source *source, const struct gpt_partition *esp, const struct inspect_slot *slot,
                    const struct esp_name *name, char **ret_path, struct err *err) {
    cleanup_free char *temp = str_printf("%s/esp-%s", source->temp_dir, name->suffix);
    char *path = str_printf("%s%s.%s", name->directory, slot->name + strlen("webops-"), name->suffix);
    free(*ret_path);
    *ret_path = path;
    int r = esp_read_file(source->path, esp->offset, path, temp, err);
    return r < 0 ? r : file_open(AT_FDCWD, temp, O_RDONLY, 0, err);
}

static int load_cmdline(int uki, const char *path, struct inspect_slot *slot, struct err *err) {
    cleanup_free char *cmdline = NULL;
    int r = uki_read_text(uki, path, ".cmdline", CMDLINE_MAX_BYTES, &cmdline, err);
    if (r < 0)
        return r;
    for (const char *c = cmdline; *c; c++)
        if (*c < ' ' || *c > '~') // it is printed on terminals
            return err_set(err, -EINVAL, "%s: the command line has a character that is not printable ASCII", path);
    r = slot_boot_find(cmdline, &slot->boot, err);
    if (r < 0)
        return err_prefix(err, r, "%s", path);
    slot->cmdline = take_ptr(cmdline);
    slot->has_boot = true;
    return 0;
}

static int check_bios_cmdline(const struct source *source, const struct gpt_partition *esp, const struct inspect_slot *slot,
                              struct err *err) {
    cleanup_free char *path = NULL, *text = NULL;
    cleanup_buf struct buf wanted = {0};
    cleanup_fd int fd = read_esp(source, esp, slot, &esp_names[ESP_CONFIG], &path, err);
    if (fd < 0)
        return fd;
    int r = file_read_fd(fd, path, 2 * CMDLINE_MAX_BYTES, &text, NULL, err);
    if (r == 0)
        r = grubenv_format_cmdline(slot->cmdline, &wanted, err);
    if (r == 0 && strcmp(text, buf_str(&wanted)) != 0)
        r = err_set(err, -EBADMSG, "%s: the command line for BIOS is not the one in the UKI", path);
    return r;
}

// The file must hold what the UKI's section holds.
static int check_bios_file(const struct source *source, const struct gpt_partition *esp, const struct inspect_slot *slot, int uki,
                           const struct esp_name *name, struct err *err) {
    cleanup_free char *path = NULL;
    uint8_t have[DIGEST_BYTES], wanted[DIGEST_BYTES];
    struct uki_section section;
    struct stat st;
    cleanup_fd int fd = read_esp(source, esp, slot, name, &path, err);
    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0)
        return err_sys(err, -errno, "%s", path);
    int r = uki_section_find_fd(uki, "UKI", name->section, &section, err);
    if (r == 0)
        r = digest_range(uki, "UKI", section.offset, section.size, wanted, err);
    if (r == 0)
        r = digest_range(fd, path, 0, (uint64_t)st.st_size, have, err);
    if (r == 0 && ((uint64_t)st.st_size != section.size || memcmp(have, wanted, sizeof(have)) != 0))
        r = err_set(err, -EBADMSG, "%s: not the same as %s in the UKI", path, name->section);
    return r;
}

// The UKI gives the root hash; what BIOS machines boot must be the same as what UEFI machines boot.
static int check_boot_files(const struct source *source, const struct gpt_partition *esp, struct inspect_slot *slot, struct err *err) {
    cleanup_free char *path = NULL;
    cleanup_fd int uki = read_esp(source, esp, slot, &esp_names[ESP_UKI], &path, err);
    if (uki < 0)
        return uki;
    int r = load_cmdline(uki, path, slot, err);
    if (r == 0)
        r = check_bios_cmdline(source, esp, slot, err);
    if (r == 0)
        r = check_bios_file(source, esp, slot, uki, &esp_names[ESP_LINUX], err);
    if (r == 0)
        r = check_bios_file(source, esp, slot, uki, &esp_names[ESP_INITRD], err);
    return r;
}

static int is_zero_block(int fd, const char *name, uint64_t offset, struct err *err) {
    static const uint8_t zeros[SLOT_HEADER_BYTES];
    uint8_t block[SLOT_HEADER_BYTES];
    int r = pread_all(fd, name, block, sizeof(block), offset, err);
    return r < 0 ? r : memcmp(block, zeros, sizeof(block)) == 0;
}

// Fills in the slot's state. Failures to find or verify go to slot->problem.
static int judge_slot(const struct source *source, const struct gpt_partition *esp, struct inspect_slot *slot) {
    struct err *problem = &slot->problem;
    int r = is_zero_block(source->fd, slot->name, slot->offset, problem);
    if (r != 0) {
        slot->state = r > 0 ? INSPECT_EMPTY : INSPECT_BAD;
        return r;
    }
    slot->state = INSPECT_BAD;
    r = slotimage_read_header(source->fd, slot->name, slot->offset, slot->space_bytes, &slot->header, problem);
    if (r < 0)
        return r;
    slot->has_header = true;
    if (!esp)
        return err_set(problem, -ENOENT, "there is no ESP that names its root hash");
    r = check_boot_files(source, esp, slot, problem);
    if (r == 0)
        r = slotimage_verify(source->fd, slot->name, slot->offset, slot->space_bytes, &slot->boot, &slot->header, problem);
    if (r == 0)
        slot->state = INSPECT_GOOD;
    return r;
}

// A bare slot image has no command line: its tree is verified against the root block it brings along.
static int judge_bare_slot(const struct source *source, struct inspect_slot *slot) {
    uint8_t root_block[VERITY_BLOCK_BYTES];
    slot->state = INSPECT_BAD;
    int r = slotimage_read_header(source->fd, slot->name, 0, slot->space_bytes, &slot->header, &slot->problem);
    if (r < 0)
        return r;
    slot->has_header = true;
    r = pread_all(source->fd, slot->name, root_block, sizeof(root_block), slot->header.data_bytes, &slot->problem);
    if (r < 0)
        return r;
    memcpy(slot->boot.id, slot->header.id, sizeof(slot->boot.id));
    slot->boot.data_blocks = slot->header.data_bytes / SLOT_BLOCK_BYTES;
    digest_bytes(root_block, sizeof(root_block), slot->boot.root_hash);
    slot->has_boot = true;
    r = slotimage_verify(source->fd, slot->name, 0, slot->space_bytes, &slot->boot, &slot->header, &slot->problem);
    if (r == 0)
        slot->state = INSPECT_GOOD;
    return r;
}

static bool load_list(const struct source *source, uint64_t layer_offset, const char *path, struct inspect *inspect) {
    struct err none = {0};
    cleanup_free char *text = NULL;
    cleanup_free char *offset = str_printf("%" PRIu64, layer_offset), *from = tool_path(source->path);
    size_t size = 0;
    struct run cat = {.argv = RUN_ARGV("unsquashfs", "-o", offset, "-cat", from, path), .timeout_ms = TOOL_TIMEOUT_MS};
    return run_capture(&cat, STATUS_MAX_BYTES, &text, &size, &none) == 0 && size &&
           dpkg_status_parse(text, size, &inspect->packages, &none) == 0;
}

// The database of the uppermost layer that has one lists the packages of all layers below, too.
static void load_packages(const struct source *source, const struct inspect_slot *slot, struct inspect *inspect) {
    static const char *const lists[] = {"usr/lib/sysimage/dpkg/status", "usr/lib/sysimage/rpm/packages"};
    for (unsigned i = slot->header.layer_count; i--;)
        for (size_t list = 0; list < ARRAY_SIZE(lists); list++)
            if (load_list(source, slot->offset + slot->header.layers[i].offset, lists[list], inspect))
                return;
}

static int inspect_disk(struct source *source, struct inspect *inspect, struct err *err) {
    int r = gpt_read(source->fd, source->path, inspect->partitions, INSPECT_MAX_PARTITIONS, &inspect->partition_count, err);
    if (r == 0)
        r = make_temp_dir(source, err);
    if (r < 0)
        return r == -ENOENT || r == -E2BIG ? -EMEDIUMTYPE : r; // ours have a GPT with five partitions
    const struct gpt_partition *esp = gpt_find(inspect->partitions, inspect->partition_count, "esp");
    static const char *const names[] = {"webops-a", "webops-b"};
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        const struct gpt_partition *partition = gpt_find(inspect->partitions, inspect->partition_count, names[i]);
        if (!partition)
            continue;
        struct inspect_slot *slot = &inspect->slots[inspect->slot_count++];
        snprintf(slot->name, sizeof(slot->name), "%s", names[i]);
        slot->offset = partition->offset;
        slot->space_bytes = partition->size;
        judge_slot(source, esp, slot);
    }
    return inspect->slot_count ? 0 : err_set(err, -EMEDIUMTYPE, "%s: no partition named webops-a or webops-b", source->path);
}

static void inspect_bare_slot(const struct source *source, struct inspect *inspect) {
    struct inspect_slot *slot = &inspect->slots[inspect->slot_count++];
    snprintf(slot->name, sizeof(slot->name), "slot");
    slot->space_bytes = inspect->disk_bytes;
    judge_bare_slot(source, slot);
}

static int open_source(const char *path, struct source *source, struct inspect *inspect, struct err *err) {
    char magic[8];
    struct stat st;
    source->path = str_dup(path);
    source->fd = file_open(AT_FDCWD, path, O_RDONLY, 0, err);
    if (source->fd < 0)
        return source->fd;
    if (fstat(source->fd, &st) < 0)
        return err_sys(err, -errno, "%s", path);
    if (!S_ISREG(st.st_mode))
        return err_set(err, -EINVAL, "%s: not a regular file", path);
    inspect->file_bytes = (uint64_t)st.st_blocks * 512;
    int r = pread_all(source->fd, path, magic, sizeof(magic), 0, err);
    if (r < 0)
        return r;
    inspect->format = memcmp(magic, "QFI\xfb", 4) == 0 ? "qcow2" : memcmp(magic, "WEBOPSSL", 8) == 0 ? "slot" : "raw";
    r = strcmp(inspect->format, "qcow2") == 0 ? unpack_qcow2(path, source, err) : 0;
    if (r == 0 && fstat(source->fd, &st) < 0)
        r = err_sys(err, -errno, "%s", source->path);
    inspect->disk_bytes = (uint64_t)st.st_size;
    return r;
}

int inspect_load(const char *path, struct inspect *ret_inspect, struct err *err) {
    cleanup(source_done) struct source source = {.fd = -1};
    cleanup_inspect struct inspect inspect = {0};
    int r = open_source(path, &source, &inspect, err);
    if (r < 0)
        return r;
    if (strcmp(inspect.format, "slot") == 0)
        inspect_bare_slot(&source, &inspect);
    else
        r = inspect_disk(&source, &inspect, err);
    if (r < 0)
        return r;
    for (unsigned i = 0; i < inspect.slot_count && !inspect.packages.count; i++)
        if (inspect.slots[i].state == INSPECT_GOOD)
            load_packages(&source, &inspect.slots[i], &inspect);
    *ret_inspect = inspect;
    inspect = (struct inspect){0};
    return 0;
}

bool inspect_is_good(const struct inspect *inspect) {
    bool good = false;
    for (unsigned i = 0; i < inspect->slot_count; i++) {
        if (inspect->slots[i].state == INSPECT_BAD)
            return false;
        good |= inspect->slots[i].state == INSPECT_GOOD;
    }
    return good;
}
