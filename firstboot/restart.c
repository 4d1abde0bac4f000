// SPDX-License-Identifier: Apache-2.0
// systemctl reboot, without waiting for its end: units that call this are stopped by it.
#include "firstboot/restart.h"
#include "common/log.h"
#include "common/run.h"
#include "firstboot/console.h"

static int end_machine(bool is_live, const char *verb, const char *title, const char *why, struct err *err) {
    log_info("%s: %s", title, why);
    if (!is_live)
        return 0;
    console_print("%s: %s", title, why);
    const struct run end = {.argv = RUN_ARGV("systemctl", "--no-block", "--no-wall", verb), .timeout_ms = 30000};
    if (run_quiet(&end, err) == 0)
        return 0;
    log_error("%s", err->text);
    // systemd without its bus: twice --force asks the kernel, after a sync.
    const struct run force = {.argv = RUN_ARGV("systemctl", "--force", "--force", "--no-wall", verb), .timeout_ms = 60000};
    return run_quiet(&force, err);
}

int restart_machine(bool is_live, const char *why, struct err *err) {
    return end_machine(is_live, "reboot", "restart", why, err);
}

int power_off_machine(bool is_live, const char *why, struct err *err) {
    return end_machine(is_live, "poweroff", "power off", why, err);
}
