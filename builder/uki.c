// SPDX-License-Identifier: Apache-2.0
// Appends sections to a PE32+ image and finds them again. Offsets come from the file, so every one is checked before it is used.
#include "builder/uki.h"
#include "common/digest.h"
#include "common/buf.h"
#include "common/file.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define PE_POINTER_OFFSET 0x3c
#define COFF_BYTES 20
#define OPTIONAL_MIN_BYTES 112 // PE32+ without data directories
#define SECTION_BYTES 40
#define MACHINE_X86_64 0x8664
#define MAGIC_PE32_PLUS 0x20b
#define SUBSYSTEM_EFI_APPLICATION 10
#define MAX_SECTIONS 96 // the Windows loader's limit; stubs have about ten
#define VMA_ALIGN 4096 // each appended section starts on a page of its own
#define READ_DATA 0x40000040u // CNT_INITIALIZED_DATA | MEM_READ
#define READ_CODE 0x40000020u // CNT_CODE | MEM_READ: kernels started by the EFI handover protocol run where they lie

static uint16_t get16(const uint8_t *p) {
    return (uint16_t)(p[0] | p[1] << 8);
}
static uint32_t get32(const uint8_t *p) {
    return get16(p) | (uint32_t)get16(p + 2) << 16;
}
static void put16(uint8_t *p, uint16_t value) {
    p[0] = (uint8_t)value;
    p[1] = (uint8_t)(value >> 8);
}
static void put32(uint8_t *p, uint32_t value) {
    put16(p, (uint16_t)value);
    put16(p + 2, (uint16_t)(value >> 16));
}
static uint64_t align_up(uint64_t value, uint64_t alignment) {
    return (value + alignment - 1) / alignment * alignment;
}

// Where things are in the headers, all checked to lie inside them.
struct pe {
    size_t coff, optional, sections; // offsets
    unsigned section_count;
    uint32_t section_alignment, file_alignment, headers_bytes;
};

static int pe_parse(const uint8_t *data, size_t size, struct pe *ret_pe, struct err *err) {
    if (size < PE_POINTER_OFFSET + 4 || memcmp(data, "MZ", 2) != 0)
        return err_set(err, -EINVAL, "not a PE image: no MZ header");
    size_t at = get32(data + PE_POINTER_OFFSET);
    if (at > size || size - at < 4 + COFF_BYTES + OPTIONAL_MIN_BYTES || memcmp(data + at, "PE\0\0", 4) != 0)
        return err_set(err, -EINVAL, "not a PE image: no PE header");
    struct pe pe = {.coff = at + 4, .optional = at + 4 + COFF_BYTES};
    size_t optional_bytes = get16(data + pe.coff + 16);
    pe.section_count = get16(data + pe.coff + 2);
    pe.sections = pe.optional + optional_bytes;
    if (get16(data + pe.coff) != MACHINE_X86_64 || optional_bytes < OPTIONAL_MIN_BYTES || get16(data + pe.optional) != MAGIC_PE32_PLUS ||
        get16(data + pe.optional + 68) != SUBSYSTEM_EFI_APPLICATION)
        return err_set(err, -EINVAL, "not a 64-bit EFI application for x86-64");
    if (pe.section_count == 0 || pe.section_count > MAX_SECTIONS || pe.sections > size ||
        size - pe.sections < pe.section_count * (size_t)SECTION_BYTES)
        return err_set(err, -EINVAL, "PE section table is empty, too long or cut off");
    pe.section_alignment = get32(data + pe.optional + 32);
    pe.file_alignment = get32(data + pe.optional + 36);
    pe.headers_bytes = get32(data + pe.optional + 60);
    *ret_pe = pe;
    return 0;
}

static bool is_alignment(uint32_t value) {
    return value >= 16 && value <= 65536 && (value & (value - 1)) == 0;
}

// First free virtual address and first free file offset behind all sections; refuses images that have anything behind them.
static int pe_ends(const uint8_t *data, size_t size, const struct pe *pe, uint64_t *ret_vma, uint64_t *ret_offset, struct err *err) {
    uint64_t vma = 0, offset = pe->headers_bytes;
    if (!is_alignment(pe->section_alignment) || !is_alignment(pe->file_alignment))
        return err_set(err, -EINVAL, "PE alignments %u and %u are not powers of two", pe->section_alignment, pe->file_alignment);
    for (unsigned i = 0; i < pe->section_count; i++) {
        const uint8_t *section = data + pe->sections + i * (size_t)SECTION_BYTES;
        uint64_t vma_end = (uint64_t)get32(section + 12) + get32(section + 8);
        uint64_t raw_end = (uint64_t)get32(section + 20) + get32(section + 16);
        if (get32(section + 16) && raw_end > size)
            return err_set(err, -EINVAL, "PE section %u runs past the end of the file", i);
        vma = vma_end > vma ? vma_end : vma;
        offset = get32(section + 16) && raw_end > offset ? raw_end : offset;
    }
    *ret_vma = vma;
    *ret_offset = align_up(size > offset ? size : offset, pe->file_alignment);
    return 0;
}

