// SPDX-License-Identifier: Apache-2.0
// Files, ports, units, data, sysctls, health and hooks of a stack: names, paths, modes, and keys of the right type.
#include "common/schema_types.h"
#include "common/stack_rules.h"
#include "common/stack_verify.h"
#include <string.h>

#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"

static bool starts_with(const char *text, const char *prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

// Absolute, clean, and below one of the places ("/etc/", "/run/").
static bool is_path_below(const char *path, const char *const *places) {
    const struct schema_key key = {.type = SCHEMA_PATH};
    if (!schema_types[SCHEMA_PATH].is_valid(&key, path) || strpbrk(path, " \"'\\%:,"))
        return false;
    for (; *places; places++)
        if (starts_with(path, *places) && path[strlen(*places)])
            return true;
    return false;
}

static bool is_account(const char *name, size_t size) {
    return size > 0 && size <= 32 && strspn(name, LOWER DIGITS "_-") >= size && !strchr(DIGITS "-", name[0]);
}

static bool is_owner(const char *owner) {
    size_t user = strcspn(owner, ":");
    return owner[user] && is_account(owner, user) && is_account(owner + user + 1, strlen(owner + user + 1));
}

static int verify_place(const struct stack_verify *verify, const char *list, size_t index, const char *owner, mode_t mode) {
    if (owner && !is_owner(owner))
        return stack_complain(verify, "%s[%zu].owner: expected user:group", list, index);
    if (mode & ~(mode_t)0775)
        return stack_complain(verify, "%s[%zu].mode: more than 0775", list, index);
    return 0;
}

static int verify_file(const struct stack_verify *verify, size_t index) {
    static const char *const places[] = {"/etc/", "/run/", NULL};
    const struct stack_file *file = &verify->stack->files[index];
    if (!stack_is_word(file->template, UPPER LOWER DIGITS "_", UPPER LOWER DIGITS "_.@+-", 64))
        return stack_complain(verify, "files[%zu].template: expected the name of a file in templates/", index);
    if (!is_path_below(file->path, places))
        return stack_complain(verify, "files[%zu].path: expected a path below /etc or /run", index);
    for (size_t i = 0; i < index; i++)
        if (strcmp(verify->stack->files[i].path, file->path) == 0 && (!file->when || !verify->stack->files[i].when))
            return stack_complain(verify, "files[%zu].path: %s is also that of files[%zu]; both need `when` for that", index, file->path,
                                  i);
    int r = verify_place(verify, "files", index, file->owner, file->mode);
    return r < 0 ? r : stack_verify_when(verify, "files", index, file->when);
}

static int verify_port(const struct stack_verify *verify, size_t index) {
    static const enum schema_type sources[] = {SCHEMA_CIDR, SCHEMA_CIDR_LIST, SCHEMA_ADDRESS, SCHEMA_ADDRESS_LIST, SCHEMA_PEER_LIST};
    const struct stack_port *port = &verify->stack->ports[index];
    const struct schema_key *key = stack_verify_find(verify, port->port), *from = stack_verify_find(verify, port->from);
    struct stack_port_range range;
    if (key ? key->type != SCHEMA_INTEGER || key->min < 1 || key->max > 65535 : !stack_port_parse(port->port, &range))
        return stack_complain(verify,
                              "ports[%zu].port: expected a port, a range such as 8000-8100, or an integer key with min: 1 or more and "
                              "max: 65535 or less",
                              index);
    bool is_source = strcmp(port->from, "any") == 0 || strcmp(port->from, "local") == 0;
    for (size_t i = 0; from && i < ARRAY_SIZE(sources); i++)
        is_source |= from->type == sources[i];
    if (!is_source)
        return stack_complain(verify, "ports[%zu].from: expected any, local, or a key that lists networks, addresses or peers", index);
    return stack_verify_when(verify, "ports", index, port->when);
}

static bool is_unit(const char *name) {
    static const char *const suffixes[] = {".service", ".socket", ".timer", ".mount", ".target", ".path", ".slice"};
    const char *dot = strrchr(name, '.');
    if (!dot || !stack_is_word(name, UPPER LOWER DIGITS, UPPER LOWER DIGITS "_.@:\\-", 128))
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++)
        if (strcmp(dot, suffixes[i]) == 0)
            return true;
    return false;
}

