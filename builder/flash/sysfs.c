// SPDX-License-Identifier: Apache-2.0
// The disks of this computer out of /sys, and who uses them out of /sys and /proc, so that no program is needed. Opens no disk.
#include "builder/flash/disks.h"
#include "common/buf.h"
#include "common/file.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <strings.h>

#define SYSFS_SECTOR_BYTES 512 // the unit of "size", whatever the disk's own is
#define MAX_ATTRIBUTE_BYTES 4096
#define MAX_TABLE_BYTES (8 << 20) // hosts of many containers have long tables of mounts
#define MAX_DEPTH 8 // of what is put together of what
#define SCSI_ROM 5
#define SERIAL_PAGE_HEADER 4 // of the vital product data page 0x80, SPC-4 7.8.16

struct system {
    int root_fd;
    char *mounts, *swaps; // /proc/self/mountinfo, /proc/swaps
};

static void system_done(struct system *system) {
    free(system->mounts);
    free(system->swaps);
}

// Names come from hardware and go to terminals.
static char *printable(const char *text) {
    char *copy = str_dup(text + strspn(text, " \n"));
    size_t size = strlen(copy);
    while (size > 0 && strchr(" \n", copy[size - 1]))
        copy[--size] = 0;
    for (char *at = copy; *at; at++)
        if (*at < ' ' || *at > '~')
            *at = '?';
    return copy;
}

// The text of dir/name, for the caller to free; "" when there is none.
static char *attribute(const struct system *system, const char *dir, const char *name) {
    cleanup_free char *path = str_printf("%s/%s", dir, name), *text = NULL;
    struct err ignored;
    return file_read(system->root_fd, path, MAX_ATTRIBUTE_BYTES, &text, NULL, &ignored) < 0 ? str_dup("") : printable(text);
}

static uint64_t number(const struct system *system, const char *dir, const char *name) {
    cleanup_free char *text = attribute(system, dir, name);
    return strtoull(text, NULL, 10);
}

static bool has(const struct system *system, const char *dir, const char *name) {
    cleanup_free char *path = str_printf("%s/%s", dir, name);
    return file_exists(system->root_fd, path);
}

// Device files have slashes where names in /sys have exclamation marks; what device-mapper makes is known by the name it was given.
static char *device_path(const struct system *system, const char *dir, const char *name) {
    cleanup_free char *mapped = attribute(system, dir, "dm/name");
    if (*mapped)
        return str_printf("/dev/mapper/%s", mapped);
    char *path = str_printf("/dev/%s", name);
    for (char *at = path; (at = strchr(at, '!'));)
        *at = '/';
    return path;
}

