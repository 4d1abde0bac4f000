// SPDX-License-Identifier: Apache-2.0
// Shows what is wrong with a config.env, as lines an editor can jump to or as JSON. Values never appear.
#include "common/config_report.h"
#include "common/file.h"
#include "common/jsontext.h"
#include "common/log.h"
#include "common/opt.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>

static int read_all(const char *file, char **ret_text, size_t *ret_size, struct err *err) {
    if (strcmp(file, "-") == 0)
        return file_read_fd(STDIN_FILENO, "standard input", CONFIG_READ_BYTES, ret_text, ret_size, err);
    return file_read(AT_FDCWD, file, CONFIG_READ_BYTES, ret_text, ret_size, err);
}

static void print_json(const struct config_problems *problems, const char *file, size_t keys) {
    json_t *list = json_array();
    for (size_t i = 0; i < problems->count; i++)
        json_array_append_new(list,
                              json_pack("{s:i, s:o}", "line", (int)problems->items[i].line, "text", jsontext(problems->items[i].text)));
    json_t *root =
        json_pack("{s:o, s:b, s:I, s:o}", "file", jsontext(file), "ok", problems->count == 0, "keys", (json_int_t)keys, "problems", list);
    json_dumpf(root, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(root);
}

static void print_lines(const struct config_problems *problems, const char *file, size_t keys) {
    for (size_t i = 0; i < problems->count; i++) {
        const struct config_problem *item = &problems->items[i];
        if (item->line)
            printf("%s:%u: %s\n", file, item->line, item->text);
        else
            printf("%s: %s\n", file, item->text);
    }
    if (problems->count == 0)
        printf("%s: ok, %zu key%s\n", file, keys, keys == 1 ? "" : "s");
}

int config_report(const struct schema *schema, const struct config_report *report) {
    struct err err = {0};
    cleanup_free char *text = NULL;
    size_t size;
    int r = read_all(report->file, &text, &size, &err);
    if (r < 0)
        return verb_failed(r, &err);
    cleanup_config struct config config = {0};
    cleanup_config_problems struct config_problems problems = {0};
    r = schema_parse(schema, text, size, &config, &problems);
    if (report->secrets_dir && schema_check_files(schema, &config, report->secrets_fd, report->secrets_dir, &problems) < 0)
        r = -1;
    explicit_bzero(text, size);
    if (report->json)
        print_json(&problems, report->file, config.count);
    else
        print_lines(&problems, report->file, config.count);
    return r < 0 ? EXIT_PERMANENT : EXIT_OK;
}

int config_report_with(const struct schema *schema, const char *file, const char *secrets_dir, bool json) {
    struct err err = {0};
    cleanup_fd int fd = -1;
    if (secrets_dir)
        fd = file_open(AT_FDCWD, secrets_dir, O_RDONLY | O_DIRECTORY, 0, &err);
    if (secrets_dir && fd < 0 && fd != -ENOENT)
        return verb_failed(fd, &err);
    const struct config_report report = {.file = file, .secrets_fd = fd < 0 ? -1 : fd, .secrets_dir = secrets_dir, .json = json};
    return config_report(schema, &report);
}