static int verify_unit(const struct stack_verify *verify, size_t index) {
    const struct stack_unit *unit = &verify->stack->units[index];
    if (!is_unit(unit->unit))
        return stack_complain(verify, "units[%zu].unit: expected the name of a unit", index);
    for (size_t i = 0; i < index; i++)
        if (strcmp(verify->stack->units[i].unit, unit->unit) == 0)
            return stack_complain(verify, "units[%zu].unit: %s stands twice", index, unit->unit);
    return stack_verify_when(verify, "units", index, unit->when);
}

// What --purge may never delete, and what no stack may own.
static bool is_of_the_system(const char *path) {
    static const char *const places[] = {"/var/lib/webops", "/var/lib/systemd", "/var/lib/dpkg", "/var/log/journal", "/var/log/webops"};
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        size_t size = strlen(places[i]);
        if (strncmp(path, places[i], size) == 0 && (!path[size] || path[size] == '/'))
            return true;
    }
    return false;
}

static int verify_data(const struct stack_verify *verify, size_t index) {
    static const char *const places[] = {"/var/lib/", "/var/log/", "/var/cache/", "/srv/", NULL};
    const struct stack_data *data = &verify->stack->data[index];
    if (!is_path_below(data->path, places) || is_of_the_system(data->path))
        return stack_complain(
            verify, "data[%zu].path: expected a path below /var/lib, /var/log, /var/cache or /srv, and none of the system", index);
    for (size_t i = 0; i < index; i++)
        if (strcmp(verify->stack->data[i].path, data->path) == 0)
            return stack_complain(verify, "data[%zu].path: %s stands twice", index, data->path);
    return verify_place(verify, "data", index, data->owner, data->mode);
}

static int verify_persist(const struct stack_verify *verify, size_t index) {
    static const char *const places[] = {"/etc/", NULL};
    return is_path_below(verify->stack->persist.items[index], places)
               ? 0
               : stack_complain(verify, "persist[%zu]: expected a directory below /etc", index);
}

static int verify_sysctl(const struct stack_verify *verify, size_t index) {
    const struct stack_sysctl *sysctl = &verify->stack->sysctls[index];
    if (!stack_is_word(sysctl->name, LOWER, LOWER UPPER DIGITS "_.-", 128) || !strchr(sysctl->name, '.'))
        return stack_complain(verify, "sysctls[%zu].name: expected a name such as vm.overcommit_memory", index);
    for (size_t i = 0; i < index; i++)
        if (strcmp(verify->stack->sysctls[i].name, sysctl->name) == 0)
            return stack_complain(verify, "sysctls[%zu].name: %s stands twice", index, sysctl->name);
    return 0;
}

// {{…}} as far as it does not depend on values. A secret has no place where everybody can see it.
static int verify_text(const struct stack_verify *verify, const char *list, size_t index, const char *member, const char *text) {
    bool uses_secret = false;
    cleanup_free char *place = str_printf("%s[%zu].%s", list, index, member);
    if (!text)
        return 0;
    int r = template_check(place, text, strlen(text), TEMPLATE_WORD, verify->schema, &uses_secret, verify->err);
    return r < 0 || !uses_secret ? r : stack_complain(verify, "%s: a secret has no place in it", place);
}

static int verify_command_texts(const struct stack_verify *verify, const char *list, size_t index, const struct stack_list *command) {
    int r = 0;
    for (size_t i = 0; r >= 0 && i < command->count; i++)
        r = verify_text(verify, list, index, "command", command->items[i]);
    return r;
}

static int verify_command(const struct stack_verify *verify, const char *list, size_t index, const struct stack_list *command,
                          const char *user, unsigned timeout) {
    static const char *const places[] = {"/usr/", NULL};
    if (!command->count || !is_path_below(command->items[0], places))
        return stack_complain(verify, "%s[%zu].command: expected a program below /usr and its arguments", list, index);
    if (user && !is_account(user, strlen(user)))
        return stack_complain(verify, "%s[%zu].user: expected the name of a user", list, index);
    int r = verify_command_texts(verify, list, index, command);
    if (r < 0)
        return r;
    return timeout <= STACK_MAX_TIMEOUT
               ? 0
               : stack_complain(verify, "%s[%zu].timeout: at most %d seconds are possible", list, index, STACK_MAX_TIMEOUT);
}

