// SPDX-License-Identifier: Apache-2.0
// systemctl reboot, without waiting for its end: units that call this are stopped by it.
#include "firstboot/restart.h"
#include "common/log.h"
#include "common/run.h"
#include "firstboot/console.h"

int restart_machine(bool is_live, const char *why, struct err *err) {
    log_info("restart: %s", why);
    if (!is_live)
        return 0;
    console_print("restart: %s", why);
    const struct run reboot = {.argv = RUN_ARGV("systemctl", "--no-block", "--no-wall", "reboot"), .timeout_ms = 30000};
    if (run_quiet(&reboot, err) == 0)
        return 0;
    log_error("%s", err->text);
    // systemd without its bus: twice --force asks the kernel, after a sync.
    const struct run force = {.argv = RUN_ARGV("systemctl", "--force", "--force", "--no-wall", "reboot"), .timeout_ms = 60000};
    return run_quiet(&force, err);
}
