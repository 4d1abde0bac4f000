// SPDX-License-Identifier: Apache-2.0
// Writes the boot record as flat KEY=value lines.
#include "firstboot/init/record.h"
#include "firstboot/init/sys.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/sysmacros.h>

struct writer {
    char *text;
    size_t used; // may run past RECORD_MAX_BYTES; then nothing is stored any more
};

static void add(struct writer *writer, const char *fmt, ...) printf_like(2, 3);

static void add(struct writer *writer, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    size_t left = writer->used < RECORD_MAX_BYTES ? RECORD_MAX_BYTES - writer->used : 0;
    int length = vsnprintf(left ? writer->text + writer->used : NULL, left, fmt, args);
    va_end(args);
    writer->used += length > 0 ? (size_t)length : 0;
}

// A value that a shell or our own reader could take for something else goes into single quotes; a quote itself becomes '_', because the
// flat format cannot carry it there.
static void add_text(struct writer *writer, const char *key, const char *value) {
    char clean[FIND_NAME_BYTES + SLOT_NAME_BYTES];
    size_t size = 0;
    bool is_plain = true;
    for (; size < sizeof(clean) - 1 && value[size]; size++) {
        clean[size] = value[size] == '\'' ? '_' : value[size];
        is_plain = is_plain && (isalnum((unsigned char)clean[size]) || strchr("._:/+,@%=-", clean[size]));
    }
    clean[size] = '\0';
    const char *quote = is_plain ? "" : "'";
    add(writer, "%s=%s%s%s\n", key, quote, clean, quote);
}

static void add_device(struct writer *writer, const char *key, const char *device) {
    if (*device)
        add(writer, "%s=/dev/%s\n", key, device);
}

static void add_hex(struct writer *writer, const char *key, const uint8_t *bytes, size_t size) {
    char text[65];
    hex_format(bytes, size, text);
    add(writer, "%s=%s\n", key, text);
}

static void add_layers(struct writer *writer, const struct boot *boot) {
    add(writer, "LAYERS=%u\n", boot->header.layer_count);
    for (uint32_t i = 0; i < boot->header.layer_count; i++) {
        char key[32];
        snprintf(key, sizeof(key), "LAYER%u_NAME", i);
        add_text(writer, key, boot->header.layers[i].name);
        snprintf(key, sizeof(key), "LAYER%u_VERSION", i);
        add_text(writer, key, boot->header.layers[i].version);
        add(writer, "LAYER%u_DEVICE=/dev/dm-%u\n", i, minor(boot->layers[i]));
    }
}

// MACHINE_ID_END_MS for the step "machine-id".
static void add_timings(struct writer *writer, const struct boot *boot) {
    add(writer, "INIT_START_MS=%llu\n", (unsigned long long)boot->start_ms);
    for (unsigned i = 0; i < boot->timing_count; i++) {
        char key[32];
        size_t size = 0;
        for (const char *c = boot->timings[i].step; *c && size < sizeof(key) - 1; c++)
            key[size++] = isalnum((unsigned char)*c) ? (char)toupper((unsigned char)*c) : '_';
        key[size] = '\0';
        add(writer, "STEP_%s_END_MS=%llu\n", key, (unsigned long long)boot->timings[i].end_ms);
    }
}

int record_format(const struct boot *boot, char ret_text[RECORD_MAX_BYTES]) {
    struct writer writer = {.text = ret_text};
    add(&writer, "SLOT=%s\n", *boot->medium ? "medium" : boot->disk.slot.role == FIND_SLOT_A ? "a" : "b");
    add_device(&writer, "DISK", boot->disk.slot.disk);
    add_device(&writer, "SLOT_DEVICE", boot->disk.slot.device);
    add_device(&writer, "STATE_DEVICE", boot->disk.state.device);
    add(&writer, "STATE_MODE=%s\n", boot->is_state_read_only ? "ro" : "rw");
    add_text(&writer, "STATE_CHECK", boot->state_check);
    add_hex(&writer, "SLOT_ID", boot->header.id, sizeof(boot->header.id));
    add_hex(&writer, "ROOT_HASH", boot->wanted.root_hash, sizeof(boot->wanted.root_hash));
    add(&writer, "DATA_BLOCKS=%llu\n", (unsigned long long)boot->wanted.data_blocks);
    add(&writer, "VERITY_DEVICE=/dev/dm-%u\n", minor(boot->verity));
    add_text(&writer, "PROFILE", boot->header.profile);
    add_text(&writer, "VERSION", boot->header.version);
    add(&writer, "SEQUENCE=%llu\n", (unsigned long long)boot->header.sequence);
    add_layers(&writer, boot);
    add(&writer, "MODULES_LOADED=%u\n", boot->modules.loaded);
    add(&writer, "FACTORY_COPIED=%u\n", boot->factory.copied);
    add_timings(&writer, boot);
    return writer.used < RECORD_MAX_BYTES ? (int)writer.used : -EFBIG;
}

int record_apply(struct boot *boot, struct err *err) {
    char text[RECORD_MAX_BYTES];
    int size = record_format(boot, text);
    if (size < 0)
        return err_sys(err, size, "formatting " RECORD_PATH);
    cleanup_fd int fd = open(BOOT_RUN, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, -errno, "opening " BOOT_RUN);
    return sys_publish(fd, "boot", text, (size_t)size, 0644, err);
}
