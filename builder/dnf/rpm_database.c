// SPDX-License-Identifier: Apache-2.0
#include "builder/dnf/rpm_database.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/run.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define MAX_LIST_BYTES (16u << 20)

static const char format[] = "Package: %{NAME}\\nStatus: install ok installed\\nVersion: %|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-%{RELEASE}\\n"
                             "Architecture: %{ARCH}\\nSource: %{SOURCERPM}\\nInstalled-Size: %{SIZE}\\n\\n";

static void drop_keys(char *text) {
    static const char key[] = "Package: gpg-pubkey\n";
    char *to = text;
    for (char *paragraph = text, *next; *paragraph; paragraph = next) {
        char *end = strstr(paragraph, "\n\n");
        next = end ? end + 2 : paragraph + strlen(paragraph);
        if (strncmp(paragraph, key, strlen(key)) == 0)
            continue;
        memmove(to, paragraph, (size_t)(next - paragraph));
        to += next - paragraph;
    }
    *to = 0;
}

int rpm_database_list(const char *root, const char *dbpath, char **ret_text, size_t *ret_size, struct err *err) {
    const struct run query = {.argv = RUN_ARGV("rpm", "--root", root ? root : "/", "--dbpath", dbpath, "-qa", "--queryformat", format)};
    cleanup_free char *text = NULL;
    int r = run_capture(&query, MAX_LIST_BYTES, &text, NULL, err);
    if (r < 0)
        return r;
    drop_keys(text);
    *ret_size = strlen(text);
    *ret_text = take_ptr(text);
    return 0;
}

int rpm_database_convert(const char *dir, struct err *err) {
    const struct run rebuild = {.argv = RUN_ARGV("rpmdb", "--define", "_db_backend sqlite", "--dbpath", dir, "--rebuilddb")};
    return run_quiet(&rebuild, err);
}

int rpm_database_without(const char *from, const struct strings *packages, const char *dir, struct err *err) {
    static const char *const start[] = {"rpm", "--dbpath", NULL, "-e", "--justdb", "--noscripts", "--notriggers"};
    cleanup_free char *path = str_printf("%s/" RPM_DATABASE_FILE, dir);
    cleanup_free const char **argv = mem_array(ARRAY_SIZE(start) + packages->count + 1, sizeof(*argv));
    cleanup_fd int in = file_open(AT_FDCWD, from, O_RDONLY, 0, err);
    if (in < 0)
        return in;
    cleanup_fd int out = file_open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL, 0644, err);
    int r = out < 0 ? out : file_copy_fd(in, out, path, NULL, err);
    if (r < 0 || !packages->count)
        return r;
    memcpy(argv, start, sizeof(start));
    argv[2] = dir;
    for (unsigned i = 0; i < packages->count; i++)
        argv[ARRAY_SIZE(start) + i] = packages->items[i];
    const struct run erase = {.argv = argv};
    r = run_quiet(&erase, err);
    return r < 0
               ? err_prefix(err, -EINVAL, "removing packages of the vendor's image (what needs one of them can be named in `remove`, too)")
               : 0;
}
