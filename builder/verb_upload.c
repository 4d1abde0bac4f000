// SPDX-License-Identifier: Apache-2.0
// webops-image upload proxmox: an image to where virtual machines are made of it.
#include "builder/config_schema.h"
#include "builder/upload/proxmox.h"
#include "builder/verbs.h"
#include "common/buf.h"
#include "common/log.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct upload_options {
    struct proxmox_request request;
    const char *url, *token, *fingerprint;
    bool json;
};

static void report(const struct upload_options *options, const struct proxmox_result *result) {
    if (options->json) {
        json_t *event = json_pack("{s:s, s:s, s:b, s:I}", "event", "uploaded", "volume", result->volume, "was_there", result->was_there,
                                  "vmid", (json_int_t)result->vmid);
        cleanup_free char *text = json_dumps(event, JSON_COMPACT);
        json_decref(event);
        printf("%s\n", text ?: "{}");
        return;
    }
    printf("%s%s\n", result->volume, result->was_there ? " (was there)" : "");
    if (result->vmid)
        printf("%s %ld\n", options->request.makes_template ? "template" : "virtual machine", result->vmid);
}

static int upload(const struct upload_options *options) {
    struct err err = {0};
    cleanup_api struct api api = {0};
    cleanup_proxmox_result struct proxmox_result result = {0};
    cleanup_free char *base = str_printf("%s/api2/json", options->url);
    int r = config_schema_check(NULL, options->request.image, &options->request.seed, &err);
    if (r >= 0)
        r = api_open(base, "PVEAPIToken=", options->token, options->fingerprint, &api, &err);
    if (r < 0)
        return verb_failed(r, &err);
    cleanup_progress struct progress *progress = progress_new(proxmox_stages(&options->request), options->json);
    r = proxmox_upload(&api, &options->request, progress, &result, &err);
    if (r < 0)
        return verb_failed(r, &err);
    report(options, &result);
    return EXIT_OK;
}

static int check_usage(const struct upload_options *options, const char *place, struct err *err) {
    const struct proxmox_request *request = &options->request;
    if (strcmp(place, "proxmox") != 0)
        return err_set(err, -EINVAL, "'%s' is no place to upload to; known: proxmox", place);
    if (!options->url || !options->token)
        return err_set(err, -EINVAL, "--url and --token are needed");
    if (!request->makes_vm &&
        (request->vmid || request->name || request->starts || request->uefi || request->makes_template || request->seed.config))
        return err_set(err, -EINVAL, "what is about a virtual machine goes with --vm");
    if (seed_conflict(&request->seed))
        return err_set(err, -EINVAL, "%s", seed_conflict(&request->seed));
    if (request->makes_template && (request->starts || request->seed.config))
        return err_set(err, -EINVAL, "a template is not started, and has no configuration: its clones have");
    if ((request->vmid != 0 && request->vmid < 100) || request->memory_mib < 256 || request->cores < 1)
        return err_set(err, -EINVAL, "a virtual machine has an id from 100 on, 256 MiB of memory and a processor at least");
    return 0;
}

int verb_upload(const struct verb *self, int argc, char **argv) {
    struct upload_options o = {
        .request = {.storage = "local", .vm_storage = "local-lvm", .bridge = "vmbr0", .memory_mib = 2048, .cores = 2}};
    struct proxmox_request *request = &o.request;
    const struct opt options[] = {
        {"url", 0, OPT_TEXT, &o.url, "URL", "the node, such as https://pve.example.org:8006"},
        {"token", 0, OPT_TEXT, &o.token, "FILE", "API token (0600): USER@REALM!NAME=SECRET"},
        {"fingerprint", 0, OPT_TEXT, &o.fingerprint, "SHA256", "the one certificate that is taken (default: one of a known CA)"},
        {"node", 0, OPT_TEXT, &request->node, "NAME", "the node of a cluster (default: the only one)"},
        {"storage", 0, OPT_TEXT, &request->storage, "NAME", "where the image goes; its content types have \"import\" (local)"},
        {"vm", 0, OPT_FLAG, &request->makes_vm, NULL, "make a virtual machine of it"},
        {"vmid", 0, OPT_NUMBER, &request->vmid, "N", "its id (the next free one)"},
        {"name", 0, OPT_TEXT, &request->name, "NAME", "its name (that of the image)"},
        {"vm-storage", 0, OPT_TEXT, &request->vm_storage, "NAME", "where its disk goes (local-lvm)"},
        {"memory", 'm', OPT_NUMBER, &request->memory_mib, "MIB", "memory (2048)"},
        {"cores", 0, OPT_NUMBER, &request->cores, "N", "processors (2)"},
        {"bridge", 0, OPT_TEXT, &request->bridge, "NAME", "network (vmbr0)"},
        {"uefi", 0, OPT_FLAG, &request->uefi, NULL, "boot by UEFI instead of BIOS"},
        {"config", 'c', OPT_TEXT, &request->seed.config, "FILE", "config.env for it, on a CD-ROM"},
        {"encrypt-to", 0, OPT_TEXT, &request->seed.encrypt_to, "CERT",
         "put the secrets into an envelope for the keys of these certificates (PEM)"},
        {"secrets", 0, OPT_TEXT, &request->seed.secrets, "DIR", "directory of *.secret files (0600), there, too"},
        {"start", 0, OPT_FLAG, &request->starts, NULL, "start it"},
        {"template", 0, OPT_FLAG, &request->makes_template, NULL, "make it a template"},
        {"json", 0, OPT_FLAG, &o.json, NULL, "print progress and result as JSON"},
        {0},
    };
    char **args;
    int count;
    struct err err = {0};
    int code = opt_parse(self, options, argc, argv, &args, &count);
    if (code >= 0)
        return code;
    request->image = args[1];
    if (check_usage(&o, args[0], &err) < 0) {
        log_error("upload: %s", err.text);
        return EXIT_USAGE;
    }
    return upload(&o);
}
