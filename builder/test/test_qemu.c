// SPDX-License-Identifier: Apache-2.0
// The QEMU plan as text, and the accelerator probe with the real QEMU.
#include "builder/probe_sector.h"
#include "builder/qemu.h"
#include "common/buf.h"
#include "common/file.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
// cmocka wants the four headers above first
#include <cmocka.h>

static struct qemu_options sample(void) {
    return (struct qemu_options){
        .firmware = QEMU_UEFI,
        .accel = &qemu_accels[qemu_accel_count - 1],
        .code = "/fw/code.fd",
        .vars = "/tmp/x/vars.fd",
        .disk = "/tmp/x/disk.qcow2",
        .serial = "/tmp/x/serial.log",
        .qmp = "/tmp/x/qmp",
        .net = "",
        .memory_mib = 1024,
        .cpus = 2,
        .ssh_port = 2222,
    };
}

// True when `option value` stands in argv as two neighbours; value NULL = any value.
static bool has(char *const *argv, const char *option, const char *value) {
    for (size_t i = 0; argv[i] && argv[i + 1]; i++)
        if (strcmp(argv[i], option) == 0 && (!value || strcmp(argv[i + 1], value) == 0))
            return true;
    return false;
}

static unsigned count_of(char *const *argv, const char *part) {
    unsigned count = 0;
    for (size_t i = 0; argv[i]; i++)
        count += strstr(argv[i], part) != NULL;
    return count;
}

static void test_plan_uefi(void **state) {
    (void)state;
    struct qemu_options options = sample();
    cleanup(qemu_argv_done) char **argv = qemu_plan(&options);
    assert_string_equal(argv[0], "setpriv");
    assert_true(has(argv, "--pdeathsig", "KILL"));
    assert_true(has(argv, "-drive", "if=pflash,unit=0,format=raw,readonly=on,file=/fw/code.fd"));
    assert_true(has(argv, "-drive", "if=pflash,unit=1,format=raw,file=/tmp/x/vars.fd"));
    assert_true(has(argv, "-drive", "if=none,id=disk,format=qcow2,discard=unmap,file=/tmp/x/disk.qcow2"));
    assert_true(has(argv, "-netdev", "user,id=net,hostfwd=tcp:127.0.0.1:2222-:22"));
    assert_true(has(argv, "-m", "1024"));
    assert_true(has(argv, "-smp", "2"));
    assert_true(has(argv, "-accel", "tcg,tb-size=256"));
    assert_true(has(argv, "-cpu", "max"));
    assert_int_equal(count_of(argv, "seed"), 0);
    assert_int_equal(count_of(argv, "-no-reboot"), 0);
}

static void test_plan_bios_has_no_flash(void **state) {
    (void)state;
    struct qemu_options options = sample();
    options.firmware = QEMU_BIOS;
    cleanup(qemu_argv_done) char **argv = qemu_plan(&options);
    assert_int_equal(count_of(argv, "pflash"), 0);
    assert_int_equal(count_of(argv, "id=disk"), 1);
}

static void test_plan_secure_boot(void **state) {
    (void)state;
    struct qemu_options options = sample();
    cleanup(qemu_argv_done) char **plain = qemu_plan(&options);
    assert_true(has(plain, "-machine", "q35"));
    assert_false(has(plain, "-global", NULL));
    options.firmware = QEMU_SECURE_BOOT;
    cleanup(qemu_argv_done) char **argv = qemu_plan(&options);
    assert_true(has(argv, "-machine", "q35,smm=on"));
    assert_true(has(argv, "-global", "driver=cfi.pflash01,property=secure,value=on"));
    assert_true(has(argv, "-drive", "if=pflash,unit=0,format=raw,readonly=on,file=/fw/code.fd"));
    assert_true(has(argv, "-drive", "if=pflash,unit=1,format=raw,file=/tmp/x/vars.fd"));
}

static void test_plan_seed_net_extra(void **state) {
    (void)state;
    const char *const extra[] = {"-fw_cfg", "name=opt/a,string=b", NULL};
    struct qemu_options options = sample();
    options.seed = "/tmp/x/seed.img";
    options.net = "restrict=on";
    options.extra = extra;
    cleanup(qemu_argv_done) char **argv = qemu_plan(&options);
    assert_true(has(argv, "-drive", "if=none,id=seed,format=raw,readonly=on,file=/tmp/x/seed.img"));
    assert_true(has(argv, "-device", "virtio-blk-pci,drive=seed"));
    assert_true(has(argv, "-netdev", "user,id=net,hostfwd=tcp:127.0.0.1:2222-:22,restrict=on"));
    assert_true(has(argv, "-fw_cfg", "name=opt/a,string=b"));
}

