// SPDX-License-Identifier: Apache-2.0
// Reads and makes .deb files, and writes the small repositories and configurations around them.
#include "builder/deb.h"
#include "common/digest.h"
#include "builder/tempdir.h"
#include "builder/tool_log.h"
#include "common/file.h"
#include "common/run.h"
#include "common/slot.h"
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define MAX_CONTROL_BYTES (1u << 20)
#define MAX_CONTROL_TAR_BYTES (16u << 20)

static void free_archive(struct archive **archive) {
    if (*archive)
        archive_read_free(*archive);
}
#define cleanup_archive cleanup(free_archive)

static int read_entry(struct archive *archive, const char *what, size_t max_bytes, struct buf *ret, struct err *err) {
    char block[16384];
    la_ssize_t got;
    while ((got = archive_read_data(archive, block, sizeof(block))) > 0) {
        if (ret->size + (size_t)got > max_bytes)
            return err_set(err, -EFBIG, "%s: control data is larger than %zu bytes", what, max_bytes);
        buf_add(ret, block, (size_t)got);
    }
    return got < 0 ? err_set(err, -EINVAL, "%s: %s", what, archive_error_string(archive)) : 0;
}

// Goes forward to the member whose name starts with `prefix` and reads it.
static int find_member(struct archive *archive, const char *what, const char *prefix, size_t max_bytes, struct buf *ret, struct err *err) {
    struct archive_entry *entry;
    int r;
    while ((r = archive_read_next_header(archive, &entry)) == ARCHIVE_OK || r == ARCHIVE_WARN) {
        const char *name = archive_entry_pathname(entry);
        while (name && name[0] == '.' && name[1] == '/')
            name += 2;
        if (name && strncmp(name, prefix, strlen(prefix)) == 0)
            return read_entry(archive, what, max_bytes, ret, err);
    }
    return err_set(err, -EINVAL, "%s: no %s in it: not a Debian package", what, prefix);
}

static int parse_control_tar(const char *what, const struct buf *tar, struct buf *ret_control, struct err *err) {
    cleanup_archive struct archive *archive = archive_read_new();
    if (!archive || archive_read_support_filter_all(archive) < ARCHIVE_WARN || archive_read_support_format_tar(archive) != ARCHIVE_OK ||
        archive_read_open_memory(archive, tar->data, tar->size) != ARCHIVE_OK)
        return err_set(err, -EINVAL, "%s: %s", what, archive ? archive_error_string(archive) : "out of memory");
    int r = find_member(archive, what, "control", MAX_CONTROL_BYTES, ret_control, err);
    while (ret_control->size && ret_control->data[ret_control->size - 1] == '\n')
        ret_control->data[--ret_control->size] = 0;
    buf_add_str(ret_control, "\n");
    return r;
}

int deb_control(int dir_fd, const char *path, struct buf *ret_control, struct err *err) {
    cleanup_fd int fd = file_open(dir_fd, path, O_RDONLY, 0, err);
    if (fd < 0)
        return fd;
    cleanup_archive struct archive *archive = archive_read_new();
    cleanup_buf struct buf tar = {0};
    if (!archive || archive_read_support_format_ar(archive) != ARCHIVE_OK || archive_read_open_fd(archive, fd, 65536) != ARCHIVE_OK)
        return err_set(err, -EINVAL, "%s: %s", path, archive ? archive_error_string(archive) : "out of memory");
    int r = find_member(archive, path, "control.tar", MAX_CONTROL_TAR_BYTES, &tar, err);
    return r < 0 ? r : parse_control_tar(path, &tar, ret_control, err);
}

int deb_stand_in(const char *dir, const char *name, char **ret_file, struct err *err) {
    cleanup_free char *file = str_printf(DEB_STAND_IN_PREFIX "%s_1_all.deb", name);
    cleanup_free char *path = str_printf("%s/%s", dir, file);
    cleanup_tempdir char *temporary = NULL;
    int r = tempdir_make("stand-in", &temporary, err);
    if (r < 0)
        return r;
    cleanup_free char *control_dir = str_printf("%s/DEBIAN", temporary), *control = str_printf("%s/control", control_dir);
    cleanup_buf struct buf text = {0};
    buf_printf(&text,
               "Package: " DEB_STAND_IN_PREFIX "%s\nVersion: 1\nArchitecture: all\nMaintainer: webops <root@localhost>\nProvides: %s\n"
               "Section: misc\nPriority: optional\nDescription: stands in for %s, which this image does not need\n",
               name, name, name);
    r = file_mkdirs(AT_FDCWD, control_dir, 0755, err);
    if (r >= 0 && (chmod(temporary, 0755) < 0 || chmod(control_dir, 0755) < 0))
        r = err_sys(err, -errno, "cannot prepare %s", temporary);
    if (r >= 0)
        r = file_publish(AT_FDCWD, control, buf_str(&text), text.size, 0644, err);
    cleanup_tool_env char **env = tool_env((const char *const[]){"SOURCE_DATE_EPOCH=1", NULL});
    cleanup_free char *part = str_printf("%s.%d", path, getpid());
    struct run build = {.argv = RUN_ARGV("dpkg-deb", "--root-owner-group", "-Zgzip", "--build", temporary, part),
                        .env = (const char *const *)env};
    if (r >= 0)
        r = run_quiet(&build, err);
    if (r >= 0 && rename(part, path) < 0)
        r = err_sys(err, -errno, "cannot write %s", path);
    if (r >= 0)
        *ret_file = take_ptr(file);
    return r;
}

