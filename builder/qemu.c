// SPDX-License-Identifier: Apache-2.0
// Turns options into QEMU's argv, and finds an accelerator that works by running a guest. Keeps no machine running.
#include "builder/qemu.h"
#include "builder/probe_sector.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/run.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define PROBE_TIMEOUT_MS 2000
#define PROBE_DISK_BYTES (1 << 20)
#define PROBE_MAX_OUTPUT 4096

// Page-table-based KVM (nested clouds, container sandboxes) aborts on the register that arch-capabilities brings.
// 256 MiB of translated code instead of 1 GiB: after a restart the firmware overwrites the old kernel, and every write searches the
// translations of that page, which took it up to 40 s instead of 7 (docs/BENCHMARKS.md). With less, booting translates again and again.
// A thread per processor is QEMU's own choice, which it can leave to -icount.
const struct qemu_accel qemu_accels[] = {
    {"KVM", "kvm", "host,-arch-capabilities", false},
    {"software emulation (TCG)", "tcg,tb-size=256", "max", true},
};
const size_t qemu_accel_count = ARRAY_SIZE(qemu_accels);

struct argv_list {
    char **items;
    size_t count, capacity;
};

static void list_take(struct argv_list *list, char *item) {
    if (list->count + 2 > list->capacity) {
        list->capacity = list->capacity ? list->capacity * 2 : 64;
        list->items = mem_resize(list->items, list->capacity, sizeof(*list->items));
    }
    list->items[list->count++] = item;
    list->items[list->count] = NULL;
}

static void list_add(struct argv_list *list, const char *option, const char *value) {
    list_take(list, str_dup(option));
    list_take(list, str_dup(value));
}

void qemu_argv_done(char ***argv) {
    for (char **item = *argv; item && *item; item++)
        free(*item);
    free(*argv);
    *argv = NULL;
}

// "-option head<path>tail"; a comma inside a path is written twice (qemu(1)).
static void list_add_path(struct argv_list *list, const char *option, const char *head, const char *path, const char *tail) {
    cleanup_buf struct buf value = {0};
    buf_add_str(&value, head);
    for (const char *c = path; *c; c++)
        buf_add(&value, *c == ',' ? ",," : c, *c == ',' ? 2 : 1);
    buf_add_str(&value, tail);
    list_add(list, option, buf_str(&value));
}

const char *qemu_extra_accel(const char *const *extra) {
    for (const char *const *item = extra; item && item[0] && item[1]; item++)
        if (strcmp(item[0], "-accel") == 0)
            return item[1];
    return NULL;
}

static void add_machine(struct argv_list *list, const struct qemu_options *options) {
    static const char *const start[] = {"setpriv",  "--pdeathsig", "KILL",        "qemu-system-x86_64",
                                        "-name",    "webops",      "-nodefaults", "-no-user-config",
                                        "-display", "none",        "-vga",        "std"};
    for (size_t i = 0; i < ARRAY_SIZE(start); i++)
        list_take(list, str_dup(start[i]));
    // Variables that the operating system cannot write: Secure Boot's firmware wants system management mode around them.
    bool secure = options->firmware == QEMU_SECURE_BOOT;
    list_add(list, "-machine", secure ? "q35,smm=on" : "q35");
    if (secure)
        list_add(list, "-global", "driver=cfi.pflash01,property=secure,value=on");
    if (!qemu_extra_accel(options->extra)) // QEMU would take the first of two, and the second only when that fails
        list_add(list, "-accel", options->accel->accel);
    list_add(list, "-cpu", options->accel->cpu);
    list_take(list, str_dup("-m"));
    list_take(list, str_printf("%ld", options->memory_mib));
    list_take(list, str_dup("-smp"));
    list_take(list, str_printf("%ld", options->cpus));
    list_add(list, "-device", "virtio-rng-pci");
}

static void add_disks(struct argv_list *list, const struct qemu_options *options) {
    if (options->firmware != QEMU_BIOS) {
        list_add_path(list, "-drive", "if=pflash,unit=0,format=raw,readonly=on,file=", options->code, "");
        list_add_path(list, "-drive", "if=pflash,unit=1,format=raw,file=", options->vars, "");
    }
    list_add_path(list, "-drive", "if=none,id=disk,format=qcow2,discard=unmap,file=", options->disk, "");
    list_add(list, "-device", "virtio-blk-pci,drive=disk,bootindex=1");
    if (options->seed) {
        list_add_path(list, "-drive", "if=none,id=seed,format=raw,readonly=on,file=", options->seed, "");
        list_add(list, "-device", "virtio-blk-pci,drive=seed");
    }
}

