// SPDX-License-Identifier: Apache-2.0
// Reads "stacks" of a build.json. Nothing else of it is looked at.
#include "builder/image_report.h"
#include "builder/release.h"
#include "common/file.h"
#include "common/run.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>

#define REPORT_MAX_BYTES (16 << 20)

// "out/web-1.0.raw" → "out/web-1.0.build.json"; versions have dots, too, so only a suffix that we write is cut.
static char *report_path(const char *image) {
    struct err ignored;
    cleanup_free char *path = NULL; // of what is no file of ours, such as standard input, the name is as good
    if (release_find_image(image, &path, &ignored) < 0)
        path = str_dup(image);
    return url_beside(path, RUN_ARGV(".raw.zst", ".raw", ".qcow2"), ".build.json");
}

static int parse_stack(const json_t *value, const char *path, struct stack **ret_stack, struct err *err) {
    cleanup_free char *text = json_dumps(value, JSON_COMPACT);
    struct stack *stack = mem_array(1, sizeof(*stack));
    int r = text ? stack_parse(text, strlen(text), path, stack, err) : err_set(err, -EINVAL, "%s: damaged", path);
    if (r < 0)
        stack_free(stack);
    else
        *ret_stack = stack;
    return r;
}

static int make_set(const json_t *list, const char *path, struct stack_set *ret_set, struct err *err) {
    size_t count = json_array_size(list), done = 0;
    struct stack **stacks = mem_array(count, sizeof(struct stack *));
    int r = 0;
    for (; r >= 0 && done < count; done += r >= 0)
        r = parse_stack(json_array_get(list, done), path, &stacks[done], err);
    if (r >= 0)
        return stack_set_make(stacks, count, ret_set, err);
    while (done > 0)
        stack_free(stacks[--done]);
    free(stacks);
    return r;
}

static int read_report(const char *path, const struct http_options *http, char **ret_text, struct err *err) {
    size_t size;
    if (http && url_is(path)) {
        int r = stream_fetch(path, http, REPORT_MAX_BYTES, ret_text, &size, err);
        return r == -EACCES ? -ENOENT : r; // what a store does not let us list, it calls forbidden when it is missing
    }
    return file_exists(AT_FDCWD, path) ? file_read(AT_FDCWD, path, REPORT_MAX_BYTES, ret_text, NULL, err)
                                       : err_set(err, -ENOENT, "there is no %s", path);
}

int image_report_stacks(const char *image, const struct http_options *http, struct stack_set *ret_set, struct err *err) {
    cleanup_free char *path = report_path(image), *text = NULL;
    int r = read_report(path, http, &text, err);
    if (r < 0)
        return r;
    json_t *report = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    const json_t *list = json_object_get(report, "stacks");
    r = json_is_array(list) ? make_set(list, path, ret_set, err)
                            : err_set(err, -EINVAL, "%s does not say which stacks the image has; build it anew", path);
    json_decref(report);
    return r;
}
