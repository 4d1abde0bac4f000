// SPDX-License-Identifier: Apache-2.0
// Format, check and choice of GRUB environment blocks. GRUB's own reader and writer: grub-core/lib/envblk.c.
#include "common/grubenv.h"
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define HEADER "# GRUB Environment Block\n"
#define VARIABLES_BYTES 512 // one sector, so that a torn write leaves old or new
#define PREFIX "webops_"
#define VALUE_BYTES 40

enum variable { NUMBER, GOOD, TRIAL, LEFT, DONE, CHECK, VARIABLES };
static const char *const names[VARIABLES] = {
    [NUMBER] = PREFIX "number", [GOOD] = PREFIX "good", [TRIAL] = PREFIX "trial",
    [LEFT] = PREFIX "left",     [DONE] = PREFIX "done", [CHECK] = PREFIX "check",
};

static bool is_slot(char c) {
    return c == 'a' || c == 'b';
}

static bool is_sane(const struct grubenv *env) {
    if (env->number < 1 || env->number > GRUBENV_MAX_NUMBER || !is_slot(env->good))
        return false;
    if (!env->trial)
        return env->tries_left == 0 && env->tries_done == 0;
    return is_slot(env->trial) && env->trial != env->good && env->tries_left <= GRUBENV_MAX_TRIES && env->tries_done <= GRUBENV_MAX_TRIES;
}

static void format_values(const struct grubenv *env, char ret_values[VARIABLES][VALUE_BYTES]) {
    snprintf(ret_values[NUMBER], VALUE_BYTES, "%" PRIu32, env->number);
    snprintf(ret_values[GOOD], VALUE_BYTES, "%c", env->good);
    snprintf(ret_values[TRIAL], VALUE_BYTES, "%c", env->trial ? env->trial : '-');
    snprintf(ret_values[LEFT], VALUE_BYTES, "%u", env->tries_left);
    snprintf(ret_values[DONE], VALUE_BYTES, "%u", env->tries_done);
    snprintf(ret_values[CHECK], VALUE_BYTES, "%.10s:%.1s:%.1s:%.1s:%.1s", ret_values[NUMBER], ret_values[GOOD], ret_values[TRIAL],
             ret_values[LEFT], ret_values[DONE]);
}

void grubenv_format(const struct grubenv *env, uint8_t ret_bytes[GRUBENV_BYTES]) {
    char values[VARIABLES][VALUE_BYTES], text[VARIABLES_BYTES];
    assert(is_sane(env));
    format_values(env, values);
    size_t used = (size_t)snprintf(text, sizeof(text), HEADER);
    for (unsigned i = 0; i < VARIABLES; i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s=%s\n", names[i], values[i]);
    assert(used < sizeof(text));
    memset(ret_bytes, '#', GRUBENV_BYTES);
    memcpy(ret_bytes, text, used);
}

static int find_name(const char *line, size_t name_size) {
    for (int i = 0; i < VARIABLES; i++)
        if (strlen(names[i]) == name_size && memcmp(line, names[i], name_size) == 0)
            return i;
    return -1;
}

// Takes one "name=value\n" from the front of `text`; its length, or 0 when it is none of ours or comes a second time.
static size_t take_line(const char *text, size_t size, char values[VARIABLES][VALUE_BYTES]) {
    const char *end = memchr(text, '\n', size);
    const char *equals = end ? memchr(text, '=', (size_t)(end - text)) : NULL;
    int i = equals ? find_name(text, (size_t)(equals - text)) : -1;
    size_t value_size = i < 0 ? 0 : (size_t)(end - equals) - 1;
    if (i < 0 || values[i][0] || value_size == 0 || value_size >= VALUE_BYTES)
        return 0;
    memcpy(values[i], equals + 1, value_size);
    return (size_t)(end - text) + 1;
}

static bool parse_values(char values[VARIABLES][VALUE_BYTES], struct grubenv *ret_env) {
    char again[VARIABLES][VALUE_BYTES] = {0};
    struct grubenv env = {.good = values[GOOD][0], .trial = values[TRIAL][0] == '-' ? 0 : values[TRIAL][0]};
    env.number = (uint32_t)strtoul(values[NUMBER], NULL, 10);
    env.tries_left = (unsigned)strtoul(values[LEFT], NULL, 10);
    env.tries_done = (unsigned)strtoul(values[DONE], NULL, 10);
    if (!is_sane(&env))
        return false;
    format_values(&env, again); // what does not come out the same again was not written by us
    for (unsigned i = 0; i < VARIABLES; i++)
        if (strcmp(values[i], again[i]) != 0)
            return false;
    *ret_env = env;
    return true;
}

int grubenv_parse(const uint8_t *bytes, size_t size, struct grubenv *ret_env, struct err *err) {
    char values[VARIABLES][VALUE_BYTES] = {0};
    const char *text = (const char *)bytes;
    if (size != GRUBENV_BYTES)
        return err_set(err, -EINVAL, "GRUB environment: %zu bytes instead of %d", size, GRUBENV_BYTES);
    if (memcmp(text, HEADER, strlen(HEADER)) != 0)
        return err_set(err, -EINVAL, "GRUB environment: it does not begin as one");
    size_t used = strlen(HEADER);
    for (size_t taken; used < VARIABLES_BYTES && text[used] != '#'; used += taken)
        if ((taken = take_line(text + used, VARIABLES_BYTES - used, values)) == 0)
            return err_set(err, -EINVAL, "GRUB environment: what stands at byte %zu is no variable of ours", used);
    for (; used < GRUBENV_BYTES; used++)
        if (text[used] != '#')
            return err_set(err, -EINVAL, "GRUB environment: byte %zu is no padding", used);
    if (!parse_values(values, ret_env))
        return err_set(err, -EINVAL, "GRUB environment: values and check value do not fit together");
    return 0;
}

int grubenv_choose(const uint8_t *first, size_t first_size, const uint8_t *second, size_t second_size, struct grubenv *ret_env,
                   struct err *err) {
    struct grubenv one, two;
    struct err problem = {"missing"}, other = {"missing"};
    bool has_one = first && grubenv_parse(first, first_size, &one, &problem) == 0;
    bool has_two = second && grubenv_parse(second, second_size, &two, &other) == 0;
    if (!has_one && !has_two)
        return err_set(err, -ENOENT, "neither boot environment is valid: 1: %s; 2: %s", problem.text, other.text);
    bool is_second = !has_one || (has_two && (two.number > one.number || (two.number == one.number && two.tries_left < one.tries_left)));
    *ret_env = is_second ? two : one;
    return 0;
}

int grubenv_format_cmdline(const char *cmdline, struct buf *text, struct err *err) {
    for (const char *c = cmdline; *c; c++)
        if (*c < ' ' || *c > '~' || strchr("\"\\$`'*?[]{}", *c))
            return err_set(err, -EINVAL, "kernel command line: GRUB would change the character %s%c%s (byte %zu)", *c < ' ' ? "0x" : "'",
                           *c < ' ' ? '?' : *c, *c < ' ' ? "" : "'", (size_t)(c - cmdline));
    buf_printf(text, "set webops_cmdline=\"%s\"\n", cmdline);
    return 0;
}
