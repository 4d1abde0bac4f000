// SPDX-License-Identifier: Apache-2.0
// A machine is looked for before it is asked for, and known by a marker in its description.
#include "builder/upload/proxmox_vm.h"
#include "builder/upload/proxmox_task.h"
#include "common/buf.h"
#include "common/digest.h"
#include "common/slot.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

static int get(const struct proxmox_vm *vm, const char *path, const struct api_field *fields, json_t **ret_data, struct err *err) {
    return proxmox_call(vm->api, "GET", path, fields, ret_data, err);
}

static long number_of(const json_t *value) { // 100, "100"
    const char *text = json_string_value(value);
    return text ? strtol(text, NULL, 10) : (long)json_integer_value(value);
}

static int choose_vmid(struct proxmox_vm *vm, struct err *err) {
    json_t *data = NULL;
    vm->vmid = vm->request->vmid;
    if (vm->vmid)
        return 0;
    int r = get(vm, "/cluster/nextid", NULL, &data, err);
    vm->vmid = number_of(data);
    json_decref(data);
    return r >= 0 && vm->vmid < 100 ? err_set(err, -EBADMSG, "the cluster names no free VM id") : r;
}

// 1: its description has the marker; 0: it has another one, or none.
static int is_ours(const struct proxmox_vm *vm, long vmid, const char *marker, struct err *err) {
    cleanup_free char *path = str_printf("/nodes/%s/qemu/%ld/config", vm->node, vmid);
    json_t *data = NULL;
    int r = get(vm, path, NULL, &data, err);
    const char *description = json_string_value(json_object_get(data, "description"));
    if (r >= 0)
        r = description && strstr(description, marker) ? 1 : 0;
    json_decref(data);
    return r;
}

// The machine that an earlier run of the same command made, whatever became of the answer. While one is being made it bears neither name nor description.
static int find_machine(struct proxmox_vm *vm, const char *name, const char *marker, struct err *err) {
    cleanup_free char *path = str_printf("/nodes/%s/qemu", vm->node);
    json_t *data = NULL, *item;
    size_t index;
    int r = proxmox_wait_for_others(vm->api, vm->node, "qmcreate", "makes a virtual machine", vm->others_ms, err);
    if (r >= 0)
        r = get(vm, path, NULL, &data, err);
    json_array_foreach(data, index, item) {
        long its_id = number_of(json_object_get(item, "vmid"));
        const char *its_name = json_string_value(json_object_get(item, "name")),
                   *status = json_string_value(json_object_get(item, "status"));
        bool may_be = its_name && strcmp(its_name, name) == 0 && (!vm->request->vmid || vm->request->vmid == its_id);
        if (r < 0 || vm->vmid || !may_be)
            continue;
        r = is_ours(vm, its_id, marker, err);
        if (r <= 0)
            continue;
        vm->vmid = its_id;
        vm->was_there = true;
        vm->is_running = status && strcmp(status, "running") == 0;
        vm->is_template = number_of(json_object_get(item, "template")) != 0;
    }
    json_decref(data);
    return r < 0 ? r : 0;
}

static int post(const struct proxmox_vm *vm, const char *path, const struct api_field *fields, struct err *err) {
    json_t *data = NULL;
    int r = proxmox_call(vm->api, "POST", path, fields, &data, err);
    if (r >= 0 && !json_is_null(data))
        r = proxmox_wait(vm->api, json_string_value(data), 0, err);
    json_decref(data);
    return r;
}

enum { FIELD_VMID, FIELD_DESCRIPTION, FIELD_SEED }; // of what a machine is made

// All that the machine is made of, in a hash: what is set in `fields`, and what is in the envelope's place, which is another one each time.
static int make_marker(const struct proxmox_vm *vm, const struct api_field *fields, char **ret_marker, struct err *err) {
    const struct seed *seed = &vm->request->seed;
    const char *const sealed[] = {seed->config, seed->encrypt_to};
    cleanup_buf struct buf text = {0};
    uint8_t hash[DIGEST_BYTES];
    char hex[2 * DIGEST_BYTES + 1];
    for (size_t i = 0; seed->encrypt_to && i < ARRAY_SIZE(sealed); i++) {
        int r = digest_file(AT_FDCWD, sealed[i], hex, NULL, err);
        if (r < 0)
            return r;
        buf_printf(&text, "%s\n", hex);
    }
    for (size_t i = 0; fields[i].name; i++)
        if (fields[i].value && (i != FIELD_SEED || !seed->encrypt_to))
            buf_printf(&text, "%s=%s\n", fields[i].name, fields[i].value);
    if (vm->request->makes_template) // a machine is never made a template of, because it was found
        buf_add_str(&text, "template\n");
    digest_bytes(text.data, text.size, hash);
    hex_format(hash, sizeof(hash), hex);
    *ret_marker = str_printf("webops-image upload sha256:%s", hex);
    return 0;
}

