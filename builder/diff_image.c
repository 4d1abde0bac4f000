// SPDX-License-Identifier: Apache-2.0
// Reads images through inspect, and the files of layers through unsquashfs, which tells all it knows of them in one pass (pseudo files).
#include "builder/diff_image.h"
#include "builder/release.h"
#include "builder/tempdir.h"
#include "builder/squashfs_attributes.h"
#include "builder/tool_log.h"
#include "common/buf.h"
#include "common/digest.h"
#include "common/file.h"
#include "common/meter.h"
#include "common/run.h"
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define DATA_MARK "#\n# START OF DATA - DO NOT MODIFY\n#\n"
#define MAX_LIST_BYTES (64 << 20)
#define HASH_DIGITS 12
#define MAX_VALUE_BYTES 128 // of an attribute, to be shown as it is
#define MAX_CONFIG_BYTES (4 << 20)

const char *const diff_section_names[DIFF_SECTIONS] = {"layers", "packages", "kernel command line", "kernel options", "files"};
const char *const diff_section_keys[DIFF_SECTIONS] = {"layers", "packages", "cmdline", "kernel_options", "files"};

void diff_image_done(struct diff_image *image) {
    for (size_t i = 0; i < DIFF_SECTIONS; i++)
        diff_list_done(&image->lists[i]);
    inspect_done(&image->inspect);
    free(image->path);
    image->path = NULL;
}

static void add_layers(struct diff_image *image) {
    for (unsigned i = 0; i < image->slot->header.layer_count; i++) {
        const struct slot_layer *layer = &image->slot->header.layers[i];
        char size[METER_SIZE_BYTES], hex[2 * DIGEST_BYTES + 1];
        hex_format(layer->sha256, sizeof(layer->sha256), hex);
        cleanup_free char *value = str_printf("%s, %s, %.*s", layer->version, meter_size(layer->length, size), HASH_DIGITS, hex);
        diff_add(&image->lists[DIFF_LAYERS], layer->name, value);
    }
}

static void add_packages(struct diff_image *image) {
    for (size_t i = 0; i < image->inspect.packages.count; i++) {
        const struct dpkg_package *package = &image->inspect.packages.packages[i];
        cleanup_free char *key = str_printf("%s:%s", package->name, package->architecture);
        if (package->installed)
            diff_add(&image->lists[DIFF_PACKAGES], key, package->version);
    }
}

