// SPDX-License-Identifier: Apache-2.0
// webops-fetch URL: the only program of the machine that speaks HTTP. It becomes nobody, gives up every right it can, and only then
// reads from the network; what it read goes to standard output, bounded. webops runs it and judges the bytes. With --ranges it stays and
// serves ranges of one large file.
#include "common/buf.h"
#include "common/log.h"
#include "common/opt.h"
#include "firstboot/sandbox.h"
#include "firstboot/fetch/filter.h"
#include "firstboot/fetch/session.h"
#include "firstboot/fetch/transfer.h"
#include <signal.h>
#include <string.h>

#define RANGES_CPU_SECONDS (4 * 3600) // of CPU time: TLS of the largest bundle on a slow machine

struct arguments {
    struct transfer transfer;
    struct session_options session;
    long max_bytes, timeout;
    bool is_ranges;
};

static bool check(const struct arguments *arguments) {
    const struct session_options *session = &arguments->session;
    const struct {
        const char *name;
        long value, lowest, highest;
    } numbers[] = {
        {"max-bytes", arguments->max_bytes, 1, TRANSFER_MAX_BYTES},
        {"timeout", arguments->timeout, 1, TRANSFER_MAX_SECONDS},
        {"slow-bytes", session->slow_bytes, 1, 1 << 20},
        {"slow-seconds", session->slow_seconds, 1, 3600},
        {"connect-seconds", session->connect_seconds, 1, 3600},
        {"tries", session->tries, 1, 1000},
        {"backoff-ms", session->backoff_ms, 1, 60000},
        {"longest-wait-ms", session->longest_wait_ms, 1, 3600000},
    };
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        if (numbers[i].value < numbers[i].lowest || numbers[i].value > numbers[i].highest) {
            log_error("--%s goes from %ld to %ld", numbers[i].name, numbers[i].lowest, numbers[i].highest);
            return false;
        }
    return true;
}

static int fetch_ranges(const struct arguments *arguments) {
    struct err err = {0};
    int r = sandbox_enter(RANGES_CPU_SECONDS, &err);
    if (r == 0)
        r = filter_enter(&err);
    if (r == 0)
        r = session_run(&arguments->session, &err);
    return r < 0 ? verb_failed(r, &err) : EXIT_OK;
}

static int fetch_one(struct arguments *arguments) {
    struct err err = {0};
    cleanup_buf struct buf body = {0};
    arguments->transfer.max_bytes = (size_t)arguments->max_bytes;
    arguments->transfer.timeout_seconds = arguments->timeout;
    int r = sandbox_enter((unsigned)arguments->timeout, &err);
    if (r == 0)
        r = filter_enter(&err);
    if (r == 0)
        r = transfer_run(&arguments->transfer, &body, &err);
    if (r < 0)
        return verb_failed(r, &err);
    if (fwrite(buf_str(&body), 1, body.size, stdout) == body.size && fflush(stdout) == 0)
        return EXIT_OK;
    log_error("cannot write to standard output; a file is not possible there, only a pipe or a terminal");
    return EXIT_PERMANENT;
}

static int fetch(const struct verb *self, int argc, char **argv) {
    struct arguments arguments = {
        .session =
            {.slow_bytes = 1024, .slow_seconds = 60, .connect_seconds = 30, .tries = 8, .backoff_ms = 1000, .longest_wait_ms = 60000},
        .max_bytes = 1 << 20,
        .timeout = 30,
    };
    struct session_options *session = &arguments.session;
    const struct opt options[] = {
        {"max-bytes", 0, OPT_NUMBER, &arguments.max_bytes, "N", "Largest answer (1048576)."},
        {"timeout", 0, OPT_NUMBER, &arguments.timeout, "SECONDS", "Longest time for all of it (30)."},
        {"header", 0, OPT_TEXT, &arguments.transfer.header, "LINE", "A request header 'Name: value'."},
        {"missing-ok", 0, OPT_FLAG, &arguments.transfer.missing_ok, NULL, "404 and 204 are an empty answer, not a failure."},
        {"ranges", 0, OPT_FLAG, &arguments.is_ranges, NULL, "Serve ranges: '<offset> <bytes>' lines from standard input."},
        {"ca-file", 0, OPT_TEXT, &session->ca_file, "FILE", "With --ranges: certificates to trust, instead of the system's."},
        {"slow-bytes", 0, OPT_NUMBER, &session->slow_bytes, "N", "With --ranges: fewer bytes per second (1024) …"},
        {"slow-seconds", 0, OPT_NUMBER, &session->slow_seconds, "SECONDS", "… for this long (60) end a connection."},
        {"connect-seconds", 0, OPT_NUMBER, &session->connect_seconds, "SECONDS", "With --ranges: longest time to connect (30)."},
        {"tries", 0, OPT_NUMBER, &session->tries, "N", "With --ranges: tries in a row without progress (8)."},
        {"backoff-ms", 0, OPT_NUMBER, &session->backoff_ms, "MS", "With --ranges: wait before the second try (1000); doubles."},
        {"longest-wait-ms", 0, OPT_NUMBER, &session->longest_wait_ms, "MS", "With --ranges: longest wait between tries (60000)."},
        {0},
    };
    char **args;
    int count;
    int r = opt_parse(self, options, argc, argv, &args, &count);
    if (r >= 0)
        return r;
    if (!check(&arguments))
        return EXIT_USAGE;
    arguments.transfer.url = session->url = args[0];
    return arguments.is_ranges ? fetch_ranges(&arguments) : fetch_one(&arguments);
}

int main(int argc, char **argv) {
    static const struct verb verb = {"", "URL", 1, 1, "Prints what an http or https address answers.", fetch};
    log_init("webops-fetch", LOG_LEVEL_INFO, false);
    signal(SIGPIPE, SIG_IGN); // a peer that closes is an error to report
    return fetch(&verb, argc, argv);
}
