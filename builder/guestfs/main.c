// SPDX-License-Identifier: Apache-2.0
// webops-guestfs: tells what is on a disk image (a report as JSON), or streams the tree of the one Linux system on it as tar. A program of its own,
// because libguestfs brings some fifty libraries, and because what it answers comes from a foreign disk: webops-image starts it without network and
// without rights, and checks what it says. Internal; webops-image(1) is for people.
#include "builder/dnf/rpm_database.h"
#include "builder/guestfs/guest.h"
#include "builder/guestfs/report.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/log.h"
#include "common/opt.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define MAX_STATUS_BYTES (32 << 20)
#define TEMPORARY "webops-guestfs-XXXXXX"
#define MAX_PATTERNS_BYTES (1 << 20)

struct wishes {
    struct guest_options guest;
    const char *status; // where the dpkg status or the list of rpm goes
    const char *database; // where the rpm database goes
    const char *exclude; // file of path patterns
};

static int print(json_t *report, struct err *err) {
    cleanup_free char *text = json_dumps(report, JSON_INDENT(1));
    if (!text)
        return err_set(err, -ENOMEM, "the report: out of memory");
    int r = file_write_all(STDOUT_FILENO, "standard output", text, strlen(text), err);
    return r < 0 ? r : file_write_all(STDOUT_FILENO, "standard output", "\n", 1, err);
}

static int save_dpkg(guestfs_h *guest, const char *path, struct err *err) {
    static const char status[] = DPKG_STATUS;
    int64_t size = guestfs_filesize(guest, status);
    if (size < 0)
        return guest_failed(guest, err, "%s", status);
    if (size > MAX_STATUS_BYTES)
        return err_set(err, -EFBIG, "%s: larger than %d bytes", status, MAX_STATUS_BYTES);
    return guestfs_download(guest, status, path) < 0 ? guest_failed(guest, err, "copying %s", status) : 0;
}

static int copy_file(const char *dir, const char *name, const char *to, struct err *err) {
    cleanup_free char *path = str_printf("%s/%s", dir, name);
    cleanup_fd int in = file_open(AT_FDCWD, path, O_RDONLY, 0, err);
    if (in < 0)
        return err_prefix(err, in, "the packages could not be listed; is rpm installed?");
    cleanup_fd int out = file_open(AT_FDCWD, to, O_WRONLY | O_CREAT | O_TRUNC, 0644, err);
    return out < 0 ? out : file_copy_fd(in, out, to, NULL, err);
}

static int save_rpm(const struct wishes *wishes, const char *dir, struct err *err) {
    int r = wishes->status ? copy_file(dir, REPORT_PACKAGES, wishes->status, err) : 0;
    return r >= 0 && wishes->database ? copy_file(dir, RPM_DATABASE_FILE, wishes->database, err) : r;
}

static int save(guestfs_h *guest, const struct wishes *wishes, const json_t *report, const char *dir, struct err *err) {
    const json_t *systems = json_object_get(report, "systems"), *first = json_array_get(systems, 0);
    const char *format = json_string_value(json_object_get(first, "packages_are"));
    if (json_array_size(systems) != 1 || !json_object_get(first, "packages") || !format)
        return 0;
    if (strcmp(format, "rpm") == 0)
        return save_rpm(wishes, dir, err);
    return wishes->status && strcmp(format, "deb") == 0 ? save_dpkg(guest, wishes->status, err) : 0;
}

static int inspect_in(const char *dir, const struct wishes *wishes, struct err *err) {
    cleanup_guest guestfs_h *guest = NULL;
    json_t *report = NULL;
    int r = guest_open(&wishes->guest, &guest, err);
    if (r >= 0)
        r = report_make(guest, dir, &report, err);
    if (r >= 0)
        r = save(guest, wishes, report, dir, err);
    if (r >= 0)
        r = print(report, err);
    json_decref(report);
    return r;
}

static int do_inspect(const struct wishes *wishes, struct err *err) {
    const char *parent = getenv("LIBGUESTFS_TMPDIR");
    cleanup_free char *dir = str_printf("%s/" TEMPORARY, parent && *parent ? parent : "/var/tmp");
    if (!mkdtemp(dir))
        return err_sys(err, -errno, "creating %s", dir);
    int r = inspect_in(dir, wishes, err);
    struct err ignored;
    (void)!file_remove_tree(AT_FDCWD, dir, &ignored);
    return r;
}

