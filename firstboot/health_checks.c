// SPDX-License-Identifier: Apache-2.0
// The checks of every machine. Each asks the running system, not what was planned.
#include "common/buf.h"
#include "common/file.h"
#include "common/run.h"
#include "firstboot/bootrecord.h"
#include "firstboot/health.h"
#include "firstboot/units.h"
#include "firstboot/update/journal.h"
#include "firstboot/verity.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/statvfs.h>

#define READ_BYTES ((size_t)1 << 20)
#define STATE_FREE_BYTES (16ULL << 20)

static int check_applied(const struct health_context *context, struct err *err) {
    const char *last = json_string_value(json_object_get(context->report, "last"));
    if (!json_object_get(context->report, "early") || !last)
        return err_set(err, -ENOENT, "webops-early has not applied a configuration");
    const json_t *errors = json_object_get(json_object_get(context->report, last), "errors");
    const char *first = json_string_value(json_array_get(errors, 0));
    return first ? err_set(err, -EIO, "%s", first) : 0;
}

static int check_units(const struct health_context *context, struct err *err) {
    cleanup_free char *text = NULL;
    const char *states = context->is_monitor ? "--state=failed,auto-restart" : "--state=failed,activating";
    const struct run list = {.argv = RUN_ARGV("systemctl", "list-units", "--all", "--full", "--plain", "--no-legend", "--no-pager", states),
                             .timeout_ms = 30000};
    int r = run_capture(&list, 1 << 20, &text, NULL, err);
    return r < 0 ? r : units_judge(text, "webops-health.service", err);
}

static int check_verity(const struct health_context *context, struct err *err) {
    const char *device = bootrecord_text(context->record, "VERITY_DEVICE");
    return *device ? verity_check(device, err) : 1;
}

static int check_root(const struct health_context *context, struct err *err) {
    struct statvfs fs;
    if (fstatvfs(context->root_fd, &fs) < 0)
        return err_sys(err, -errno, "cannot examine /");
    return fs.f_flag & ST_RDONLY ? 0 : err_set(err, -EPERM, "/ is writable");
}

static int check_state(const struct health_context *context, struct err *err) {
    static const char probe[] = "var/lib/webops/.health";
    struct statvfs fs;
    int r = context->is_monitor ? 0 : file_publish(context->root_fd, probe, "", 0, 0600, err);
    if (r < 0)
        return r;
    if (!context->is_monitor)
        unlinkat(context->root_fd, probe, 0);
    cleanup_fd int fd = file_open(context->root_fd, "var", O_RDONLY | O_DIRECTORY, 0, err);
    if (fd < 0)
        return fd;
    if (fstatvfs(fd, &fs) < 0)
        return err_sys(err, -errno, "cannot examine /var");
    if (fs.f_flag & ST_RDONLY) // what ext4 makes of an error
        return err_set(err, -EROFS, "/var is read-only");
    uint64_t free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    return free_bytes >= STATE_FREE_BYTES
               ? 0
               : err_set(err, -ENOSPC, "only %llu KiB are free on state", (unsigned long long)(free_bytes >> 10));
}

