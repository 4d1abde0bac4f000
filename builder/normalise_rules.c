// SPDX-License-Identifier: Apache-2.0
// The table of what an image must not carry, and the few places that move. First match wins.
#include "builder/normalise_rules.h"
#include "common/buf.h"
#include <ctype.h>
#include <errno.h>
#include <fnmatch.h>
#include <string.h>
#include <sys/stat.h>

#define FACTORY "usr/share/factory/var"
#define DPKG_DATABASE "usr/lib/sysimage/dpkg"
#define RPM_DATABASE "usr/lib/sysimage/rpm"
#define MAX_PATH_BYTES 4000
#define MAX_NAME_BYTES 255

static const struct {
    const char *from, *to;
} renames[] = {
    {"var/lib/dpkg", DPKG_DATABASE},
    {"var", FACTORY},
};

enum scope {
    ANY, // every type
    NOT_DIR, // directories stay: services expect them with their owner
    DIRECTORY,
    REGULAR,
};

// Patterns are fnmatch(3) without FNM_PATHNAME: '*' also matches '/'.
static const struct {
    const char *pattern;
    enum scope scope;
    enum normalise_action action;
} rules[] = {
    {"boot/vmlinuz-*", REGULAR, NORMALISE_KERNEL},
    {"usr/lib/modules/*/vmlinuz", REGULAR, NORMALISE_KERNEL},
    {"boot/*", ANY, NORMALISE_DROP},
    {"vmlinuz*", ANY, NORMALISE_DROP},
    {"initrd.img*", ANY, NORMALISE_DROP},
    {"dev/*", ANY, NORMALISE_DROP},
    {"proc/*", ANY, NORMALISE_DROP},
    {"run/*", ANY, NORMALISE_DROP},
    {"sys/*", ANY, NORMALISE_DROP},
    {"tmp/*", ANY, NORMALISE_DROP},
    {FACTORY "/run/*", ANY, NORMALISE_DROP},
    {FACTORY "/tmp/*", ANY, NORMALISE_DROP},
    {FACTORY "/cache/*", NOT_DIR, NORMALISE_DROP},
    {FACTORY "/log/*", NOT_DIR, NORMALISE_DROP},
    {FACTORY "/backups/*", NOT_DIR, NORMALISE_DROP},
    {FACTORY "/lib/apt/lists/*", ANY, NORMALISE_DROP},
    {FACTORY "/lib/systemd/random-seed", ANY, NORMALISE_DROP},
    {FACTORY "/lib/dbus/machine-id", REGULAR, NORMALISE_DROP},
    {DPKG_DATABASE "/*-old", REGULAR, NORMALISE_DROP},
    {DPKG_DATABASE "/lock*", REGULAR, NORMALISE_DROP},
    {DPKG_DATABASE "/triggers/Lock", REGULAR, NORMALISE_DROP},
    {DPKG_DATABASE "/updates/*", REGULAR, NORMALISE_DROP},
    {RPM_DATABASE "/__db*", REGULAR, NORMALISE_DROP},
    {RPM_DATABASE "/.rpm.lock", REGULAR, NORMALISE_DROP},
    {RPM_DATABASE "/rpmdb.sqlite-*", REGULAR, NORMALISE_DROP}, // of an open database; it was closed
    {FACTORY "/lib/dnf/*", NOT_DIR, NORMALISE_DROP},
    // libselinux prefers what was compiled to a text that is not newer, and here all are of one time: it would not see ours.
    {"etc/selinux/*/contexts/files/file_contexts*.bin", REGULAR, NORMALISE_DROP},
    {"etc/machine-id", REGULAR, NORMALISE_EMPTY},
    {"etc/ssl/private/ssl-cert-snakeoil.key", REGULAR, NORMALISE_DROP}, // made by a package's script: all machines would share it
    {NORMALISE_SNAKEOIL, REGULAR, NORMALISE_DROP},
    {FACTORY "/lib/postgresql/*/main", ANY, NORMALISE_DROP}, // so is a cluster, with an identity and half the size of the server
    {FACTORY "/lib/postgresql/*/main/*", ANY, NORMALISE_DROP},
    {"etc/ssh/ssh_host_*_key*", ANY, NORMALISE_DROP},
    {"etc/hostname", REGULAR, NORMALISE_DROP}, // the build host's, left by the bootstrap
    {"etc/resolv.conf", REGULAR, NORMALISE_DROP},
    {"etc/apt/sources.list", REGULAR, NORMALISE_DROP}, // names the local repository of the build
    {"etc/apt/sources.list.d/*", ANY, NORMALISE_DROP},
    {"etc/apt/apt.conf.d/99mmdebstrap", ANY, NORMALISE_DROP},
    {"etc/dpkg/dpkg.cfg.d/99mmdebstrap", ANY, NORMALISE_DROP},
    {"etc/.pwd.lock", ANY, NORMALISE_DROP},
    {"etc/passwd-", ANY, NORMALISE_DROP},
    {"etc/group-", ANY, NORMALISE_DROP},
    {"etc/shadow-", ANY, NORMALISE_DROP},
    {"etc/gshadow-", ANY, NORMALISE_DROP},
    {"etc/subuid-", ANY, NORMALISE_DROP},
    {"etc/subgid-", ANY, NORMALISE_DROP},
    {"*/__pycache__", DIRECTORY, NORMALISE_DROP},
    {"*/__pycache__/*", ANY, NORMALISE_DROP},
    {"*.dpkg-new", REGULAR, NORMALISE_DROP},
    {"*.dpkg-tmp", REGULAR, NORMALISE_DROP},
};

