// SPDX-License-Identifier: Apache-2.0
// Kernel device events: the KEY=value text of netlink messages and of sysfs `uevent` files, and the netlink socket.
#pragma once
#include "common/err.h"
#include <stdbool.h>
#include <stddef.h>

#define UEVENT_BYTES 8192 // the kernel's own limit is 2048 of variables plus a path

// The value of `key` in records that are ended by `separator` ('\0' in a netlink message, '\n' in a sysfs file), copied into ret_value.
// The first record wins: the kernel writes its own keys before the ones that carry a disk's text. False when missing or too long.
bool uevent_find(const char *text, size_t size, char separator, const char *key, char *ret_value, size_t value_size) must_check
    nonnull(1, 4, 5);

// Listens to the kernel. Open it before looking at the devices that are there already, so that none falls between. Non-blocking.
int uevent_open(struct err *err) must_check nonnull(1);
// The next message: its size, 0 when there is none now, -ENOBUFS when the kernel had to drop some (look at all devices again).
// Messages that do not come from the kernel are skipped.
int uevent_receive(int fd, char ret_text[UEVENT_BYTES]) must_check nonnull(2);
// Sleeps until a message is there or the time is over.
void uevent_wait(int fd, unsigned timeout_ms);