static void add_channels(struct argv_list *list, const struct qemu_options *options) {
    list_take(list, str_dup("-netdev"));
    list_take(list,
              str_printf("user,id=net,hostfwd=tcp:127.0.0.1:%ld-:22%s%s", options->ssh_port, options->net[0] ? "," : "", options->net));
    // No option ROM: firmware would only try to boot from the network.
    list_add(list, "-device", "virtio-net-pci,netdev=net,romfile=");
    list_add_path(list, "-chardev", "file,id=serial,append=on,path=", options->serial, "");
    list_add(list, "-serial", "chardev:serial");
    list_add_path(list, "-chardev", "socket,id=qmp,server=on,wait=off,path=", options->qmp, "");
    list_add(list, "-mon", "chardev=qmp,mode=control");
}

char **qemu_plan(const struct qemu_options *options) {
    struct argv_list list = {0};
    add_machine(&list, options);
    add_disks(&list, options);
    add_channels(&list, options);
    for (const char *const *item = options->extra; item && *item; item++)
        list_take(&list, str_dup(*item));
    return list.items;
}

char *qemu_argv_format(const char *const *argv) {
    struct buf text = {0};
    for (size_t i = 0; argv[i]; i++)
        buf_printf(&text, "%s%s", i == 0 ? "" : argv[i][0] == '-' ? " \\\n    " : " ", argv[i]);
    return buf_take(&text);
}

int qemu_find_uefi(enum qemu_firmware firmware, const char **ret_code, const char **ret_vars, struct err *err) {
    static const struct {
        enum qemu_firmware firmware;
        const char *code, *vars;
    } places[] = {
        {QEMU_UEFI, "/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"}, // Debian, Ubuntu
        {QEMU_UEFI, "/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"}, // Fedora, Rocky, Alma
        {QEMU_UEFI, "/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"}, // Arch
        // With variables that hold no keys yet: setup mode.
        {QEMU_SECURE_BOOT, "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"},
        {QEMU_SECURE_BOOT, "/usr/share/edk2/ovmf/OVMF_CODE.secboot.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"},
        {QEMU_SECURE_BOOT, "/usr/share/edk2/x64/OVMF_CODE.secboot.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(places); i++)
        if (places[i].firmware == firmware && file_exists(AT_FDCWD, places[i].code) && file_exists(AT_FDCWD, places[i].vars)) {
            *ret_code = places[i].code;
            *ret_vars = places[i].vars;
            return 0;
        }
    return err_set(err, -ENOENT, "no UEFI firmware for virtual machines found (looked for %s); install the package ovmf, or use --bios",
                   places[0].code);
}

int qemu_probe_run(const struct qemu_accel *accel, const char *disk, unsigned timeout_ms, struct err *err) {
    cleanup_free char *drive = str_printf("if=virtio,format=raw,readonly=on,file=%s", disk);
    cleanup_free char *text = NULL;
    size_t size = 0;
    // The guest ends by a reset, which -no-reboot turns into exit status 0.
    struct run probe = {
        .argv =
            RUN_ARGV("setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", "-machine", "q35", "-accel", accel->accel, "-cpu", accel->cpu,
                     "-m", "64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-debugcon", "stdio", "-drive", drive),
        .timeout_ms = timeout_ms,
    };
    int r = run_capture(&probe, PROBE_MAX_OUTPUT, &text, &size, err);
    if (r == -ETIMEDOUT)
        return err_set(err, r, "a test guest did not answer within %u ms", timeout_ms);
    if (r < 0)
        return r;
    if (size == 0 || !strstr(text, PROBE_SECTOR_ANSWER))
        return err_set(err, -EIO, "the guest did not answer");
    return 0;
}

int qemu_probe_save(const char *path, struct err *err) {
    cleanup_fd int fd = file_open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0600, err);
    if (fd < 0)
        return fd;
    int r = file_write_all(fd, path, probe_sector, PROBE_SECTOR_BYTES, err);
    if (r == 0 && ftruncate(fd, PROBE_DISK_BYTES) < 0)
        r = err_sys(err, -errno, "writing %s", path);
    return r;
}

const struct qemu_accel *qemu_probe(const char *dir, char **ret_why) {
    struct buf why = {0};
    struct err err = {0};
    cleanup_free char *disk = str_printf("%s/probe.raw", dir);
    bool ready = qemu_probe_save(disk, &err) == 0;
    const struct qemu_accel *found = &qemu_accels[qemu_accel_count - 1];
    for (size_t i = 0; i < qemu_accel_count; i++) {
        if (qemu_accels[i].trusted || (ready && qemu_probe_run(&qemu_accels[i], disk, PROBE_TIMEOUT_MS, &err) == 0)) {
            found = &qemu_accels[i];
            break;
        }
        buf_printf(&why, "%s%s: %s", why.size ? "; " : "", qemu_accels[i].name, err.text);
    }
    unlink(disk);
    *ret_why = buf_take(&why);
    return found;
}