int uki_section_find(const uint8_t *data, size_t size, uint64_t file_size, const char *name, struct uki_section *ret_section,
                     struct err *err) {
    struct pe pe;
    char wanted[9] = {0};
    int r = pe_parse(data, size, &pe, err);
    if (r < 0)
        return r;
    snprintf(wanted, sizeof(wanted), "%s", name);
    for (unsigned i = 0; i < pe.section_count; i++) {
        const uint8_t *section = data + pe.sections + i * (size_t)SECTION_BYTES;
        if (memcmp(section, wanted, 8) != 0)
            continue;
        uint64_t virtual_bytes = get32(section + 8), raw_bytes = get32(section + 16), offset = get32(section + 20);
        if (offset > file_size || raw_bytes > file_size - offset || virtual_bytes > raw_bytes)
            return err_set(err, -EINVAL, "PE section %s runs past its data or the end of the file", name);
        *ret_section = (struct uki_section){offset, virtual_bytes};
        return 0;
    }
    return err_set(err, -ENOENT, "PE image has no section %s", name);
}

int uki_section_find_fd(int fd, const char *file, const char *name, struct uki_section *ret_section, struct err *err) {
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_sys(err, -errno, "%s", file);
    size_t size = st.st_size < UKI_HEADERS_MAX_BYTES ? (size_t)st.st_size : UKI_HEADERS_MAX_BYTES;
    cleanup_free uint8_t *headers = mem_array(size, 1);
    int r = pread_all(fd, file, headers, size, 0, err);
    if (r < 0)
        return r;
    r = uki_section_find(headers, size, (uint64_t)st.st_size, name, ret_section, err);
    return r < 0 ? err_prefix(err, r, "%s", file) : 0;
}

int uki_read_text(int fd, const char *file, const char *name, size_t max_bytes, char **ret_text, struct err *err) {
    struct uki_section section;
    int r = uki_section_find_fd(fd, file, name, &section, err);
    if (r < 0)
        return r;
    if (section.size > max_bytes)
        return err_set(err, -EFBIG, "%s: section %s has %llu bytes", file, name, (unsigned long long)section.size);
    cleanup_free char *text = mem_array((size_t)section.size + 1, 1);
    r = pread_all(fd, file, text, (size_t)section.size, section.offset, err);
    if (r < 0)
        return r;
    *ret_text = take_ptr(text);
    return 0;
}

// One section to append: bytes in memory, or a file.
struct part {
    const char *name;
    const char *text; // NULL: from `fd`
    int fd;
    const char *path;
    uint64_t size;
    uint32_t flags;
    uint64_t offset, vma; // planned
};

// Gives every part its place. Returns the file's size in *ret_size.
static int plan_parts(const uint8_t *stub, size_t stub_size, const struct pe *pe, struct part *parts, unsigned count, uint64_t *ret_size,
                      struct err *err) {
    uint64_t vma = 0, offset = 0;
    int r = pe_ends(stub, stub_size, pe, &vma, &offset, err);
    if (r < 0)
        return r;
    size_t table_end = pe->sections + (pe->section_count + count) * (size_t)SECTION_BYTES;
    if (table_end > pe->headers_bytes || pe->headers_bytes > stub_size || pe->section_count + count > MAX_SECTIONS)
        return err_set(err, -ENOSPC, "the stub's header has no room for %u more sections", count);
    for (size_t i = pe->sections + pe->section_count * (size_t)SECTION_BYTES; i < table_end; i++)
        if (stub[i])
            return err_set(err, -EINVAL, "the stub has data behind its section table");
    for (unsigned i = 0; i < count; i++) {
        parts[i].offset = offset;
        parts[i].vma = align_up(vma, pe->section_alignment > VMA_ALIGN ? pe->section_alignment : VMA_ALIGN);
        vma = parts[i].vma + parts[i].size;
        offset = align_up(offset + parts[i].size, pe->file_alignment);
        if (offset > UKI_MAX_BYTES || vma > UKI_MAX_BYTES)
            return err_set(err, -EFBIG, "the kernel image would have more than %d bytes", UKI_MAX_BYTES);
    }
    *ret_size = offset;
    return 0;
}