// Blanks and the like stand as \040 in the tables of /proc.
static void unescape(char *text) {
    char *to = text;
    for (const char *from = text; *from; to++) {
        bool is_octal = from[0] == '\\' && strspn(from + 1, "01234567") >= 3;
        *to = is_octal ? (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0')) : *from;
        from += is_octal ? 4 : 1;
    }
    *to = 0;
}

// The next line of a table, for the caller to free; NULL at its end.
static char *next_line(const char **at) {
    size_t size = strcspn(*at, "\n");
    if (!**at)
        return NULL;
    char *line = str_printf("%.*s", (int)size, *at);
    *at += size + ((*at)[size] == '\n');
    return line;
}

// proc(5): "36 35 8:1 / /boot rw,noatime master:1 - ext4 /dev/sda1 rw". By number, or by name: btrfs has numbers of its own.
static char *find_mount(const struct system *system, const char *device, const char *path) {
    for (const char *at = system->mounts;;) {
        cleanup_free char *line = next_line(&at);
        char numbers[32], point[PATH_MAX], source[PATH_MAX] = "";
        if (!line)
            return NULL;
        const char *rest = strstr(line, " - ");
        if (sscanf(line, "%*s %*s %31s %*s %4095s", numbers, point) != 2)
            continue;
        if (rest && sscanf(rest, " - %*s %4095s", source) == 1)
            unescape(source);
        unescape(point);
        if ((*device && strcmp(numbers, device) == 0) || strcmp(source, path) == 0)
            return str_printf("%s is mounted at %s", path, point);
    }
}

static char *find_swap(const struct system *system, const char *path) {
    for (const char *at = system->swaps;;) {
        cleanup_free char *line = next_line(&at);
        char name[PATH_MAX];
        if (!line)
            return NULL;
        if (sscanf(line, "%4095s", name) != 1)
            continue;
        unescape(name);
        if (strcmp(name, path) == 0)
            return str_printf("%s is swap", path);
    }
}

// "raid1", "lvm", "crypt", "mpath", "bcache": by what the kernel, or who asked it, says of the device.
static char *kind_of(const struct system *system, const char *dir, const char *name) {
    char *level = attribute(system, dir, "md/level");
    if (*level)
        return level;
    free(level);
    char *kind = attribute(system, dir, "dm/uuid"); // "LVM-…", "CRYPT-LUKS2-…"
    if (!*kind) {
        free(kind);
        return str_printf("%.*s", (int)strcspn(name, "0123456789"), name);
    }
    kind[strcspn(kind, "-")] = 0;
    for (char *at = kind; *at; at++)
        *at = (char)tolower((unsigned char)*at);
    return kind;
}

static int is_name(const struct dirent *entry) {
    return entry->d_name[0] != '.';
}

struct names {
    struct dirent **items;
    int count; // < 0: there is no such directory
};

static struct names list(const struct system *system, const char *dir) {
    struct names names = {0};
    names.count = scandirat(system->root_fd, dir, &names.items, is_name, versionsort);
    return names;
}

static void names_done(struct names *names) {
    for (int i = 0; i < names->count; i++)
        free(names->items[i]);
    if (names->count >= 0)
        free(names->items);
}

static char *find_use(const struct system *system, const char *dir, const char *name, unsigned depth);

static char *find_use_of_partitions(const struct system *system, const char *dir, unsigned depth) {
    cleanup(names_done) struct names parts = list(system, dir);
    char *use = NULL;
    for (int i = 0; !use && i < parts.count; i++) {
        cleanup_free char *part = str_printf("%s/%s", dir, parts.items[i]->d_name);
        if (has(system, part, "partition"))
            use = find_use(system, part, parts.items[i]->d_name, depth + 1);
    }
    return use;
}

// What is put together of it: LVM, RAID, dm-crypt, multipath.
static char *find_holder(const struct system *system, const char *dir, const char *path, unsigned depth) {
    cleanup_free char *holders = str_printf("%s/holders", dir);
    cleanup(names_done) struct names names = list(system, holders);
    if (names.count <= 0)
        return NULL;
    const char *name = names.items[0]->d_name;
    cleanup_free char *holder = str_printf("sys/block/%s", name), *holder_path = device_path(system, holder, name),
                      *kind = kind_of(system, holder, name);
    char *use = find_use(system, holder, name, depth + 1);
    return use ? use : str_printf("%s is part of %s (%s)", path, holder_path, kind);
}

// The first use of the device or of what is below it.
static char *find_use(const struct system *system, const char *dir, const char *name, unsigned depth) {
    cleanup_free char *path = device_path(system, dir, name), *device = attribute(system, dir, "dev");
    if (depth > MAX_DEPTH)
        return str_printf("%s is part of something", path);
    char *use = find_mount(system, device, path);
    if (!use)
        use = find_swap(system, path);
    if (!use)
        use = find_use_of_partitions(system, dir, depth);
    return use ? use : find_holder(system, dir, path, depth);
}

// Where the disk hangs is in the path that its entry in /sys/block points to; the first that fits: a USB stick is a SCSI disk, too.
static const char *transport_of(const char *link) {
    static const struct {
        const char *part, *name;
    } rows[] = {{"/usb", "usb"},   {"/nvme", "nvme"}, {"/virtio", "virtio"},   {"/mmc_host/", "mmc"}, {"/session", "iscsi"},
                {"/rport-", "fc"}, {"/ata", "sata"},  {"/end_device-", "sas"}, {"/vbd-", "xen"}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (strstr(link, rows[i].part))
            return rows[i].name;
    return "";
}

// A disk's own answer to a SCSI inquiry; the kernel gives ATA disks one, too.
static char *serial_page(const struct system *system, const char *dir) {
    cleanup_free char *path = str_printf("%s/device/vpd_pg80", dir), *page = NULL;
    struct err ignored;
    size_t size = 0;
    if (file_read(system->root_fd, path, MAX_ATTRIBUTE_BYTES, &page, &size, &ignored) < 0 || size <= SERIAL_PAGE_HEADER)
        return str_dup("");
    return printable(page + SERIAL_PAGE_HEADER); // ended by file_read()
}

// Of the USB device that the disk is behind: "../devices/…/2-1/2-1:1.0/host6/…/block/sdb" → "sys/devices/…/2-1"
static char *usb_serial(const struct system *system, const char *link) {
    const char *devices = strstr(link, "/devices/");
    cleanup_free char *dir = str_printf("sys%s", devices ? devices : "");
    for (char *slash; (slash = strrchr(dir, '/')) && slash > dir + strlen("sys/devices");) {
        *slash = 0;
        if (has(system, dir, "idVendor"))
            return attribute(system, dir, "serial");
    }
    return str_dup("");
}

static char *serial_of(const struct system *system, const char *dir, const char *link) {
    static const char *const names[] = {"device/serial", "serial"}; // NVMe and MMC; virtio
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        char *serial = attribute(system, dir, names[i]);
        if (*serial)
            return serial;
        free(serial);
    }
    char *serial = serial_page(system, dir);
    if (*serial || strcmp(transport_of(link), "usb") != 0)
        return serial;
    free(serial);
    return usb_serial(system, link);
}

static char *model_of(const struct system *system, const char *dir) {
    char *model = attribute(system, dir, "device/model");
    if (*model)
        return model;
    free(model);
    return attribute(system, dir, "device/name"); // MMC
}

// The kernel means drives that stay when their medium goes, and an SD card ("SD", "SDcombo") goes with its device. "MMC" is soldered.
static bool is_removable(const struct system *system, const char *dir) {
    cleanup_free char *type = attribute(system, dir, "device/type");
    return number(system, dir, "removable") || strncmp(type, "SD", 2) == 0;
}

static bool is_virtual(const char *name) {
    return strncmp(name, "loop", 4) == 0 || strncmp(name, "nbd", 3) == 0;
}

// Hardware has "device". Not among disks: CD drives, the paths below a multipath NVMe disk, and the boot areas of MMC.
static bool is_disk(const struct system *system, const char *dir, const char *name) {
    bool is_boot_area = strncmp(name, "mmcblk", 6) == 0 && strpbrk(name + 6, "br");
    return is_virtual(name) || (has(system, dir, "device") && number(system, dir, "device/type") != SCSI_ROM &&
                                !number(system, dir, "hidden") && !is_boot_area);
}

static void add_disk(const struct system *system, const char *name, struct disks *disks) {
    cleanup_free char *dir = str_printf("sys/block/%s", name);
    char link[PATH_MAX] = "";
    uint64_t size = number(system, dir, "size"), sector = number(system, dir, "queue/logical_block_size");
    if (!is_disk(system, dir, name) || size == 0 || size > UINT64_MAX / SYSFS_SECTOR_BYTES || sector == 0)
        return;
    (void)!readlinkat(system->root_fd, dir, link, sizeof(link) - 1);
    disks->items = mem_resize(disks->items, disks->count + 1, sizeof(struct disk));
    disks->items[disks->count++] = (struct disk){
        .path = device_path(system, dir, name),
        .model = model_of(system, dir),
        .serial = serial_of(system, dir, link),
        .transport = str_dup(transport_of(link)),
        .size = size * SYSFS_SECTOR_BYTES,
        .sector = sector,
        .is_read_only = number(system, dir, "ro"),
        .is_removable = is_removable(system, dir),
        .is_loop = is_virtual(name),
        .use = find_use(system, dir, name, 0),
    };
}

// A kernel without swap has no table of it; without a table of mounts nobody knows what is in use.
static int load_tables(struct system *system, struct err *err) {
    struct err ignored;
    int r = file_read(system->root_fd, "proc/self/mountinfo", MAX_TABLE_BYTES, &system->mounts, NULL, err);
    if (r < 0)
        return err_prefix(err, r, "what is mounted (is /proc there?)");
    if (file_read(system->root_fd, "proc/swaps", MAX_TABLE_BYTES, &system->swaps, NULL, &ignored) < 0)
        system->swaps = str_dup("");
    return 0;
}

int disks_load(int root_fd, struct disks *ret_disks, struct err *err) {
    cleanup(system_done) struct system system = {.root_fd = root_fd};
    cleanup(names_done) struct names names = list(&system, "sys/block");
    struct disks disks = {0};
    int r = names.count < 0 ? err_sys(err, -errno, "/sys/block (is /sys there?)") : load_tables(&system, err);
    if (r < 0)
        return err_prefix(err, r, "listing the disks");
    for (int i = 0; i < names.count; i++)
        add_disk(&system, names.items[i]->d_name, &disks);
    *ret_disks = disks;
    return 0;
}
