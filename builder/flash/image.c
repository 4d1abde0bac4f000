// SPDX-License-Identifier: Apache-2.0
// Finds the files of an image by their names, as a build writes them.
#include "builder/flash/image.h"
#include "builder/flash/flash.h"
#include "builder/release.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/run.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define STANDARD_INPUT "-"

static int find_image(const char *path, char **ret_path, struct err *err) {
    if (strcmp(path, STANDARD_INPUT) != 0)
        return release_find_image(path, ret_path, err);
    *ret_path = str_dup("standard input");
    return 0;
}

// "web-1.0.raw", "web-1.0.raw.zst" → "web-1.0.bmap"
static char *map_path(const char *path) {
    cleanup_free char *base = str_without(path, RUN_ARGV(".raw.zst", ".zst", ".raw"));
    return str_printf("%s.bmap", base);
}

static int load_map(const char *map, struct flash_image *image, struct err *err) {
    cleanup_free char *path = map ? str_dup(map) : map_path(image->path), *xml = NULL;
    size_t size = 0;
    bool is_there = map || file_exists(AT_FDCWD, path);
    if (!is_there && image->source.is_seekable)
        return bmap_scan(image->source.fd, image->path, &image->bmap, err);
    if (!is_there)
        return err_set(err, -ENOENT,
                       "%s: such an image needs its block map, which the build wrote as NAME.bmap: put it beside the image, or give --bmap",
                       image->path);
    int r = file_read(AT_FDCWD, path, BMAP_MAX_FILE_BYTES, &xml, &size, err);
    return r < 0 ? r : bmap_parse(xml, size, path, &image->bmap, err);
}

static int open_image(const char *path, const struct flash_image *image, struct err *err) {
    if (strcmp(path, STANDARD_INPUT) != 0)
        return file_open(AT_FDCWD, image->path, O_RDONLY, 0, err);
    int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    return fd < 0 ? err_sys(err, -errno, "standard input") : fd;
}

int flash_image_open(const char *path, const char *map, struct flash_image *ret_image, struct err *err) {
    cleanup_flash_image struct flash_image image = {.source = {.fd = -1}};
    struct stat st;
    int r = find_image(path, &image.path, err);
    int fd = r < 0 ? r : open_image(path, &image, err);
    if (fd < 0)
        return fd;
    r = flash_source_open(fd, image.path, &image.source, err);
    if (r >= 0)
        r = load_map(map, &image, err);
    if (r < 0)
        return r;
    if (image.bmap.image_bytes < FLASH_HEAD_BYTES + FLASH_TAIL_BYTES)
        return err_set(err, -EINVAL, "%s is no disk image: it has %llu bytes", image.path, (unsigned long long)image.bmap.image_bytes);
    if (image.source.is_seekable && (fstat(fd, &st) < 0 || (uint64_t)st.st_size != image.bmap.image_bytes))
        return err_set(err, -EINVAL, "%s has another size than its block map says; it is cut off, or the map is of another image",
                       image.path);
    *ret_image = image;
    image = (struct flash_image){.source = {.fd = -1}};
    return 0;
}

void flash_image_done(struct flash_image *image) {
    flash_source_done(&image->source);
    bmap_done(&image->bmap);
    free(image->path);
    image->path = NULL;
}
