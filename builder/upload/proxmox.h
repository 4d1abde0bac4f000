// SPDX-License-Identifier: Apache-2.0
// A disk image onto a Proxmox VE node, and a virtual machine or template of it, through the node's API (Proxmox VE API viewer; pve-http-server for
// how uploads are read).
#pragma once
#include "builder/progress.h"
#include "builder/seed.h"
#include "builder/upload/api.h"
#include <stdbool.h>

struct proxmox_request {
    const char *image; // a raw or qcow2 image, a build.json, or a directory with one build in it
    const char *node; // NULL = the only one of the cluster
    const char *storage; // takes images ("import") and, with a seed, ISO images
    bool makes_vm, makes_template, starts, uefi;
    long vmid; // 0 = the next free one
    const char *name; // of the virtual machine; NULL = the image's profile
    const char *vm_storage, *bridge;
    long memory_mib, cpus;
    struct seed seed; // config.env and secrets of the machine; config NULL = none
};

struct proxmox_result {
    char *volume; // "local:import/web-1.0-0123456789ab.qcow2"
    bool was_there; // by an earlier upload of the same bytes
    long vmid; // 0 = none was made
    bool vm_was_there; // made by an earlier run of the same request
};

// Uploads what is not there yet, then makes the virtual machine. Running it again after whatever failure goes on, and with the machine that the same request
// made: its description has a hash of all it is made of (but for its id and whether it is started). -ENOTSUP: the release cannot import
// images; the text says what to do there. -EEXIST: the VM id is taken.
int proxmox_upload(const struct api *api, const struct proxmox_request *request, struct progress *progress,
                   struct proxmox_result *ret_result, struct err *err) must_check nonnull(1, 2, 3, 4, 5);
unsigned proxmox_stages(const struct proxmox_request *request) nonnull(1);
void proxmox_result_done(struct proxmox_result *result);

#define cleanup_proxmox_result cleanup(proxmox_result_done)
