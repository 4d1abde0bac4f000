// SPDX-License-Identifier: Apache-2.0
// EFI/BOOT/BOOTX64.EFI: starts systemd-boot from its own disk and, when that comes back, restarts the machine. systemd-boot comes back when a
// kernel image cannot be loaded or is refused; firmware would go on to its shell or the network and stay there, and the next try would never be
// counted. Freestanding, without relocations: no pointer is initialised here.
#include "firstboot/efi/efi.h"

#define PATH u"\\EFI\\systemd\\systemd-bootx64.efi"
#define WAIT_MICROSECONDS 5000000
#define LOADER_DATA 2 // EfiLoaderData
#define RESET_COLD 0 // EfiResetCold
#define NODE_MEDIA 4
#define NODE_FILE 4 // of the media nodes
#define NODE_END 0x7f
#define MAX_PATH_BYTES 4096

// Firmware loads only what it can move; there is nothing to be moved. One empty block: page 0, 12 bytes, two entries that are padding.
__attribute__((section(".reloc"), aligned(4096), used)) static const uint32_t no_relocations[3] = {0, 12, 0};

static const struct efi_guid loaded_image_guid = {0x5b1b31a1, 0x9562, 0x11d2, {0x8e, 0x3f, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b}};
static const struct efi_guid device_path_guid = {0x09576e91, 0x6d3f, 0x11d2, {0x8e, 0x39, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b}};

// The file's node and the end, as they stand behind the disk's path.
struct file_path {
    struct efi_device_path node;
    char16_t name[sizeof(PATH) / sizeof(char16_t)];
    struct efi_device_path end;
} __attribute__((packed));

static const struct file_path file_path = {
    .node = {NODE_MEDIA, NODE_FILE, {sizeof(file_path.node) + sizeof(PATH), 0}},
    .name = PATH,
    .end = {NODE_END, 0xff, {sizeof(file_path.end), 0}},
};

static const struct {
    efi_status status;
    char16_t name[24];
} names[] = {{EFI_ERROR_BIT | 1, u"Load Error"},       {EFI_ERROR_BIT | 2, u"Invalid Parameter"},
             {EFI_ERROR_BIT | 3, u"Unsupported"},      {EFI_ERROR_BIT | 7, u"Device Error"},
             {EFI_ERROR_BIT | 9, u"Out of Resources"}, {EFI_ERROR_BIT | 10, u"Volume Corrupted"},
             {EFI_ERROR_BIT | 14, u"Not Found"},       {EFI_ERROR_BIT | 15, u"Access Denied"},
             {EFI_ERROR_BIT | 21, u"Aborted"},         {EFI_ERROR_BIT | 26, u"Security Violation"}};

static void copy(uint8_t *to, const void *from, size_t size) {
    for (size_t i = 0; i < size; i++)
        to[i] = ((const volatile uint8_t *)from)[i]; // volatile: there is no memcpy() to make of it
}

static size_t disk_path_size(const uint8_t *path) {
    size_t size = 0;
    while (size < MAX_PATH_BYTES && path[size] != NODE_END) {
        size_t node = (size_t)(path[size + 2] | path[size + 3] << 8);
        size += node < sizeof(struct efi_device_path) ? MAX_PATH_BYTES : node;
    }
    return size;
}

static efi_status load(efi_handle self, const struct efi_boot_services *boot, efi_handle *ret_image) {
    struct efi_loaded_image *loaded = NULL;
    void *disk = NULL, *path = NULL;
    efi_status status = boot->handle_protocol(self, &loaded_image_guid, (void **)&loaded);
    if (!status)
        status = boot->handle_protocol(loaded->device, &device_path_guid, &disk);
    size_t size = status ? 0 : disk_path_size(disk);
    if (size >= MAX_PATH_BYTES)
        status = EFI_ERROR_BIT | 2;
    if (!status)
        status = boot->allocate_pool(LOADER_DATA, size + sizeof(file_path), &path);
    if (status)
        return status;
    copy(path, disk, size);
    copy((uint8_t *)path + size, &file_path, sizeof(file_path));
    return boot->load_image(0, self, path, NULL, 0, ret_image);
}

static void print(const struct efi_system_table *system, const char16_t *text) {
    if (system->console_out)
        system->console_out->output_string(system->console_out, text);
}

static void print_status(const struct efi_system_table *system, efi_status status) {
    char16_t digits[17];
    for (unsigned i = 0; i < 16; i++)
        digits[i] = u"0123456789abcdef"[status >> (60 - 4 * i) & 15];
    digits[16] = 0;
    print(system, u"0x");
    print(system, digits);
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (names[i].status == status) {
            print(system, u" (");
            print(system, names[i].name);
            print(system, u")");
        }
}

efi_status EFIAPI efi_main(efi_handle self, struct efi_system_table *system);

efi_status EFIAPI efi_main(efi_handle self, struct efi_system_table *system) {
    efi_handle image = NULL;
    efi_status status = load(self, system->boot, &image);
    print(system, status ? u"webops: " PATH u" cannot be loaded: " : u"");
    if (!status) {
        status = system->boot->start_image(image, NULL, NULL);
        print(system, u"\r\nwebops: the boot loader came back: ");
    }
    print_status(system, status);
    print(system, u"; restarting in 5 seconds\r\n");
    system->boot->stall(WAIT_MICROSECONDS);
    system->runtime->reset_system(RESET_COLD, status, 0, NULL);
    return status; // not reached
}