// dm-verity judges what is read, and on a trial boot nobody may be left to find a bad block later. Other boots read what they need.
static int check_slot(const struct health_context *context, struct err *err) {
    cleanup_free char *block = NULL, *mark = NULL;
    const char *device = bootrecord_text(context->record, "VERITY_DEVICE"), *hash = bootrecord_text(context->record, "ROOT_HASH");
    if (context->is_monitor || *device != '/' || file_read(context->root_fd, TRIAL_MARK_PATH, 128, &mark, NULL, err) < 0 || !*hash ||
        strncmp(mark, hash, strlen(hash)) != 0)
        return 1;
    cleanup_fd int fd = file_open(context->root_fd, device + 1, O_RDONLY, 0, err);
    if (fd < 0)
        return fd;
    block = mem_array(READ_BYTES, 1);
    for (off_t offset = 0;;) {
        ssize_t got = pread(fd, block, READ_BYTES, offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_sys(err, -errno, "slot %s cannot be read near byte %lld of %s", bootrecord_text(context->record, "SLOT"),
                           (long long)offset, device);
        if (got == 0)
            return 0;
        posix_fadvise(fd, offset, got, POSIX_FADV_DONTNEED); // the cache is for what the machine needs
        offset += got;
    }
}

// Connects and waits for the version line (RFC 4253, 4.2).
static int check_sshd(const struct health_context *context, struct err *err) {
    int port = health_setting(context, "ssh_port", 22);
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct timeval limit = {.tv_sec = 10};
    char banner[4] = "";
    cleanup_fd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
        connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return err_sys(err, -errno, "cannot connect to port %d", port);
    if (recv(fd, banner, sizeof(banner), MSG_WAITALL) != sizeof(banner) || memcmp(banner, "SSH-", 4) != 0)
        return err_set(err, -EPROTO, "what listens on port %d is no SSH server", port);
    return 0;
}

static int check_firewall(const struct health_context *context, struct err *err) {
    if (!health_setting(context, "firewall", 1))
        return 1;
    cleanup_free char *text = NULL;
    const struct run list = {.argv = RUN_ARGV("nft", "list", "chain", "inet", "webops", "input"), .timeout_ms = 30000};
    int r = run_capture(&list, 1 << 20, &text, NULL, err);
    if (r < 0)
        return r;
    return strstr(text, "policy drop") ? 0 : err_set(err, -EPERM, "the ruleset does not drop what it does not know");
}

static int check_network(const struct health_context *context, struct err *err) {
    (void)context;
    struct ifaddrs *list = NULL;
    if (getifaddrs(&list) < 0)
        return err_sys(err, -errno, "cannot list addresses");
    bool has_address = false;
    for (const struct ifaddrs *item = list; item; item = item->ifa_next) {
        if (!item->ifa_addr || (item->ifa_flags & IFF_LOOPBACK) || !(item->ifa_flags & IFF_UP))
            continue;
        const struct sockaddr_in6 *v6 = (const void *)item->ifa_addr;
        has_address = has_address || item->ifa_addr->sa_family == AF_INET ||
                      (item->ifa_addr->sa_family == AF_INET6 && !IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr));
    }
    freeifaddrs(list);
    return has_address ? 0 : err_set(err, -ENETUNREACH, "no interface has an address");
}

// That some watchdog is fed is not enough: softdog would do in place of the machine's own, which works when the kernel does not.
static int check_watchdog(const struct health_context *context, struct err *err) {
    if (!health_setting(context, "watchdog", 1))
        return 1;
    cleanup_free char *state = NULL, *identity = NULL;
    int device = health_setting(context, "watchdog_device", 0);
    cleanup_free char *path = str_printf("sys/class/watchdog/watchdog%d/state", device);
    cleanup_free char *name = str_printf("sys/class/watchdog/watchdog%d/identity", device);
    if (file_read(context->root_fd, path, 4096, &state, NULL, err) < 0)
        return err_set(err, -ENODEV, "there is no /dev/watchdog%d", device);
    if (strncmp(state, "active", 6) == 0)
        return 0;
    if (file_read(context->root_fd, name, 4096, &identity, NULL, err) < 0)
        identity = str_dup("");
    return err_set(err, -ENODEV, "systemd does not feed /dev/watchdog%d (%.*s)", device, (int)strcspn(identity, "\n"), identity);
}

const struct health_check health_base_checks[] = {
    {"slot-integrity", check_slot, HEALTH_FINAL, NULL},
    {"configuration", check_applied, HEALTH_CURABLE, NULL},
    {"verity", check_verity, HEALTH_FINAL, NULL},
    {"root", check_root, HEALTH_FINAL, NULL},
    {"state", check_state, HEALTH_CURABLE, NULL},
    {"sshd", check_sshd, HEALTH_CURABLE, NULL},
    {"firewall", check_firewall, HEALTH_CURABLE, NULL},
    {"network", check_network, HEALTH_CURABLE, NULL},
    {"watchdog", check_watchdog, HEALTH_CURABLE, NULL},
    {"units", check_units, HEALTH_VAGUE, NULL}, // the check of what a unit is there for says more
    {0},
};
