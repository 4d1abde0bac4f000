// SPDX-License-Identifier: Apache-2.0
// Volumes, QEMU's fw_cfg, systemd's system credentials (SMBIOS type 11), Hetzner's metadata service.
#include "firstboot/discover_sources.h"
#include "common/file.h"
#include "common/run.h"
#include "common/secretpack.h"
#include "firstboot/seed.h"
#include "firstboot/volumes.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define FW_CFG "sys/firmware/qemu_fw_cfg/by_name/opt/org.webops"
#define CREDENTIALS "run/credentials/@system"
#define CREDENTIAL_SECRET "webops.secret."
#define FETCH_PROGRAM "/usr/lib/webops/webops-fetch"
#define UNSEAL_PROGRAM "/usr/lib/webops/webops-unseal"
#define HETZNER "http://169.254.169.254/hetzner/v1"
#define HETZNER_NAME_BYTES 512
#define USB_MS 15000 // since the kernel's start

static int real_fetch(const char *url, size_t max_bytes, char **ret_text, size_t *ret_size, struct err *err) {
    cleanup_free char *limit = str_printf("%zu", max_bytes);
    const struct run run = {
        .argv = RUN_ARGV(FETCH_PROGRAM, "--missing-ok", "--timeout", "10", "--max-bytes", limit, url),
        .timeout_ms = 15000,
    };
    return run_capture(&run, max_bytes, ret_text, ret_size, err);
}

// A USB stick is found seconds after the start, and udev does not know that it is to be waited for. Only beside an installation medium is it worth that.
static void real_settle(int root_fd) {
    volumes_settle(root_fd, file_exists(root_fd, VOLUME_MEDIUM) ? USB_MS : 0);
}

static int real_unseal(const char *key, size_t key_size, const char *envelope, size_t size, char **ret_text, size_t *ret_size,
                       struct err *err) {
    static const char *const no_environment[] = {NULL};
    cleanup_buf struct buf input = {0};
    buf_printf(&input, "%zu\n", key_size);
    buf_add(&input, key, key_size);
    buf_add(&input, envelope, size);
    cleanup_fd int fd = file_in_memory("envelope", input.data, input.size, err);
    explicit_bzero(input.data, input.size);
    if (fd < 0)
        return fd;
    const struct run run = {.argv = RUN_ARGV(UNSEAL_PROGRAM), .env = no_environment, .in = fd, .timeout_ms = 60000};
    return run_capture(&run, SECRETPACK_MAX_BYTES, ret_text, ret_size, err);
}

static const struct discover_io real_io = {.open_volume = volume_open, .fetch = real_fetch, .unseal = real_unseal, .settle = real_settle};

const struct discover_io *discover_io_of(const struct discover *discover) {
    return discover->io ? discover->io : &real_io;
}

static bool find_volume(const struct discover *discover, unsigned nth, struct candidate *ret) {
    struct err err;
    cleanup_volumes struct volumes volumes = {0};
    if (volumes_find(discover->root_fd, &volumes, &err) < 0 || nth >= volumes.count)
        return false;
    const struct volume *volume = &volumes.items[nth];
    if (volume->kind == VOLUME_ESP)
        ret->source = str_printf("ESP (%s)", volume->device);
    else
        ret->source = str_printf("%s %s on %s", volume->kind == VOLUME_CIDATA ? "seed" : "volume", volume->label, volume->device);
    cleanup_free char *path = str_printf("dev/%s", volume->device);
    cleanup_fd int fd = discover_io_of(discover)->open_volume(discover->root_fd, path, volume->type, &err);
    if (fd < 0) {
        ret->is_present = true;
        config_problem_add(&ret->problems, 0, "%s", err.text);
    } else {
        seed_read(fd, volume->kind != VOLUME_ESP, discover->schema, ret);
    }
    return true;
}

// One file that is a config.env by itself.
static bool find_file(const struct discover *discover, const char *path, const char *name, struct candidate *ret) {
    struct err err;
    cleanup_free char *data = NULL;
    size_t size;
    int r = candidate_read_file(discover->root_fd, path, CONFIG_READ_BYTES, &data, &size, &err);
    if (r == -ENOENT || r == -ENOTDIR)
        return false;
    ret->source = str_dup(name);
    ret->is_present = true;
    if (r < 0)
        config_problem_add(&ret->problems, 0, "%s", err.text);
    else
        buf_add(&ret->text, data, size);
    return true;
}

static bool find_fw_cfg(const struct discover *discover, unsigned nth, struct candidate *ret) {
    return nth == 0 && find_file(discover, FW_CFG "/config/raw", "fw_cfg", ret);
}

