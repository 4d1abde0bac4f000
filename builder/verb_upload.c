// SPDX-License-Identifier: Apache-2.0
// webops-image upload PLACE: an image to where virtual machines are made of it.
#include "builder/config_schema.h"
#include "builder/flash/url.h"
#include "builder/upload/hetzner.h"
#include "builder/upload/proxmox.h"
#include "builder/verbs.h"
#include "common/buf.h"
#include "common/log.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HETZNER_URL "https://api.hetzner.cloud/v1"
#define MAX_OPTIONS 32

struct upload_options {
    struct proxmox_request proxmox;
    struct hetzner_request hetzner;
    const char *url, *token, *fingerprint;
    bool json;
};

static void print_json(json_t *event) {
    cleanup_free char *text = json_dumps(event, JSON_COMPACT);
    json_decref(event);
    printf("%s\n", text ?: "{}");
}

// Proxmox VE

static void report_proxmox(const struct upload_options *options, const struct proxmox_result *result) {
    if (options->json) {
        print_json(json_pack("{s:s, s:s, s:b, s:I, s:b}", "event", "uploaded", "volume", result->volume, "was_there", result->was_there,
                             "vmid", (json_int_t)result->vmid, "vm_was_there", result->vm_was_there));
        return;
    }
    printf("%s%s\n", result->volume, result->was_there ? " (was there)" : "");
    if (result->vmid)
        printf("%s %ld%s\n", options->proxmox.makes_template ? "template" : "virtual machine", result->vmid,
               result->vm_was_there ? " (was there)" : "");
}

// As it is copied from a browser, too: https://pve.example.org:8006/#v1:0:18:4:::::::
static char *proxmox_base(const char *url) {
    size_t size = strcspn(url, "#");
    while (size > 0 && url[size - 1] == '/')
        size--;
    return str_printf("%.*s/api2/json", (int)size, url);
}

static int upload_proxmox(const struct upload_options *options, struct err *err) {
    cleanup_api struct api api = {0};
    cleanup_proxmox_result struct proxmox_result result = {0};
    cleanup_free char *base = proxmox_base(options->url);
    int r = config_schema_check(NULL, options->proxmox.image, &options->proxmox.seed, err);
    if (r >= 0)
        r = api_open(base, "PVEAPIToken=", options->token, options->fingerprint, &api, err);
    if (r < 0)
        return r;
    cleanup_progress struct progress *progress = progress_new(proxmox_stages(&options->proxmox), options->json);
    r = proxmox_upload(&api, &options->proxmox, progress, &result, err);
    if (r >= 0)
        report_proxmox(options, &result);
    return r;
}

static int check_proxmox(const struct upload_options *options, struct err *err) {
    const struct proxmox_request *request = &options->proxmox;
    if (!options->url || !options->token)
        return err_set(err, -EINVAL, "--url and --token are needed");
    if (!request->makes_vm &&
        (request->vmid || request->name || request->starts || request->uefi || request->makes_template || request->seed.config))
        return err_set(err, -EINVAL, "what is about a virtual machine goes with --vm");
    if (seed_conflict(&request->seed))
        return err_set(err, -EINVAL, "%s", seed_conflict(&request->seed));
    if (request->makes_template && (request->starts || request->seed.config))
        return err_set(err, -EINVAL, "a template is not started, and has no configuration: its clones have");
    if ((request->vmid != 0 && request->vmid < 100) || request->memory_mib < 256 || request->cpus < 1)
        return err_set(err, -EINVAL, "a virtual machine has an id from 100 on, 256 MiB of memory and a processor at least");
    return 0;
}

