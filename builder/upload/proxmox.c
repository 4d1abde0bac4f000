// SPDX-License-Identifier: Apache-2.0
// The calls in their order. Each asks first what is there, so that a second run repeats nothing.
#include "builder/upload/proxmox.h"
#include "builder/flash/image.h"
#include "builder/output.h"
#include "builder/upload/proxmox_task.h"
#include "common/buf.h"
#include "common/digest.h"
#include "common/file.h"
#include "common/slot.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define IDENTITY_DIGITS 12
#define FIRST_RELEASE_MAJOR 8 // that imports images by its API: 8.4 (libpve-storage 8.3.6)
#define FIRST_RELEASE_MINOR 4

void proxmox_result_done(struct proxmox_result *result) {
    free(result->volume);
    *result = (struct proxmox_result){0};
}

struct upload { // what the steps hand on
    const struct api *api;
    const struct proxmox_request *request;
    struct progress *progress;
    struct proxmox_result *result;
    char *node, *dir; // dir: private, for what is made on the way
    char *image, *title, *name; // name: as the storage shall see it
    char *seed_volume;
    bool is_qcow2;
};

static void upload_done(struct upload *upload) {
    struct err ignored;
    if (upload->dir)
        (void)!file_remove_tree(AT_FDCWD, upload->dir, &ignored);
    char *const strings[] = {upload->node, upload->dir, upload->image, upload->title, upload->name, upload->seed_volume};
    for (size_t i = 0; i < ARRAY_SIZE(strings); i++)
        free(strings[i]);
}

static int get(const struct upload *upload, const char *path, const struct api_field *fields, json_t **ret_data, struct err *err) {
    return proxmox_call(upload->api, "GET", path, fields, ret_data, err);
}

