// SPDX-License-Identifier: Apache-2.0
// Checks config.env and secrets on the workstation and packs them into a NoCloud seed: first as a directory, then as what was asked for.
#include "builder/seed.h"
#include "builder/tempdir.h"
#include "builder/tool_log.h"
#include "common/buf.h"
#include "common/envelope.h"
#include "common/file.h"
#include "common/log.h"
#include "common/run.h"
#include "common/schema.h"
#include "common/secretpack.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

// Without a directory they may still come another way: on the machine fw_cfg and credentials complete what a seed lacks.
static void warn_of_files(const struct schema *schema, const struct config *config, const char *path) {
    cleanup_config_problems struct config_problems missing = {0};
    if (schema_check_files(schema, config, -1, SCHEMA_SECRETS_DIR, &missing) < 0)
        log_warn("%s names %zu secret file%s, and no directory of secrets was given", path, missing.count, missing.count == 1 ? "" : "s");
}

static int check_files(const struct schema *schema, const struct config *config, const char *secrets, struct config_problems *problems,
                       struct err *err) {
    cleanup_fd int fd = file_open(AT_FDCWD, secrets, O_RDONLY | O_DIRECTORY, 0, err);
    if (fd < 0)
        return fd;
    return schema_check_files(schema, config, fd, secrets, problems) < 0 ? -EINVAL : 0;
}

// What is checked first and copied later would be empty, or another text, the second time.
static int check_lasting(const char *path, struct err *err) {
    struct stat st;
    if (path && stat(path, &st) == 0 && !S_ISREG(st.st_mode))
        return err_set(err, -EINVAL, "%s is no regular file; it is read twice, so save it as one", path);
    return 0;
}

int seed_check(const struct schema *schema, const char *path, const char *secrets, struct err *err) {
    cleanup_free char *text = NULL;
    size_t size = 0;
    int r = check_lasting(path, err);
    if (r >= 0)
        r = file_read(AT_FDCWD, path, CONFIG_MAX_BYTES + 1, &text, &size, err);
    if (r < 0)
        return r;
    cleanup_config struct config config = {0};
    cleanup_config_problems struct config_problems problems = {0};
    err->text[0] = '\0';
    int parsed = config_parse(text, size, &config, &problems);
    int checked = schema_check(schema, &config, &problems);
    int files = secrets ? check_files(schema, &config, secrets, &problems, err) : 0;
    if (parsed == 0 && checked == 0 && files == 0) {
        if (!secrets)
            warn_of_files(schema, &config, path);
        return 0;
    }
    config_problems_log(&problems, path);
    if (err->text[0])
        return files;
    return err_set(err, -EINVAL, "%s: %zu problem%s; docs/CONFIG.md lists every key", path, problems.count, problems.count == 1 ? "" : "s");
}

const char *seed_conflict(const struct seed *seed) {
    if (seed->secrets && !seed->config)
        return "--secrets go with --config";
    return seed->encrypt_to && !seed->secrets ? "--encrypt-to goes with --secrets" : NULL;
}

// A copy beside its final name, removed unless it was renamed.
struct stage {
    char *private; // holds both
    char *dir; // 0700: user-data, meta-data, secrets/
    char *image; // 0600
};

static void stage_done(struct stage *stage) {
    tempdir_done(&stage->private);
    free(stage->dir);
    free(stage->image);
    *stage = (struct stage){0};
}

static int copy_file(int from_fd, const char *name, int to_fd, const char *as, size_t max_bytes, struct err *err) {
    cleanup_free char *data = NULL;
    size_t size = 0;
    int r = file_read(from_fd, name, max_bytes, &data, &size, err);
    if (r >= 0)
        r = file_publish(to_fd, as, data, size, 0600, err);
    if (data)
        explicit_bzero(data, size);
    return r;
}

static int is_secret(const struct dirent *entry) {
    return schema_is_secret_name(entry->d_name);
}

static int compare_names(const struct dirent **a, const struct dirent **b) {
    int order = strcasecmp((*a)->d_name, (*b)->d_name);
    return order ? order : strcmp((*a)->d_name, (*b)->d_name);
}

