// SPDX-License-Identifier: Apache-2.0
// Calls sbsign. What firmware and boot loader do with its result is theirs.
#include "builder/secureboot.h"
#include "builder/certificate.h"
#include "common/buf.h"
#include "common/digest.h"
#include "common/file.h"
#include "common/run.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

const char *const secureboot_key_files[] = {"PK.auth", "KEK.auth", "db.auth", NULL};

static bool is_token(const char *key) {
    return strncmp(key, "pkcs11:", 7) == 0;
}

static int check_pair(const char *key_path, const char *certificate, struct err *err) {
    X509 *x509 = NULL;
    EVP_PKEY *key = NULL;
    int r = certificate_load(certificate, &x509, err);
    if (r >= 0 && !is_token(key_path))
        r = certificate_load_key(key_path, &key, err);
    if (r >= 0 && key && X509_check_private_key(x509, key) != 1) {
        certificate_error(err, -EKEYREJECTED, certificate);
        r = err_set(err, -EKEYREJECTED, "%s: the certificate belongs to another key than %s", certificate, key_path);
    }
    X509_free(x509);
    EVP_PKEY_free(key);
    return r;
}

static char *find_keys(const char *certificate) {
    const char *slash = strrchr(certificate, '/');
    cleanup_free char *dir = slash ? str_printf("%.*s", (int)(slash - certificate), certificate) : str_dup(".");
    for (const char *const *file = secureboot_key_files; *file; file++) {
        cleanup_free char *path = str_printf("%s/%s", dir, *file);
        if (!file_exists(AT_FDCWD, path))
            return NULL;
    }
    return take_ptr(dir);
}

static int hash_keys(struct secureboot *secureboot, struct err *err) {
    cleanup_inputs struct inputs inputs = {0};
    int r = 0;
    for (const char *const *file = secureboot_key_files; r >= 0 && *file; file++) {
        cleanup_free char *path = str_printf("%s/%s", secureboot->keys_dir, *file);
        r = inputs_add_file(&inputs, *file, path, err);
    }
    inputs_key(&inputs, secureboot->keys_key);
    return r;
}

int secureboot_load(const char *key, const char *certificate, struct secureboot *ret_secureboot, struct err *err) {
    struct secureboot secureboot = {.key = key, .certificate = certificate};
    *ret_secureboot = (struct secureboot){0};
    if (!key != !certificate)
        return err_set(err, -EINVAL, "--secure-boot-key and --secure-boot-cert belong together");
    if (!key)
        return 0;
    int r = check_pair(key, certificate, err);
    if (r >= 0)
        r = digest_file(AT_FDCWD, certificate, secureboot.sha256, NULL, err);
    if (r < 0)
        return err_prefix(err, r, "Secure Boot");
    secureboot.keys_dir = find_keys(certificate);
    r = secureboot.keys_dir ? hash_keys(&secureboot, err) : 0;
    if (r < 0)
        secureboot_done(&secureboot);
    else
        *ret_secureboot = secureboot;
    return r;
}

void secureboot_done(struct secureboot *secureboot) {
    free(secureboot->keys_dir);
    *secureboot = (struct secureboot){0};
}

int secureboot_sign(const struct secureboot *secureboot, const char *from, const char *to, struct err *err) {
    const char *const plain[] = {"sbsign", "--key", secureboot->key, "--cert", secureboot->certificate, "--output", to, from, NULL};
    const char *const token[] = {"sbsign",   "--engine", "pkcs11", "--key", secureboot->key, "--cert", secureboot->certificate,
                                 "--output", to,         from,     NULL};
    const struct run sign = {.argv = is_token(secureboot->key) ? token : plain};
    int r = run_quiet(&sign, err);
    return r < 0 ? err_prefix(err, r, "signing %s for Secure Boot", from) : 0;
}