static int add_package(const char *dir, const char *packages_dir, const struct package *package, struct buf *index, struct err *err) {
    cleanup_free char *from = str_printf("%s/%s", packages_dir, package->sha256), *to = str_printf("%s/%s", dir, package->file);
    if (symlink(from, to) < 0)
        return err_sys(err, -errno, "cannot write %s", to);
    cleanup_buf struct buf control = {0};
    int r = deb_control(AT_FDCWD, from, &control, err);
    buf_printf(index, "%sFilename: ./%s\nSize: %llu\nSHA256: %s\n\n", buf_str(&control), package->file,
               (unsigned long long)package->size_bytes, package->sha256);
    return r < 0 ? err_prefix(err, r, "package %s", package->file) : 0;
}

int deb_repository(const char *dir, const char *packages_dir, const struct package_set *set, struct err *err) {
    cleanup_buf struct buf index = {0};
    int r = file_mkdirs(AT_FDCWD, dir, 0755, err);
    for (size_t i = 0; r >= 0 && i < set->count; i++)
        r = add_package(dir, packages_dir, &set->packages[i], &index, err);
    cleanup_free char *path = str_printf("%s/Packages", dir);
    return r < 0 ? r : file_publish(AT_FDCWD, path, buf_str(&index), index.size, 0644, err);
}

static int write_file(const char *dir, const char *name, const char *text, struct err *err) {
    cleanup_free char *path = str_printf("%s/%s", dir, name);
    return file_publish(AT_FDCWD, path, text, strlen(text), 0644, err);
}

static void format_config(const struct apt_root_options *o, const char *status, const char *archives, struct buf *text) {
    buf_printf(
        text,
        "Dir \"%s/\";\nDir::State \"state/\";\nDir::State::lists \"%s/lists/\";\nDir::State::status \"%s\";\nDir::Cache \"cache/\";\n"
        "Dir::Cache::archives \"%s/\";\nDir::Etc::sourcelist \"%s/sources.list\";\n",
        o->dir, o->dir, status, archives, o->dir);
    static const char *const nowhere[] = {"sourceparts", "trusted", "trustedparts", "preferences", "preferencesparts",
                                          "main",        "parts",   "netrc",        "netrcparts"};
    for (size_t i = 0; i < ARRAY_SIZE(nowhere); i++)
        buf_printf(text, "Dir::Etc::%s \"/dev/null\";\n", nowhere[i]);
    // ForceEssential: apt itself is no part of an image. ForceHash: what print-uris shows.
    buf_printf(text,
               "Dir::Log \"/dev/null\";\nAPT::Architecture \"%s\";\nAPT::Architectures { \"%s\"; };\nAPT::Install-Recommends \"false\";\n"
               "APT::Sandbox::User \"root\";\nAPT::Get::List-Cleanup \"false\";\npkgCacheGen::ForceEssential \",\";\n"
               "Acquire::Languages \"none\";\nAcquire::ForceHash \"SHA256\";\nAcquire::Retries \"2\";\nAcquire::http::Timeout \"20\";\n"
               "Acquire::https::Timeout \"20\";\nDpkg::Use-Pty \"false\";\nDPkg::Options { \"--force-unsafe-io\"; \"--force-confdef\"; "
               "\"--force-confold\"; };\n",
               o->architecture, o->architecture);
    if (o->chroot)
        buf_printf(text, "DPkg::Chroot-Directory \"%s\";\nDebug::NoLocking \"true\";\n", o->chroot);
}

int apt_root_make(const struct apt_root_options *o, struct err *err) {
    cleanup_free char *own_status = str_printf("%s/status", o->dir), *own_archives = str_printf("%s/archives", o->dir);
    const char *status = o->status ? o->status : own_status, *archives = o->archives ? o->archives : own_archives;
    cleanup_free char *partial = str_printf("%s/partial", archives);
    static const char *const dirs[] = {"lists/partial", "state", "cache"};
    int r = file_mkdirs(AT_FDCWD, partial, 0755, err);
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(dirs); i++) {
        cleanup_free char *path = str_printf("%s/%s", o->dir, dirs[i]);
        r = file_mkdirs(AT_FDCWD, path, 0755, err);
    }
    cleanup_buf struct buf text = {0};
    format_config(o, status, archives, &text);
    if (r >= 0 && !o->status)
        r = write_file(o->dir, "status", "", err);
    if (r >= 0)
        r = write_file(o->dir, "sources.list", o->sources, err);
    return r < 0 ? r : write_file(o->dir, "apt.conf", buf_str(&text), err);
}