// On FAT, where boot partitions and sticks are, names that differ only in case are one: the second file would replace the first.
static int check_names(struct dirent **entries, int count, struct err *err) {
    if (count > SECRETPACK_MAX_SECRETS)
        return err_set(err, -E2BIG, "more than %d secrets", SECRETPACK_MAX_SECRETS);
    for (int i = 1; i < count; i++) {
        const char *name = entries[i - 1]->d_name, *next = entries[i]->d_name;
        if (strcasecmp(name, next) == 0)
            return err_set(err, -EINVAL, "the names %s and %s differ only in case, and are one name on a boot partition", name, next);
    }
    return 0;
}

typedef int secret_take(void *context, const char *name, const char *data, size_t size, struct err *err);

static int give_file(int dir_fd, const char *name, secret_take *take, void *context, struct err *err) {
    char *data = NULL;
    size_t size = 0;
    int r = file_read(dir_fd, name, SCHEMA_SECRET_MAX_BYTES, &data, &size, err);
    if (r >= 0)
        r = size ? take(context, name, data, size, err) : err_set(err, -EINVAL, "%s is empty", name);
    if (data)
        explicit_bzero(data, size);
    free(data);
    return r;
}

// Each secret of the directory, in the order of their names; `take` gets its bytes.
static int each_secret(const struct seed *seed, secret_take *take, void *context, struct err *err) {
    struct dirent **entries = NULL;
    cleanup_fd int dir_fd = open(seed->secrets, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int count = dir_fd < 0 ? -1 : scandirat(dir_fd, ".", &entries, is_secret, compare_names);
    if (count < 0)
        return err_sys(err, -errno, "secrets directory %s", seed->secrets);
    int r = check_names(entries, count, err);
    for (int i = 0; i < count; i++) {
        if (r >= 0)
            r = give_file(dir_fd, entries[i]->d_name, take, context, err);
        free(entries[i]);
    }
    free(entries);
    return r < 0 ? err_prefix(err, r, "%s", seed->secrets) : 0;
}

static int copy_secret(void *context, const char *name, const char *data, size_t size, struct err *err) {
    cleanup_free char *as = str_printf("secrets/%s", name);
    return file_publish(*(int *)context, as, data, size, 0600, err);
}

static int pack_secret(void *context, const char *name, const char *data, size_t size, struct err *err) {
    (void)err;
    secretpack_add(context, name, data, size);
    return 0;
}

static void wipe(struct buf *buf) {
    if (buf->data)
        explicit_bzero(buf->data, buf->size);
    buf_done(buf);
}

static int seal_secrets(const struct seed *seed, struct buf *der, struct err *err) {
    cleanup_free char *certificates = NULL;
    cleanup(wipe) struct buf pack = {0};
    secretpack_begin(&pack);
    int r = file_read(AT_FDCWD, seed->encrypt_to, ENVELOPE_MAX_KEY_BYTES, &certificates, NULL, err);
    if (r >= 0)
        r = each_secret(seed, pack_secret, &pack, err);
    if (r < 0)
        return r;
    r = envelope_seal(certificates, pack.data, pack.size, der, err);
    return r == -EINVAL ? err_prefix(err, r, "%s", seed->encrypt_to) : r;
}

static int add_secrets(const struct seed *seed, int to_fd, struct err *err) {
    cleanup_buf struct buf der = {0};
    int r = seed->encrypt_to ? seal_secrets(seed, &der, err) : file_mkdirs(to_fd, "secrets", 0700, err);
    if (r >= 0 && seed->encrypt_to)
        return file_publish(to_fd, "secrets.cms", der.data, der.size, 0600, err);
    return r < 0 ? r : each_secret(seed, copy_secret, &to_fd, err);
}

static int fill(const struct seed *seed, const char *dir, struct err *err) {
    static const char meta_data[] = "instance-id: webops\n";
    cleanup_fd int fd = file_open(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, 0, err);
    int r = fd < 0 ? fd : copy_file(AT_FDCWD, seed->config, fd, "user-data", CONFIG_MAX_BYTES, err);
    if (r >= 0)
        r = file_publish(fd, "meta-data", meta_data, strlen(meta_data), 0600, err);
    return r < 0 || !seed->secrets ? r : add_secrets(seed, fd, err);
}

// Empty and ours alone; the tools write into an existing file, and thereby keep its mode.
static int make_image(const struct stage *stage, struct err *err) {
    return file_open(AT_FDCWD, stage->image, O_WRONLY | O_CREAT | O_EXCL, 0600, err);
}

static int publish(const char *from, const char *path, struct err *err) {
    return rename(from, path) < 0 ? err_sys(err, -errno, "replacing %s", path) : 0;
}

static int save_iso(const struct stage *stage, const char *path, struct err *err) {
    // The same files, the same bytes: 1980 is the time of all files and, by the variable, of what else xorriso dates or numbers by the clock.
    cleanup_tool_env char **env = tool_env((const char *const[]){"SOURCE_DATE_EPOCH=315532800", NULL});
    // -no_rc: the user's and the host's settings for xorriso are not ours.
    const char *const argv[] = {"xorriso",
                                "-no_rc",
                                "-as",
                                "mkisofs",
                                "-quiet",
                                "-V",
                                "cidata",
                                "-J",
                                "-R",
                                "-uid",
                                "0",
                                "-gid",
                                "0",
                                "--set_all_file_dates",
                                "1980010100000000",
                                "-o",
                                stage->image,
                                stage->dir,
                                NULL};
    cleanup_fd int fd = make_image(stage, err);
    int r = fd < 0 ? fd : run_quiet(&(struct run){.argv = argv, .env = (const char *const *)env}, err);
    return r < 0 ? r : publish(stage->image, path, err);
}

#define FAT_CLUSTER_BYTES ((off_t)4096)
#define FAT_OTHER_BYTES ((off_t)512 << 10) // tables, directories with long names, and room to edit

static int is_visible(const struct dirent *entry) {
    return entry->d_name[0] != '.';
}

// Copies the files of a directory, in the order of their names, so that the same files give the same bytes.
struct copying {
    const char *image, *dir, *target; // "::/secrets/"
    const char *const *env;
};

static int copy_all(const struct copying *copying, off_t *size, struct err *err) {
    struct dirent **entries = NULL;
    int r = 0, count = scandir(copying->dir, &entries, is_visible, alphasort);
    if (count < 0)
        return err_sys(err, -errno, "reading %s", copying->dir);
    for (int i = 0; i < count; i++) {
        cleanup_free char *path = str_printf("%s/%s", copying->dir, entries[i]->d_name);
        struct stat st;
        if (r >= 0 && stat(path, &st) < 0)
            r = err_sys(err, -errno, "reading %s", path);
        else if (r >= 0 && S_ISREG(st.st_mode) && size)
            *size += (st.st_size + FAT_CLUSTER_BYTES - 1) / FAT_CLUSTER_BYTES * FAT_CLUSTER_BYTES;
        else if (r >= 0 && S_ISREG(st.st_mode))
            r = run_quiet(&(struct run){.argv = RUN_ARGV("mcopy", "-i", copying->image, path, copying->target), .env = copying->env}, err);
        free(entries[i]);
    }
    free(entries);
    return r;
}

// FAT12 with clusters of this size ends at 16 MiB, which is more than config.env and all secrets that are allowed.
static int format_vfat(const struct stage *stage, int fd, off_t size, const char *const *env, struct err *err) {
    const char *const argv[] = {"mkfs.vfat", "-F", "12", "-s", "8", "--invariant", "-i", "63696461", "-n", "cidata", stage->image, NULL};
    if (ftruncate(fd, FAT_OTHER_BYTES + size) < 0)
        return err_sys(err, -errno, "making room for a file system");
    return run_quiet(&(struct run){.argv = argv, .env = env}, err);
}

static int save_vfat(const struct stage *stage, const char *path, struct err *err) {
    cleanup_tool_env char **env =
        tool_env((const char *const[]){"SOURCE_DATE_EPOCH=315532800", "MTOOLS_SKIP_CHECK=1", "MTOOLSRC=/dev/null", NULL});
    cleanup_fd int fd = make_image(stage, err);
    cleanup_free char *secrets = str_printf("%s/secrets", stage->dir), *image = tool_fd_path(fd);
    const char *const *tools_env = (const char *const *)env;
    const struct copying top = {image, stage->dir, "::/", tools_env}, below = {image, secrets, "::/secrets/", tools_env};
    bool has_dir = file_exists(AT_FDCWD, secrets);
    off_t size = 0;
    int r = fd < 0 ? fd : copy_all(&top, &size, err);
    if (r >= 0 && has_dir)
        r = copy_all(&below, &size, err);
    if (r >= 0)
        r = format_vfat(stage, fd, size, tools_env, err);
    if (r >= 0)
        r = copy_all(&top, NULL, err);
    if (r >= 0 && has_dir)
        r = run_quiet(&(struct run){.argv = RUN_ARGV("mmd", "-i", image, "::/secrets"), .env = tools_env}, err);
    if (r >= 0 && has_dir)
        r = copy_all(&below, NULL, err);
    return r < 0 ? r : publish(stage->image, path, err);
}

static int save_dir(const struct stage *stage, const char *path, struct err *err) {
    // rename() would replace an empty directory.
    if (file_exists(AT_FDCWD, path))
        return err_set(err, -EEXIST, "it exists; remove it, or choose another name");
    return publish(stage->dir, path, err);
}

static const struct {
    const char *suffix;
    int (*save)(const struct stage *stage, const char *path, struct err *err);
} forms[] = {{".iso", save_iso}, {".img", save_vfat}};

static int stage_make(const struct seed *seed, const char *base, struct stage *ret_stage, struct err *err) {
    int r = tempdir_make_beside(base, &ret_stage->private, err);
    if (r < 0)
        return r;
    ret_stage->dir = str_printf("%s/files", ret_stage->private);
    ret_stage->image = str_printf("%s/image", ret_stage->private);
    r = file_mkdirs(AT_FDCWD, ret_stage->dir, 0700, err);
    return r < 0 ? r : fill(seed, ret_stage->dir, err);
}

int seed_save(const struct seed *seed, struct err *err) {
    cleanup_free char *path = str_dup(seed->path);
    for (size_t size = strlen(path); size > 1 && path[size - 1] == '/'; size--)
        path[size - 1] = '\0';
    cleanup(stage_done) struct stage stage = {0};
    int (*save)(const struct stage *, const char *, struct err *) = save_dir;
    for (size_t i = 0; i < ARRAY_SIZE(forms); i++)
        if (str_ends_with(path, forms[i].suffix))
            save = forms[i].save;
    int r = check_lasting(seed->config, err);
    if (r >= 0)
        r = stage_make(seed, path, &stage, err);
    if (r >= 0)
        r = save(&stage, path, err);
    return r < 0 ? err_prefix(err, r, "making the seed %s", path) : 0;
}

struct giving {
    seed_take *take;
    void *context;
};

static int give_secret(void *context, const char *name, const char *data, size_t size, struct err *err) {
    const struct giving *giving = context;
    cleanup_free char *path = str_printf("secrets/%s", name);
    return giving->take(giving->context, path, data, size, err);
}

int seed_give(const struct seed *seed, seed_take *take, void *context, struct err *err) {
    cleanup_free char *config = NULL;
    cleanup_buf struct buf der = {0};
    struct giving giving = {take, context};
    size_t size = 0;
    int r = file_read(AT_FDCWD, seed->config, CONFIG_MAX_BYTES, &config, &size, err);
    if (r >= 0)
        r = take(context, "config.env", config, size, err);
    if (r < 0 || !seed->secrets)
        return r;
    if (!seed->encrypt_to)
        return each_secret(seed, give_secret, &giving, err);
    r = seal_secrets(seed, &der, err);
    return r < 0 ? r : take(context, "secrets.cms", der.data, der.size, err);
}

static int take_nothing(void *context, const char *path, const void *data, size_t size, struct err *err) {
    (void)context;
    (void)path;
    (void)data;
    (void)size;
    (void)err;
    return 0;
}

int seed_try(const struct seed *seed, struct err *err) {
    int r = check_lasting(seed->config, err);
    if (r >= 0)
        r = check_lasting(seed->encrypt_to, err);
    return r < 0 ? r : seed_give(seed, take_nothing, NULL, err);
}