static void fill_proxmox(struct upload_options *options, struct opt *rows) {
    struct proxmox_request *request = &options->proxmox;
    const struct opt own[] = {
        {"node", 0, OPT_TEXT, &request->node, "NAME", "the node of a cluster (default: the only one)"},
        {"storage", 0, OPT_TEXT, &request->storage, "NAME", "where the image goes; its content types have \"import\" (local)"},
        {"vm", 0, OPT_FLAG, &request->makes_vm, NULL, "make a virtual machine of it"},
        {"vmid", 0, OPT_NUMBER, &request->vmid, "N", "its id (the next free one)"},
        {"name", 0, OPT_TEXT, &request->name, "NAME", "its name (that of the image)"},
        {"vm-storage", 0, OPT_TEXT, &request->vm_storage, "NAME", "where its disk goes (local-lvm)"},
        {"memory", 'm', OPT_NUMBER, &request->memory_mib, "MIB", "memory (2048)"},
        {"cpus", 0, OPT_NUMBER, &request->cpus, "N", "processors (2)"},
        {"bridge", 0, OPT_TEXT, &request->bridge, "NAME", "network (vmbr0)"},
        {"uefi", 0, OPT_FLAG, &request->uefi, NULL, "boot by UEFI instead of BIOS"},
        {"config", 'c', OPT_TEXT, &request->seed.config, "FILE", "config.env for it, on a CD-ROM"},
        {"encrypt-to", 0, OPT_TEXT, &request->seed.encrypt_to, "CERT",
         "put the secrets into an envelope for the keys of these certificates (PEM)"},
        {"secrets", 0, OPT_TEXT, &request->seed.secrets, "DIR", "directory of *.secret files (0600), there, too"},
        {"start", 0, OPT_FLAG, &request->starts, NULL, "start it"},
        {"template", 0, OPT_FLAG, &request->makes_template, NULL, "make it a template"},
    };
    memcpy(rows, own, sizeof(own));
}

// Hetzner Cloud

static void report_hetzner(const struct upload_options *options, const struct hetzner_result *result) {
    if (options->json)
        print_json(json_pack("{s:s, s:I, s:b, s:I}", "event", "uploaded", "image", (json_int_t)result->image, "was_there",
                             result->was_there, "sent_bytes", (json_int_t)result->sent_bytes));
    else
        printf("snapshot %lld%s\n", (long long)result->image, result->was_there ? " (was there)" : "");
}

// Takes a secret out of the environment, so that children do not get it and /proc does not show it.
static char *take_variable(const char *name) {
    char *value = getenv(name), *copy = value && *value ? str_dup(value) : NULL;
    if (value)
        explicit_bzero(value, strlen(value));
    unsetenv(name);
    return copy;
}

static int upload_hetzner(const struct upload_options *options, struct err *err) {
    cleanup(api_wipe_text) char *token = take_variable("HCLOUD_TOKEN");
    cleanup_api struct api api = {0};
    struct hetzner_result result = {0};
    const char *endpoint = getenv("HCLOUD_ENDPOINT"), *base = options->url ? options->url : endpoint && *endpoint ? endpoint : HETZNER_URL;
    int r = options->token ? api_open(base, "Bearer ", options->token, options->fingerprint, &api, err)
                           : api_open_token(base, "Bearer ", token, "HCLOUD_TOKEN", options->fingerprint, &api, err);
    if (r < 0)
        return r;
    cleanup_progress struct progress *progress = progress_new(HETZNER_STAGES, options->json);
    r = hetzner_upload(&api, &options->hetzner, progress, &result, err);
    if (r >= 0)
        report_hetzner(options, &result);
    return r;
}

static int check_hetzner(const struct upload_options *options, struct err *err) {
    const char *key = options->hetzner.host_key, *variable = getenv("HCLOUD_TOKEN");
    if (!options->token && !(variable && *variable))
        return err_set(err, -EINVAL, "no token: --token FILE, or the variable HCLOUD_TOKEN");
    return key && strncmp(key, "SHA256:", 7) != 0
               ? err_set(err, -EINVAL, "--host-key: a fingerprint is expected, such as ssh-keygen -l prints: SHA256:…")
               : 0;
}

