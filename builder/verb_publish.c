// SPDX-License-Identifier: Apache-2.0
// webops-image publish: puts a bundle where machines look for it.
#include "builder/publisher.h"
#include "builder/verbs.h"
#include "common/jsontext.h"
#include "common/log.h"
#include <jansson.h>
#include <stdio.h>
#include <time.h>

static void print_result(const struct publisher_result *result, bool json) {
    if (!json) {
        printf("%s: %s\n%s: sequence %llu\n", result->bundle_path, result->changed ? "published" : "was published already",
               result->channel_path, (unsigned long long)result->sequence);
        return;
    }
    json_t *event = json_pack("{s:s, s:o, s:o, s:I, s:I, s:b}", "event", "done", "bundle", jsontext(result->bundle_path), "channel",
                              jsontext(result->channel_path), "sequence", (json_int_t)result->sequence, "bytes", (json_int_t)result->bytes,
                              "changed", result->changed);
    char *text = json_dumps(event, JSON_COMPACT);
    json_decref(event);
    puts(text ?: "{}");
    free(text);
}

int verb_publish(const struct verb *self, int argc, char **argv) {
    struct publisher_request request = {0};
    bool json = false;
    const struct opt options[] = {
        {"channel", 0, OPT_TEXT, &request.channel, "NAME", "Refuse a bundle that is for another channel."},
        {"trust", 0, OPT_TEXT, &request.trust, "FILE", "Refuse a bundle whose signer does not chain up to these root certificates."},
        {"force", 0, OPT_FLAG, &request.force, NULL, "Replace a newer one, another product's, or a version whose bytes changed."},
        {"json", 0, OPT_FLAG, &json, NULL, "Print the result as JSON."},
        {0},
    };
    cleanup(publisher_result_done) struct publisher_result result = {0};
    struct err err = {0};
    char **args;
    int count;
    int code = opt_parse(self, options, argc, argv, &args, &count);
    if (code >= 0)
        return code;
    request.bundle = args[0];
    request.dir = args[1];
    request.time = (int64_t)time(NULL);
    int r = publisher_run(&request, &result, &err);
    if (r < 0)
        return verb_failed(r, &err);
    print_result(&result, json);
    return EXIT_OK;
}
