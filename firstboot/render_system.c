// SPDX-License-Identifier: Apache-2.0
// Name, time zone, clock, journal, and what the login prompt says. Pure.
#include "firstboot/render.h"
#include <string.h>

void render_hostname(const struct render *in) {
    const char *name = render_text(in, "HOSTNAME");
    cleanup_buf struct buf file = {0}, hosts = {0}, word = {0};
    render_word(in, &word, "HOSTNAME", name, strlen(name));
    buf_printf(&file, "%s\n", buf_str(&word));
    render_file(in, "etc/hostname", 0644, &file);
    buf_add_str(&hosts, "127.0.0.1 localhost\n127.0.1.1 ");
    const char *dot = strchr(buf_str(&word), '.');
    buf_add_str(&hosts, buf_str(&word));
    if (dot)
        buf_printf(&hosts, " %.*s", (int)(dot - buf_str(&word)), buf_str(&word));
    buf_add_str(&hosts, "\n::1 localhost ip6-localhost ip6-loopback\nff02::1 ip6-allnodes\nff02::2 ip6-allrouters\n");
    render_file(in, "etc/hosts", 0644, &hosts);
    in->plan->hostname = buf_take(&word);
}

void render_timezone(const struct render *in) {
    const char *zone = render_text(in, "TIMEZONE");
    cleanup_buf struct buf word = {0}, file = {0};
    if (!in->facts->has_zone && strcmp(zone, "UTC") != 0) {
        render_problem(in, "TIMEZONE", "names no time zone of this image");
        return;
    }
    render_word(in, &word, "TIMEZONE", zone, strlen(zone));
    cleanup_free char *target = str_printf("../usr/share/zoneinfo/%s", buf_str(&word));
    render_link(in, "etc/localtime", target);
    buf_printf(&file, "%s\n", buf_str(&word));
    render_file(in, "etc/timezone", 0644, &file);
}

// chrony.conf(5). Steps only at the start, so that databases never see the clock jump later.
void render_chrony(const struct render *in) {
    cleanup_buf struct buf file = {0};
    buf_add_str(&file, "# Rendered by webops from config.env.\n");
    render_list(in, &file, "NTP_SERVERS", "server ", " iburst\n");
    buf_add_str(&file, "driftfile /var/lib/chrony/chrony.drift\nntsdumpdir /var/lib/chrony\nlogdir /var/log/chrony\n"
                       "maxupdateskew 100.0\nrtcsync\nmakestep 1 3\ncmdport 0\nport 0\n");
    render_file(in, "etc/chrony/chrony.conf", 0644, &file);
}

// The image has the default in /usr/lib; a file only where the configuration differs saves a restart of journald at every boot.
void render_journal(const struct render *in) {
    const struct schema_key *key = schema_find(in->schema, "JOURNAL_MAX_SIZE");
    const char *size = render_text(in, key->name);
    if (strcmp(size, key->fallback) == 0)
        return;
    cleanup_buf struct buf file = {0};
    buf_add_str(&file, "# Rendered by webops from config.env.\n[Journal]\nSystemMaxUse=");
    render_word(in, &file, key->name, size, strlen(size));
    buf_add_str(&file, "\n");
    render_file(in, "etc/systemd/journald.conf.d/90-webops.conf", 0644, &file);
}

// agetty(8) shows /etc/issue.d; a machine that nobody can log in to says there what it wants.
void render_issue(const struct render *in) {
    if (render_is_set(in, "SSH_AUTHORIZED_KEYS") || render_is_set(in, "SSH_AUTHORIZED_KEYS_FILE"))
        return;
    cleanup_buf struct buf file = {0};
    buf_add_str(&file, in->facts->has_config ? "webops: config.env names no SSH key: nobody can log in over the network.\n"
                                             : "webops: no config.env was found: the network uses DHCP and nobody can log in.\n");
    buf_add_str(&file, "Provide config.env with SSH_AUTHORIZED_KEYS on the boot partition, on a volume labelled WEBOPS or CIDATA,\n"
                       "as a NoCloud seed, or as a QEMU/SMBIOS credential, and reboot.\n\n");
    render_file(in, "etc/issue.d/10-webops.issue", 0644, &file);
}
