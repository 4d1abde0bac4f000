// SPDX-License-Identifier: Apache-2.0
// The reader of a squashfs on arbitrary bytes: it ends, and says why when it does not like them.
#include "builder/squashfs_attributes.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// libsquashfs asks for the memory that a size speaks of before it reads: ASan would end the program, where malloc() says no.
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "allocator_may_return_null=1:max_allocation_size_mb=1024";
}

static void look(void *context, const char *path, const char *name, const uint8_t *value, size_t size) {
    (void)context;
    if (strlen(path) > 1 << 16 || strlen(name) > 300 || size > SQUASHFS_MAX_ATTRIBUTE_BYTES || value[size])
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct err err = {0};
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    int r = squashfs_attributes(fd, "fuzz", 0, size, look, NULL, &err);
    if (r < 0 && !err.text[0])
        abort();
    close(fd);
    return 0;
}
