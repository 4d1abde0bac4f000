// SPDX-License-Identifier: Apache-2.0
// Kernel parameters are compared first, so that a second run changes nothing.
#include "firstboot/runtime.h"
#include "common/file.h"
#include "common/log.h"
#include "common/run.h"
#include "firstboot/actionlog.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

// Rows with the same command stand together: a command is run once. Before the early stage only systemd itself, journald and the kernel
// have read anything.
static const struct runtime_reaction reactions[] = {
    {"etc/systemd/system.conf.d/", true, RUN_ARGV("systemctl", "daemon-reexec")}, // a reload keeps the watchdog's device (systemd 252)
    {"etc/systemd/system/webops-http.socket.d/", true, RUN_ARGV("systemctl", "daemon-reload")},
    {"etc/systemd/system/", false, RUN_ARGV("systemctl", "daemon-reload")},
    {"etc/systemd/system/webops-http.socket.d/", false, RUN_ARGV("systemctl", "restart", "webops-http.socket")},
    {"etc/systemd/journald.conf.d/", true, RUN_ARGV("systemctl", "--no-block", "restart", "systemd-journald.service")},
    {"etc/systemd/network/", false, RUN_ARGV("networkctl", "reload")},
    {"etc/systemd/resolved.conf.d/", false, RUN_ARGV("systemctl", "try-restart", "systemd-resolved.service")},
    {"etc/NetworkManager/", false, RUN_ARGV("/usr/lib/webops/networkmanager-reload")},
    {"etc/nftables.conf", false, RUN_ARGV("nft", "-f", "/etc/nftables.conf")},
    {"etc/ssh/sshd_config", false, RUN_ARGV("systemctl", "try-reload-or-restart", "ssh.service")},
    {"etc/ssh/sshd_config.d/", false, RUN_ARGV("systemctl", "try-reload-or-restart", "ssh.service")},
    {"etc/chrony/chrony.conf", false, RUN_ARGV("systemctl", "try-restart", "chrony.service")},
    {"etc/sysctl.d/", false, RUN_ARGV("systemctl", "restart", "systemd-sysctl.service")},
};

static void fail(struct apply *apply, struct buf *errors, const char *action, const char *object, const struct err *err) {
    log_error("%s", err->text);
    buf_printf(errors, "%s\n", err->text);
    actionlog_write(apply->root_fd, apply->stage, action, object, err->text);
}

static int set_sysctl(struct apply *apply, const struct plan_sysctl *sysctl, struct err *err) {
    cleanup_free char *path = str_printf("proc/sys/%s", sysctl->key), *now = NULL;
    for (char *dot = strchr(path, '.'); dot; dot = strchr(dot, '.'))
        *dot = '/';
    int r = file_read(apply->root_fd, path, 4096, &now, NULL, err);
    if (r < 0 || strtol(now, NULL, 10) == sysctl->value)
        return r;
    char text[24];
    int size = snprintf(text, sizeof(text), "%ld\n", sysctl->value);
    cleanup_fd int fd = file_open(apply->root_fd, path, O_WRONLY, 0, err);
    r = fd < 0 ? fd : file_write_all(fd, path, text, (size_t)size, err);
    if (r >= 0)
        apply_note(apply, "sysctl", sysctl->key);
    return r;
}

static int set_hostname(struct apply *apply, const char *name, struct err *err) {
    char now[256] = "";
    gethostname(now, sizeof(now) - 1);
    if (strcmp(now, name) == 0)
        return 0;
    if (sethostname(name, strlen(name)) < 0)
        return err_sys(err, -errno, "cannot set the host name");
    apply_note(apply, "hostname", "kernel");
    return 0;
}

static int load_softdog(struct apply *apply, const struct plan *plan, struct err *err) {
    if (!plan->needs_softdog || file_exists(apply->root_fd, "sys/module/softdog"))
        return 0;
    const struct run modprobe = {.argv = RUN_ARGV("modprobe", "softdog"), .timeout_ms = 30000};
    int r = run_quiet(&modprobe, err);
    if (r >= 0)
        apply_note(apply, "load", "softdog");
    return r;
}

void runtime_apply(struct apply *apply, const struct plan *plan, struct buf *errors) {
    struct err err;
    if (set_hostname(apply, plan->hostname, &err) < 0)
        fail(apply, errors, "hostname", "kernel", &err);
    if (load_softdog(apply, plan, &err) < 0)
        fail(apply, errors, "load", "softdog", &err);
    for (size_t i = 0; i < plan->sysctl_count; i++)
        if (set_sysctl(apply, &plan->sysctls[i], &err) < 0)
            fail(apply, errors, "sysctl", plan->sysctls[i].key, &err);
}

static bool is_same_command(const char *const *left, const char *const *right) {
    while (*left && *right && strcmp(*left, *right) == 0)
        left++, right++;
    return !*left && !*right;
}

size_t runtime_plan_reactions(const struct apply *apply, bool is_early, const struct runtime_reaction **ret_reactions, size_t capacity) {
    size_t count = 0;
    for (size_t i = 0; i < ARRAY_SIZE(reactions) && count < capacity; i++) {
        if ((is_early && !reactions[i].is_early) || !apply_has_changed(apply, reactions[i].path))
            continue;
        if (count == 0 || !is_same_command(ret_reactions[count - 1]->argv, reactions[i].argv))
            ret_reactions[count++] = &reactions[i];
    }
    return count;
}

void runtime_react(struct apply *apply, bool is_early, struct buf *errors) {
    const struct runtime_reaction *planned[ARRAY_SIZE(reactions)];
    size_t count = runtime_plan_reactions(apply, is_early, planned, ARRAY_SIZE(planned));
    for (size_t i = 0; i < count; i++) {
        struct err err;
        const struct run command = {.argv = planned[i]->argv, .timeout_ms = 60000};
        cleanup_free char *what = str_printf("%s %s", planned[i]->argv[0], planned[i]->argv[1] ?: "");
        if (run_quiet(&command, &err) < 0)
            fail(apply, errors, "react", what, &err);
        else
            actionlog_write(apply->root_fd, apply->stage, "react", what, "ok");
    }
}
