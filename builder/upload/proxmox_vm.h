// SPDX-License-Identifier: Apache-2.0
// A virtual machine of a Proxmox VE node, made of volumes that its storage has.
#pragma once
#include "builder/upload/proxmox.h"

struct proxmox_vm {
    const struct api *api;
    const struct proxmox_request *request;
    const char *node, *title; // title: its name, where none is asked for
    const char *volume, *seed_volume; // seed_volume: NULL = none
    int64_t others_ms; // how long tasks of others that make machines are waited for
    long vmid;
    bool was_there; // the same request made it earlier
    bool is_running, is_template; // as it was found
};

// Looks for the machine that the same request made: vm->was_there. With an envelope this can be asked before there is a seed; its secrets do not count. Errors
// as below.
int proxmox_vm_find(struct proxmox_vm *vm, struct err *err) must_check nonnull(1, 2);
// Finds it, if it was not found yet, or makes it; started, where that is asked for. -EEXIST: another one has the id that was asked for.
// -ETIMEDOUT: somebody's task that makes a machine does not end; the text names it.
int proxmox_vm_make(struct proxmox_vm *vm, struct err *err) must_check nonnull(1, 2);
// Makes a template of it, unless it is one.
int proxmox_vm_make_template(struct proxmox_vm *vm, struct err *err) must_check nonnull(1, 2);
