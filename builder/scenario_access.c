// SPDX-License-Identifier: Apache-2.0
// A key pair by ssh-keygen and the smallest configuration that lets its owner in.
#include "builder/scenario_access.h"
#include "builder/tempdir.h"
#include "common/buf.h"
#include "common/config.h"
#include "common/file.h"
#include "common/log.h"
#include "common/run.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define KEYGEN_TIMEOUT_MS 30000
#define MAX_KEY_BYTES 65536
#define USER "ops"

// The rate limit would count the connections of a test as an attack.
static const char own_config[] = "# Written by webops-image test.\n"
                                 "HOSTNAME=webops-test\n"
                                 "OPERATOR_USER=" USER "\n"
                                 "SSH_AUTHORIZED_KEYS_FILE=/webops/secrets/ssh.secret\n"
                                 "SSH_RATE_LIMIT=0\n";

static int make_key(const struct scenario_access *access, struct err *err) {
    cleanup_free char *public_key = str_printf("%s.pub", access->key);
    cleanup_free char *secret = str_printf("%s/ssh.secret", access->secrets);
    cleanup_free char *text = NULL;
    size_t size = 0;
    struct run keygen = {.argv = RUN_ARGV("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "webops-image test", "-f", access->key),
                         .timeout_ms = KEYGEN_TIMEOUT_MS};
    int r = run_quiet(&keygen, err);
    if (r == 0)
        r = file_read(AT_FDCWD, public_key, MAX_KEY_BYTES, &text, &size, err);
    return r < 0 ? r : file_publish(AT_FDCWD, secret, text, size, 0600, err);
}

static int make_own(struct scenario_access *access, struct err *err) {
    int r = tempdir_make("test", &access->dir, err);
    if (r < 0)
        return r;
    access->config = str_printf("%s/config.env", access->dir);
    access->secrets = str_printf("%s/secrets", access->dir);
    access->key = str_printf("%s/id_ed25519", access->dir);
    access->user = str_dup(USER);
    r = file_publish(AT_FDCWD, access->config, own_config, strlen(own_config), 0600, err);
    if (r == 0)
        r = file_mkdirs(AT_FDCWD, access->secrets, 0700, err);
    return r < 0 ? r : make_key(access, err);
}

// Problems of the file are named when the seed is made; here only one key is wanted.
static int find_user(const char *path, char **ret_user, struct err *err) {
    cleanup_free char *text = NULL;
    size_t size = 0;
    int r = file_read(AT_FDCWD, path, CONFIG_READ_BYTES, &text, &size, err);
    if (r < 0)
        return r;
    cleanup_config struct config config = {0};
    cleanup_config_problems struct config_problems problems = {0};
    r = config_parse(text, size, &config, &problems);
    const struct config_entry *user = config_find(&config, "OPERATOR_USER");
    if (r == 0 && !user)
        return err_set(err, -EINVAL, "%s sets no OPERATOR_USER, for whom the key could be", path);
    *ret_user = user ? str_dup(user->value) : NULL;
    return 0;
}

int scenario_access_prepare(const char *config, const char *secrets, const char *key, struct scenario_access *access, struct err *err) {
    if (!config)
        return make_own(access, err);
    access->config = str_dup(config);
    access->secrets = secrets ? str_dup(secrets) : NULL;
    access->key = key ? str_dup(key) : NULL;
    return key ? find_user(config, &access->user, err) : 0;
}

void scenario_access_done(struct scenario_access *access) {
    tempdir_done(&access->dir);
    char *const strings[] = {access->config, access->secrets, access->key, access->user};
    for (size_t i = 0; i < ARRAY_SIZE(strings); i++)
        free(strings[i]);
    *access = (struct scenario_access){0};
}
