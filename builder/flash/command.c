// SPDX-License-Identifier: Apache-2.0
// An image to a disk of this computer, asked about first and read back afterwards. The steps themselves are in flash.c.
#include "builder/flash/command.h"
#include "builder/fat.h"
#include "builder/flash/disks.h"
#include "builder/flash/flash.h"
#include "builder/flash/image.h"
#include "builder/flash/table.h"
#include "builder/flash/url.h"
#include "builder/image_report.h"
#include "builder/progress.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/log.h"
#include "common/meter.h"
#include "common/slot.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct flash_options {
    struct flash_origin origin;
    const char *path, *serial; // of the disk
    struct seed seed;
    flash_config_check *check;
    bool list, yes, verify_only, json;
};

static int find_disks(struct disks *ret_disks, struct err *err) {
    cleanup_fd int root = file_open(AT_FDCWD, "/", O_RDONLY | O_DIRECTORY, 0, err);
    return root < 0 ? root : disks_load(root, ret_disks, err);
}

static int list_disks(bool json) {
    struct err err = {0};
    cleanup_disks struct disks disks = {0};
    cleanup_buf struct buf text = {0};
    int r = find_disks(&disks, &err);
    if (r < 0)
        return verb_failed(r, &err);
    (json ? disks_format_json : disks_format)(&disks, &text);
    return fputs(buf_str(&text), stdout) < 0 || fflush(stdout) != 0 ? EXIT_PERMANENT : EXIT_OK;
}

static void show_plan(const struct flash_options *options, const struct flash_image *image, const struct disk *disk) {
    char size[METER_SIZE_BYTES], mapped[METER_SIZE_BYTES];
    cleanup_buf struct buf text = {0};
    disk_describe(disk, &text);
    fprintf(stderr, "image   %s, %s, of which %s are written\n", image->path, meter_size(image->bmap.image_bytes, size),
            meter_size(image->bmap.mapped_bytes, mapped));
    fprintf(stderr, "disk    %s: %s\n", disk->path, buf_str(&text));
    if (options->seed.config)
        fprintf(stderr, "config  %s%s%s\n", options->seed.config, options->seed.secrets ? ", secrets of " : "",
                options->seed.secrets ?: "");
}

// The serial number is what tells disks apart; a disk without one is named by its path.
static int confirm(const struct flash_options *options, const struct disk *disk, struct err *err) {
    const char *wanted = *disk->serial ? disk->serial : disk->path;
    char line[128] = "";
    if (options->yes && (options->serial || !*disk->serial))
        return 0;
    if (options->yes)
        return err_set(err, -EPERM, "%s: --yes needs the disk's serial number, too: --serial=%s", disk->path, disk->serial);
    if (!isatty(STDIN_FILENO) || strcmp(options->origin.image, "-") == 0)
        return err_set(err, -EPERM, "%s: nobody is there to ask; give --yes%s%s", disk->path, *disk->serial ? " --serial=" : "",
                       disk->serial);
    fprintf(stderr, "Everything on %s is lost. Type %s to go on: ", disk->path, wanted);
    if (!fgets(line, sizeof(line), stdin))
        line[0] = 0;
    line[strcspn(line, "\n")] = 0;
    return strcmp(line, wanted) == 0 ? 0 : err_set(err, -ECANCELED, "that is not %s: nothing was written", wanted);
}

// Exclusively: the kernel lets nobody else mount it or put it together with others meanwhile.
static int open_disk(const struct disk *disk, bool is_for_writing, struct flash_target *ret_target, struct err *err) {
    int flags = (is_for_writing ? O_RDWR | O_EXCL : O_RDONLY) | O_CLOEXEC, fd = open(disk->path, flags | O_DIRECT);
    if (fd < 0 && errno == EINVAL)
        fd = open(disk->path, flags);
    if (fd < 0)
        return err_sys(err, -errno, "opening %s%s", disk->path, errno == EACCES ? " (as root, or with sudo)" : "");
    *ret_target = (struct flash_target){.name = disk->path, .fd = fd, .size = disk->size};
    return 0;
}

