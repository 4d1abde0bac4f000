// SPDX-License-Identifier: Apache-2.0
// The few types of the UEFI specification (2.10) that restart.c uses: offsets are the specification's, members that are not used are words.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <uchar.h>

#define EFIAPI __attribute__((ms_abi))
#define EFI_ERROR_BIT 0x8000000000000000ULL

typedef uint64_t efi_status; // UEFI's own names are typedefs; ours follow them in this one header
typedef void *efi_handle;

struct efi_guid {
    uint32_t data1;
    uint16_t data2, data3;
    uint8_t data4[8];
};

struct efi_table_header {
    uint64_t signature;
    uint32_t revision, header_size, crc32, reserved;
};

struct efi_text_output {
    void *reset;
    efi_status(EFIAPI *output_string)(struct efi_text_output *self, const char16_t *text);
};

struct efi_device_path {
    uint8_t type, subtype;
    uint8_t length[2]; // of the whole node, little-endian
};

struct efi_loaded_image {
    uint32_t revision;
    efi_handle parent;
    void *system_table;
    efi_handle device;
};

struct efi_boot_services {
    struct efi_table_header header;
    void *before_pool[5]; // RaiseTPL … GetMemoryMap
    efi_status(EFIAPI *allocate_pool)(uint32_t type, size_t size, void **ret_memory);
    void *before_handle_protocol[10]; // FreePool … UninstallProtocolInterface
    efi_status(EFIAPI *handle_protocol)(efi_handle handle, const struct efi_guid *protocol, void **ret_interface);
    void *before_load_image[5]; // Reserved … InstallConfigurationTable
    efi_status(EFIAPI *load_image)(uint8_t is_boot_policy, efi_handle parent, const struct efi_device_path *path, const void *source,
                                   size_t source_size, efi_handle *ret_image);
    efi_status(EFIAPI *start_image)(efi_handle image, size_t *ret_exit_data_size, char16_t **ret_exit_data);
    void *before_stall[4]; // Exit … GetNextMonotonicCount
    efi_status(EFIAPI *stall)(size_t microseconds);
};

struct efi_runtime_services {
    struct efi_table_header header;
    void *before_reset[10]; // GetTime … GetNextHighMonotonicCount
    void(EFIAPI *reset_system)(uint32_t type, efi_status status, size_t data_size, const void *data);
};

struct efi_system_table {
    struct efi_table_header header;
    char16_t *vendor;
    uint32_t revision;
    efi_handle console_in_handle;
    void *console_in;
    efi_handle console_out_handle;
    struct efi_text_output *console_out;
    efi_handle standard_error_handle;
    struct efi_text_output *standard_error;
    struct efi_runtime_services *runtime;
    struct efi_boot_services *boot;
};

_Static_assert(offsetof(struct efi_boot_services, allocate_pool) == 64, "UEFI 4.4");
_Static_assert(offsetof(struct efi_boot_services, handle_protocol) == 152, "UEFI 4.4");
_Static_assert(offsetof(struct efi_boot_services, load_image) == 200, "UEFI 4.4");
_Static_assert(offsetof(struct efi_boot_services, stall) == 248, "UEFI 4.4");
_Static_assert(offsetof(struct efi_runtime_services, reset_system) == 104, "UEFI 4.5");
_Static_assert(offsetof(struct efi_system_table, boot) == 96, "UEFI 4.3");
_Static_assert(offsetof(struct efi_loaded_image, device) == 24, "UEFI 9.1");
