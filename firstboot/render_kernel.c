// SPDX-License-Identifier: Apache-2.0
// Kernel parameters, limits of users, watchdog and swap. Pure.
#include "firstboot/render.h"
#include <string.h>

static const char header[] = "# Rendered by webops from config.env.\n";

// Which key sets which parameter.
static const struct {
    const char *sysctl, *key;
} sysctls[] = {
    {"kernel.panic", "PANIC_TIMEOUT"},
    {"net.ipv4.tcp_keepalive_intvl", "TCP_KEEPALIVE_INTVL"},
    {"net.ipv4.tcp_keepalive_probes", "TCP_KEEPALIVE_PROBES"},
    {"net.ipv4.tcp_keepalive_time", "TCP_KEEPALIVE_TIME"},
    {"vm.dirty_background_ratio", "VM_DIRTY_BACKGROUND_RATIO"},
    {"vm.dirty_ratio", "VM_DIRTY_RATIO"},
    {"vm.swappiness", "SWAPPINESS"},
};

void render_sysctl(const struct render *in) {
    cleanup_buf struct buf file = {0};
    struct plan *plan = in->plan;
    plan->sysctls = mem_array(ARRAY_SIZE(sysctls), sizeof(*plan->sysctls));
    plan->sysctl_count = ARRAY_SIZE(sysctls);
    buf_add_str(&file, header);
    for (size_t i = 0; i < ARRAY_SIZE(sysctls); i++) {
        plan->sysctls[i] = (struct plan_sysctl){sysctls[i].sysctl, (long)render_integer(in, sysctls[i].key)};
        buf_printf(&file, "%s = %ld\n", plan->sysctls[i].key, plan->sysctls[i].value);
    }
    render_file(in, "etc/sysctl.d/90-webops.conf", 0644, &file);
    // sysctl.d(5): an empty file of the same name in /etc hides the hardening layer's.
    if (!render_bool(in, "SYSCTL_HARDENING"))
        render_link(in, "etc/sysctl.d/60-webops-hardening.conf", "/dev/null");
}

void render_limits(const struct render *in) {
    cleanup_buf struct buf limits = {0}, slice = {0};
    long processes = (long)render_integer(in, "LIMIT_NPROC");
    buf_printf(&limits, "%s* soft nproc %ld\n* hard nproc %ld\nroot soft nproc unlimited\nroot hard nproc unlimited\n", header, processes,
               processes);
    render_file(in, "etc/security/limits.d/90-webops.conf", 0644, &limits);
    const char *memory = render_text(in, "USER_MEMORY_MAX");
    if (strcmp(memory, "100%") == 0)
        return;
    buf_printf(&slice, "%s[Slice]\nMemoryMax=", header);
    render_word(in, &slice, "USER_MEMORY_MAX", memory, strlen(memory));
    buf_add_str(&slice, "\n");
    render_file(in, "etc/systemd/system/user-.slice.d/90-webops.conf", 0644, &slice);
}

// Number of the device that systemd is to feed. The init has loaded softdog before the machine's own watchdogs, so systemd, which takes
// number 0, has fed that one since it started; the machine's own takes over here.
static unsigned watchdog_number(const struct facts *facts, bool wants_softdog) {
    if (wants_softdog)
        return facts->has_softdog ? facts->softdog : facts->hardware_watchdogs; // devices are numbered in the order they register in
    if (facts->hardware_watchdogs)
        return facts->hardware_watchdog;
    return facts->has_softdog && facts->softdog == 0; // none of the kind that is wanted: a number that does not exist yet
}

// The image's own drop-in says 30 s; only a difference needs a file, and with it a reload of systemd.
void render_watchdog(const struct render *in) {
    const char *kind = render_text(in, "WATCHDOG");
    const struct schema_key *key = schema_find(in->schema, "WATCHDOG_TIMEOUT");
    long seconds = (long)render_integer(in, key->name);
    bool is_off = strcmp(kind, "off") == 0 || (strcmp(kind, "hardware-or-off") == 0 && in->facts->hardware_watchdogs == 0);
    in->plan->needs_softdog = strcmp(kind, "softdog") == 0 || (strcmp(kind, "auto") == 0 && in->facts->hardware_watchdogs == 0);
    in->plan->feeds_watchdog = !is_off;
    unsigned number = in->plan->watchdog = is_off ? 0 : watchdog_number(in->facts, in->plan->needs_softdog);
    if (!is_off && number == 0 && seconds == strtol(key->fallback, NULL, 10))
        return;
    cleanup_buf struct buf file = {0};
    buf_printf(&file, "%s[Manager]\n", header);
    if (is_off)
        buf_add_str(&file, "RuntimeWatchdogSec=off\nRebootWatchdogSec=off\n");
    else
        buf_printf(&file, "RuntimeWatchdogSec=%lds\n", seconds);
    if (number > 0)
        buf_printf(&file, "WatchdogDevice=/dev/watchdog%u\n", number);
    render_file(in, "etc/systemd/system.conf.d/90-webops.conf", 0644, &file);
}

void render_swap(const struct render *in) {
    in->plan->swap_bytes = (uint64_t)render_integer(in, "SWAP_SIZE");
}