static bool find_credential(const struct discover *discover, unsigned nth, struct candidate *ret) {
    return nth == 0 && find_file(discover, CREDENTIALS "/webops.config", "credentials", ret);
}

static bool is_hetzner(const struct discover *discover) {
    struct err err;
    cleanup_free char *vendor = NULL;
    size_t size;
    return file_read(discover->root_fd, "sys/class/dmi/id/sys_vendor", 256, &vendor, &size, &err) >= 0 && strcmp(vendor, "Hetzner\n") == 0;
}

static void add_hetzner_name(const struct discover *discover, struct candidate *ret) {
    struct err err;
    cleanup_free char *name = NULL;
    size_t size;
    cleanup_config struct config extra = {0};
    if (discover_io_of(discover)->fetch(HETZNER "/metadata/hostname", HETZNER_NAME_BYTES, &name, &size, &err) < 0 || size == 0)
        return; // a name is no reason to refuse a configuration
    name[strcspn(name, "\r\n")] = 0;
    config_set(&extra, "HOSTNAME", name, 1);
    seed_merge(&extra, "metadata/hostname", discover->schema, ret);
}

static bool find_hetzner(const struct discover *discover, unsigned nth, struct candidate *ret) {
    struct err err;
    cleanup_free char *data = NULL;
    size_t size;
    if (nth > 0 || !is_hetzner(discover))
        return false;
    ret->source = str_dup("Hetzner metadata");
    int r = discover_io_of(discover)->fetch(HETZNER "/userdata", CONFIG_READ_BYTES, &data, &size, &err);
    if (r < 0) {
        ret->is_present = true;
        config_problem_add(&ret->problems, 0, "%s", err.text);
    } else if (size > 0) { // empty: the server was made without user data
        seed_take_user_data(data, size, ret);
        add_hetzner_name(discover, ret);
    }
    return true;
}

// Mounted by the init, as what the machine was started from. Behind volumes, so that a stick beside it counts more.
static bool find_medium(const struct discover *discover, unsigned nth, struct candidate *ret) {
    cleanup_fd int fd = nth == 0 ? openat(discover->root_fd, VOLUME_MEDIUM "/webops", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd < 0)
        return false;
    ret->source = str_dup("medium");
    seed_read(fd, false, discover->schema, ret);
    return true;
}

const struct discover_source discover_sources[] = {
    {false, find_volume}, {false, find_fw_cfg}, {false, find_credential}, {false, find_medium}, {true, find_hetzner}, {false, NULL},
};

// fw_cfg: a directory per item, whose file "raw" is the content.
static void add_fw_cfg_secrets(const struct discover *discover, struct candidate *candidate) {
    int fd = openat(discover->root_fd, FW_CFG "/secrets", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_dir DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        struct err err;
        char *data = NULL;
        size_t size;
        cleanup_free char *path = str_printf("%s/raw", entry->d_name);
        if (!schema_is_secret_name(entry->d_name))
            continue;
        if (candidate_read_file(dirfd(dir), path, SCHEMA_SECRET_MAX_BYTES, &data, &size, &err) < 0)
            config_problem_add(&candidate->problems, 0, "fw_cfg secret %s", err.text);
        else
            candidate_add_secret(candidate, entry->d_name, data, size);
    }
}

// Credentials are called webops.secret.<name>, with or without ".secret" at the end.
static void add_credential_secrets(const struct discover *discover, struct candidate *candidate) {
    int fd = openat(discover->root_fd, CREDENTIALS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_dir DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    size_t prefix = strlen(CREDENTIAL_SECRET);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        struct err err;
        char *data = NULL;
        size_t size;
        if (strncmp(entry->d_name, CREDENTIAL_SECRET, prefix) != 0)
            continue;
        bool is_whole = schema_is_secret_name(entry->d_name + prefix);
        cleanup_free char *name = str_printf("%s%s", entry->d_name + prefix, is_whole ? "" : ".secret");
        if (!schema_is_secret_name(name))
            continue;
        if (candidate_read_file(dirfd(dir), entry->d_name, SCHEMA_SECRET_MAX_BYTES, &data, &size, &err) < 0)
            config_problem_add(&candidate->problems, 0, "credential %s", err.text);
        else
            candidate_add_secret(candidate, name, data, size);
    }
}

void discover_add_shared_secrets(const struct discover *discover, struct candidate *candidate) {
    add_fw_cfg_secrets(discover, candidate);
    add_credential_secrets(discover, candidate);
}
