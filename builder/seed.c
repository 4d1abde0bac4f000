// SPDX-License-Identifier: Apache-2.0
// Checks config.env and secrets on the workstation and packs them into a NoCloud volume. Knows nothing of QEMU.
#include "builder/seed.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/run.h"
#include "common/schema.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define SECRET_SUFFIX ".secret"

static int check_files(const struct schema *schema, const struct config *config, const char *secrets, struct config_problems *problems,
                       struct err *err) {
    if (!secrets)
        return 0;
    cleanup_fd int fd = file_open(AT_FDCWD, secrets, O_RDONLY | O_DIRECTORY, 0, err);
    if (fd < 0)
        return fd;
    return schema_check_files(schema, config, fd, problems) < 0 ? -EINVAL : 0;
}

int seed_check(const struct schema *schema, const char *path, const char *secrets, struct err *err) {
    cleanup_free char *text = NULL;
    size_t size = 0;
    int r = file_read(AT_FDCWD, path, CONFIG_MAX_BYTES + 1, &text, &size, err);
    if (r < 0)
        return r;
    cleanup_config struct config config = {0};
    cleanup_config_problems struct config_problems problems = {0};
    err->text[0] = '\0';
    int parsed = config_parse(text, size, &config, &problems);
    int checked = schema_check(schema, &config, &problems);
    int files = check_files(schema, &config, secrets, &problems, err);
    if (parsed == 0 && checked == 0 && files == 0)
        return 0;
    config_problems_log(&problems, path);
    if (err->text[0])
        return files;
    return err_set(err, -EINVAL, "%s: %zu problem%s; docs/CONFIG.md lists every key", path, problems.count, problems.count == 1 ? "" : "s");
}

static bool is_secret_name(const char *name) {
    size_t size = strlen(name), suffix = strlen(SECRET_SUFFIX);
    return name[0] != '.' && name[0] != '-' && size > suffix && strcmp(name + size - suffix, SECRET_SUFFIX) == 0;
}

static void free_strings(char ***list) {
    for (char **item = *list; item && *item; item++)
        free(*item);
    free(*list);
}

// The command that copies every secret at once, NULL-terminated; *ret_count tells how many there are.
static int copy_command(const struct seed *seed, char ***ret_argv, size_t *ret_count, struct err *err) {
    cleanup_dir DIR *dir = opendir(seed->secrets);
    if (!dir)
        return err_sys(err, -errno, "secrets directory %s", seed->secrets);
    cleanup(free_strings) char **argv = mem_array(SEED_MAX_SECRETS + 5, sizeof(*argv));
    const char *const head[] = {"mcopy", "-i", seed->image};
    size_t used = 0, count = 0;
    for (; used < ARRAY_SIZE(head); used++)
        argv[used] = str_dup(head[used]);
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (!is_secret_name(entry->d_name))
            continue;
        if (count++ == SEED_MAX_SECRETS)
            return err_set(err, -E2BIG, "%s: more than %d secrets", seed->secrets, SEED_MAX_SECRETS);
        argv[used++] = str_printf("%s/%s", seed->secrets, entry->d_name);
    }
    argv[used] = str_dup("::secrets/");
    *ret_count = count;
    *ret_argv = take_ptr(argv);
    return 0;
}

static int add_secrets(const struct seed *seed, struct err *err) {
    cleanup(free_strings) char **argv = NULL;
    size_t count = 0;
    int r = copy_command(seed, &argv, &count, err);
    if (r < 0 || count == 0)
        return r;
    r = run_quiet(&(struct run){.argv = RUN_ARGV("mmd", "-i", seed->image, "::secrets")}, err);
    if (r < 0)
        return r;
    return run_quiet(&(struct run){.argv = (const char *const *)argv}, err);
}

int seed_save(const struct seed *seed, struct err *err) {
    // cloud-localds copies onto an existing file and thereby keeps its mode.
    if (unlink(seed->image) < 0 && errno != ENOENT)
        return err_sys(err, -errno, "replacing %s", seed->image);
    cleanup_fd int fd = file_open(AT_FDCWD, seed->image, O_WRONLY | O_CREAT | O_EXCL, 0600, err);
    if (fd < 0)
        return fd;
    int r = run_quiet(&(struct run){.argv = RUN_ARGV("cloud-localds", "--filesystem", "vfat", seed->image, seed->config)}, err);
    if (r == 0 && seed->secrets)
        r = add_secrets(seed, err);
    return r < 0 ? err_prefix(err, r, "making the seed volume %s", seed->image) : 0;
}
