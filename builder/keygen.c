// SPDX-License-Identifier: Apache-2.0
// Makes all keys of a directory in a hidden one beside it, which then gets its name: there is never half a set.
#include "builder/keygen.h"
#include "builder/efisig.h"
#include "builder/tempdir.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/log.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/rand.h>
#include <string.h>
#include <sys/file.h>

#define BUNDLE_BITS 3072
#define SECURE_BOOT_BITS 2048 // what every firmware takes
#define DEVELOPMENT_NOT_BEFORE 1767225600 // the default time of images: a machine without a clock may check what it is given
#define DEVELOPMENT_DAYS (20L * 365)

enum { ROOT, INTERMEDIATE, SIGNING, PK, KEK, DB, KEYS };

// In order: an issuer stands before what it signs.
static const struct key {
    const char *file, *title;
    enum certificate_kind kind;
    unsigned bits;
    int issuer; // -1: itself
    size_t days; // offset in struct keygen_request
} key_table[KEYS] = {
    [ROOT] = {KEYGEN_ROOT, "root CA", CERTIFICATE_ROOT, BUNDLE_BITS, -1, offsetof(struct keygen_request, root_days)},
    [INTERMEDIATE] = {KEYGEN_INTERMEDIATE, "intermediate CA", CERTIFICATE_INTERMEDIATE, BUNDLE_BITS, ROOT,
                      offsetof(struct keygen_request, intermediate_days)},
    [SIGNING] = {KEYGEN_SIGNING, "bundle signing", CERTIFICATE_SIGNING, BUNDLE_BITS, INTERMEDIATE,
                 offsetof(struct keygen_request, signing_days)},
    [PK] = {KEYGEN_SECURE_BOOT "/PK", "platform key", CERTIFICATE_SECURE_BOOT, SECURE_BOOT_BITS, -1,
            offsetof(struct keygen_request, secure_boot_days)},
    [KEK] = {KEYGEN_SECURE_BOOT "/KEK", "key exchange key", CERTIFICATE_SECURE_BOOT, SECURE_BOOT_BITS, -1,
             offsetof(struct keygen_request, secure_boot_days)},
    [DB] = {KEYGEN_SECURE_BOOT "/db", "boot signing", CERTIFICATE_SECURE_BOOT, SECURE_BOOT_BITS, -1,
            offsetof(struct keygen_request, secure_boot_days)},
};

static int make_key(const struct keygen_request *request, int dir_fd, unsigned index, struct certificate *keys, struct err *err) {
    const struct key *key = &key_table[index];
    cleanup_free char *name = str_printf("%s %s", request->name, key->title);
    const long days = *(const long *)((const char *)request + key->days);
    if (days < 1 || days > KEYGEN_MAX_DAYS)
        return err_set(err, -EINVAL, "%s: %ld days; 1 to %ld are possible", key->title, days, KEYGEN_MAX_DAYS);
    const struct certificate_request wanted = {.kind = key->kind,
                                               .name = name,
                                               .not_before = request->not_before,
                                               .not_after = request->not_before + (int64_t)days * KEYGEN_DAY,
                                               .bits = key->bits,
                                               .issuer = key->issuer < 0 ? NULL : &keys[key->issuer]};
    int r = certificate_make(&wanted, &keys[index], err);
    return r < 0 ? r : certificate_save(&keys[index], dir_fd, key->file, err);
}

static int publish(int dir_fd, const char *variable, const char *suffix, const struct buf *data, struct err *err) {
    cleanup_free char *path = str_printf(KEYGEN_SECURE_BOOT "/%s%s", variable, suffix);
    return file_publish(dir_fd, path, data->data, data->size, 0644, err);
}

// PK signs itself and KEK, KEK signs db.
static int make_variables(const struct keygen_request *request, int dir_fd, const struct certificate *keys, struct err *err) {
    static const struct {
        const char *variable;
        int key, signer;
    } table[] = {{"PK", PK, PK}, {"KEK", KEK, PK}, {"db", DB, KEK}};
    uint8_t owner[EFISIG_GUID_BYTES];
    int r = RAND_bytes(owner, sizeof(owner)) == 1 ? 0 : certificate_error(err, -EIO, "random bytes");
    owner[7] = (uint8_t)(0x40 | (owner[7] & 0x0f)); // a version 4 GUID, whose first three fields lie little-endian
    owner[8] = (uint8_t)(0x80 | (owner[8] & 0x3f));
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(table); i++) {
        cleanup_buf struct buf list = {0}, auth = {0};
        r = efisig_list(keys[table[i].key].x509, owner, &list, err);
        if (r >= 0)
            r = efisig_auth(table[i].variable, &list, &keys[table[i].signer], request->not_before, &auth, err);
        if (r >= 0)
            r = publish(dir_fd, table[i].variable, ".esl", &list, err);
        if (r >= 0)
            r = publish(dir_fd, table[i].variable, ".auth", &auth, err);
    }
    return r;
}

