// SPDX-License-Identifier: Apache-2.0
// Loads modules for devices. The builder computed the closures; nothing is resolved here.
#include "firstboot/init/modules.h"
#include "firstboot/init/match.h"
#include "firstboot/init/sys.h"
#include "firstboot/init/uevent.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/syscall.h>

int modules_finit(const struct plan_module *module) {
    cleanup_fd int fd = open(module->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return syscall(SYS_finit_module, fd, module->parameters, 0) == 0 ? 0 : -errno;
}

static void load_one(struct modules *modules, unsigned number) {
    if (modules->tried[number])
        return;
    modules->tried[number] = true;
    const struct plan_module *module = &modules->plan->modules[number];
    int r = modules->load(module);
    modules->loaded += r == 0;
    if (r < 0 && r != -EEXIST)
        modules->failed(module, r);
}

void modules_load_list(struct modules *modules, const struct plan_list *list) {
    for (uint32_t i = 0; i < list->count; i++)
        load_one(modules, modules->plan->numbers[list->first + i]);
}

// FNV-1a, 64 bits: a server has some hundred kinds of devices, so two never share a value.
static uint64_t hash_text(const char *text) {
    uint64_t hash = 14695981039346656037u;
    for (; *text; text++)
        hash = (hash ^ (uint8_t)*text) * 1099511628211u;
    return hash;
}

static bool is_seen(struct modules *modules, const char *modalias) {
    uint64_t hash = hash_text(modalias);
    for (unsigned i = 0; i < modules->seen_count; i++)
        if (modules->seen[i] == hash)
            return true;
    if (modules->seen_count < MODULES_MAX_SEEN)
        modules->seen[modules->seen_count++] = hash;
    return false;
}

void modules_handle(struct modules *modules, const char *modalias) {
    if (!*modalias || is_seen(modules, modalias))
        return;
    for (uint32_t i = 0; i < modules->plan->alias_count; i++) {
        const struct plan_alias *alias = &modules->plan->aliases[i];
        if (strncmp(alias->pattern, modalias, alias->literal) == 0 &&
            match_pattern(alias->pattern + alias->literal, modalias + alias->literal))
            modules_load_list(modules, &alias->modules);
    }
}

// Devices of one bus: <bus>/devices/<device>/modalias. A device may vanish at any moment; then it has nothing to say.
static void coldplug_bus(struct modules *modules, int bus_fd, const char *bus) {
    char path[2 * NAME_MAX + 32], modalias[MODULES_MAX_MODALIAS];
    snprintf(path, sizeof(path), "%s/devices", bus);
    int fd = openat(bus_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_dir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/modalias", entry->d_name);
        if (sys_read_text(fd, path, modalias, sizeof(modalias)) > 0)
            modules_handle(modules, modalias);
    }
}

// Every device that a driver can bind to sits on a bus, so /sys/bus/*/devices names them all with a fraction of the directories that a
// walk over /sys/devices would open.
void modules_coldplug(struct modules *modules, int bus_fd) {
    int fd = openat(bus_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_dir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        if (entry->d_name[0] != '.')
            coldplug_bus(modules, bus_fd, entry->d_name);
}

void modules_hotplug(struct modules *modules, int uevent_fd, int bus_fd) {
    static const char action[] = "add@";
    char text[UEVENT_BYTES], modalias[MODULES_MAX_MODALIAS];
    for (int n; (n = uevent_receive(uevent_fd, text)) != 0;) {
        if (n < 0 && n != -ENOBUFS)
            return;
        if (n == -ENOBUFS)
            modules_coldplug(modules, bus_fd);
        else if ((size_t)n > strlen(action) && memcmp(text, action, strlen(action)) == 0 &&
                 uevent_find(text, (size_t)n, '\0', "MODALIAS", modalias, sizeof(modalias)))
            modules_handle(modules, modalias);
    }
}
