// SPDX-License-Identifier: Apache-2.0
// Asks sysfs, then leaves the work to growpart (exit 0 changed, 1 nothing to do, 2 failure) and resize2fs.
#include "firstboot/grow.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/run.h"
#include "common/schema_types.h"
#include "firstboot/bootrecord.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>

#define MIB_SECTORS 2048
#define BACKUP_GPT_SECTORS 33

bool grow_is_needed(const struct grow_facts *facts) {
    uint64_t usable = facts->disk_sectors > BACKUP_GPT_SECTORS ? facts->disk_sectors - BACKUP_GPT_SECTORS : 0;
    usable -= usable % MIB_SECTORS; // partitions end on whole MiB
    return facts->size > 0 && usable >= facts->start + facts->size + MIB_SECTORS;
}

static int read_number(int root_fd, const char *device, const char *name, uint64_t *ret_number, struct err *err) {
    cleanup_free char *path = str_printf("sys/class/block/%s/%s", device, name), *text = NULL;
    int r = file_read(root_fd, path, 64, &text, NULL, err);
    if (r < 0)
        return r;
    int64_t number;
    text[strcspn(text, "\n")] = 0;
    if (!schema_parse_number(text, false, &number))
        return err_set(err, -EINVAL, "/%s holds no number", path);
    *ret_number = (uint64_t)number;
    return 0;
}

// "/dev/vda5" → "vda5"; NULL for anything that is no name directly below /dev.
static const char *device_name(const struct config *record, const char *key) {
    const char *text = bootrecord_text(record, key);
    if (strncmp(text, "/dev/", 5) != 0 || !text[5] || strchr(text + 5, '/'))
        return NULL;
    return text + 5;
}

static int load_facts(int root_fd, const char *disk, const char *state, struct grow_facts *ret_facts, struct err *err) {
    uint64_t partition = 0;
    int r = read_number(root_fd, disk, "size", &ret_facts->disk_sectors, err);
    if (r >= 0)
        r = read_number(root_fd, state, "start", &ret_facts->start, err);
    if (r >= 0)
        r = read_number(root_fd, state, "size", &ret_facts->size, err);
    if (r >= 0)
        r = read_number(root_fd, state, "partition", &partition, err);
    ret_facts->partition = (unsigned)partition;
    return r;
}

static int grow_partition(const char *disk, unsigned partition, struct err *err) {
    cleanup_free char *device = str_printf("/dev/%s", disk), *number = str_printf("%u", partition), *output = NULL;
    // /tmp may not be mounted yet; growpart keeps a copy of the partition table while it works.
    static const char *const env[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "TMPDIR=/run/webops", NULL};
    const struct run growpart = {.argv = RUN_ARGV("growpart", device, number), .env = env, .timeout_ms = 60000};
    int r = run_capture(&growpart, 65536, &output, NULL, err);
    return r < 0 ? err_prefix(err, r, "growing partition %u of %s", partition, device) : 0;
}

static int grow_file_system(const char *state, struct err *err) {
    cleanup_free char *device = str_printf("/dev/%s", state);
    const struct run resize = {.argv = RUN_ARGV("resize2fs", device), .timeout_ms = 300000};
    int r = run_quiet(&resize, err);
    return r < 0 ? err_prefix(err, r, "growing the file system on %s", device) : 0;
}

// A cut between the two steps leaves a partition that is larger than its file system: noticed here at the next boot.
static bool is_file_system_smaller(int root_fd, const struct grow_facts *facts) {
    struct statvfs fs;
    cleanup_fd int fd = openat(root_fd, "var", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstatvfs(fd, &fs) < 0)
        return false;
    uint64_t bytes = (uint64_t)fs.f_blocks * fs.f_frsize, device = facts->size * 512;
    return device > (64ULL << 20) && bytes < device / 2; // metadata never takes half of it
}

int grow_state(int root_fd, const struct config *record, struct err *err) {
    const char *disk = device_name(record, "DISK"), *state = device_name(record, "STATE_DEVICE");
    if (!disk || !state || strcmp(bootrecord_text(record, "STATE_MODE"), "ro") == 0)
        return 0;
    struct grow_facts facts = {0};
    int r = load_facts(root_fd, disk, state, &facts, err);
    if (r < 0)
        return r;
    bool is_needed = grow_is_needed(&facts);
    if (!is_needed && !is_file_system_smaller(root_fd, &facts))
        return 0;
    r = is_needed ? grow_partition(disk, facts.partition, err) : 0;
    if (r >= 0)
        r = grow_file_system(state, err);
    return r < 0 ? r : 1;
}