static int fill(const struct keygen_request *request, const char *dir, struct err *err) {
    struct certificate keys[KEYS] = {0};
    cleanup_fd int dir_fd = file_open(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, 0, err);
    int r = dir_fd < 0 ? dir_fd : 0;
    if (r >= 0 && mkdirat(dir_fd, KEYGEN_SECURE_BOOT, 0700) < 0)
        r = err_sys(err, -errno, "cannot make %s/" KEYGEN_SECURE_BOOT, dir);
    for (unsigned i = 0; r >= 0 && i < KEYS; i++)
        r = make_key(request, dir_fd, i, keys, err);
    if (r >= 0)
        r = make_variables(request, dir_fd, keys, err);
    for (unsigned i = 0; i < KEYS; i++)
        certificate_done(&keys[i]);
    if (r >= 0 && fsync(dir_fd) < 0)
        r = err_sys(err, -errno, "%s", dir);
    return r;
}

// Nothing there, or an empty directory: rename() replaces that.
static bool is_free(const char *dir) {
    cleanup_dir DIR *handle = opendir(dir);
    if (!handle)
        return errno == ENOENT;
    unsigned entries = 0;
    while (readdir(handle))
        entries++;
    return entries <= 2; // "." and ".."
}

static char *parent_of(const char *dir) {
    const char *slash = strrchr(dir, '/');
    return !slash ? str_dup(".") : slash == dir ? str_dup("/") : str_printf("%.*s", (int)(slash - dir), dir);
}

int keygen_make(const char *dir, const struct keygen_request *request, struct err *err) {
    cleanup_free char *clean = str_dup(dir);
    for (size_t length = strlen(clean); length > 1 && clean[length - 1] == '/'; length--)
        clean[length - 1] = 0;
    cleanup_free char *parent = parent_of(clean);
    cleanup_tempdir char *work = NULL;
    int r = file_mkdirs(AT_FDCWD, parent, 0755, err);
    if (r < 0)
        return r;
    if (!is_free(clean))
        return err_set(err, -EEXIST, "%s exists already; keys are never overwritten", clean);
    r = tempdir_make_beside(clean, &work, err);
    if (r >= 0)
        r = fill(request, work, err);
    if (r >= 0 && rename(work, clean) < 0)
        r = errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR
                ? err_set(err, -EEXIST, "%s exists already; keys are never overwritten", clean)
                : err_sys(err, -errno, "cannot give %s its name", clean);
    return r;
}

char *keygen_development_dir(void) {
    const char *own = getenv("WEBOPS_KEYS"), *xdg = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    if (own && *own)
        return str_dup(own);
    if (xdg && *xdg)
        return str_printf("%s/webops/development-keys", xdg);
    return str_printf("%s/.local/share/webops/development-keys", home && *home ? home : "");
}

bool keygen_is_development(X509 *x509) {
    cleanup_free char *subject = certificate_subject(x509);
    return strstr(subject, "CN=" KEYGEN_DEVELOPMENT);
}

// 1: made already, 0: not yet. A directory that another user keeps for himself is neither.
static int is_complete(const char *dir, struct err *err) {
    cleanup_free char *signing = str_printf("%s/" KEYGEN_SIGNING ".key", dir);
    struct stat st;
    if (stat(signing, &st) == 0)
        return 1;
    return errno == ENOENT ? 0 : err_sys(err, -errno, "development keys: %s; WEBOPS_KEYS names another directory", signing);
}

int keygen_development(char **ret_dir, struct err *err) {
    cleanup_free char *dir = keygen_development_dir();
    char host[65] = "";
    int complete = is_complete(dir, err);
    if (complete < 0)
        return complete;
    if (!complete) {
        gethostname(host, 24);
        cleanup_free char *name = str_printf(KEYGEN_DEVELOPMENT "%s", host);
        const struct keygen_request request = {.name = name,
                                               .not_before = DEVELOPMENT_NOT_BEFORE,
                                               .root_days = DEVELOPMENT_DAYS,
                                               .intermediate_days = DEVELOPMENT_DAYS,
                                               .signing_days = DEVELOPMENT_DAYS,
                                               .secure_boot_days = DEVELOPMENT_DAYS};
        int r = keygen_make(dir, &request, err);
        struct err ignored;
        if (r < 0 && is_complete(dir, &ignored) != 1) // else another build was faster
            return err_prefix(err, r, "development keys");
    }
    *ret_dir = take_ptr(dir);
    return 0;
}
