// SPDX-License-Identifier: Apache-2.0
// webops-verify: reads the head of a bundle (fixed bytes, manifest, signature) from standard input, says whether it is signed by somebody
// this machine trusts, and only then reads the manifest, which it prints as flat KEY=value text. The trust is read first; then the program
// gives up everything but computing, and only then it reads a byte of what is to be judged.
#include "common/file.h"
#include "common/log.h"
#include "common/opt.h"
#include "firstboot/sandbox.h"
#include "firstboot/verify/check.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <time.h>

#define TIMEOUT_SECONDS 20

// Whatever a library would open later.
static int prepare_libraries(struct err *err) {
    json_object_seed(0);
    setenv("TZ", "UTC0", 1);
    tzset();
    if (OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_LOAD_CRYPTO_STRINGS, NULL) == 1)
        return 0;
    return err_set(err, -ENOMEM, "OpenSSL cannot be set up");
}

static int read_trust(const char *path, struct check_trust *ret_trust, struct err *err) {
    cleanup_fd int dir = file_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0, err);
    if (dir < 0)
        return dir;
    int r = file_read(dir, "ca.pem", SIGNATURE_MAX_TRUST_BYTES, &ret_trust->ca_pem, NULL, err);
    if (r == 0 && file_exists(dir, "crl.pem"))
        r = file_read(dir, "crl.pem", SIGNATURE_MAX_TRUST_BYTES, &ret_trust->crl_pem, NULL, err);
    return r < 0 ? err_prefix(err, r, "%s", path) : 0;
}

static int judge(const char *trust_path, const struct check *check, struct err *err) {
    cleanup_check_trust struct check_trust trust = {0};
    cleanup_free char *head = NULL;
    cleanup_buf struct buf text = {0};
    size_t size = 0;
    int r = read_trust(trust_path, &trust, err);
    if (r == 0)
        r = prepare_libraries(err);
    if (r == 0)
        r = sandbox_compute(TIMEOUT_SECONDS, err);
    if (r == 0)
        r = file_read_fd(STDIN_FILENO, "the head", BUNDLE_MAX_HEAD_BYTES, &head, &size, err);
    if (r == 0)
        r = check_head(check, &trust, head, size, &text, err);
    return r == 0 ? file_write_all(STDOUT_FILENO, "standard output", text.data, text.size, err) : r;
}

static int verify(const struct verb *self, int argc, char **argv) {
    const char *trust = NULL;
    long time = -1, updater = 0;
    const struct opt options[] = {
        {"trust", 0, OPT_TEXT, &trust, "DIR", "Directory with ca.pem, and crl.pem if anything is revoked."},
        {"time", 0, OPT_NUMBER, &time, "SECONDS", "Time at which certificates must be valid, in seconds since 1970."},
        {"updater", 0, OPT_NUMBER, &updater, "N", "What the updater can install: a manifest may not ask for more."},
        {0},
    };
    char **args;
    int count;
    struct err err = {0};
    int r = opt_parse(self, options, argc, argv, &args, &count);
    if (r >= 0)
        return r;
    if (!trust || time < 0 || updater < 1) {
        log_error("--trust, --time (from 0 on) and --updater (from 1 on) must be given");
        return EXIT_USAGE;
    }
    r = judge(trust, &(struct check){.time = time, .updater = (uint64_t)updater}, &err);
    if (r == 0)
        return EXIT_OK;
    log_error("%s", err.text);
    return EXIT_PERMANENT;
}

int main(int argc, char **argv) {
    static const struct verb verb = {"", "", 0, 0, "Checks the head of a bundle on standard input and prints its manifest.", verify};
    log_init("webops-verify", LOG_LEVEL_INFO, false);
    return verify(&verb, argc, argv);
}