// Lines "/etc/cloud" as tar wants them: "./etc/cloud". The list is of libguestfs' kind, for guest_list_free().
static int load_patterns(const char *path, char ***ret_patterns, struct err *err) {
    cleanup_free char *text = NULL;
    int r = path ? file_read(AT_FDCWD, path, MAX_PATTERNS_BYTES, &text, NULL, err) : 0;
    if (r < 0)
        return r;
    cleanup_guest_list char **patterns = mem_array(1, sizeof(*patterns));
    size_t count = 0;
    for (char *line = text; line && *line;) {
        char *end = line + strcspn(line, "\n"), *next = *end ? end + 1 : end;
        *end = 0;
        if (*line && *line != '/')
            return err_set(err, -EINVAL, "%s: pattern \"%s\" does not begin with /", path, line);
        if (*line) {
            patterns = mem_resize(patterns, count + 2, sizeof(*patterns));
            patterns[count++] = str_printf(".%s", line);
            patterns[count] = NULL;
        }
        line = next;
    }
    *ret_patterns = patterns;
    patterns = NULL;
    return 0;
}

static int stream(guestfs_h *guest, char **patterns, struct err *err) {
    if (guestfs_tar_out_opts(guest, "/", "/dev/stdout", GUESTFS_TAR_OUT_OPTS_NUMERICOWNER, 1, GUESTFS_TAR_OUT_OPTS_XATTRS, 1,
                             GUESTFS_TAR_OUT_OPTS_EXCLUDES, patterns, -1) < 0)
        return guest_failed(guest, err, "reading the tree");
    return guestfs_shutdown(guest) < 0 ? guest_failed(guest, err, "ending the appliance") : 0;
}

static int do_tar(const struct wishes *wishes, struct err *err) {
    cleanup_guest guestfs_h *guest = NULL;
    cleanup_guest_list char **roots = NULL, **patterns = NULL;
    int r = load_patterns(wishes->exclude, &patterns, err);
    if (r >= 0)
        r = guest_open(&wishes->guest, &guest, err);
    if (r < 0)
        return r;
    roots = guestfs_inspect_os(guest);
    if (!roots)
        return guest_failed(guest, err, "looking for operating systems");
    if (!roots[0] || roots[1])
        return err_set(err, -EINVAL, "%s: exactly one operating system is expected", wishes->guest.disk);
    r = guest_mount(guest, roots[0], err);
    return r < 0 ? r : stream(guest, patterns, err);
}

static int run_with(const struct verb *self, int argc, char **argv, int (*act)(const struct wishes *, struct err *)) {
    struct wishes wishes = {.guest.format = "raw"};
    const struct opt options[] = {
        {"format", 0, OPT_TEXT, &wishes.guest.format, "FORMAT", "raw (the default) or qcow2."},
        {"software", 0, OPT_FLAG, &wishes.guest.software, NULL, "Use no hardware virtualisation."},
        {"status", 0, OPT_TEXT, &wishes.status, "FILE", "inspect: put the dpkg status there, or the list of rpm packages in its format."},
        {"database", 0, OPT_TEXT, &wishes.database, "FILE", "inspect: put the rpm database there, if there is one."},
        {"exclude-from", 0, OPT_TEXT, &wishes.exclude, "FILE", "tar: leave out what matches one of its lines, and what lies below."},
        {0},
    };
    struct err err = {0};
    char **args;
    int count;
    int exit_code = opt_parse(self, options, argc, argv, &args, &count);
    if (exit_code >= 0)
        return exit_code;
    wishes.guest.disk = args[0];
    if (strcmp(wishes.guest.format, "raw") != 0 && strcmp(wishes.guest.format, "qcow2") != 0)
        return verb_failed(err_set(&err, -EINVAL, "--format=%s: raw and qcow2 are known", wishes.guest.format), &err);
    int r = act(&wishes, &err);
    return r < 0 ? verb_failed(r, &err) : EXIT_OK;
}

static int inspect(const struct verb *self, int argc, char **argv) {
    return run_with(self, argc, argv, do_inspect);
}

static int tar(const struct verb *self, int argc, char **argv) {
    return run_with(self, argc, argv, do_tar);
}

int main(int argc, char **argv) {
    static const struct verb verbs[] = {
        {"inspect", "DISK", 1, 1, "Print what is on a disk image as JSON.", inspect},
        {"tar", "DISK", 1, 1, "Stream the tree of its operating system.", tar},
        {0},
    };
    log_init("webops-guestfs", LOG_LEVEL_INFO, false);
    return verb_main("webops-guestfs", "reads disk images of others (internal to webops-image)", verbs, argc, argv);
}
