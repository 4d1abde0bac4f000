// SPDX-License-Identifier: Apache-2.0
#include "builder/guestfs/guest.h"
#include "common/buf.h"
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#define EXCERPT_CHARS 300

void guest_list_free(char ***list) {
    for (char **item = *list; item && *item; item++)
        free(*item);
    free(*list);
    *list = NULL;
}

void guest_close(guestfs_h **guest) {
    if (*guest)
        guestfs_close(*guest);
    *guest = NULL;
}

// The text may hold names from the disk, and it goes to a terminal.
static void make_line(char *text) {
    for (; *text; text++)
        if (*text < ' ' || *text > '~')
            *text = ' ';
}

int guest_failed(guestfs_h *guest, struct err *err, const char *format, ...) {
    char what[400], why[EXCERPT_CHARS];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    snprintf(why, sizeof(why), "%s", guestfs_last_error(guest) ?: "libguestfs gives no reason");
    make_line(what);
    make_line(why);
    return err_set(err, -EIO, "%s: %s", what, why);
}

static int configure(guestfs_h *guest, const struct guest_options *options, struct err *err) {
    // Messages go into our own error object; nothing is asked of libvirt, which would want a daemon.
    guestfs_set_error_handler(guest, NULL, NULL);
    if (guestfs_set_backend(guest, "direct") < 0 || (options->software && guestfs_set_backend_setting(guest, "force_tcg", "1") < 0) ||
        guestfs_set_autosync(guest, 0) < 0)
        return guest_failed(guest, err, "cannot set libguestfs up");
    if (guestfs_add_drive_opts(guest, options->disk, GUESTFS_ADD_DRIVE_OPTS_READONLY, 1, GUESTFS_ADD_DRIVE_OPTS_FORMAT, options->format,
                               -1) < 0)
        return guest_failed(guest, err, "%s: cannot be opened as %s", options->disk, options->format);
    if (guestfs_launch(guest) < 0)
        return guest_failed(
            guest, err,
            "%s: the appliance of libguestfs does not start (it needs qemu, supermin and a kernel in /boot of this machine, "
            "libguestfs-test-tool tells more)",
            options->disk);
    return 0;
}

int guest_open(const struct guest_options *options, guestfs_h **ret_guest, struct err *err) {
    cleanup_guest guestfs_h *guest = guestfs_create();
    if (!guest)
        return err_set(err, -ENOMEM, "libguestfs cannot be set up: out of memory");
    int r = configure(guest, options, err);
    if (r < 0)
        return r;
    *ret_guest = guest;
    guest = NULL;
    return 0;
}

static bool is_boot_partition(const char *path) {
    static const char *const paths[] = {"/boot/efi", "/efi", "/boot/firmware"};
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
        if (strcmp(path, paths[i]) == 0)
            return true;
    return false;
}

int guest_mount(guestfs_h *guest, const char *root, struct err *err) {
    cleanup_guest_list char **mounts = guestfs_inspect_get_mountpoints(guest, root);
    if (!mounts)
        return guest_failed(guest, err, "%s: finding its mount points", root);
    size_t count = 0;
    while (mounts[count])
        count += 2; // path, device
    // Shorter paths first: what lies below another is mounted on it.
    for (size_t length = 1, done = 0; done < count && length < 4096; length++)
        for (size_t i = 0; i < count; i += 2) {
            if (strlen(mounts[i]) != length)
                continue;
            done += 2;
            if (!is_boot_partition(mounts[i]) && guestfs_mount_ro(guest, mounts[i + 1], mounts[i]) < 0)
                return guest_failed(guest, err, "cannot mount %s on %s", mounts[i + 1], mounts[i]);
        }
    return 0;
}
