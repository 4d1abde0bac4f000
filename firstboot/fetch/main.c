// SPDX-License-Identifier: Apache-2.0
// webops-fetch URL: the only program of the machine that speaks HTTP. It becomes nobody, gives up every right it can, and only then
// reads from the network; what it read goes to standard output, bounded. webops runs it and judges the bytes.
#include "common/buf.h"
#include "common/log.h"
#include "common/opt.h"
#include "firstboot/sandbox.h"
#include "firstboot/fetch/transfer.h"
#include <string.h>

static int fetch(const struct verb *self, int argc, char **argv) {
    struct transfer transfer = {0};
    long max_bytes = 1 << 20, timeout = 30;
    const struct opt options[] = {
        {"max-bytes", 0, OPT_NUMBER, &max_bytes, "N", "Largest answer (1048576)."},
        {"timeout", 0, OPT_NUMBER, &timeout, "SECONDS", "Longest time for all of it (30)."},
        {"header", 0, OPT_TEXT, &transfer.header, "LINE", "A request header 'Name: value'."},
        {"missing-ok", 0, OPT_FLAG, &transfer.missing_ok, NULL, "404 and 204 are an empty answer, not a failure."},
        {0},
    };
    char **args;
    int count;
    int r = opt_parse(self, options, argc, argv, &args, &count);
    if (r >= 0)
        return r;
    if (max_bytes < 1 || max_bytes > TRANSFER_MAX_BYTES || timeout < 1 || timeout > TRANSFER_MAX_SECONDS) {
        log_error("--max-bytes goes from 1 to %d, --timeout from 1 to %d", TRANSFER_MAX_BYTES, TRANSFER_MAX_SECONDS);
        return EXIT_USAGE;
    }
    transfer.url = args[0];
    transfer.max_bytes = (size_t)max_bytes;
    transfer.timeout_seconds = timeout;
    struct err err = {0};
    cleanup_buf struct buf body = {0};
    r = sandbox_enter((unsigned)timeout, &err);
    if (r == 0)
        r = transfer_run(&transfer, &body, &err);
    if (r < 0)
        return verb_failed(r, &err);
    if (fwrite(buf_str(&body), 1, body.size, stdout) == body.size && fflush(stdout) == 0)
        return EXIT_OK;
    log_error("cannot write to standard output; a file is not possible there, only a pipe or a terminal");
    return EXIT_PERMANENT;
}

int main(int argc, char **argv) {
    static const struct verb verb = {"webops-fetch", "URL", 1, 1, "Prints what an http or https address answers.", fetch};
    log_init("webops-fetch", LOG_LEVEL_INFO, false);
    return fetch(&verb, argc, argv);
}