// Between the question and the answer somebody may have plugged in another one. From here on the kernel holds it for us.
static int check_unchanged(const struct disk *disk, const struct flash_target *target, struct err *err) {
    cleanup_disks struct disks now = {0};
    const struct disk *found = NULL;
    uint64_t size = 0;
    int r = find_disks(&now, err);
    if (r >= 0)
        r = disks_choose(&now, disk->path, *disk->serial ? disk->serial : NULL, &found, err);
    if (r >= 0 && (ioctl(target->fd, BLKGETSIZE64, &size) < 0 || size != disk->size || found->size != disk->size))
        r = err_set(err, -ESTALE, "%s has another size than a moment ago", disk->path);
    return r < 0 ? err_prefix(err, r, "%s was changed meanwhile; nothing was written", disk->path) : 0;
}

static void show_progress(void *context, uint64_t done, uint64_t total) {
    progress_update(context, done, total);
}

static int put_on_boot_partition(void *context, const char *path, const void *data, size_t size, struct err *err) {
    return fat_put(context, path, data, size, err);
}

static int configure(const struct flash_options *options, struct flash *flash, struct err *err) {
    struct fat *fat = NULL;
    uint64_t offset = 0;
    if (!options->seed.config)
        return 0;
    int r = table_find(flash->head, flash->bmap->image_bytes, "esp", &offset, err);
    if (r >= 0)
        r = flash_go_back(flash, offset, err);
    if (r >= 0)
        r = fat_open(flash->target->fd, flash->target->name, offset, &fat, err);
    if (r >= 0)
        r = seed_give(&options->seed, put_on_boot_partition, fat, err);
    if (r >= 0)
        r = fat_save(fat, err);
    if (r >= 0 && fsync(flash->target->fd) < 0)
        r = err_sys(err, -errno, "flushing %s", flash->target->name);
    if (r >= 0)
        r = fat_read_back(fat, err);
    fat_free(fat);
    return r < 0 ? err_prefix(err, r, "putting the configuration on %s", flash->target->name) : 0;
}

static int stage(struct progress *progress, const char *label, int (*run)(struct flash *, struct err *), struct flash *flash,
                 double *ret_seconds, struct err *err) {
    progress_start(progress, label);
    int r = run(flash, err);
    *ret_seconds = progress_end(progress, r < 0 ? "failed" : "done");
    return r;
}

static int finish(const struct flash_options *options, struct flash *flash, struct progress *progress, struct err *err) {
    progress_start(progress, options->seed.config ? "configuration and table" : "partition table");
    int r = configure(options, flash, err);
    if (r >= 0)
        r = flash_finish(flash, err);
    progress_end(progress, r < 0 ? "failed" : "done");
    if (r >= 0 && ioctl(flash->target->fd, BLKRRPART) < 0 && errno != EINVAL) // EINVAL: a loop device without partitions
        log_warn("%s: the kernel has not read the new partition table (%s); plug the disk in again, or restart", flash->target->name,
                 strerror(errno));
    return r;
}

static void report(const struct flash_options *options, const struct flash *flash, double write_seconds, double read_seconds) {
    char size[METER_SIZE_BYTES];
    if (options->json) {
        json_t *event = json_pack("{s:s, s:s, s:I, s:I, s:f, s:f}", "event", "flashed", "disk", flash->target->name, "bytes",
                                  (json_int_t)flash->bmap->mapped_bytes, "resumed_at", (json_int_t)flash->resumed_at, "write_seconds",
                                  write_seconds, "read_seconds", read_seconds);
        cleanup_free char *text = json_dumps(event, JSON_COMPACT);
        json_decref(event);
        printf("%s\n", text ?: "{}");
        return;
    }
    printf("%s: %s written and read back%s\n", flash->target->name, meter_size(flash->bmap->mapped_bytes, size),
           flash->resumed_at ? " (an interrupted run was continued)" : "");
}

