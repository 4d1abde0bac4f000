// SPDX-License-Identifier: Apache-2.0
// The calls in their order. Each asks first what is there, so that a second run repeats nothing.
#include "builder/upload/proxmox.h"
#include "builder/flash/flash.h"
#include "builder/output.h"
#include "builder/release.h"
#include "builder/tempdir.h"
#include "builder/upload/lock.h"
#include "builder/upload/proxmox_task.h"
#include "builder/upload/proxmox_vm.h"
#include "common/buf.h"
#include "common/digest.h"
#include "common/file.h"
#include "common/log.h"
#include "common/slot.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define IDENTITY_DIGITS 12
#define OTHERS_MS (15 * 60 * 1000) // for tasks of others: a copy or an import may take some minutes, and one that hangs never ends
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
    int lock; // until the end: two runs that both find nothing would make two machines
    struct proxmox_vm vm;
};

static void upload_done(struct upload *upload) {
    if (upload->lock >= 0)
        close(upload->lock);
    tempdir_done(&upload->dir);
    char *const strings[] = {upload->node, upload->image, upload->title, upload->name, upload->seed_volume};
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

// Whether it can be imported. *ret_qcow2: it goes as it is.
static int check_format(const char *path, bool *ret_qcow2, struct err *err) {
    cleanup_flash_source struct flash_source source = {.fd = -1};
    char magic[4] = "";
    struct stat st;
    int fd = file_open(AT_FDCWD, path, O_RDONLY, 0, err);
    if (fd < 0)
        return fd;
    *ret_qcow2 = pread(fd, magic, sizeof(magic), 0) == sizeof(magic) && memcmp(magic, "QFI\xfb", sizeof(magic)) == 0;
    if (*ret_qcow2) {
        close(fd);
        return 0;
    }
    int r = flash_source_open(fd, NULL, path, &source, err);
    if (r < 0)
        return r;
    if (!source.is_seekable)
        return err_set(err, -EINVAL, "%s: a raw or qcow2 image is expected: zstd -d", path);
    if (fstat(source.fd, &st) < 0 || (uint64_t)st.st_size < FLASH_HEAD_BYTES + FLASH_TAIL_BYTES)
        return err_set(err, -EINVAL, "%s is no disk image: it is too small", path);
    return 0;
}

// The same bytes have the same name wherever they come from, so that the storage tells whether they are there. The block map beside an image does not
// tell: it stays as it is when a configuration is put on the image.
static int identify(struct upload *upload, struct err *err) {
    char hex[2 * DIGEST_BYTES + 1];
    int r = release_find_image(upload->request->image, &upload->image, err);
    if (r >= 0)
        r = check_format(upload->image, &upload->is_qcow2, err);
    if (r >= 0)
        r = digest_file(AT_FDCWD, upload->image, hex, NULL, err);
    if (r < 0)
        return r;
    upload->title = title_of(upload->image);
    upload->name = str_printf("%s-%.*s.qcow2", upload->title, IDENTITY_DIGITS, hex);
    return 0;
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

// *ret_volume stays NULL when the storage has no such file. While one is being copied to its place it has its name already, and not all of its bytes; the task
// tells neither storage nor name, and runs on the node that we speak to.
static int find_volume(const struct upload *upload, const char *content, const char *name, char **ret_volume, struct err *err) {
    cleanup_free char *path = str_printf("/nodes/%s/storage/%s/content", upload->node, upload->request->storage),
                      *volume = str_printf("%s:%s/%s", upload->request->storage, content, name);
    const struct api_field fields[] = {{"content", content}, {NULL, NULL}};
    json_t *data = NULL, *item;
    size_t index;
    int r = proxmox_wait_for_others(upload->api, "localhost", "imgcopy", "copies a file to a storage", OTHERS_MS, err);
    if (r >= 0)
        r = get(upload, path, fields, &data, err);
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
        r = proxmox_wait(upload->api, json_string_value(data), 0, err);
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

// Converting takes its time: another one may have sent it meanwhile, and makes a machine of it while we would write over it.
static int send_image(struct upload *upload, struct err *err) {
    int r = find_volume(upload, "import", upload->name, &upload->result->volume, err);
    upload->result->was_there = r >= 0 && upload->result->volume;
    if (r < 0 || upload->result->was_there)
        return r;
    r = send_file(upload, "import", upload->image, upload->name, err);
    if (r >= 0)
        upload->result->volume = str_printf("%s:import/%s", upload->request->storage, upload->name);
    return r;
}

static int check(struct upload *upload, struct err *err) {
    cleanup_free char *what = str_printf("proxmox %s %s", upload->api->base, upload->name);
    int r = upload->lock = lock_wait(what, err);
    if (r >= 0)
        r = check_release(upload, err);
    if (r >= 0)
        r = find_node(upload, err);
    if (r >= 0)
        r = check_storage(upload, err);
    if (r >= 0)
        r = find_volume(upload, "import", upload->name, &upload->result->volume, err);
    return r < 0 ? r : tempdir_make("upload", &upload->dir, err);
}

static int send_seed_file(struct upload *upload, const char *path, struct err *err) {
    char sha256[2 * DIGEST_BYTES + 1];
    int r = digest_file(AT_FDCWD, path, sha256, NULL, err);
    if (r < 0)
        return r;
    cleanup_free char *name = str_printf("%s-seed-%.*s.iso", upload->title, IDENTITY_DIGITS, sha256);
    r = find_volume(upload, "iso", name, &upload->seed_volume, err);
    if (r < 0 || upload->seed_volume)
        return r;
    r = send_file(upload, "iso", path, name, err);
    if (r >= 0)
        upload->seed_volume = str_printf("%s:iso/%s", upload->request->storage, name);
    return r;
}

static void fill_vm(struct upload *upload) {
    upload->vm.node = upload->node;
    upload->vm.title = upload->title;
    upload->vm.volume = upload->result->volume;
    upload->vm.seed_volume = upload->seed_volume;
}

// An envelope is another one each time: for a machine that is there already it would be sent for nothing, and stay on the storage.
static int find_sealed_vm(struct upload *upload, struct err *err) {
    if (!upload->request->seed.encrypt_to)
        return 0;
    fill_vm(upload);
    int r = proxmox_vm_find(&upload->vm, err);
    if (r >= 0 && upload->vm.was_there && upload->request->seed.secrets)
        log_info("virtual machine %ld was made by this command earlier, and has the secrets of that time: with --encrypt-to it cannot be "
                 "told whether they have changed (docs/PROXMOX.md)",
                 upload->vm.vmid);
    return r;
}

// It holds secrets, and is not kept here for longer than it takes to send it.
static int send_seed(struct upload *upload, struct err *err) {
    cleanup_free char *path = str_printf("%s/seed.iso", upload->dir);
    struct seed seed = upload->request->seed;
    seed.path = path;
    int r = find_sealed_vm(upload, err);
    if (r < 0 || upload->vm.was_there)
        return r;
    r = seed_save(&seed, err);
    if (r >= 0)
        r = send_seed_file(upload, path, err);
    unlink(path);
    return r;
}

static int make_vm(struct upload *upload, struct err *err) {
    fill_vm(upload);
    int r = proxmox_vm_make(&upload->vm, err);
    upload->result->vmid = upload->vm.vmid;
    upload->result->vm_was_there = upload->vm.was_there;
    return r;
}

static int make_template(struct upload *upload, struct err *err) {
    return proxmox_vm_make_template(&upload->vm, err);
}

unsigned proxmox_stages(const struct proxmox_request *request) {
    return 4u + (request->makes_vm ? 1 : 0) + (request->makes_vm && request->seed.config ? 1 : 0) + (request->makes_template ? 1 : 0);
}

int proxmox_upload(const struct api *api, const struct proxmox_request *request, struct progress *progress,
                   struct proxmox_result *ret_result, struct err *err) {
    *ret_result = (struct proxmox_result){0};
    cleanup(upload_done) struct upload upload = {.api = api,
                                                 .request = request,
                                                 .progress = progress,
                                                 .result = ret_result,
                                                 .lock = -1,
                                                 .vm = {.api = api, .request = request, .others_ms = OTHERS_MS}};
    int r = request->seed.config ? seed_try(&request->seed, err) : 0; // made when the image is there
    if (r >= 0)
        r = step(&upload, "reading the image", identify, "done", err);
    if (r >= 0)
        r = step(&upload, "asking", check, "done", err);
    ret_result->was_there = r >= 0 && ret_result->volume;
    if (r >= 0 && !ret_result->was_there)
        r = step(&upload, "converting", convert, "done", err);
    if (r >= 0 && !ret_result->was_there)
        r = step(&upload, "uploading", send_image, "done", err);
    if (r >= 0 && request->makes_vm && request->seed.config)
        r = step(&upload, "configuration", send_seed, "done", err);
    if (r >= 0 && request->makes_vm)
        r = step(&upload, "virtual machine", make_vm, "done", err);
    if (r >= 0 && request->makes_template)
        r = step(&upload, "template", make_template, "done", err);
    return r;
}
