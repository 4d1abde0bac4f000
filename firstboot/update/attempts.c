// SPDX-License-Identifier: Apache-2.0
// Attempts of a trial: lines that the init and webops append. A torn or foreign line is worth nothing and harms nothing.
#include "common/buf.h"
#include "common/file.h"
#include "common/slot.h"
#include "firstboot/update/journal.h"
#include "firstboot/update/record.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define MAX_BYTES (256 << 10) // some 3,000 starts; more are not counted

static bool is_line(const char *line, size_t size, const char *stage, const char *hex) {
    size_t length = strlen(stage);
    return size == length + 65 && memcmp(line, stage, length) == 0 && line[length] == ' ' && memcmp(line + length + 1, hex, 64) == 0;
}

int attempts_load(int root_fd, const uint8_t root_hash[32], struct attempts *ret_attempts, struct err *err) {
    cleanup_free char *text = NULL;
    char hex[65];
    *ret_attempts = (struct attempts){0};
    int r = file_read(root_fd, ATTEMPTS_PATH, MAX_BYTES, &text, NULL, err);
    if (r == -EFBIG) {
        ret_attempts->init = ret_attempts->early = MAX_BYTES; // nobody starts that often: the trial is over
        return 0;
    }
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    hex_format(root_hash, 32, hex);
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        size_t size = strcspn(line, "\n");
        ret_attempts->init += is_line(line, size, "init", hex);
        ret_attempts->early += is_line(line, size, "early", hex);
    }
    return 0;
}

// Whether the file's last line has no end: power was cut while it was written.
static bool is_torn(int fd) {
    struct stat st;
    char last = '\n';
    return fstat(fd, &st) == 0 && st.st_size > 0 && pread(fd, &last, 1, st.st_size - 1) == 1 && last != '\n';
}

int attempts_add(int root_fd, const uint8_t root_hash[32], const char *stage, struct err *err) {
    char hex[65];
    hex_format(root_hash, 32, hex);
    int r = file_mkdirs(root_fd, UPDATE_DIR, 0700, err);
    if (r < 0)
        return r;
    cleanup_fd int fd = file_open(root_fd, ATTEMPTS_PATH, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW, 0600, err);
    if (fd < 0)
        return fd;
    cleanup_free char *line = str_printf("%s%s %s\n", is_torn(fd) ? "\n" : "", stage, hex);
    r = file_write_all(fd, ATTEMPTS_PATH, line, strlen(line), err);
    if (r >= 0 && fsync(fd) < 0)
        r = err_sys(err, -errno, "cannot flush /" ATTEMPTS_PATH);
    cleanup_fd int directory = r < 0 ? r : file_open(root_fd, UPDATE_DIR, O_RDONLY | O_DIRECTORY, 0, err);
    if (directory < 0)
        return directory;
    return fsync(directory) < 0 ? err_sys(err, -errno, "cannot flush /" UPDATE_DIR) : 0; // the file may be new
}

int attempts_clear(int root_fd, struct err *err) {
    if (unlinkat(root_fd, ATTEMPTS_PATH, 0) == 0 || errno == ENOENT)
        return 0;
    return err_sys(err, -errno, "cannot remove /" ATTEMPTS_PATH);
}
