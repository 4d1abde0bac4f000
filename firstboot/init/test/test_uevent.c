// SPDX-License-Identifier: Apache-2.0
// Device event texts, and receiving them (over a socket pair in place of the kernel's).
#include "common/test/support.h"
#include "firstboot/init/uevent.h"
#include <sys/socket.h>

static const char message[] = "add@/devices/pci0000:00/0000:00:04.0\0ACTION=add\0DEVPATH=/devices/pci0000:00/0000:00:04.0\0SUBSYSTEM=pci\0"
                              "MODALIAS=pci:v00001AF4d00001001\0SEQNUM=917";
static const char partition[] = "MAJOR=254\nMINOR=3\nDEVNAME=vda3\nDEVTYPE=partition\nDISKSEQ=9\nPARTN=3\nPARTNAME=webops-a\nDEVNAME=sda9";

static void expect(const char *text, size_t size, char separator, const char *key, const char *value) {
    char found[64] = "untouched";
    bool is_found = uevent_find(text, size, separator, key, found, sizeof(found));
    assert_int_equal(is_found, value != NULL);
    assert_string_equal(found, value ? value : "untouched");
}

static void test_find(void **state) {
    (void)state;
    expect(message, sizeof(message), '\0', "MODALIAS", "pci:v00001AF4d00001001");
    expect(message, sizeof(message) - 1, '\0', "SEQNUM", "917"); // last record without terminator
    expect(message, sizeof(message), '\0', "ACTION", "add");
    expect(message, sizeof(message), '\0', "ALIAS", NULL); // only whole keys
    expect(message, sizeof(message), '\0', "MODALIA", NULL);
    expect(message, sizeof(message), '\0', "DEVNAME", NULL);
    expect(partition, strlen(partition), '\n', "PARTNAME", "webops-a");
    expect(partition, strlen(partition), '\n', "DEVNAME", "vda3"); // the first one wins
    expect("PARTNAME=", 9, '\n', "PARTNAME", "");
    expect("", 0, '\n', "PARTNAME", NULL);
    expect("\n\n=\nA\nA=1", 9, '\n', "A", "1");
}

static void test_value_size(void **state) {
    (void)state;
    char value[9];
    assert_true(uevent_find(partition, strlen(partition), '\n', "PARTNAME", value, sizeof(value)));
    assert_string_equal(value, "webops-a");
    assert_false(uevent_find(partition, strlen(partition), '\n', "PARTNAME", value, sizeof(value) - 1));
    assert_string_equal(value, "webops-a"); // untouched
}

// No prefix of a message makes the reader look behind its end (ASan watches an exact-size copy) or find a cut value as a whole one.
static void test_truncations(void **state) {
    (void)state;
    for (size_t size = 0; size < sizeof(message); size++) {
        cleanup_free char *copy = mem_array(size ? size : 1, 1);
        memcpy(copy, message, size);
        char value[64] = "";
        bool is_found = uevent_find(copy, size, '\0', "ACTION", value, sizeof(value));
        assert_int_equal(is_found, size >= 44);
        assert_int_equal(strncmp("add", value, strlen(value)), 0);
    }
}

static void test_receive(void **state) {
    (void)state;
    int pair[2];
    char text[UEVENT_BYTES];
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(uevent_receive(pair[0], text), 0); // nothing there is no error
    assert_int_equal(send(pair[1], message, sizeof(message), 0), sizeof(message));
    assert_int_equal(send(pair[1], "x", 1, 0), 1);
    uevent_wait(pair[0], 60000); // returns at once
    assert_int_equal(uevent_receive(pair[0], text), sizeof(message));
    assert_memory_equal(text, message, sizeof(message));
    assert_int_equal(uevent_receive(pair[0], text), 1);
    assert_int_equal(uevent_receive(pair[0], text), 0);
    uevent_wait(pair[0], 1); // returns when the time is over
    close(pair[0]);
    close(pair[1]);
    assert_true(uevent_receive(pair[0], text) < 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_value_size),
        cmocka_unit_test(test_truncations),
        cmocka_unit_test(test_receive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