// What stands behind the name of this machine; NULL when another one is named. Checks run where no other address can be reached.
static const char *behind_loopback(const char *place) {
    static const char *const names[] = {"127.0.0.1", "[::1]", "localhost"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (starts_with(place, names[i]))
            return place + strlen(names[i]);
    return NULL;
}

static bool is_loopback_address(const char *address) {
    const char *rest = behind_loopback(address);
    return rest && rest[0] == ':' && rest[1];
}

static bool is_loopback_url(const char *url) {
    static const char scheme[] = "http://";
    const char *rest = starts_with(url, scheme) ? behind_loopback(url + strlen(scheme)) : NULL;
    return rest && (!*rest || strchr(":/", *rest));
}

static const char *target_problem(const struct stack_check *check) {
    switch (check->kind) {
    case STACK_CHECK_UNIT:
        return check->unit && is_unit(check->unit) ? NULL : "unit: expected the name of a unit";
    case STACK_CHECK_TCP:
        return check->address && is_loopback_address(check->address)
                   ? NULL
                   : "address: expected an address of this machine with a port, such as 127.0.0.1:5432";
    case STACK_CHECK_HTTP:
        return check->url && is_loopback_url(check->url) ? NULL
                                                         : "url: expected an http address of this machine, such as http://127.0.0.1:8008/";
    case STACK_CHECK_COMMAND:
        return NULL; // verify_command() knows more
    }
    return "kind";
}

// What another kind of check would use.
static const char *stray_member(const struct stack_check *check) {
    if (check->unit && check->kind != STACK_CHECK_UNIT)
        return "unit";
    if (check->address && check->kind != STACK_CHECK_TCP)
        return "address";
    if (check->kind != STACK_CHECK_HTTP && (check->url || check->expect))
        return check->url ? "url" : "expect";
    if (check->kind != STACK_CHECK_COMMAND && (check->command.count || check->user))
        return check->user ? "user" : "command";
    return NULL;
}

static int verify_check(const struct stack_verify *verify, size_t index) {
    const struct stack_check *check = &verify->stack->checks[index];
    if (!stack_is_word(check->name, LOWER, LOWER DIGITS "-", 32))
        return stack_complain(verify, "health[%zu].name: expected a name of a-z, 0-9 and '-', at most 32 characters", index);
    for (size_t i = 0; i < index; i++)
        if (strcmp(verify->stack->checks[i].name, check->name) == 0)
            return stack_complain(verify, "health[%zu].name: %s stands twice", index, check->name);
    if (stray_member(check))
        return stack_complain(verify, "health[%zu].%s: not for this kind of check", index, stray_member(check));
    if (target_problem(check))
        return stack_complain(verify, "health[%zu].%s", index, target_problem(check));
    if (check->expect && (check->expect < 100 || check->expect > 599))
        return stack_complain(verify, "health[%zu].expect: expected a status from 100 to 599", index);
    if (check->timeout_seconds > STACK_MAX_TIMEOUT)
        return stack_complain(verify, "health[%zu].timeout: at most %d seconds are possible", index, STACK_MAX_TIMEOUT);
    int r = verify_text(verify, "health", index, "address", check->address);
    if (r >= 0)
        r = verify_text(verify, "health", index, "url", check->url);
    if (r >= 0 && check->kind == STACK_CHECK_COMMAND)
        r = verify_command(verify, "health", index, &check->command, check->user, check->timeout_seconds);
    return r < 0 ? r : stack_verify_when(verify, "health", index, check->when);
}

static int verify_hook(const struct stack_verify *verify, size_t index) {
    const struct stack_hook *hook = &verify->stack->hooks[index];
    int r = verify_command(verify, "hooks", index, &hook->command, hook->user, hook->timeout_seconds);
    return r < 0 ? r : stack_verify_when(verify, "hooks", index, hook->when);
}

int stack_verify_parts(const struct stack_verify *verify) {
    const struct stack *stack = verify->stack;
    const struct {
        size_t count;
        int (*verify)(const struct stack_verify *verify, size_t index);
    } parts[] = {
        {stack->persist.count, verify_persist}, {stack->file_count, verify_file}, {stack->port_count, verify_port},
        {stack->unit_count, verify_unit},       {stack->data_count, verify_data}, {stack->sysctl_count, verify_sysctl},
        {stack->check_count, verify_check},     {stack->hook_count, verify_hook},
    };
    int r = 0;
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(parts); i++)
        for (size_t j = 0; r >= 0 && j < parts[i].count; j++)
            r = parts[i].verify(verify, j);
    return r;
}