static void test_plan_takes_one_accelerator(void **state) {
    (void)state;
    const char *const extra[] = {"-accel", "tcg,tb-size=64", NULL}, *const half[] = {"-accel", NULL};
    struct qemu_options options = sample();
    options.extra = extra;
    cleanup(qemu_argv_done) char **argv = qemu_plan(&options);
    assert_int_equal(count_of(argv, "-accel"), 1);
    assert_true(has(argv, "-accel", "tcg,tb-size=64"));
    assert_null(qemu_extra_accel(NULL));
    assert_null(qemu_extra_accel(half));
}

static void test_plan_doubles_commas(void **state) {
    (void)state;
    struct qemu_options options = sample();
    options.disk = "/tmp/a,readonly=on,b.qcow2";
    cleanup(qemu_argv_done) char **argv = qemu_plan(&options);
    assert_true(has(argv, "-drive", "if=none,id=disk,format=qcow2,discard=unmap,file=/tmp/a,,readonly=on,,b.qcow2"));
}

static void test_format(void **state) {
    (void)state;
    const char *const argv[] = {"prog", "-m", "64", "-x", NULL};
    cleanup_free char *text = qemu_argv_format(argv);
    assert_string_equal(text, "prog \\\n    -m 64 \\\n    -x");
}

static void test_sector_is_bootable(void **state) {
    (void)state;
    assert_int_equal(probe_sector[0], 0xfa); // cli
    assert_int_equal(probe_sector[510], 0x55);
    assert_int_equal(probe_sector[511], 0xaa);
    assert_non_null(memmem(probe_sector, 510, PROBE_SECTOR_ANSWER, strlen(PROBE_SECTOR_ANSWER)));
}

static void test_probe_finds_one_and_cleans_up(void **state) {
    (void)state;
    char dir[] = "/tmp/webops-test.XXXXXX";
    assert_non_null(mkdtemp(dir));
    cleanup_free char *why = NULL;
    const struct qemu_accel *accel = qemu_probe(dir, &why);
    assert_non_null(accel);
    assert_non_null(why);
    // Whatever is refused is named with a reason; the first choice needs none.
    assert_int_equal(why[0] == '\0', accel == &qemu_accels[0]);
    assert_int_equal(rmdir(dir), 0);
}

// The sector itself is right: software emulation, which always works, gets the answer.
static void test_sector_answers(void **state) {
    (void)state;
    assert_true(qemu_accels[qemu_accel_count - 1].trusted);
    char dir[] = "/tmp/webops-test.XXXXXX";
    assert_non_null(mkdtemp(dir));
    struct err err = {0};
    cleanup_free char *disk = str_printf("%s/probe.raw", dir);
    assert_int_equal(qemu_probe_save(disk, &err), 0);
    assert_int_equal(qemu_probe_run(&qemu_accels[qemu_accel_count - 1], disk, 20000, &err), 0);
    // A disk that does not answer is noticed: the answer's text is cut out of the sector.
    cleanup_fd int fd = file_open(AT_FDCWD, disk, O_WRONLY, 0, &err);
    const uint8_t *text = memmem(probe_sector, 510, PROBE_SECTOR_ANSWER, strlen(PROBE_SECTOR_ANSWER));
    assert_int_equal(pwrite(fd, "xxxxxx", 6, text - probe_sector), 6);
    assert_true(qemu_probe_run(&qemu_accels[qemu_accel_count - 1], disk, 20000, &err) < 0);
    assert_non_null(strstr(err.text, "did not answer"));
    // And one that hangs is stopped in time.
    assert_int_equal(pwrite(fd, "\xeb\xfe", 2, 0), 2);
    assert_int_equal(qemu_probe_run(&qemu_accels[qemu_accel_count - 1], disk, 300, &err), -ETIMEDOUT);
    unlink(disk);
    assert_int_equal(rmdir(dir), 0);
}

static void test_find_uefi(void **state) {
    (void)state;
    static const enum qemu_firmware firmwares[] = {QEMU_UEFI, QEMU_SECURE_BOOT};
    for (size_t i = 0; i < ARRAY_SIZE(firmwares); i++) {
        const char *code = NULL, *vars = NULL;
        struct err err = {0};
        assert_int_equal(qemu_find_uefi(firmwares[i], &code, &vars, &err), 0);
        assert_int_equal(access(code, R_OK), 0);
        assert_int_equal(access(vars, R_OK), 0);
        assert_int_equal(strstr(code, "secboot") != NULL, firmwares[i] == QEMU_SECURE_BOOT);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan_uefi),
        cmocka_unit_test(test_plan_bios_has_no_flash),
        cmocka_unit_test(test_plan_secure_boot),
        cmocka_unit_test(test_plan_seed_net_extra),
        cmocka_unit_test(test_plan_takes_one_accelerator),
        cmocka_unit_test(test_plan_doubles_commas),
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_sector_is_bootable),
        cmocka_unit_test(test_probe_finds_one_and_cleans_up),
        cmocka_unit_test(test_sector_answers),
        cmocka_unit_test(test_find_uefi),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