static void apply_headers(uint8_t *stub, const struct pe *pe, const struct part *parts, unsigned count) {
    uint8_t *section = stub + pe->sections + pe->section_count * (size_t)SECTION_BYTES;
    uint32_t added = 0;
    for (unsigned i = 0; i < count; i++, section += SECTION_BYTES) {
        uint32_t raw_bytes = (uint32_t)align_up(parts[i].size, pe->file_alignment);
        memcpy(section, parts[i].name, strlen(parts[i].name));
        put32(section + 8, (uint32_t)parts[i].size);
        put32(section + 12, (uint32_t)parts[i].vma);
        put32(section + 16, raw_bytes);
        put32(section + 20, (uint32_t)parts[i].offset);
        put32(section + 36, parts[i].flags);
        added += raw_bytes;
    }
    uint8_t *optional = stub + pe->optional;
    const struct part *last = &parts[count - 1];
    put16(stub + pe->coff + 2, (uint16_t)(pe->section_count + count));
    put32(stub + pe->coff + 4, 0); // time stamp
    put32(optional + 8, get32(optional + 8) + added); // SizeOfInitializedData
    put32(optional + 56, (uint32_t)align_up(last->vma + last->size, pe->section_alignment)); // SizeOfImage
    put32(optional + 64, 0); // CheckSum: EFI does not look at it
}

static int open_part(struct part *part, int dir_fd, struct err *err) {
    struct stat st;
    part->fd = file_open(dir_fd, part->path, O_RDONLY, 0, err);
    if (part->fd < 0)
        return part->fd;
    if (fstat(part->fd, &st) < 0)
        return err_sys(err, -errno, "%s", part->path);
    if (!S_ISREG(st.st_mode) || st.st_size <= 0 || st.st_size > UKI_MAX_BYTES)
        return err_set(err, -EINVAL, "%s: not a file of 1 to %d bytes", part->path, UKI_MAX_BYTES);
    part->size = (uint64_t)st.st_size;
    return 0;
}

static int write_parts(const uint8_t *stub, size_t stub_size, const struct part *parts, unsigned count, uint64_t size, int to,
                       const char *path, struct err *err) {
    if (ftruncate(to, (off_t)size) < 0)
        return err_sys(err, -errno, "%s", path);
    int r = pwrite_all(to, path, stub, stub_size, 0, err);
    for (unsigned i = 0; r == 0 && i < count; i++)
        r = parts[i].text ? pwrite_all(to, path, parts[i].text, (size_t)parts[i].size, parts[i].offset, err)
                          : digest_copy_plain(parts[i].fd, parts[i].path, 0, parts[i].size, to, parts[i].offset, err);
    return r;
}

enum { PARTS = 4 };

static int build(uint8_t *stub, size_t stub_size, struct part parts[PARTS], int dir_fd, const char *path, uint64_t *ret_size,
                 struct err *err) {
    struct pe pe;
    int r = pe_parse(stub, stub_size, &pe, err);
    if (r == 0)
        r = plan_parts(stub, stub_size, &pe, parts, PARTS, ret_size, err);
    if (r < 0)
        return err_prefix(err, r, "EFI stub");
    apply_headers(stub, &pe, parts, PARTS);
    cleanup_fd int to = file_open(dir_fd, path, O_RDWR | O_CREAT | O_TRUNC, 0644, err);
    if (to < 0)
        return to;
    r = write_parts(stub, stub_size, parts, PARTS, *ret_size, to, path, err);
    if (r < 0)
        unlinkat(dir_fd, path, 0);
    return r;
}

int uki_create(const struct uki_input *input, int dir_fd, const char *path, uint64_t *ret_size, struct err *err) {
    cleanup_free char *stub = NULL;
    size_t stub_size = 0;
    uint64_t size = 0;
    struct part parts[PARTS] = {
        {.name = ".osrel", .text = input->os_release, .size = strlen(input->os_release), .flags = READ_DATA, .fd = -1},
        {.name = ".cmdline", .text = input->cmdline, .size = strlen(input->cmdline), .flags = READ_DATA, .fd = -1},
        {.name = ".initrd", .path = input->initrd_path, .flags = READ_DATA, .fd = -1},
        {.name = ".linux", .path = input->linux_path, .flags = READ_CODE, .fd = -1},
    };
    int r = file_read(input->dir_fd, input->stub_path, UKI_STUB_MAX_BYTES, &stub, &stub_size, err);
    for (unsigned i = 0; r == 0 && i < PARTS; i++) {
        if (parts[i].path)
            r = open_part(&parts[i], input->dir_fd, err);
        else if (!parts[i].size)
            r = err_set(err, -EINVAL, "section %s would be empty", parts[i].name);
    }
    if (r == 0)
        r = build((uint8_t *)stub, stub_size, parts, dir_fd, path, &size, err);
    for (unsigned i = 0; i < PARTS; i++)
        if (parts[i].fd >= 0)
            close(parts[i].fd);
    if (r == 0 && ret_size)
        *ret_size = size;
    return r < 0 ? r : 0;
}