static void fill_hetzner(struct upload_options *options, struct opt *rows) {
    struct hetzner_request *request = &options->hetzner;
    const struct opt own[] = {
        {"location", 0, OPT_TEXT, &request->location, "NAME", "where the server runs for some minutes (where it is cheapest)"},
        {"type", 0, OPT_TEXT, &request->type, "NAME", "its type (the cheapest that fits)"},
        {"host-key", 0, OPT_TEXT, &request->host_key, "SHA256", "the SSH host key that it must have (the first one seen)"},
        {"replace", 0, OPT_FLAG, &request->replaces, NULL, "remove what an upload of this image from another computer left"},
    };
    memcpy(rows, own, sizeof(own));
}

static const struct place {
    const char *name;
    void (*fill)(struct upload_options *options, struct opt *rows); // its own options, into rows of zeros
    int (*check)(const struct upload_options *options, struct err *err); // of the command line
    int (*upload)(const struct upload_options *options, struct err *err);
} places[] = {
    {"proxmox", fill_proxmox, check_proxmox, upload_proxmox},
    {"hetzner", fill_hetzner, check_hetzner, upload_hetzner},
};

// The first word that names one. Only its options are taken then; --help alone shows all.
static const struct place *find_place(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        for (size_t p = 0; p < ARRAY_SIZE(places); p++)
            if (strcmp(argv[i], places[p].name) == 0)
                return &places[p];
    return NULL;
}

static void fill_options(struct upload_options *options, const struct place *place, struct opt rows[MAX_OPTIONS]) {
    const struct opt common[] = {
        {"url", 0, OPT_TEXT, &options->url, "URL", "of the API: https://pve.example.org:8006 (hetzner: its own)"},
        {"token", 0, OPT_TEXT, &options->token, "FILE", "API token (0600); proxmox: USER@REALM!NAME=SECRET; hetzner: or HCLOUD_TOKEN"},
        {"fingerprint", 0, OPT_TEXT, &options->fingerprint, "SHA256", "the one certificate that is taken (default: one of a known CA)"},
        {"json", 0, OPT_FLAG, &options->json, NULL, "print progress and result as JSON"},
    };
    memcpy(rows, common, sizeof(common));
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        while (rows->name)
            rows++;
        places[i].fill(options, rows);
        for (struct opt *row = rows; place && place != &places[i] && row->name; row++) {
            row->kind = OPT_ELSEWHERE;
            row->value = (void *)places[i].name;
        }
    }
}

// An image is read more than once: for its name, and when it is sent.
static int check_image(const char *image, struct err *err) {
    if (!url_is(image) && strcmp(image, "-") != 0)
        return 0;
    return err_set(err, -EINVAL,
                   "%s: only files are uploaded: download the image first, and what the build wrote beside it (NAME.bmap, NAME.build.json)",
                   strcmp(image, "-") == 0 ? "standard input" : image);
}

static int check(const struct upload_options *options, const struct place *place, const char *name, struct err *err) {
    if (!place || strcmp(name, place->name) != 0)
        return err_set(err, -EINVAL, "'%s' is no place to upload to; known: proxmox, hetzner", name);
    int r = check_image(options->proxmox.image, err);
    if (r >= 0)
        r = api_check(options->url, options->fingerprint, err);
    return r < 0 ? r : place->check(options, err);
}

int verb_upload(const struct verb *self, int argc, char **argv) {
    struct upload_options o = {
        .proxmox = {.storage = "local", .vm_storage = "local-lvm", .bridge = "vmbr0", .memory_mib = 2048, .cpus = 2}};
    const struct place *place = find_place(argc, argv);
    struct opt options[MAX_OPTIONS] = {0};
    char **args;
    int count;
    struct err err = {0};
    fill_options(&o, place, options);
    int code = opt_parse(self, options, argc, argv, &args, &count);
    if (code >= 0)
        return code;
    o.proxmox.image = o.hetzner.image = args[1];
    int r = check(&o, place, args[0], &err);
    if (r < 0) {
        log_error("upload: %s", err.text);
        return EXIT_USAGE;
    }
    r = place->upload(&o, &err);
    return r < 0 ? verb_failed(r, &err) : EXIT_OK;
}
