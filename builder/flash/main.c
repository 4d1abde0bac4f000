// SPDX-License-Identifier: Apache-2.0
// webops-flash: `webops-image flash` as one static file, for rescue systems and installers that have nothing else.
#include "builder/flash/command.h"
#include "common/config.h"
#include "common/file.h"
#include "common/log.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <signal.h>

// What the machine checks anyway is left to it; that a shell would read another text than it does is said here.
static int check_config(const struct seed *seed, struct err *err) {
    cleanup_free char *text = NULL;
    cleanup_config struct config config = {0};
    cleanup_config_problems struct config_problems problems = {0};
    size_t size = 0;
    int r = file_read(AT_FDCWD, seed->config, CONFIG_MAX_BYTES + 1, &text, &size, err);
    if (r < 0)
        return r;
    if (config_parse(text, size, &config, &problems) < 0) {
        config_problems_log(&problems, seed->config);
        return err_set(err, -EINVAL, "%s: %zu problem%s", seed->config, problems.count, problems.count == 1 ? "" : "s");
    }
    log_warn("%s: no build.json is beside the image, so its keys are not known here; the machine checks them when it starts", seed->config);
    return 0;
}

int main(int argc, char **argv) {
    static const struct verb verb = {
        "", "[IMAGE | URL | - [DISK]]", 0, 2, "Writes an image to a disk of this computer, and reads it back.", NULL};
    log_init("webops-flash", LOG_LEVEL_INFO, false);
    signal(SIGPIPE, SIG_IGN);
    // The host's configuration of OpenSSL may name modules, which a static program cannot load.
    OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
    return verb_finish(flash_command(&verb, check_config, argc, argv));
}