// What its name begins with: "out/web-1.0.raw" → "web-1.0", letters that a volume's name may have.
static char *title_of(const char *path) {
    const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    char *title = str_without(name, (const char *const[]){".qcow2", ".raw", ".img", NULL});
    for (char *at = title; *at; at++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_", *at))
            *at = '-';
    return title;
}

// The same image has the same name wherever it is uploaded from, so that the storage tells whether it is there.
static int identify(struct upload *upload, struct err *err) {
    uint8_t identity[DIGEST_BYTES];
    char hex[2 * DIGEST_BYTES + 1], magic[4] = "";
    struct flash_image image = {.source = {.fd = -1}};
    struct stat st;
    if (stat(upload->request->image, &st) < 0)
        return err_sys(err, -errno, "image %s", upload->request->image);
    cleanup_fd int fd = S_ISREG(st.st_mode) ? open(upload->request->image, O_RDONLY | O_CLOEXEC) : -1;
    upload->is_qcow2 = fd >= 0 && read(fd, magic, sizeof(magic)) == sizeof(magic) && memcmp(magic, "QFI\xfb", 4) == 0;
    if (upload->is_qcow2) {
        int r = digest_file(AT_FDCWD, upload->request->image, hex, NULL, err);
        upload->image = str_dup(upload->request->image);
        upload->title = title_of(upload->image);
        upload->name = r < 0 ? NULL : str_printf("%s-%.*s.qcow2", upload->title, IDENTITY_DIGITS, hex);
        return r;
    }
    int r = flash_image_open(&(struct flash_origin){.image = upload->request->image}, &image, err);
    if (r < 0)
        return r;
    bmap_identity(&image.bmap, identity);
    hex_format(identity, sizeof(identity), hex);
    upload->image = str_dup(image.path);
    upload->title = title_of(upload->image);
    upload->name = str_printf("%s-%.*s.qcow2", upload->title, IDENTITY_DIGITS, hex);
    bool is_raw = image.source.is_seekable;
    flash_image_done(&image);
    return is_raw ? 0 : err_set(err, -EINVAL, "%s: a raw or qcow2 image is expected: zstd -d", upload->image);
}

static int check_release(const struct upload *upload, struct err *err) {
    json_t *data = NULL;
    unsigned major = 0, minor = 0;
    int r = get(upload, "/version", NULL, &data, err);
    const char *version = json_string_value(json_object_get(data, "version"));
    if (r >= 0 && (!version || sscanf(version, "%u.%u", &major, &minor) < 1))
        r = err_set(err, -EBADMSG, "%s: this is no Proxmox VE: it does not tell its version", upload->api->base);
    else if (r >= 0 && (major < FIRST_RELEASE_MAJOR || (major == FIRST_RELEASE_MAJOR && minor < FIRST_RELEASE_MINOR)))
        r = err_set(err, -ENOTSUP,
                    "Proxmox VE %s takes no images over its API; from 8.4 on it does. Copy the qcow2 to the node and there: qm importdisk "
                    "VMID FILE STORAGE "
                    "(docs/PROXMOX.md)",
                    version);
    json_decref(data);
    return r;
}

static int find_node(struct upload *upload, struct err *err) {
    json_t *data = NULL;
    if (upload->request->node) {
        upload->node = str_dup(upload->request->node);
        return 0;
    }
    int r = get(upload, "/nodes", NULL, &data, err);
    const char *name = json_string_value(json_object_get(json_array_get(data, 0), "node"));
    if (r >= 0 && (json_array_size(data) != 1 || !name))
        r = err_set(err, -EINVAL, "the cluster has %zu nodes: say which with --node", json_array_size(data));
    else if (r >= 0)
        upload->node = str_dup(name);
    json_decref(data);
    return r;
}

static bool has_word(const char *list, const char *word) {
    size_t size = strlen(word);
    for (const char *at = list; at && (at = strstr(at, word)); at += size)
        if ((at == list || at[-1] == ',') && (at[size] == 0 || at[size] == ','))
            return true;
    return false;
}

static int check_storage(const struct upload *upload, struct err *err) {
    const struct proxmox_request *request = upload->request;
    cleanup_free char *path = str_printf("/nodes/%s/storage/%s/status", upload->node, request->storage);
    json_t *data = NULL;
    int r = get(upload, path, NULL, &data, err);
    const char *content = json_string_value(json_object_get(data, "content"));
    if (r >= 0 && !has_word(content, "import"))
        r = err_set(err, -EINVAL, "storage %s takes no disk images: add content type \"import\" to it (Datacenter, Storage, Edit)",
                    request->storage);
    else if (r >= 0 && request->seed.config && !has_word(content, "iso"))
        r = err_set(err, -EINVAL, "storage %s takes no ISO images, which the configuration goes on", request->storage);
    json_decref(data);
    return r;
}

// *ret_volume stays NULL when the storage has no such file.
static int find_volume(const struct upload *upload, const char *content, const char *name, char **ret_volume, struct err *err) {
    cleanup_free char *path = str_printf("/nodes/%s/storage/%s/content", upload->node, upload->request->storage),
                      *volume = str_printf("%s:%s/%s", upload->request->storage, content, name);
    const struct api_field fields[] = {{"content", content}, {NULL, NULL}};
    json_t *data = NULL, *item;
    size_t index;
    int r = get(upload, path, fields, &data, err);
    json_array_foreach(data, index, item) {
        const char *found = json_string_value(json_object_get(item, "volid"));
        if (r >= 0 && found && strcmp(found, volume) == 0 && !*ret_volume)
            *ret_volume = take_ptr(volume);
        if (!volume)
            break;
    }
    json_decref(data);
    return r;
}

static void show_upload(void *context, uint64_t done, uint64_t total) {
    progress_update(context, done, total);
}

static int send_file(const struct upload *upload, const char *content, const char *file_path, const char *name, struct err *err) {
    cleanup_free char *path = str_printf("/nodes/%s/storage/%s/upload", upload->node, upload->request->storage);
    char sha256[2 * DIGEST_BYTES + 1];
    json_t *data = NULL;
    int r = digest_file(AT_FDCWD, file_path, sha256, NULL, err);
    if (r < 0)
        return r;
    // In this order, and the file last: the server's reader knows no other.
    const struct api_field fields[] = {{"content", content}, {"checksum-algorithm", "sha256"}, {"checksum", sha256}, {NULL, NULL}};
    const struct api_file file = {
        .field = "filename", .path = file_path, .name = name, .progress = show_upload, .context = upload->progress};
    r = proxmox_send(upload->api, path, fields, &file, &data, err);
    if (r >= 0)
        r = proxmox_wait(upload->api, upload->node, json_string_value(data), err);
    json_decref(data);
    return r;
}

static int step(struct upload *upload, const char *label, int (*run)(struct upload *, struct err *), const char *done, struct err *err) {
    progress_start(upload->progress, label);
    int r = run(upload, err);
    progress_end(upload->progress, r < 0 ? "failed" : done);
    return r;
}

static int convert(struct upload *upload, struct err *err) {
    cleanup_free char *path = str_printf("%s/%s", upload->dir, upload->name);
    if (upload->is_qcow2)
        return 0;
    int r = output_qcow2(upload->image, path, true, err);
    if (r >= 0) {
        free(upload->image);
        upload->image = take_ptr(path);
    }
    return r;
}

static int send_image(struct upload *upload, struct err *err) {
    int r = send_file(upload, "import", upload->image, upload->name, err);
    if (r >= 0)
        upload->result->volume = str_printf("%s:import/%s", upload->request->storage, upload->name);
    return r;
}

static int check(struct upload *upload, struct err *err) {
    const char *parent = getenv("TMPDIR");
    cleanup_free char *dir = str_printf("%s/webops-upload-XXXXXX", parent && *parent ? parent : "/var/tmp");
    int r = identify(upload, err);
    if (r >= 0)
        r = check_release(upload, err);
    if (r >= 0)
        r = find_node(upload, err);
    if (r >= 0)
        r = check_storage(upload, err);
    if (r >= 0)
        r = find_volume(upload, "import", upload->name, &upload->result->volume, err);
    if (r >= 0 && !mkdtemp(dir))
        return err_sys(err, -errno, "creating %s", dir);
    if (r >= 0)
        upload->dir = take_ptr(dir);
    return r;
}

static int send_seed(struct upload *upload, struct err *err) {
    char sha256[2 * DIGEST_BYTES + 1];
    cleanup_free char *path = str_printf("%s/seed.iso", upload->dir), *name = NULL;
    struct seed seed = upload->request->seed;
    seed.path = path;
    int r = seed_save(&seed, err);
    if (r >= 0)
        r = digest_file(AT_FDCWD, path, sha256, NULL, err);
    if (r < 0)
        return r;
    name = str_printf("%s-seed-%.*s.iso", upload->title, IDENTITY_DIGITS, sha256);
    r = find_volume(upload, "iso", name, &upload->seed_volume, err);
    if (r < 0 || upload->seed_volume)
        return r;
    r = send_file(upload, "iso", path, name, err);
    if (r >= 0)
        upload->seed_volume = str_printf("%s:iso/%s", upload->request->storage, name);
    return r;
}

static int choose_vmid(struct upload *upload, struct err *err) {
    json_t *data = NULL;
    upload->result->vmid = upload->request->vmid;
    if (upload->result->vmid)
        return 0;
    int r = get(upload, "/cluster/nextid", NULL, &data, err);
    const char *text = json_string_value(data); // "100"
    upload->result->vmid = text ? strtol(text, NULL, 10) : (long)json_integer_value(data);
    json_decref(data);
    return r >= 0 && upload->result->vmid < 100 ? err_set(err, -EBADMSG, "the cluster names no free VM id") : r;
}

static int create(struct upload *upload, struct err *err) {
    const struct proxmox_request *request = upload->request;
    int r = choose_vmid(upload, err);
    if (r < 0)
        return r;
    cleanup_free char *path = str_printf("/nodes/%s/qemu", upload->node), *vmid = str_printf("%ld", upload->result->vmid),
                      *memory = str_printf("%ld", request->memory_mib), *cores = str_printf("%ld", request->cores),
                      *disk = str_printf("%s:0,import-from=%s,discard=on", request->vm_storage, upload->result->volume),
                      *efi = str_printf("%s:1,efitype=4m,pre-enrolled-keys=0", request->vm_storage),
                      *network = str_printf("virtio,bridge=%s", request->bridge),
                      *cdrom = upload->seed_volume ? str_printf("%s,media=cdrom", upload->seed_volume) : NULL;
    const struct api_field fields[] = {
        {"vmid", vmid},
        {"name", request->name ? request->name : upload->title},
        {"ostype", "l26"},
        {"memory", memory},
        {"cores", cores},
        {"scsihw", "virtio-scsi-single"},
        {"scsi0", disk},
        {"net0", network},
        {"serial0", "socket"},
        {"boot", "order=scsi0"},
        {"ide2", cdrom},
        {"bios", request->uefi ? "ovmf" : NULL},
        {"machine", request->uefi ? "q35" : NULL},
        {"efidisk0", request->uefi ? efi : NULL},
        {"start", request->starts ? "1" : NULL},
        {NULL, NULL},
    };
    json_t *data = NULL;
    r = proxmox_call(upload->api, "POST", path, fields, &data, err);
    if (r >= 0)
        r = proxmox_wait(upload->api, upload->node, json_string_value(data), err);
    json_decref(data);
    return r;
}

static int make_template(struct upload *upload, struct err *err) {
    cleanup_free char *path = str_printf("/nodes/%s/qemu/%ld/template", upload->node, upload->result->vmid);
    json_t *data = NULL;
    int r = proxmox_call(upload->api, "POST", path, NULL, &data, err);
    if (r >= 0 && json_is_string(data))
        r = proxmox_wait(upload->api, upload->node, json_string_value(data), err);
    json_decref(data);
    return r;
}

unsigned proxmox_stages(const struct proxmox_request *request) {
    return 3u + (request->makes_vm ? 1 : 0) + (request->makes_vm && request->seed.config ? 1 : 0) + (request->makes_template ? 1 : 0);
}

int proxmox_upload(const struct api *api, const struct proxmox_request *request, struct progress *progress,
                   struct proxmox_result *ret_result, struct err *err) {
    *ret_result = (struct proxmox_result){0};
    cleanup(upload_done) struct upload upload = {.api = api, .request = request, .progress = progress, .result = ret_result};
    int r = step(&upload, "asking", check, "done", err);
    ret_result->was_there = r >= 0 && ret_result->volume;
    if (r >= 0 && !ret_result->was_there)
        r = step(&upload, "converting", convert, "done", err);
    if (r >= 0 && !ret_result->was_there)
        r = step(&upload, "uploading", send_image, "done", err);
    if (r >= 0 && request->makes_vm && request->seed.config)
        r = step(&upload, "configuration", send_seed, "done", err);
    if (r >= 0 && request->makes_vm)
        r = step(&upload, "virtual machine", create, "made", err);
    if (r >= 0 && request->makes_template)
        r = step(&upload, "template", make_template, "made", err);
    return r;
}