// webops.slot= is another one in every generation, and says nothing. Of the words of one key the order counts: the last console= is /dev/console.
static void add_cmdline(struct diff_image *image) {
    cleanup_free char *words = str_dup(image->slot->cmdline ?: "");
    char *rest = NULL;
    for (char *word = strtok_r(words, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        if (strncmp(word, "webops.slot=", 12) == 0)
            continue;
        char *value = strchr(word, '=');
        if (value)
            *value++ = 0;
        diff_join(&image->lists[DIFF_CMDLINE], word, value ?: "");
    }
}

static void fill(struct diff_image *image) {
    for (unsigned i = 0; !image->slot; i++) // a good image has one
        image->slot = image->inspect.slots[i].has_header ? &image->inspect.slots[i] : NULL;
    add_layers(image);
    add_packages(image);
    add_cmdline(image);
}

int diff_image_load(const char *path, struct diff_image *ret_image, struct err *err) {
    *ret_image = (struct diff_image){0};
    int r = release_find_image(path, &ret_image->path, err);
    if (r >= 0)
        r = inspect_load(ret_image->path, &ret_image->inspect, err);
    if (r >= 0 && (!inspect_is_good(&ret_image->inspect) || strcmp(ret_image->inspect.format, "raw") != 0))
        r = err_set(err, -EBADMSG, "%s: is no raw image that verifies; `webops-image inspect` says more", ret_image->path);
    if (r < 0)
        diff_image_done(ret_image);
    else
        fill(ret_image);
    return r;
}

struct listing {
    struct diff_image *image;
    const char *layer;
    int fd; // of the pseudo file
    uint64_t data_at; // where the contents begin in it
};

static void add_option(struct diff_list *list, char *line) {
    static const char off[] = " is not set";
    char *value = strchr(line, '=');
    size_t size = strlen(line), tail = strlen(off);
    if (strncmp(line, "CONFIG_", 7) == 0 && value) {
        *value++ = 0;
        diff_add(list, line, value);
    } else if (strncmp(line, "# CONFIG_", 9) == 0 && size > tail && strcmp(line + size - tail, off) == 0) {
        line[size - tail] = 0;
        diff_add(list, line + 2, "n");
    }
}

static int add_kernel(const struct listing *listing, uint64_t offset, uint64_t size, struct err *err) {
    cleanup_free char *text = mem_array((size_t)size + 1, 1);
    char *rest = NULL;
    int r = pread_all(listing->fd, listing->layer, text, (size_t)size, listing->data_at + offset, err);
    for (char *line = r < 0 ? NULL : strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        add_option(&listing->image->lists[DIFF_KERNEL], line);
    return r;
}

static void add_entry(const struct listing *listing, const char *path, const char *suffix, const char *value) {
    cleanup_free char *key = str_printf("%s: %s%s", listing->layer, path, suffix);
    diff_add(&listing->image->lists[DIFF_FILES], key, value);
}

// "size offset …", behind what all files have.
static int add_regular(const struct listing *listing, const char *path, const char *attributes, const char *rest, struct err *err) {
    uint64_t size = 0, offset = 0;
    uint8_t sha256[DIGEST_BYTES];
    char hex[2 * DIGEST_BYTES + 1];
    if (sscanf(rest, "%" SCNu64 " %" SCNu64, &size, &offset) != 2 || size > SLOT_MAX_BYTES || offset > SLOT_MAX_BYTES)
        return err_set(err, -EINVAL, "layer %s: %.200s has no size", listing->layer, path);
    int r = digest_range(listing->fd, path, listing->data_at + offset, size, sha256, err);
    if (r < 0)
        return r;
    hex_format(sha256, sizeof(sha256), hex);
    cleanup_free char *value = str_printf("%s %" PRIu64 " %.*s", attributes, size, HASH_DIGITS, hex);
    add_entry(listing, path, "", value);
    bool is_config = fnmatch("usr/lib/modules/*/config", path, FNM_PATHNAME) == 0 && size <= MAX_CONFIG_BYTES;
    return is_config ? add_kernel(listing, offset, size, err) : 0;
}

// "path TYPE time mode uid gid …", "path L target" for another name of a file, "path x name=value" for an extended attribute (from 4.6 on; they are read
// by squashfs_attributes.c): how unsquashfs describes files; blanks in the path have a backslash before them.
static int add_file(const struct listing *listing, char *line, struct err *err) {
    char *end = line, type = 0;
    unsigned mode, uid, gid;
    int words = 0;
    while (*end && *end != ' ')
        end += end[0] == '\\' && end[1] ? 2 : 1;
    if (sscanf(end, " %c %n", &type, &words) == 1 && (type == 'L' || type == 'x')) {
        const char *rest = end + words;
        *end = 0;
        if (type == 'L')
            add_entry(listing, line, " (link)", rest);
        return 0;
    }
    if (sscanf(end, " %c %*s %o %u %u %n", &type, &mode, &uid, &gid, &words) != 4)
        return err_set(err, -EINVAL, "layer %s: unsquashfs describes a file in a way that is not known: %.200s", listing->layer, line);
    const char *rest = end + words;
    *end = 0;
    cleanup_free char *attributes = str_printf("%04o %u:%u", mode, uid, gid);
    if (type == 'R')
        return add_regular(listing, line, attributes, rest, err);
    cleanup_free char *value = str_printf("%c %s %s", type, attributes, rest);
    add_entry(listing, line, "", value);
    return 0;
}

// The list stands before the contents of all files, which are not brought into memory.
static int read_list(struct listing *listing, char **ret_text, struct err *err) {
    struct stat st;
    if (fstat(listing->fd, &st) < 0 || st.st_size == 0)
        return err_set(err, -EIO, "layer %s: unsquashfs wrote nothing", listing->layer);
    char *all = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, listing->fd, 0);
    if (all == MAP_FAILED)
        return err_sys(err, -errno, "layer %s", listing->layer);
    const char *end = memmem(all, (size_t)st.st_size, DATA_MARK, strlen(DATA_MARK));
    size_t size = end ? (size_t)(end - all) : (size_t)st.st_size; // no mark: no regular file
    int r = size <= MAX_LIST_BYTES ? 0 : err_set(err, -EFBIG, "layer %s: a list of more than %d MiB", listing->layer, MAX_LIST_BYTES >> 20);
    if (r >= 0)
        *ret_text = str_printf("%.*s", (int)size, all);
    listing->data_at = size + strlen(DATA_MARK);
    munmap(all, (size_t)st.st_size);
    return r;
}

static int read_listing(struct listing *listing, struct err *err) {
    cleanup_free char *text = NULL;
    char *rest = NULL;
    int r = read_list(listing, &text, err);
    for (char *line = r < 0 ? NULL : strtok_r(text, "\n", &rest); r >= 0 && line; line = strtok_r(NULL, "\n", &rest))
        r = add_file(listing, line, err);
    return r;
}

static int add_layer_files(struct diff_image *image, const struct slot_layer *layer, const char *dir, struct err *err) {
    cleanup_free char *pseudo = str_printf("%s/files", dir), *offset = str_printf("%" PRIu64, image->slot->offset + layer->offset),
                      *path = tool_path(image->path);
    const struct run unsquashfs = {.argv = RUN_ARGV("unsquashfs", "-n", "-o", offset, "-pf", pseudo, path)};
    int r = run_quiet(&unsquashfs, err);
    if (r < 0)
        return err_prefix(err, r, "%s, layer %s", image->path, layer->name);
    cleanup_fd int fd = file_open(AT_FDCWD, pseudo, O_RDONLY, 0, err);
    struct listing listing = {.image = image, .layer = layer->name, .fd = fd};
    r = fd < 0 ? fd : read_listing(&listing, err);
    unlink(pseudo);
    return r;
}

// Labels are text; of what is none, such as capabilities, hexadecimal digits, and of much of that a hash.
static char *attribute_text(const uint8_t *value, size_t size) {
    cleanup_buf struct buf text = {0};
    size_t length = size && !value[size - 1] ? size - 1 : size;
    bool is_text = length > 0;
    for (size_t i = 0; i < length; i++)
        is_text &= value[i] > ' ' && value[i] <= '~';
    uint8_t sha256[DIGEST_BYTES];
    if (is_text && length <= MAX_VALUE_BYTES)
        return str_printf("%.*s", (int)length, (const char *)value);
    if (size > MAX_VALUE_BYTES) {
        digest_bytes(value, size, sha256);
        buf_printf(&text, "%zu bytes ", size);
        value = sha256;
        size = HASH_DIGITS / 2;
    }
    for (size_t i = 0; i < size; i++)
        buf_printf(&text, "%02x", value[i]);
    return buf_take(&text);
}

static void add_attribute(void *context, const char *path, const char *name, const uint8_t *value, size_t size) {
    cleanup_free char *suffix = str_printf(" (%s)", name), *text = attribute_text(value, size);
    add_entry(context, *path ? path : "/", suffix, text); // as unsquashfs calls the root
}

static int add_layer_attributes(struct diff_image *image, const struct slot_layer *layer, struct err *err) {
    cleanup_fd int fd = file_open(AT_FDCWD, image->path, O_RDONLY, 0, err);
    struct listing listing = {.image = image, .layer = layer->name, .fd = fd};
    int r = fd < 0 ? fd
                   : squashfs_attributes(fd, layer->name, image->slot->offset + layer->offset, layer->length, add_attribute, &listing, err);
    return r < 0 ? err_prefix(err, r, "%s, layer", image->path) : 0;
}

static bool has_layer(const struct diff_image *image, const struct slot_layer *layer) {
    for (unsigned i = 0; i < image->slot->header.layer_count; i++) {
        const struct slot_layer *mine = &image->slot->header.layers[i];
        if (strcmp(mine->name, layer->name) == 0 && memcmp(mine->sha256, layer->sha256, sizeof(layer->sha256)) == 0)
            return true;
    }
    return false;
}

int diff_image_add_files(struct diff_image *image, const struct diff_image *other, struct err *err) {
    cleanup_tempdir char *dir = NULL;
    int r = tempdir_make("diff", &dir, err);
    for (unsigned i = 0; r >= 0 && i < image->slot->header.layer_count; i++) {
        const struct slot_layer *layer = &image->slot->header.layers[i];
        if (has_layer(other, layer))
            continue;
        r = add_layer_files(image, layer, dir, err);
        if (r >= 0)
            r = add_layer_attributes(image, layer, err);
    }
    return r;
}
