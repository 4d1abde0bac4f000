// SPDX-License-Identifier: Apache-2.0
// webops-image inspect: prints what is in an image; exit status 1 when a slot does not verify.
#include "builder/inspect.h"
#include "builder/verbs.h"
#include "common/buf.h"
#include <errno.h>
#include <stdio.h>

int verb_inspect(const struct verb *self, int argc, char **argv) {
    bool json = false, packages = false;
    const struct opt options[] = {
        {"json", 0, OPT_FLAG, &json, NULL, "Print JSON."},
        {"packages", 'p', OPT_FLAG, &packages, NULL, "List the packages, not only their number."},
        {0},
    };
    cleanup_inspect struct inspect inspect = {0};
    cleanup_buf struct buf text = {0};
    struct err err = {0};
    char **args;
    int count;
    int exit_code = opt_parse(self, options, argc, argv, &args, &count);
    if (exit_code >= 0)
        return exit_code;
    int r = inspect_load(args[0], &inspect, &err);
    if (r < 0)
        return verb_failed(r, &err);
    if (json)
        inspect_format_json(&inspect, &text);
    else
        inspect_format_text(&inspect, args[0], packages, &text);
    if (fputs(buf_str(&text), stdout) < 0 || fflush(stdout) != 0)
        return verb_failed(-EIO, (err_set(&err, -EIO, "writing to standard output failed"), &err));
    return inspect_is_good(&inspect) ? EXIT_OK : EXIT_PERMANENT;
}
