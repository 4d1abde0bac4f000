// SPDX-License-Identifier: Apache-2.0
// Recognises the landmarks of a boot on a serial console. Does no I/O.
#include "builder/boot_watch.h"
#include <ctype.h>
#include <string.h>

static const struct {
    const char *marker;
    enum boot_stage stage;
} landmarks[] = {
    {"BdsDxe: starting Boot", BOOT_LOADER}, // OVMF; the only one that a quiet kernel leaves us before the verdict
    {"Linux version ", BOOT_KERNEL},        {"Run /init as init process", BOOT_INIT}, {"starting its init after", BOOT_SYSTEM}, // our init
    {"webops: healthy", BOOT_HEALTHY},      {"webops: unhealthy", BOOT_UNHEALTHY},    {"webops-init: cannot boot", BOOT_UNHEALTHY},
};

static const char *const names[] = {
    [BOOT_POWER_ON] = "power on", [BOOT_LOADER] = "boot loader", [BOOT_KERNEL] = "kernel",       [BOOT_INIT] = "init",
    [BOOT_SYSTEM] = "system",     [BOOT_HEALTHY] = "healthy",    [BOOT_UNHEALTHY] = "unhealthy",
};

const char *boot_stage_name(enum boot_stage stage) {
    return names[stage];
}

static void keep_verdict(struct boot_watch *watch, const char *found) {
    size_t size = 0;
    for (; size < sizeof(watch->verdict) - 1 && found[size]; size++)
        watch->verdict[size] = isprint((unsigned char)found[size]) ? found[size] : ' ';
    while (size && watch->verdict[size - 1] == ' ')
        size--;
    watch->verdict[size] = '\0';
}

static bool read_line(struct boot_watch *watch) {
    enum boot_stage before = watch->stage;
    unsigned boots = watch->boots, verdicts = watch->verdicts;
    for (size_t i = 0; i < ARRAY_SIZE(landmarks); i++) {
        const char *found = strstr(watch->line, landmarks[i].marker);
        if (!found)
            continue;
        enum boot_stage stage = landmarks[i].stage;
        if (stage == BOOT_KERNEL)
            watch->boots++;
        // Firmware and a kernel's first line take the stage back: the machine has rebooted.
        if (stage == BOOT_LOADER || stage == BOOT_KERNEL || stage > watch->stage || stage >= BOOT_HEALTHY)
            watch->stage = stage;
        if (stage >= BOOT_HEALTHY) {
            keep_verdict(watch, found);
            watch->verdicts++;
            watch->is_good = stage == BOOT_HEALTHY;
        }
    }
    return watch->stage != before || watch->boots != boots || watch->verdicts != verdicts;
}

bool boot_watch_feed(struct boot_watch *watch, const char *data, size_t size) {
    bool changed = false;
    for (size_t i = 0; i < size; i++) {
        if (data[i] == '\n' || data[i] == '\r') {
            watch->line[watch->line_size] = '\0';
            changed |= read_line(watch);
            watch->line_size = 0;
        } else if (data[i] && watch->line_size < sizeof(watch->line) - 1) {
            watch->line[watch->line_size++] = data[i];
        }
    }
    return changed;
}
