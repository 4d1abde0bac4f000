// SPDX-License-Identifier: Apache-2.0
// Which modules are loaded for which devices, in which order, and how often. The kernel is a function that takes notes.
#include "common/test/support.h"
#include "firstboot/init/modules.h"
#include "firstboot/init/test/plan_seed.h"
#include <errno.h>
#include <sys/socket.h>

static char loaded[512], failed[256]; // paths, each with a blank behind it

static void note(char *notes, size_t size, const struct plan_module *module) {
    size_t used = strlen(notes);
    snprintf(notes + used, size - used, "%s ", module->path);
}

static int note_load(const struct plan_module *module) {
    note(loaded, sizeof(loaded), module);
    return strstr(module->path, "virtio_pci") ? -ENODEV : strstr(module->path, "verity") ? -EEXIST : 0;
}

static void note_failed(const struct plan_module *module, int code) {
    assert_int_equal(code, -ENODEV);
    note(failed, sizeof(failed), module);
}

struct fixture {
    struct scratch *scratch;
    struct plan plan;
    struct modules modules;
};

static int setup(void **state) {
    struct fixture *fixture = mem_array(1, sizeof(*fixture));
    struct err err = {0};
    void *scratch = NULL;
    scratch_setup(&scratch);
    *fixture = (struct fixture){.scratch = scratch, .modules = {.load = note_load, .failed = note_failed}};
    assert_int_equal(plan_parse(plan_seed, strlen(plan_seed), &fixture->plan, &err), 0);
    fixture->modules.plan = &fixture->plan;
    loaded[0] = failed[0] = '\0';
    *state = fixture;
    return 0;
}

static int teardown(void **state) {
    struct fixture *fixture = *state;
    void *scratch = fixture->scratch;
    plan_done(&fixture->plan);
    free(fixture);
    return scratch_teardown(&scratch);
}

#define VIRTIO "modules/000-virtio.ko "
#define PCI "/modules/001-virtio_pci.ko "
#define BLK "modules/002-virtio_blk.ko "
#define VERITY "modules/003-dm-verity.ko "

static void test_each_module_once(void **state) {
    struct fixture *fixture = *state;
    modules_load_list(&fixture->modules, &fixture->plan.load);
    assert_string_equal(loaded, VERITY);
    modules_handle(&fixture->modules, "pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00");
    assert_string_equal(loaded, VERITY VIRTIO PCI);
    modules_handle(&fixture->modules, "pci:v00001AF4d00001000sv00001AF4sd00000001bc02sc00i00");
    modules_handle(&fixture->modules, "virtio:d00000002v00001AF4"); // two patterns match
    modules_handle(&fixture->modules, "virtio:d00000002v00001AF4");
    assert_string_equal(loaded, VERITY VIRTIO PCI BLK);
    assert_string_equal(failed, PCI); // -ENODEV is reported, -EEXIST is not
    assert_int_equal(fixture->modules.loaded, 2);
}

static void test_unknown_devices(void **state) {
    struct fixture *fixture = *state;
    static const char *const others[] = {"", "pci", "pci:v00008086d00001001sv1sd1bc01sc00i00", "xpci:v00001AF4d1sv1sd1bc1sc1i1",
                                         "virtio:d00000009v1"};
    for (size_t i = 0; i < ARRAY_SIZE(others); i++)
        modules_handle(&fixture->modules, others[i]);
    assert_string_equal(loaded, "");
}

// More kinds of devices than are remembered: still right.
static void test_more_kinds_than_memory(void **state) {
    struct fixture *fixture = *state;
    char modalias[64];
    for (unsigned i = 0; i < MODULES_MAX_SEEN + 10; i++) {
        snprintf(modalias, sizeof(modalias), "platform:device-%u", i);
        modules_handle(&fixture->modules, modalias);
    }
    modules_handle(&fixture->modules, "virtio:d00000003v00001AF4");
    modules_handle(&fixture->modules, "virtio:d00000003v00001AF4");
    assert_string_equal(loaded, VIRTIO BLK VERITY);
    assert_int_equal(fixture->modules.seen_count, MODULES_MAX_SEEN);
}

static void add_device(struct fixture *fixture, const char *path, const char *modalias) {
    struct err err = {0};
    cleanup_free char *file = str_printf("%s/modalias", path);
    assert_int_equal(file_mkdirs(fixture->scratch->fd, path, 0755, &err), 0);
    assert_int_equal(file_publish(fixture->scratch->fd, file, modalias, strlen(modalias), 0644, &err), 0);
}

static void test_coldplug(void **state) {
    struct fixture *fixture = *state;
    struct err err = {0};
    add_device(fixture, "pci/devices/0000:00:01.0", "pci:v00008086d00007000sv00001AF4sd00001100bc06sc01i00\n");
    add_device(fixture, "pci/devices/0000:00:04.0", "pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00\n");
    add_device(fixture, "acpi/devices/PNP0A03:00", "");
    assert_int_equal(file_mkdirs(fixture->scratch->fd, "cpu/devices/cpu0", 0755, &err), 0); // has no modalias
    assert_int_equal(file_mkdirs(fixture->scratch->fd, "empty", 0755, &err), 0); // no devices directory
    add_device(fixture, "pci/drivers/x", "virtio:d00000002v00001AF4\n"); // not a device
    modules_coldplug(&fixture->modules, fixture->scratch->fd);
    assert_string_equal(loaded, VIRTIO PCI);
    add_device(fixture, "virtio/devices/virtio0", "virtio:d00000002v00001AF4\n");
    modules_coldplug(&fixture->modules, fixture->scratch->fd);
    assert_string_equal(loaded, VIRTIO PCI BLK VERITY);
}

static void test_hotplug(void **state) {
    struct fixture *fixture = *state;
    static const char add[] = "add@/devices/x\0ACTION=add\0MODALIAS=virtio:d00000002v00001AF4";
    static const char removal[] = "remove@/devices/x\0ACTION=remove\0MODALIAS=pci:v00001AF4d1sv1sd1bc1sc1i1";
    static const char without[] = "add@/devices/x\0ACTION=add\0SUBSYSTEM=block";
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    send(pair[1], removal, sizeof(removal), 0);
    send(pair[1], without, sizeof(without), 0);
    send(pair[1], "add@", 4, 0);
    modules_hotplug(&fixture->modules, pair[0], fixture->scratch->fd);
    assert_string_equal(loaded, "");
    send(pair[1], add, sizeof(add), 0);
    send(pair[1], add, sizeof(add), 0);
    modules_hotplug(&fixture->modules, pair[0], fixture->scratch->fd);
    assert_string_equal(loaded, VIRTIO BLK VERITY);
    close(pair[0]);
    close(pair[1]);
}

static void test_finit_without_file(void **state) {
    (void)state;
    const struct plan_module module = {.path = "/nonexistent/module.ko", .parameters = ""};
    assert_int_equal(modules_finit(&module), -ENOENT);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_each_module_once), CASE(test_unknown_devices), CASE(test_more_kinds_than_memory),
        CASE(test_coldplug),         CASE(test_hotplug),         cmocka_unit_test(test_finit_without_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
