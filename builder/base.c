// SPDX-License-Identifier: Apache-2.0
// The backend's stream goes through the normaliser; what it installed is held against what was resolved.
#include "builder/backend.h"
#include "builder/layer_output.h"
#include "common/file.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

static int build(const struct base_request *request, const char *work, const char *scratch, struct err *err) {
    struct sandbox sandbox;
    struct layer_output output;
    struct normalise_options options = {.base = true, .kernel = true, .exclude = &request->image->exclude};
    int r = backend_of(request->image)->bootstrap(request, work, scratch, &sandbox, err);
    if (r < 0)
        return r;
    r = layer_output_open(request->out_dir, &request->format, &options, &output, err);
    if (r < 0) {
        sandbox_abort(&sandbox);
        return r;
    }
    size_t size;
    r = layer_output_stream(&output, &sandbox, err);
    const char *status = normalise_dpkg_status(output.normalise, &size);
    // A vendor may have removed packages and left what dpkg knows of them.
    if (r >= 0)
        r = request->image->disk ? package_set_verify_installed(request->set, status, size, err)
                                 : package_set_verify_status(&request->set, 1, status, size, err);
    if (r >= 0)
        r = layer_output_finish(&output, request->set, err);
    layer_output_done(&output);
    return r;
}

int base_build(const struct base_request *request, struct err *err) {
    cleanup_free char *work = str_printf("%s/work", request->out_dir), *scratch = str_printf("%s/scratch", request->out_dir);
    int r = file_mkdirs(AT_FDCWD, work, 0755, err);
    if (r >= 0)
        r = build(request, work, scratch, err);
    struct err cleaning;
    int cleaned = sandbox_remove_work(work, &cleaning);
    if (cleaned >= 0)
        cleaned = file_remove_tree(AT_FDCWD, scratch, &cleaning);
    if (r >= 0 && cleaned < 0)
        *err = cleaning;
    return r < 0 ? err_prefix(err, r, "base %s", request->image->id) : cleaned;
}