// Programs read one stream.
static void report_failure(const struct err *err) {
    json_t *event = json_pack("{s:s, s:s}", "event", "failed", "error", err->text);
    cleanup_free char *text = json_dumps(event, JSON_COMPACT);
    json_decref(event);
    printf("%s\n", text ?: "{}");
    fflush(stdout);
}

static void add_unfinished(const struct flash *flash, struct err *err) {
    const struct err before = *err;
    (void)!err_set(err, -EIO, "%s; %s is unfinished, what it held is gone, and the same command goes on from here", before.text,
                   flash->target->name);
}

static int write_image(const struct flash_options *options, struct flash *flash, struct err *err) {
    cleanup_progress struct progress *progress = progress_new(3, options->json);
    double write_seconds = 0, read_seconds = 0;
    flash->progress = show_progress;
    flash->context = progress;
    int r = stage(progress, "writing", flash_write, flash, &write_seconds, err);
    if (r >= 0)
        r = stage(progress, "reading back", flash_read_back, flash, &read_seconds, err);
    if (r >= 0)
        r = finish(options, flash, progress, err);
    if (r >= 0)
        report(options, flash, write_seconds, read_seconds);
    else if (flash->has_begun)
        add_unfinished(flash, err);
    return r;
}

static int compare_image(const struct flash_options *options, struct flash *flash, struct err *err) {
    cleanup_progress struct progress *progress = progress_new(1, options->json);
    double seconds;
    flash->progress = show_progress;
    flash->context = progress;
    int r = stage(progress, "comparing", flash_compare, flash, &seconds, err);
    if (r >= 0 && !options->json)
        printf("%s holds the image\n", flash->target->name);
    return r;
}

static int flash_disk(const struct flash_options *options, struct flash_image *image, const struct disk *disk, struct err *err) {
    struct flash_target target;
    int r = open_disk(disk, !options->verify_only, &target, err);
    if (r < 0)
        return r;
    cleanup_fd int fd = target.fd;
    if (!options->verify_only && (r = check_unchanged(disk, &target, err)) < 0)
        return r;
    cleanup_flash struct flash flash;
    flash_init(&flash, &image->source, &image->bmap, &target);
    return options->verify_only ? compare_image(options, &flash, err) : write_image(options, &flash, err);
}

// Before anything is asked or written.
static int check_config(const struct flash_options *options, const char *image, struct err *err) {
    cleanup_stack_set struct stack_set stacks = {0};
    int r = image_report_stacks(image, &options->origin.http, &stacks, err);
    if (r == -ENOENT)
        r = options->check(&options->seed, err);
    else if (r >= 0)
        r = seed_check(&stacks.schema, options->seed.config, options->seed.secrets, err);
    return r < 0 ? r : seed_try(&options->seed, err);
}

static int flash_image(const struct flash_options *options, struct err *err) {
    cleanup_disks struct disks disks = {0};
    cleanup_flash_image struct flash_image image = {.source = {.fd = -1}};
    const struct disk *disk = NULL;
    int r = flash_image_open(&options->origin, &image, err);
    if (r >= 0 && options->seed.config)
        r = check_config(options, image.path, err);
    if (r >= 0)
        r = find_disks(&disks, err);
    if (r >= 0)
        r = disks_choose(&disks, options->path, options->serial, &disk, err);
    if (r >= 0)
        r = options->verify_only ? disk_check_size(disk, image.bmap.image_bytes, err) : disk_check(disk, image.bmap.image_bytes, err);
    if (r < 0)
        return r;
    if (!options->verify_only) {
        show_plan(options, &image, disk);
        r = confirm(options, disk, err);
    }
    return r < 0 ? r : flash_disk(options, &image, disk, err);
}

static bool is_sha256(const char *text) {
    uint8_t bytes[32];
    return strlen(text) == 2 * sizeof(bytes) && hex_parse(text, sizeof(bytes), bytes);
}

