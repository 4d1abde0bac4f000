// SPDX-License-Identifier: Apache-2.0
// Prepares the private directory of a virtual machine. Starts nothing but the tools that make its files.
#include "builder/machine.h"
#include "builder/image_stacks.h"
#include "builder/qcow2.h"
#include "builder/seed.h"
#include "builder/tempdir.h"
#include "builder/tool_log.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/log.h"
#include "common/run.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define SECTOR_BYTES 512
#define GPT_AT 512
#define SOCKET_NAME_BYTES sizeof("/ssh.0123456789abcdef") // while ssh makes its socket, that has another name

int machine_free_port(struct err *err) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    cleanup_fd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) < 0 || getsockname(fd, (struct sockaddr *)&address, &size) < 0)
        return err_sys(err, -errno, "looking for a free port");
    return ntohs(address.sin_port);
}

const char *machine_disk_format(const char *path, struct err *err) {
    static const struct {
        size_t at;
        const char *magic;
        size_t size;
        const char *format; // NULL = cannot be booted as it is
    } kinds[] = {
        {0, "QFI\xfb", 4, "qcow2"},
        {0, "\x28\xb5\x2f\xfd", 4, NULL},
        {GPT_AT, "EFI PART", 8, "raw"},
    };
    char head[2 * SECTOR_BYTES] = {0};
    cleanup_fd int fd = file_open(AT_FDCWD, path, O_RDONLY, 0, err);
    if (fd < 0)
        return NULL;
    ssize_t got = pread(fd, head, sizeof(head), 0);
    for (size_t i = 0; got == (ssize_t)sizeof(head) && i < ARRAY_SIZE(kinds); i++) {
        if (memcmp(head + kinds[i].at, kinds[i].magic, kinds[i].size) != 0)
            continue;
        if (!kinds[i].format)
            err_set(err, -EINVAL, "%s is compressed; unpack it first: zstd -d %s", path, path);
        return kinds[i].format;
    }
    err_set(err, -EINVAL, "%s is no disk image (neither qcow2 nor a GPT disk)", path);
    return NULL;
}

// What qemu-img calls a size, and before it the sign of one that is relative to the image's.
static bool is_size(const char *text) {
    size_t sign = *text == '+' || *text == '-', digits = strspn(text + sign, "0123456789");
    const char *unit = text + sign + digits;
    if (*unit == '.')
        unit += 1 + strspn(unit + 1, "0123456789");
    return digits > 0 && (!*unit || (strchr("bBkKmMgGtTpPeE", *unit) && !unit[1]));
}

int machine_check(const struct machine_request *request, struct err *err) {
    if (request->memory_mib < 128 || request->cpus < 1)
        return err_set(err, -EINVAL, "a machine needs at least 128 MiB of memory and one processor");
    if (request->ssh_port > 65535)
        return err_set(err, -EINVAL, "--ssh-port: %ld is no port", request->ssh_port);
    if (request->secrets && !request->config)
        return err_set(err, -EINVAL, "--secrets needs --config: a secret is only used by a key that names it");
    if (request->disk_size && !is_size(request->disk_size))
        return err_set(err, -EINVAL, "--disk-size %s is no size; such are 8G, or +1G for 1 GiB more than the image has",
                       request->disk_size);
    return 0;
}

static int make_dir(struct machine *machine, struct err *err) {
    const size_t most = sizeof(((struct sockaddr_un *)NULL)->sun_path) - SOCKET_NAME_BYTES;
    int r = tempdir_make("run", &machine->dir, err);
    if (r >= 0 && strlen(machine->dir) > most)
        return err_set(err, -ENAMETOOLONG,
                       "private directory %s: the names of sockets in it would be too long (it has %zu bytes, at most %zu "
                       "will do); set TMPDIR to a shorter one",
                       machine->dir, strlen(machine->dir), most);
    return r;
}

// Shrinking is left to qemu-img, which knows what SIZE means, and refused here: a disk without the image's end does not boot.
static int resize_overlay(const char *overlay, const char *size, struct err *err) {
    const struct run resize = {.argv = RUN_ARGV("qemu-img", "resize", "-q", "--shrink", "-f", "qcow2", overlay, size)};
    struct qcow2_info image, disk;
    int r = qcow2_info(overlay, &image, err);
    if (r >= 0)
        r = run_quiet(&resize, err);
    if (r >= 0)
        r = qcow2_info(overlay, &disk, err);
    if (r >= 0 && disk.bytes < image.bytes)
        r = err_set(err, -EINVAL, "--disk-size %s is smaller than the image, which has %" PRIu64 " MiB; +1G is the image and 1 GiB more",
                    size, image.bytes >> 20);
    return r;
}