struct description { // of a machine, as the API takes it; id and marker are added
    char *memory, *cores, *disk, *efi, *network, *cdrom, *marker;
    const char *name;
    struct api_field fields[16];
};

static void description_done(struct description *description) {
    char *const strings[] = {description->memory,  description->cores, description->disk,  description->efi,
                             description->network, description->cdrom, description->marker};
    for (size_t i = 0; i < ARRAY_SIZE(strings); i++)
        free(strings[i]);
}

static int describe(const struct proxmox_vm *vm, struct description *ret, struct err *err) {
    const struct proxmox_request *request = vm->request;
    *ret = (struct description){
        .memory = str_printf("%ld", request->memory_mib),
        .cores = str_printf("%ld", request->cpus),
        .disk = str_printf("%s:0,import-from=%s,discard=on", request->vm_storage, vm->volume),
        .efi = str_printf("%s:1,efitype=4m,pre-enrolled-keys=0", request->vm_storage),
        .network = str_printf("virtio,bridge=%s", request->bridge),
        .cdrom = vm->seed_volume ? str_printf("%s,media=cdrom", vm->seed_volume) : NULL,
        .name = request->name ? request->name : vm->title,
    };
    const struct api_field fields[] = {
        [FIELD_VMID] = {"vmid", NULL},
        [FIELD_DESCRIPTION] = {"description", NULL},
        [FIELD_SEED] = {"ide2", ret->cdrom},
        {"name", ret->name},
        {"ostype", "l26"},
        {"memory", ret->memory},
        {"cores", ret->cores},
        {"scsihw", "virtio-scsi-single"},
        {"scsi0", ret->disk},
        {"net0", ret->network},
        {"serial0", "socket"},
        {"boot", "order=scsi0"},
        {"bios", request->uefi ? "ovmf" : NULL},
        {"machine", request->uefi ? "q35" : NULL},
        {"efidisk0", request->uefi ? ret->efi : NULL},
        {NULL, NULL},
    };
    _Static_assert(sizeof(fields) == sizeof(ret->fields), "all of them");
    memcpy(ret->fields, fields, sizeof(fields));
    return make_marker(vm, fields, &ret->marker, err);
}

int proxmox_vm_find(struct proxmox_vm *vm, struct err *err) {
    cleanup(description_done) struct description description = {0};
    int r = describe(vm, &description, err);
    return r < 0 ? r : find_machine(vm, description.name, description.marker, err);
}

static int make(struct proxmox_vm *vm, struct description *description, struct err *err) {
    cleanup_free char *path = str_printf("/nodes/%s/qemu", vm->node), *vmid = NULL;
    int r = choose_vmid(vm, err);
    if (r < 0)
        return r;
    vmid = str_printf("%ld", vm->vmid);
    description->fields[FIELD_VMID].value = vmid;
    description->fields[FIELD_DESCRIPTION].value = description->marker;
    return post(vm, path, description->fields, err);
}

// By a task of its own: one that makes a machine ends well, too, where starting it failed.
static int start(const struct proxmox_vm *vm, struct err *err) {
    cleanup_free char *path = str_printf("/nodes/%s/qemu/%ld/status/start", vm->node, vm->vmid);
    int r = vm->request->starts && !vm->is_running ? post(vm, path, NULL, err) : 0;
    return r < 0 ? err_prefix(err, r, "virtual machine %ld is there, but starting it", vm->vmid) : 0;
}

int proxmox_vm_make(struct proxmox_vm *vm, struct err *err) {
    cleanup(description_done) struct description description = {0};
    int r = describe(vm, &description, err);
    if (r >= 0 && !vm->was_there)
        r = find_machine(vm, description.name, description.marker, err);
    if (r >= 0 && !vm->was_there)
        r = make(vm, &description, err);
    return r < 0 ? r : start(vm, err);
}

int proxmox_vm_make_template(struct proxmox_vm *vm, struct err *err) {
    cleanup_free char *path = str_printf("/nodes/%s/qemu/%ld/template", vm->node, vm->vmid);
    return vm->is_template ? 0 : post(vm, path, NULL, err);
}
