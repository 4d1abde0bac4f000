// SPDX-License-Identifier: Apache-2.0
// Reads; decides nothing.
#include "firstboot/facts.h"
#include "common/file.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>

#define ACCOUNTS_MAX_BYTES (4 << 20)
#define SSHD_CONFIG_MAX_BYTES (1 << 20)

// Enabled in the image; it may be in one without being used.
#define NETWORKMANAGER "etc/systemd/system/multi-user.target.wants/NetworkManager.service"

static void wipe(char *text) {
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
}

void facts_done(struct facts_store *store) {
    free(store->passwd);
    free(store->group);
    wipe(store->shadow);
    wipe(store->gshadow);
    free(store->authorized_keys);
    wipe(store->password_hash);
    *store = (struct facts_store){0};
}

static int read_accounts(int root_fd, struct facts_store *store, struct err *err) {
    const struct {
        const char *path;
        char **text;
    } files[] = {
        {"etc/passwd", &store->passwd}, {"etc/group", &store->group}, {"etc/shadow", &store->shadow}, {"etc/gshadow", &store->gshadow}};
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        int r = file_read(root_fd, files[i].path, ACCOUNTS_MAX_BYTES, files[i].text, NULL, err);
        if (r == -ENOENT)
            *files[i].text = str_dup("");
        else if (r < 0)
            return r;
    }
    return 0;
}

// The file was checked by schema_check_files(); NULL stays NULL when the key is unset.
static int read_secret(int root_fd, const char *path, const char *key, char **ret_text, struct err *err) {
    const char *name = path && *path ? schema_secret_name(path) : NULL;
    if (!name)
        return 0;
    cleanup_free char *relative = str_printf("%s/%s", SCHEMA_SECRETS_DIR + 1, name);
    int r = file_read(root_fd, relative, SCHEMA_SECRET_MAX_BYTES, ret_text, NULL, err);
    return r < 0 ? err_prefix(err, r, "%s", key) : 0;
}

// What webops itself has written in its place says the same as the image's.
static bool includes_nothing(int root_fd) {
    cleanup_free char *text = NULL;
    struct err ignored;
    if (file_read(root_fd, "etc/ssh/sshd_config", SSHD_CONFIG_MAX_BYTES, &text, NULL, &ignored) < 0)
        return false;
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        line += strspn(line, " \t");
        const char *found = strncasecmp(line, "Include", 7) == 0 ? strstr(line, "/sshd_config.d/") : NULL;
        if (found && found < line + strcspn(line, "\n"))
            return false;
    }
    return true;
}

static void find_watchdogs(int root_fd, struct facts *facts) {
    int fd = openat(root_fd, "sys/class/watchdog", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_dir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        if (entry->d_name[0] == '.')
            continue;
        struct err err;
        cleanup_free char *path = str_printf("%s/identity", entry->d_name), *identity = NULL;
        bool is_soft = file_read(dirfd(dir), path, 4096, &identity, NULL, &err) == 0 && strncmp(identity, "Software Watchdog", 17) == 0;
        unsigned number = (unsigned)strtoul(entry->d_name + strcspn(entry->d_name, "0123456789"), NULL, 10);
        if (is_soft) {
            facts->has_softdog = true;
            facts->softdog = number;
        } else if (facts->hardware_watchdogs++ == 0 || number < facts->hardware_watchdog) {
            facts->hardware_watchdog = number;
        }
    }
}

int facts_gather(int root_fd, const struct schema *schema, const struct config *config, bool has_config, struct facts_store *ret_store,
                 struct err *err) {
    cleanup_facts struct facts_store store = {0};
    int r = read_accounts(root_fd, &store, err);
    if (r >= 0)
        r = read_secret(root_fd, schema_text(schema, config, "SSH_AUTHORIZED_KEYS_FILE"), "SSH_AUTHORIZED_KEYS_FILE",
                        &store.authorized_keys, err);
    if (r >= 0)
        r = read_secret(root_fd, schema_text(schema, config, "OPERATOR_PASSWORD_FILE"), "OPERATOR_PASSWORD_FILE", &store.password_hash,
                        err);
    if (r < 0)
        return r;
    cleanup_free char *zone = str_printf("usr/share/zoneinfo/%s", schema_text(schema, config, "TIMEZONE"));
    struct stat st;
    store.facts = (struct facts){
        .passwd = store.passwd,
        .group = store.group,
        .shadow = store.shadow,
        .gshadow = store.gshadow,
        .authorized_keys = store.authorized_keys,
        .password_hash = store.password_hash,
        .has_networkmanager = fstatat(root_fd, NETWORKMANAGER, &st, AT_SYMLINK_NOFOLLOW) == 0,
        .sshd_includes_nothing = includes_nothing(root_fd),
        .has_zone = fstatat(root_fd, zone, &st, 0) == 0 && S_ISREG(st.st_mode),
        .has_config = has_config,
    };
    find_watchdogs(root_fd, &store.facts);
    *ret_store = store;
    store = (struct facts_store){0};
    return 0;
}