// Its name comes from the name of the build host.
bool normalise_is_stale_link(const char *path, const char *target) {
    return strncmp(path, "etc/ssl/certs/", 14) == 0 && strcmp(target, strrchr(NORMALISE_SNAKEOIL, '/') + 1) == 0;
}

const struct normalise_mount_point normalise_mount_points[] = {
    {"boot", 0755}, {"dev", 0755}, {"home", 0755}, {"mnt", 0755}, {"proc", 0755},   {"root", 0700}, {"run", 0755},
    {"srv", 0755},  {"sys", 0755}, {"tmp", 01777}, {"var", 0755}, {"webops", 0755}, {NULL, 0},
};

char *normalise_printable(const char *text) {
    struct buf out = {0};
    for (size_t i = 0; i < 200 && text[i]; i++) {
        unsigned char c = (unsigned char)text[i];
        if (isprint(c) && c < 0x80)
            buf_add(&out, &text[i], 1);
        else
            buf_printf(&out, "\\x%02x", c);
    }
    return buf_take(&out);
}

// Length of one well-formed UTF-8 sequence (Unicode 15, table 3-7), 0 when it is none.
static size_t utf8_sequence(const unsigned char *s) {
    static const struct {
        unsigned char first_low, first_high, second_low, second_high;
        size_t size;
    } forms[] = {
        {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3},
        {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    if (s[0] < 0x80)
        return 1;
    for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
        if (s[0] < forms[i].first_low || s[0] > forms[i].first_high || s[1] < forms[i].second_low || s[1] > forms[i].second_high)
            continue;
        for (size_t j = 2; j < forms[i].size; j++)
            if ((s[j] & 0xc0) != 0x80)
                return 0;
        return forms[i].size;
    }
    return 0;
}

static const char *name_problem(const char *path) {
    for (const unsigned char *s = (const unsigned char *)path; *s;) {
        size_t size = utf8_sequence(s);
        if (!size)
            return "is not UTF-8";
        if (*s < 0x20 || *s == 0x7f)
            return "holds a control character";
        s += size;
    }
    return strlen(path) > MAX_PATH_BYTES ? "is longer than 4000 bytes" : NULL;
}

static const char *component_problem(const char *path) {
    while (*path) {
        size_t size = strcspn(path, "/");
        if (!size)
            return "has an empty component";
        if (size > MAX_NAME_BYTES)
            return "has a name of more than 255 bytes";
        if (size == 2 && strncmp(path, "..", 2) == 0)
            return "leaves the tree";
        if (size == 1 && *path == '.')
            return "has a \".\" component";
        path += size;
        path += *path == '/';
    }
    return NULL;
}

int normalise_clean_path(char *path, struct err *err) {
    char *start = path;
    while (start[0] == '.' && start[1] == '/')
        start += 2;
    if (strcmp(start, ".") == 0)
        start++;
    size_t size = strlen(start);
    while (size > 1 && start[size - 1] == '/')
        start[--size] = 0;
    const char *problem = start[0] == '/' ? "is absolute" : name_problem(start);
    if (!problem)
        problem = component_problem(start);
    if (problem) {
        cleanup_free char *printable = normalise_printable(start);
        return err_set(err, -EINVAL, "path \"%s\" %s", printable, problem);
    }
    memmove(path, start, size + 1);
    return 0;
}

char *normalise_rename(const char *path) {
    static const char config[] = "boot/config-";
    if (strncmp(path, config, strlen(config)) == 0 && !strchr(path + strlen(config), '/'))
        return str_printf("usr/lib/modules/%s/config", path + strlen(config)); // where other distributions have it
    for (size_t i = 0; i < ARRAY_SIZE(renames); i++) {
        size_t size = strlen(renames[i].from);
        if (strncmp(path, renames[i].from, size) == 0 && (path[size] == 0 || path[size] == '/'))
            return str_printf("%s%s", renames[i].to, path + size);
    }
    return str_dup(path);
}

static bool in_scope(enum scope scope, mode_t mode) {
    return scope == ANY || (scope == NOT_DIR && !S_ISDIR(mode)) || (scope == DIRECTORY && S_ISDIR(mode)) ||
           (scope == REGULAR && S_ISREG(mode));
}

// dpkg's rule: the last pattern that matches decides. Patterns are absolute.
static bool is_excluded(const char *path, const struct strings *exclude) {
    bool excluded = false;
    cleanup_free char *absolute = str_printf("/%s", path);
    for (unsigned i = 0; exclude && i < exclude->count; i++) {
        const char *pattern = exclude->items[i];
        bool again = pattern[0] == '!';
        if (fnmatch(pattern + again, absolute, 0) == 0)
            excluded = !again;
    }
    return excluded;
}

enum normalise_action normalise_rule(const char *path, mode_t mode, const struct strings *exclude) {
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
        if (in_scope(rules[i].scope, mode) && fnmatch(rules[i].pattern, path, 0) == 0)
            return rules[i].action;
    if (!is_excluded(path, exclude))
        return NORMALISE_KEEP;
    return S_ISDIR(mode) ? NORMALISE_LATER : NORMALISE_DROP;
}
