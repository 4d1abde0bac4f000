// SPDX-License-Identifier: Apache-2.0
// Keeps the machine-id on the state partition and puts it into /etc before systemd looks.
#include "firstboot/init/machine_id.h"
#include "common/slot.h"
#include "firstboot/init/boot.h"
#include "firstboot/init/console.h"
#include "firstboot/init/sys.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#define FILE_NAME "machine-id"

bool machine_id_is_valid(const char *text) {
    static const uint8_t zero[16];
    uint8_t bytes[16];
    size_t length = strlen(text);
    if (length != 32 && !(length == 33 && text[32] == '\n'))
        return false;
    return hex_parse(text, sizeof(bytes), bytes) && memcmp(bytes, zero, sizeof(bytes)) != 0;
}

void machine_id_format(const uint8_t random[16], char ret_text[MACHINE_ID_TEXT_BYTES]) {
    uint8_t bytes[16];
    memcpy(bytes, random, sizeof(bytes));
    bytes[6] = (uint8_t)((bytes[6] & 0x0f) | 0x40);
    bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80);
    hex_format(bytes, sizeof(bytes), ret_text);
    strcpy(ret_text + 32, "\n");
}

int machine_id_load(int dir_fd, bool is_read_only, char ret_text[MACHINE_ID_TEXT_BYTES], bool *ret_is_new, struct err *err) {
    char text[64];
    ssize_t size = sys_read_text(dir_fd, FILE_NAME, text, sizeof(text));
    *ret_is_new = size < 0 || !machine_id_is_valid(text);
    if (!*ret_is_new) {
        snprintf(ret_text, MACHINE_ID_TEXT_BYTES, "%.32s\n", text);
        return 0;
    }
    uint8_t random[16];
    // Blocks until the kernel's generator is seeded, so two machines of one image cannot draw the same bytes.
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return err_sys(err, -errno, "drawing a new machine-id");
    machine_id_format(random, ret_text);
    return is_read_only ? 0 : sys_publish(dir_fd, FILE_NAME, ret_text, MACHINE_ID_TEXT_BYTES - 1, 0444, err);
}

static int open_directory(struct boot *boot, struct err *err) {
    static const char *const parents[] = {BOOT_STATE "/var/lib", BOOT_STATE "/var/lib/webops"};
    for (size_t i = 0; !boot->is_state_read_only && i < ARRAY_SIZE(parents); i++) {
        int r = sys_mkdir(AT_FDCWD, parents[i], 0755, err);
        if (r < 0)
            return r;
    }
    int fd = open(parents[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? err_sys(err, -errno, "opening %s", parents[1]) : fd;
}

int machine_id_apply(struct boot *boot, struct err *err) {
    char text[MACHINE_ID_TEXT_BYTES];
    bool is_new = false;
    cleanup_fd int state_fd = open_directory(boot, err);
    // A read-only state without the directory: -1 as directory gives an identity for this boot.
    if (state_fd < 0 && !boot->is_state_read_only)
        return state_fd;
    int r = machine_id_load(state_fd, boot->is_state_read_only, text, &is_new, err);
    if (r < 0)
        return err_prefix(err, r, "/var/lib/webops");
    if (is_new)
        console_log(CONSOLE_INFO, "new machine-id %.32s", text);
    cleanup_fd int etc_fd = open(BOOT_ROOT "/etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (etc_fd < 0)
        return err_sys(err, -errno, "opening " BOOT_ROOT "/etc");
    r = sys_publish(etc_fd, FILE_NAME, text, strlen(text), 0444, err);
    return r < 0 ? err_prefix(err, r, "/etc") : 0;
}
