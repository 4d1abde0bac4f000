// SPDX-License-Identifier: Apache-2.0
// Writes the notes. What they are good for is decided by webops, in the same generation or the other one.
#include "firstboot/init/note.h"
#include "firstboot/init/boot.h"
#include "firstboot/init/console.h"
#include "firstboot/init/ext4.h"
#include "firstboot/init/sys.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define HASH_CHARS 64
#define LINE_BYTES 128
#define SECONDS_FOR_NOTE 10

// 1 when "trial" holds this root hash in hex, and nothing else.
static int is_on_trial(int dir_fd, const char hash[HASH_CHARS + 1], struct err *err) {
    char text[LINE_BYTES];
    ssize_t size = sys_read_text(dir_fd, "trial", text, sizeof(text));
    if (size == -ENOENT)
        return 0;
    if (size < 0 && size != -EFBIG && size != -EINVAL)
        return err_sys(err, (int)size, "reading " NOTE_DIRECTORY "/trial");
    return size >= 0 && strcmp(text, hash) == 0;
}

// Power may have been cut while the last line was written.
static bool is_torn(int fd) {
    struct stat st;
    char last = '\n';
    return fstat(fd, &st) == 0 && st.st_size > 0 && sys_read_at(fd, (uint64_t)st.st_size - 1, &last, 1) == 0 && last != '\n';
}

int note_attempt(int state_fd, const uint8_t root_hash[32], struct err *err) {
    char hash[HASH_CHARS + 1], line[LINE_BYTES];
    cleanup_fd int dir_fd = openat(state_fd, NOTE_DIRECTORY, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir_fd < 0)
        return errno == ENOENT ? 0 : err_sys(err, -errno, "opening " NOTE_DIRECTORY);
    hex_format(root_hash, HASH_CHARS / 2, hash);
    int r = is_on_trial(dir_fd, hash, err);
    if (r <= 0)
        return r;
    cleanup_fd int fd = openat(dir_fd, "attempts", O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_sys(err, -errno, "opening " NOTE_DIRECTORY "/attempts");
    int size = snprintf(line, sizeof(line), "%sinit %s\n", is_torn(fd) ? "\n" : "", hash);
    r = sys_write_all(fd, line, (size_t)size);
    if (r == 0 && fsync(fd) < 0)
        r = -errno;
    if (r == 0 && fsync(dir_fd) < 0) // the file may be new
        r = -errno;
    return r < 0 ? err_sys(err, r, "writing " NOTE_DIRECTORY "/attempts") : 1;
}

int note_failure(int state_fd, const uint8_t root_hash[32], const char *step, const char *reason, struct err *err) {
    char hash[HASH_CHARS + 1], note[NOTE_FAILURE_BYTES];
    // Where webops never ran there is no directory, and nobody who would look for the note.
    if (mkdirat(state_fd, NOTE_DIRECTORY, 0700) < 0 && errno != EEXIST)
        return err_sys(err, -errno, "creating " NOTE_DIRECTORY);
    cleanup_fd int dir_fd = openat(state_fd, NOTE_DIRECTORY, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir_fd < 0)
        return err_sys(err, -errno, "opening " NOTE_DIRECTORY);
    hex_format(root_hash, HASH_CHARS / 2, hash);
    size_t size = (size_t)snprintf(note, sizeof(note), "%s %s: %s", hash, step, reason);
    if (size > sizeof(note) - 1)
        size = sizeof(note) - 1;
    note[size++] = '\n'; // in place of the NUL
    return sys_publish(dir_fd, "init-failure", note, size, 0600, err);
}

// Only what the kernel alone can make whole: there is no e2fsck before the layers are there.
static int mount_state(const struct boot *boot, struct err *err) {
    char device[SYS_PATH_BYTES];
    uint8_t superblock[EXT4_SUPERBLOCK_BYTES];
    snprintf(device, sizeof(device), "/dev/%s", boot->disk.state.device);
    cleanup_fd int fd = open(device, O_RDONLY | O_CLOEXEC);
    int r = fd < 0 ? -errno : sys_read_at(fd, EXT4_SUPERBLOCK_OFFSET, superblock, sizeof(superblock));
    if (r < 0)
        return err_sys(err, r, "reading %s", device);
    enum ext4_condition condition = ext4_examine(superblock);
    if (condition != EXT4_CLEAN && condition != EXT4_JOURNAL)
        return err_set(err, -EUCLEAN, "%s is damaged", device);
    r = sys_mkdir(AT_FDCWD, BOOT_STATE, 0755, err);
    return r < 0 ? r : sys_mount(device, BOOT_STATE, "ext4", MS_NOSUID | MS_NODEV | MS_NOATIME, "errors=remount-ro", err);
}

// The step that mounts the state, or the one that counts attempts, was not reached.
static int write_notes_mounted(const struct boot *boot, const char *step, const struct err *reason, struct err *err) {
    int r = mount_state(boot, err);
    if (r < 0)
        return r;
    int fd = open(BOOT_STATE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, -errno, "opening " BOOT_STATE);
    r = note_attempt(fd, boot->wanted.root_hash, err);
    if (r >= 0)
        r = note_failure(fd, boot->wanted.root_hash, step, reason->text, err);
    close(fd);
    umount2(BOOT_STATE, 0);
    return r;
}

static void child(const struct boot *boot, const char *step, const struct err *reason) {
    struct err err = {0};
    int r = boot->state_fd >= 0 ? note_failure(boot->state_fd, boot->wanted.root_hash, step, reason->text, &err)
                                : write_notes_mounted(boot, step, reason, &err);
    if (r < 0)
        console_log(CONSOLE_ERROR, "no note was left: %s", err.text);
}

void note_failed_boot(const struct boot *boot, const char *step, const struct err *reason) {
    if (!boot->disk.state.device[0])
        return;
    pid_t pid = fork();
    if (pid == 0) {
        child(boot, step, reason);
        _exit(0);
    }
    for (unsigned tenths = 0; pid > 0 && tenths < 10 * SECONDS_FOR_NOTE && waitpid(pid, NULL, WNOHANG) == 0; tenths++)
        usleep(100000);
}

int trial_apply(struct boot *boot, struct err *err) {
    int r = 0;
    boot->state_fd = open(BOOT_STATE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (boot->state_fd < 0)
        return err_sys(err, -errno, "opening " BOOT_STATE);
    if (!boot->is_state_read_only)
        r = note_attempt(boot->state_fd, boot->wanted.root_hash, err);
    // The boot loader counts, too; a start that could not be counted here is no reason to fail a boot.
    if (r < 0)
        console_log(CONSOLE_ERROR, "%s", err->text);
    else if (r > 0)
        console_log(CONSOLE_INFO, "this generation is on trial");
    return 0;
}