static int make_overlay(const struct machine_request *request, struct machine *machine, struct err *err) {
    const char *format = machine_disk_format(request->image, err);
    if (!format)
        return -EINVAL;
    machine->overlay = request->keep ? tool_path(request->keep) : str_printf("%s/disk.qcow2", machine->dir);
    if (request->keep && file_exists(AT_FDCWD, request->keep))
        return 0;
    cleanup_free char *image = realpath(request->image, NULL); // qemu-img takes it relative to the overlay
    if (!image)
        return err_sys(err, -errno, "%s", request->image);
    const struct run make = {.argv = RUN_ARGV("qemu-img", "create", "-q", "-f", "qcow2", "-F", format, "-b", image, machine->overlay)};
    int r = run_quiet(&make, err);
    if (r >= 0 && request->disk_size)
        r = resize_overlay(machine->overlay, request->disk_size, err);
    if (r >= 0)
        return 0;
    unlink(machine->overlay); // or a kept one would be taken for good next time
    return err_prefix(err, r, "making the overlay disk");
}

static int copy_vars(const char *from, const char *to, struct err *err) {
    uint64_t bytes;
    cleanup_fd int in = file_open(AT_FDCWD, from, O_RDONLY, 0, err);
    cleanup_fd int out = in < 0 ? in : file_open(AT_FDCWD, to, O_WRONLY | O_CREAT | O_TRUNC, 0600, err);
    return out < 0 ? out : file_copy_fd(in, out, to, &bytes, err);
}

static int make_firmware(const struct machine_request *request, struct machine *machine, struct err *err) {
    machine->options.firmware = request->bios ? QEMU_BIOS : request->secure_boot ? QEMU_SECURE_BOOT : QEMU_UEFI;
    if (request->bios)
        return 0;
    const char *template;
    int r = qemu_find_uefi(machine->options.firmware, &machine->options.code, &template, err);
    if (r < 0)
        return r;
    // UEFI remembers boot entries: beside a lasting disk its variables last too.
    machine->vars = request->keep ? str_printf("%s.vars", machine->overlay) : str_printf("%s/vars.fd", machine->dir);
    machine->options.vars = machine->vars;
    return request->keep && file_exists(AT_FDCWD, machine->vars) ? 0 : copy_vars(template, machine->vars, err);
}

static int make_seed(const struct machine_request *request, struct machine *machine, struct err *err) {
    if (!request->config)
        return 0;
    cleanup_stack_set struct stack_set stacks = {0};
    int r = image_stacks_guess(request->image, &stacks, err);
    if (r >= 0)
        r = seed_check(&stacks.schema, request->config, request->secrets, err);
    if (r < 0)
        return r;
    machine->seed = str_printf("%s/seed.img", machine->dir);
    machine->options.seed = machine->seed;
    return seed_save(&(struct seed){.config = request->config, .secrets = request->secrets, .path = machine->seed}, err);
}

static int choose_port(const struct machine_request *request, struct machine *machine, struct err *err) {
    int port = request->ssh_port ? (int)request->ssh_port : machine_free_port(err);
    machine->options.ssh_port = port;
    return port < 0 ? port : 0;
}

// The best one that works, unless the user names one.
static const struct qemu_accel *choose_accel(const struct machine_request *request, struct machine *machine) {
    const char *given = qemu_extra_accel(request->extra);
    if (!given)
        return qemu_probe(machine->dir, &machine->accel_note);
    bool is_kvm = strncmp(given, "kvm", 3) == 0;
    machine->accel_note = str_dup("");
    machine->given_accel = qemu_accels[is_kvm ? 0 : qemu_accel_count - 1];
    machine->given_accel.name = machine->given_accel.accel = given;
    return &machine->given_accel;
}

// QEMU is started by setpriv, which does not know the package that has it.
static int find_emulator(const struct machine_request *request, struct machine *machine, struct err *err) {
    (void)request;
    (void)machine;
    return run_quiet(&(struct run){.argv = RUN_ARGV("qemu-system-x86_64", "--version")}, err);
}

int machine_prepare(const struct machine_request *request, struct machine *machine, struct err *err) {
    static int (*const steps[])(const struct machine_request *, struct machine *, struct err *) = {find_emulator, make_overlay,
                                                                                                   make_firmware, make_seed, choose_port};
    int r = machine_check(request, err);
    if (r == 0)
        r = make_dir(machine, err);
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(steps); i++)
        r = steps[i](request, machine, err);
    if (r < 0)
        return r;
    machine->serial = request->serial ? str_dup(request->serial) : str_printf("%s/serial.log", machine->dir);
    machine->qmp = str_printf("%s/qmp", machine->dir);
    struct qemu_options *options = &machine->options;
    options->disk = machine->overlay;
    options->serial = machine->serial;
    options->qmp = machine->qmp;
    options->net = request->net ?: "";
    options->memory_mib = request->memory_mib;
    options->cpus = request->cpus;
    options->extra = request->extra;
    options->accel = choose_accel(request, machine);
    return 0;
}

void machine_done(struct machine *machine) {
    tempdir_done(&machine->dir);
    char *const strings[] = {machine->overlay, machine->vars, machine->seed, machine->serial, machine->qmp, machine->accel_note};
    for (size_t i = 0; i < ARRAY_SIZE(strings); i++)
        free(strings[i]);
    *machine = (struct machine){0};
}