static int check_origin(const struct flash_origin *origin, struct err *err) {
    const char *const names[] = {origin->image, origin->map};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (names[i] && strstr(names[i], "://") && !url_is(names[i]))
            return err_set(err, -EINVAL, "%s: of addresses, only https:// and http:// are known", names[i]);
    if (origin->map_sha256 && !is_sha256(origin->map_sha256))
        return err_set(err, -EINVAL, "--bmap-sha256 %s: 64 digits 0-9 and a-f are expected, such as sha256sum prints", origin->map_sha256);
    return 0;
}

static int check_usage(const struct flash_options *options, int count, struct err *err) {
    if (options->list && (count > 0 || options->yes || options->verify_only || options->serial || options->seed.config))
        return err_set(err, -EINVAL, "--list goes with --json only");
    if (!options->list && count == 0)
        return err_set(err, -EINVAL, "name an image, or --list the disks");
    if (options->serial && !*options->serial)
        return err_set(err, -EINVAL, "--serial is empty: name a serial number; a disk that has none is named by its path");
    if (!options->list && !options->path && !options->serial)
        return err_set(err, -EINVAL, "name the disk, by its path or with --serial; --list shows them");
    if (seed_conflict(&options->seed))
        return err_set(err, -EINVAL, "%s", seed_conflict(&options->seed));
    if (options->verify_only && (options->seed.config || options->yes))
        return err_set(err, -EINVAL, "--verify-only writes nothing: it takes neither --config nor --yes");
    return check_origin(&options->origin, err);
}

int flash_command(const struct verb *self, flash_config_check *check, int argc, char **argv) {
    struct flash_options values = {.origin = {.http = HTTP_DEFAULTS, .wants_table = true}, .check = check};
    const struct opt options[] = {
        {"list", 'l', OPT_FLAG, &values.list, NULL, "only show the disks of this computer"},
        {"serial", 's', OPT_TEXT, &values.serial, "SERIAL", "the disk with this serial number, and no other"},
        {"yes", 'y', OPT_FLAG, &values.yes, NULL, "do not ask; needs --serial when the disk has a serial number"},
        {"bmap", 0, OPT_TEXT, &values.origin.map, "FILE|URL", "the block map (the .bmap file beside the image)"},
        {"bmap-sha256", 0, OPT_TEXT, &values.origin.map_sha256, "HEX", "the block map's SHA-256; makes http as good as https"},
        {"ca", 0, OPT_TEXT, &values.origin.http.ca_file, "FILE", "whom to trust for https (PEM), instead of this system's authorities"},
        {"config", 'c', OPT_TEXT, &values.seed.config, "FILE", "config.env for the machine, put on its boot partition"},
        {"encrypt-to", 0, OPT_TEXT, &values.seed.encrypt_to, "CERT",
         "put the secrets into an envelope for the keys of these certificates (PEM)"},
        {"secrets", 0, OPT_TEXT, &values.seed.secrets, "DIR", "directory of *.secret files (0600), put there, too"},
        {"verify-only", 0, OPT_FLAG, &values.verify_only, NULL, "only compare the disk with the image"},
        {"json", 0, OPT_FLAG, &values.json, NULL, "print the list, or progress and result, as JSON"},
        {0},
    };
    char **args;
    int count;
    struct err err = {0};
    int code = opt_parse(self, options, argc, argv, &args, &count);
    if (code >= 0)
        return code;
    values.origin.image = count > 0 ? args[0] : NULL;
    values.path = count > 1 ? args[1] : NULL;
    if (check_usage(&values, count, &err) < 0) {
        log_error("%s%s%s", self->name, *self->name ? ": " : "", err.text);
        return EXIT_USAGE;
    }
    if (values.list)
        return list_disks(values.json);
    int r = flash_image(&values, &err);
    if (r < 0 && values.json)
        report_failure(&err);
    return r < 0 ? verb_failed(r, &err) : EXIT_OK;
}
