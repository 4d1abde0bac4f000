// SPDX-License-Identifier: Apache-2.0
#include "builder/qcow2.h"
#include "builder/tool_log.h"
#include "common/run.h"
#include <errno.h>
#include <jansson.h>
#include <string.h>

#define TOOL_TIMEOUT_MS 60000
#define INFO_MAX_BYTES (1 << 20)

int qcow2_info(const char *path, struct qcow2_info *ret_info, struct err *err) {
    cleanup_free char *text = NULL, *file = tool_path(path);
    struct run info = {.argv = RUN_ARGV("qemu-img", "info", "-U", "-f", "qcow2", "--output=json", file), .timeout_ms = TOOL_TIMEOUT_MS};
    int r = run_capture(&info, INFO_MAX_BYTES, &text, NULL, err);
    if (r < 0)
        return r;
    json_t *json = json_loads(text, 0, NULL);
    json_int_t bytes = json_integer_value(json_object_get(json, "virtual-size"));
    // "data-file" stands inside of "format-specific"; the name of a file cannot hold these quotes unescaped.
    bool needs_others = json_object_get(json, "backing-filename") != NULL || strstr(text, "\"data-file\"") != NULL;
    json_decref(json);
    if (bytes <= 0)
        return err_set(err, -EINVAL, "%s: qemu-img tells no size", path);
    *ret_info = (struct qcow2_info){(uint64_t)bytes, needs_others};
    return 0;
}
