// SPDX-License-Identifier: Apache-2.0
// Reads what `systemctl show` prints: "Name=value" lines, an empty line between units.
#include "firstboot/stack/systemd.h"
#include "common/run.h"
#include "firstboot/stack/render.h"
#include <errno.h>
#include <string.h>

#define SHOW_MAX_BYTES (1 << 20)
#define JOB_TIMEOUT_MS 360000 // of a job that is waited for
// systemd ends most units sooner. One that shuts guests down has the limit of its stack only: KVM_SHUTDOWN_TIMEOUT, an hour at most.
#define STOP_TIMEOUT_MS 3720000
#define LOG_LINES 30 // that are looked at
#define SHOWN_LINES 3
#define SHOWN_BYTES 200 // of one

static bool value_is(const char *value, size_t size, const char *word) {
    return size == strlen(word) && memcmp(value, word, size) == 0;
}

static enum systemd_state parse_state(const char *value, size_t size) {
    static const struct {
        const char *word;
        enum systemd_state state;
    } states[] = {
        {"active", SYSTEMD_ACTIVE},       {"inactive", SYSTEMD_INACTIVE},     {"failed", SYSTEMD_FAILED},
        {"activating", SYSTEMD_CHANGING}, {"deactivating", SYSTEMD_CHANGING}, {"reloading", SYSTEMD_CHANGING},
    };
    for (size_t i = 0; i < ARRAY_SIZE(states); i++)
        if (value_is(value, size, states[i].word))
            return states[i].state;
    return SYSTEMD_CHANGING;
}

static void parse_line(const char *line, size_t size, struct systemd_unit *unit, bool *has_job) {
    const char *equals = memchr(line, '=', size);
    if (!equals)
        return;
    size_t name_size = (size_t)(equals - line), value_size = size - name_size - 1;
    const char *value = equals + 1;
    if (value_is(line, name_size, "ActiveState") && unit->state != SYSTEMD_MISSING)
        unit->state = parse_state(value, value_size);
    else if (value_is(line, name_size, "LoadState") && value_is(value, value_size, "not-found"))
        unit->state = SYSTEMD_MISSING;
    else if (value_is(line, name_size, "Job"))
        *has_job = value_size > 0 && !value_is(value, value_size, "0");
    else if (value_is(line, name_size, "Result"))
        snprintf(unit->result, sizeof(unit->result), "%.*s", (int)value_size, value);
    else if (value_is(line, name_size, "ConditionResult"))
        unit->is_condition_unmet = value_is(value, value_size, "no");
}

int systemd_parse_show(const char *text, size_t count, struct systemd_unit *ret_units, struct err *err) {
    size_t found = 0;
    const char *line = text;
    while (*line) {
        struct systemd_unit unit = {0};
        bool has_job = false;
        for (size_t size; (size = strcspn(line, "\n")) > 0; line += size + (line[size] == '\n'))
            parse_line(line, size, &unit, &has_job);
        if (has_job && unit.state != SYSTEMD_MISSING)
            unit.state = SYSTEMD_CHANGING;
        if (found < count)
            ret_units[found] = unit;
        found++;
        line += *line == '\n';
    }
    return found == count ? 0 : err_set(err, -EINVAL, "systemctl told of %zu units instead of %zu", found, count);
}

int systemd_show(const char *const *names, size_t count, struct systemd_unit *ret_units, struct err *err) {
    static const char *const first[] = {"systemctl", "show", "--property=LoadState,ActiveState,Job,Result,ConditionResult", "--"};
    cleanup_free const char **argv = mem_array(ARRAY_SIZE(first) + count + 1, sizeof(*argv));
    cleanup_free char *text = NULL;
    if (count == 0)
        return 0;
    memcpy(argv, first, sizeof(first));
    memcpy(argv + ARRAY_SIZE(first), names, count * sizeof(*names));
    const struct run show = {.argv = argv, .timeout_ms = 30000};
    int r = run_capture(&show, SHOW_MAX_BYTES, &text, NULL, err);
    return r < 0 ? r : systemd_parse_show(text, count, ret_units, err);
}

int systemd_act(const char *verb, const char *unit, bool is_blocking, struct err *err) {
    const char *argv[6] = {"systemctl"};
    size_t count = 1;
    if (!is_blocking)
        argv[count++] = "--no-block";
    argv[count++] = verb;
    if (unit) {
        argv[count++] = "--";
        argv[count++] = unit;
    }
    const struct run act = {.argv = argv, .timeout_ms = strcmp(verb, "stop") == 0 ? STOP_TIMEOUT_MS : JOB_TIMEOUT_MS};
    return run_quiet(&act, err);
}

static bool tells_failure(const char *line) {
    static const char *const words[] = {"fatal", "error", "fail", "denied", "refused", "cannot"};
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (strcasestr(line, words[i]))
            return true;
    return false;
}

static void add_line(const char *line, size_t begin, struct buf *text) {
    size_t size = strlen(line);
    buf_add_str(text, text->size > begin ? " | " : "");
    buf_add(text, line, size < SHOWN_BYTES ? size : SHOWN_BYTES);
}

// The last lines, and before them the nearest one that tells of a failure: programs go on talking, and try again.
static void choose_lines(char *log, struct buf *text) {
    const char *lines[LOG_LINES];
    size_t count = 0, begin = text->size;
    char *rest = log, *line;
    while (count < LOG_LINES && (line = strsep(&rest, "\n")))
        if (*line)
            lines[count++] = line;
    size_t first = count > SHOWN_LINES ? count - SHOWN_LINES : 0, failure = first;
    while (failure > 0 && !tells_failure(lines[failure - 1]))
        failure--;
    if (failure > 0)
        add_line(lines[failure - 1], begin, text);
    for (size_t i = first; i < count; i++)
        add_line(lines[i], begin, text);
    for (size_t i = begin; i < text->size; i++)
        if ((unsigned char)text->data[i] < ' ' || text->data[i] == 127)
            text->data[i] = ' ';
}

// What its own processes said. What the service manager says of it ("Failed with result …") repeats its state, so that counts only when they
// said nothing.
void systemd_last_lines(const char *unit, struct buf *text) {
    cleanup_free char *count = str_printf("--lines=%d", LOG_LINES), *own = str_printf("_SYSTEMD_UNIT=%s", unit),
                      *all = str_printf("--unit=%s", unit);
    const char *const matches[] = {own, all};
    for (size_t i = 0, begin = text->size; i < ARRAY_SIZE(matches) && text->size == begin; i++) {
        struct err err;
        cleanup_free char *log = NULL;
        const struct run show = {.argv = RUN_ARGV("journalctl", "--quiet", "--no-pager", "--boot", "--output=cat", count, matches[i]),
                                 .timeout_ms = 20000};
        if (run_capture(&show, SHOW_MAX_BYTES, &log, NULL, &err) >= 0)
            choose_lines(log, text);
    }
}

char *stack_mount_unit(const char *path) {
    cleanup_buf struct buf name = {0};
    for (const char *c = path + 1; *c; c++) {
        bool is_plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') || *c == '_' || *c == ':' ||
                        (*c == '.' && c > path + 1);
        if (*c == '/')
            buf_add_str(&name, "-");
        else if (is_plain)
            buf_add(&name, c, 1);
        else
            buf_printf(&name, "\\x%02x", (unsigned char)*c);
    }
    buf_add_str(&name, ".mount");
    return buf_take(&name);
}
