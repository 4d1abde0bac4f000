// SPDX-License-Identifier: Apache-2.0
// webops-unseal: opens an envelope of secrets. Standard input: a line with the size of the private key, the key in PEM, the envelope in DER.
// Standard output: what is inside. It gives up everything but computing before it reads a byte.
#include "common/envelope.h"
#include "common/file.h"
#include "common/log.h"
#include "common/opt.h"
#include "common/secretpack.h"
#include "firstboot/sandbox.h"
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#define TIMEOUT_SECONDS 20
#define MAX_INPUT_BYTES (ENVELOPE_MAX_BYTES + ENVELOPE_MAX_KEY_BYTES + 32)

static int split(const char *input, size_t size, char **ret_key, const char **ret_envelope, size_t *ret_size, struct err *err) {
    const char *line_end = memchr(input, '\n', size);
    size_t key_size = 0;
    if (!line_end || sscanf(input, "%6zu\n", &key_size) != 1 || key_size == 0 || key_size > ENVELOPE_MAX_KEY_BYTES ||
        key_size > size - (size_t)(line_end + 1 - input))
        return err_set(err, -EINVAL, "standard input does not begin with the size of a key and the key");
    *ret_key = str_printf("%.*s", (int)key_size, line_end + 1);
    *ret_envelope = line_end + 1 + key_size;
    *ret_size = size - (size_t)(*ret_envelope - input);
    return 0;
}

static int unseal(struct err *err) {
    cleanup_free char *input = NULL, *key = NULL;
    cleanup_buf struct buf data = {0};
    const char *envelope = NULL;
    size_t size = 0, envelope_size = 0;
    int r = OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_LOAD_CRYPTO_STRINGS, NULL) == 1
                ? sandbox_compute(TIMEOUT_SECONDS, err)
                : err_set(err, -ENOMEM, "OpenSSL cannot be set up");
    if (r >= 0)
        r = file_read_fd(STDIN_FILENO, "standard input", MAX_INPUT_BYTES, &input, &size, err);
    if (r >= 0)
        r = split(input, size, &key, &envelope, &envelope_size, err);
    if (r >= 0)
        r = envelope_open(key, envelope, envelope_size, &data, err);
    return r < 0 ? r : file_write_all(STDOUT_FILENO, "standard output", data.data, data.size, err);
}

static int run_unseal(const struct verb *self, int argc, char **argv) {
    static const struct opt options[] = {{0}};
    char **args;
    int count;
    struct err err = {0};
    int r = opt_parse(self, options, argc, argv, &args, &count);
    if (r >= 0)
        return r;
    if (unseal(&err) >= 0)
        return EXIT_OK;
    log_error("%s", err.text);
    return EXIT_PERMANENT;
}

int main(int argc, char **argv) {
    static const struct verb verb = {"", "", 0, 0, "Opens an envelope of secrets; key and envelope come on standard input.", run_unseal};
    log_init("webops-unseal", LOG_LEVEL_INFO, false);
    return run_unseal(&verb, argc, argv);
}
