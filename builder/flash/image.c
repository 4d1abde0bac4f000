// SPDX-License-Identifier: Apache-2.0
// Finds the files of an image by their names, as a build writes them, here or on a server.
#include "builder/flash/image.h"
#include "builder/flash/flash.h"
#include "builder/flash/table.h"
#include "builder/release.h"
#include "common/buf.h"
#include "common/digest.h"
#include "common/file.h"
#include "common/run.h"
#include "common/slot.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define STANDARD_INPUT "-"

static int find_image(const char *path, char **ret_path, struct err *err) {
    bool is_stream = strcmp(path, STANDARD_INPUT) == 0;
    if (!is_stream && !url_is(path))
        return release_find_image(path, ret_path, err);
    *ret_path = str_dup(is_stream ? "standard input" : path);
    return 0;
}

// "web-1.0.raw", "web-1.0.raw.zst" → "web-1.0.bmap"
static char *map_path(const char *path) {
    return url_beside(path, RUN_ARGV(".raw.zst", ".zst", ".raw"), ".bmap");
}

// What comes by http may be changed on its way, and the image is held against nothing but its map. Before anybody is asked.
static int check_origin(const struct flash_origin *origin, const char *path, struct err *err) {
    struct url url = {0};
    int r = url_is(path) ? url_parse(path, &url, err) : 0;
    bool is_open = url.host && !url.is_tls;
    url_done(&url);
    if (r < 0 || !is_open || origin->map_sha256)
        return r;
    return err_set(
        err, -EPERM,
        "%s: by http anybody on the way could change it, and the image is only held against this block map: take https, a map that you "
        "have (--bmap), or say by --bmap-sha256 which one is meant",
        path);
}

static int check_map(const char *path, const char *sha256, const char *xml, size_t size, struct err *err) {
    uint8_t wanted[DIGEST_BYTES], found[DIGEST_BYTES];
    if (!sha256)
        return 0;
    if (strlen(sha256) != 2 * DIGEST_BYTES || !hex_parse(sha256, DIGEST_BYTES, wanted))
        return err_set(err, -EINVAL, "the SHA-256 of the block map is not %d hexadecimal digits", 2 * DIGEST_BYTES);
    digest_bytes(xml, size, found);
    return memcmp(wanted, found, sizeof(found)) == 0 ? 0 : err_set(err, -EBADMSG, "%s has another SHA-256 than was told", path);
}

static int read_map(const struct flash_origin *origin, const char *path, char **ret_xml, size_t *ret_size, struct err *err) {
    return url_is(path) ? stream_fetch(path, &origin->http, BMAP_MAX_FILE_BYTES, ret_xml, ret_size, err)
                        : file_read(AT_FDCWD, path, BMAP_MAX_FILE_BYTES, ret_xml, ret_size, err);
}

static int load_map(const struct flash_origin *origin, const char *path, struct flash_image *image, struct err *err) {
    cleanup_free char *xml = NULL;
    size_t size = 0;
    bool is_there = origin->map || url_is(path) || file_exists(AT_FDCWD, path);
    if (!is_there && image->source.is_seekable && !origin->map_sha256)
        return bmap_whole(image->source.fd, image->path, &image->bmap, err);
    if (!is_there)
        return err_set(err, -ENOENT,
                       "%s: such an image needs its block map, which the build wrote as NAME.bmap: put it beside the image, or give --bmap",
                       image->path);
    int r = read_map(origin, path, &xml, &size, err);
    if (r >= 0)
        r = check_map(path, origin->map_sha256, xml, size, err);
    return r < 0 ? r : bmap_parse(xml, size, path, &image->bmap, err);
}

static int open_image(const struct flash_origin *origin, struct flash_image *image, struct err *err) {
    struct stream *stream = NULL;
    int fd = -1, r = 0;
    if (url_is(image->path))
        r = stream_new(image->path, &origin->http, &stream, &fd, err);
    else if (strcmp(origin->image, STANDARD_INPUT) != 0)
        fd = r = file_open(AT_FDCWD, image->path, O_RDONLY, 0, err);
    else if ((fd = r = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)) < 0)
        r = err_sys(err, -errno, "standard input");
    return r < 0 ? r : flash_source_open(fd, stream, image->path, &image->source, err);
}

static int check_least(const struct flash_image *image, uint64_t bytes, struct err *err) {
    return bytes >= FLASH_HEAD_BYTES + FLASH_TAIL_BYTES
               ? 0
               : err_set(err, -EINVAL, "%s is no disk image: it has %llu bytes", image->path, (unsigned long long)bytes);
}

// A raw file is looked at before it is read through and before anything is asked. Of what gives its bytes only once, flash_write() sees the head.
static int check_head(const struct flash_image *image, struct err *err) {
    cleanup_free uint8_t *head = mem_array(FLASH_HEAD_BYTES, 1);
    struct stat st;
    if (!image->source.is_seekable)
        return 0;
    if (fstat(image->source.fd, &st) < 0)
        return err_sys(err, -errno, "%s", image->path);
    int r = check_least(image, (uint64_t)st.st_size, err);
    if (r >= 0)
        r = pread_all(image->source.fd, image->path, head, FLASH_HEAD_BYTES, 0, err);
    return r < 0 ? r : table_check(head, image->path, err);
}

static int check_size(const struct flash_image *image, struct err *err) {
    struct stat st;
    int r = check_least(image, image->bmap.image_bytes, err);
    if (r < 0)
        return r;
    if (image->source.is_seekable && (fstat(image->source.fd, &st) < 0 || (uint64_t)st.st_size != image->bmap.image_bytes))
        return err_set(err, -EINVAL, "%s has another size than its block map says; it is cut off, or the map is of another image",
                       image->path);
    return 0;
}

int flash_image_open(const struct flash_origin *origin, struct flash_image *ret_image, struct err *err) {
    cleanup_flash_image struct flash_image image = {.source = {.fd = -1}};
    int r = find_image(origin->image, &image.path, err);
    if (r < 0)
        return r;
    cleanup_free char *map = origin->map ? str_dup(origin->map) : map_path(image.path);
    r = check_origin(origin, map, err);
    if (r >= 0)
        r = open_image(origin, &image, err);
    if (r >= 0 && origin->wants_table)
        r = check_head(&image, err);
    if (r >= 0)
        r = load_map(origin, map, &image, err);
    if (r >= 0)
        r = check_size(&image, err);
    if (r < 0)
        return r;
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
